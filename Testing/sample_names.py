"""What the makers of samples and their users agree on."""

THRESHOLD = 0.5
SCANS = ("scan", "oblique", "left_handed", "moved")
TRANSFORM = (0.96, -0.28, 0.0, 30.0, 0.28, 0.96, 0.0, -12.5, 0.0, 0.0, 1.0, 70.0, 0.0, 0.0, 0.0, 1.0)
"""A turn about the body's axis and a shift, LPS, row by row."""
