"""Partial volume in thick slices: a voxel half lung, half diaphragm is as grey as ground glass."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .array_types import FloatArray
from .segmentation import NO_LESION, LungSlices

_THICK_MM = 4.0
"""In thinner slices what is mixed is a rim that neither looks like disease nor weighs anything."""
_CLEAR_HU, _SOFT_HU = -700.0, -300.0
"""Lung without disease is darker, tissue outside it denser."""
_SMOOTH_PIXELS = 3


def without_partial_volume(logits: FloatArray, slices: LungSlices) -> FloatArray:
    """Take lesions away where partial volume alone can be why a thick slice is grey.

    Where clear lung lies on one side of a slice and tissue outside the lungs on the other, the slice between
    holds the border of both. Disease thicker than a slice is left: there the lung is not clear.

    Args:
        logits: of lesions (z, y, x), on the slices' grid.
        slices: of the scan.

    Returns:
        Logits (z, y, x); of slices thinner than 4 mm those that were given.
    """
    if slices.frame.voxel_mm[0] < _THICK_MM - 0.1:
        return logits
    hu = np.stack([ndimage.uniform_filter(plane, _SMOOTH_PIXELS) for plane in slices.hu])
    inside = slices.lungs > 0
    clear, soft = inside & (hu < _CLEAR_HU), ~inside & (hu > _SOFT_HU)
    between = (clear[2:] & soft[:-2]) | (soft[2:] & clear[:-2])
    kept = logits.copy()
    kept[1:-1][between] = NO_LESION
    return kept
