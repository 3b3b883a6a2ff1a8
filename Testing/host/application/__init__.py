"""``slicer.app`` and the managers behind it."""
