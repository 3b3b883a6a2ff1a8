"""Connected components: specks out of a mask."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

BoolArray = npt.NDArray[np.bool_]


def large_parts(mask: BoolArray, least: float) -> BoolArray:
    """The components of a mask (neighbours by a face) that have at least ``least`` voxels.

    Args:
        mask: (z, y, x) or (y, x); best cut to the box that holds it, since labels take two bytes a voxel.
        least: voxels.
    """
    parts = np.empty(mask.shape, np.uint16)
    try:
        ndimage.label(mask, output=parts)
    except RuntimeError:  # more parts than 16 bits can number
        parts, _ = ndimage.label(mask)
    numbers = parts[mask]
    large = np.zeros_like(mask)
    large[mask] = (np.bincount(numbers) >= least)[numbers]
    return large
