"""A mask, cut to the box around it: lesions fill a part of a scan, and time goes by the voxels touched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from COVIDSelfSegLib.components import box_of

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class CutMask:
    """A mask on the CT's grid (k, j, i).

    Attributes:
        corner: first voxel of the box; below zero where a segment reaches beyond the CT.
        inside: bool, the box's voxels; of no size if the mask is empty.
    """

    corner: tuple[int, int, int]
    inside: np.ndarray

    @staticmethod
    def of(values: np.ndarray, least: int = 1) -> CutMask:
        """Where an array (k, j, i) of bool or uint8 reaches a value, in the smallest box."""
        levels = values.view(np.uint8) if values.dtype == bool else values
        deep, rows, columns = box_of(levels, least)
        return CutMask((deep.start, rows.start, columns.start), levels[deep, rows, columns] >= least)

    @property
    def isEmpty(self) -> bool:
        """Whether it holds no voxel."""
        return self.inside.size == 0

    @property
    def box(self) -> Box:
        """Its place in an array on the CT's grid."""
        deep, rows, columns = (slice(at, at + n) for at, n in zip(self.corner, self.inside.shape))
        return deep, rows, columns

    def moved(self, corner: tuple[int, int, int]) -> CutMask:
        """The same mask of an array whose own first voxel is at ``corner``."""
        k, j, i = (own + more for own, more in zip(self.corner, corner))
        return CutMask((k, j, i), self.inside)

    def over(self, other: CutMask) -> np.ndarray:
        """What it covers of the box of another: bool, of that one's shape."""
        covered = np.zeros(other.inside.shape, bool)
        low = np.maximum(self.corner, other.corner)
        high = np.minimum(np.add(self.corner, self.inside.shape), np.add(other.corner, covered.shape))
        if (low < high).all():
            here = tuple(slice(a - at, b - at) for a, b, at in zip(low, high, other.corner))
            there = tuple(slice(a - at, b - at) for a, b, at in zip(low, high, self.corner))
            covered[here] = self.inside[there]
        return covered

    def equals(self, other: CutMask) -> bool:
        """Whether both hold the same voxels."""
        if self.isEmpty or other.isEmpty:
            return self.isEmpty and other.isEmpty
        return self.corner == other.corner and np.array_equal(self.inside, other.inside)
