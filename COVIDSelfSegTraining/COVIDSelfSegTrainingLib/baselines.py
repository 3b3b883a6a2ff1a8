"""What can be had without learning anything: the measure of whether the networks are worth it.

All take HU (z, y, x) and a lung mask on the same grid and give a mask.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

HuArray = npt.NDArray[np.floating] | npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]

THRESHOLDS_HU = (-780, -760, -740, -720, -700, -680, -650, -600, -550, -500)
"""From which a best threshold is chosen, with the truth in view: an upper bound for any threshold."""


def hu_threshold(hu: HuArray, lungs: BoolArray, level: float) -> BoolArray:
    """Everything in the lung that is denser than ``level``."""
    return (hu > level) & lungs


def threshold_without_vessels(
    hu: HuArray, lungs: BoolArray, pixel_mm: float, level: float = -720.0
) -> BoolArray:
    """Dense lung less its vessels and its rim, smoothed.

    After a blur of 1 mm, bright structures thinner than 6 mm (white top-hat of 100 HU) and values above
    -50 HU count as vessels; the outermost 3 mm of the lung, where tissue shines in, do not count; what is
    thinner than 3 mm goes.
    """

    def pixels(mm: float) -> int:
        return max(1, round(mm / pixel_mm))

    inside = np.where(lungs, hu, -850).astype(np.float32)
    smooth = ndimage.gaussian_filter(inside, (0, 1 / pixel_mm, 1 / pixel_mm))
    size = max(3, pixels(6) | 1)
    hat = ndimage.white_tophat(smooth, size=(1, size, size))
    dense = hu_threshold(smooth, lungs, level) & (hat < 100) & (hu < -50)
    cross = ndimage.generate_binary_structure(2, 1)[None]
    inner = ndimage.binary_erosion(lungs, cross, iterations=pixels(3))
    return ndimage.binary_opening(dense & inner, cross, iterations=pixels(1.5))
