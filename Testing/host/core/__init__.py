"""Slicer's own scene and logics, started the way the application starts them."""
