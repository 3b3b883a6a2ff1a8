"""The coarse copy of a scan that the built-in lung mask works on, and what is asked of parts of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..array_types import BoolArray, FloatArray

PartArray = npt.NDArray[np.int32]

POOLED_MM = 2.5
AERATED_HU = -400.0
"""Half-way between lung (-850) and soft tissue (+40): the border stays where it is under pooling."""


@dataclass(frozen=True)
class PooledScan:
    """The scan on the pooled grid, in patient axes (z up, y back, x left).

    Attributes:
        hu: (z, y, x).
        voxel_mm: (z, y, x).
    """

    hu: FloatArray
    voxel_mm: tuple[float, float, float]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml."""
        return float(np.prod(self.voxel_mm)) / 1000


def face_neighbours(pooled: PooledScan) -> BoolArray:
    """Neighbours by a face; within the slice alone where slices are much thicker than pixels."""
    cross: BoolArray = ndimage.generate_binary_structure(3, 1)
    if pooled.voxel_mm[0] > 1.5 * POOLED_MM:
        cross[[0, 2]] = False
    return cross


def bounding_box(mask: BoolArray) -> tuple[slice, slice, slice]:
    """The smallest box (z, y, x) that holds a mask which is not empty."""
    box: tuple[slice, slice, slice] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return box


def part_volumes_ml(parts: PartArray, count: int, pooled: PooledScan) -> npt.NDArray[np.floating]:
    """Volume in ml of each part that ``scipy.ndimage.label`` counted; entry 0 is the background."""
    return np.bincount(parts.ravel(), minlength=count + 1) * pooled.voxel_ml


def inner_quantile(pooled: PooledScan, part: BoolArray, share: float) -> float:
    """HU that this share of a part stays below, away from the part's own border."""
    box = bounding_box(part)
    inner = ndimage.binary_erosion(part[box])
    return float(np.quantile(pooled.hu[box][inner if inner.any() else part[box]], share))
