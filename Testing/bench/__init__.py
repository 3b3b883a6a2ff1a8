"""Measurements: ``make bench``. Ratios in one run, since machines differ and drift."""
