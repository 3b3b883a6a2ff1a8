"""Widgets of Slicer that know the scene, one class a file, with the interface of the real ones."""
