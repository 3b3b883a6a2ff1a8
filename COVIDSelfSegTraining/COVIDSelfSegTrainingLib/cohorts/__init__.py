"""Cohorts: scans found, judged, cut into the networks' grids, and read back."""
