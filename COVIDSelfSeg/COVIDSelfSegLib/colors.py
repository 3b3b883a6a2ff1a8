"""Colours that the picture, the panel and the result files share."""

from __future__ import annotations

HEAT = ((0, 0, 0), (90, 8, 100), (205, 45, 60), (250, 150, 20), (255, 250, 190))
"""Colours of the heatmap from 0 to :data:`HOTTEST_HU`, ever brighter so that they also read in gray."""
HOTTEST_HU = 700
LESION = (220, 30, 30)
LUNG = (90, 150, 230)
EDITED = (245, 175, 20)
"""What a user edited and kept; brighter than a lesion, so that the two differ in gray, too."""
LUNG_WINDOW_HU = (-1350, 150)
"""The radiologist's lung window: level -600, width 1500."""


def heat_at(share: float) -> tuple[float, float, float]:
    """Colour (red, green, blue; 0 .. 255) at ``share`` (0 .. 1) of the heat scale."""
    place = min(max(share, 0.0), 1.0) * (len(HEAT) - 1)
    below = min(int(place), len(HEAT) - 2)
    part = place - below
    red, green, blue = (
        (1 - part) * low + part * high for low, high in zip(HEAT[below], HEAT[below + 1], strict=True)
    )
    return red, green, blue
