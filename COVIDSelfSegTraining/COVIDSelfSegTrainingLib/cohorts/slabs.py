"""A slice of a cohort's scan with its neighbours, as the 2D network sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from COVIDSelfSegLib.array_types import FloatArray
from COVIDSelfSegLib.segmentation import slice_and_neighbours

from .cohort import CohortScan


@dataclass(frozen=True)
class Slab:
    """A slice with its neighbours: the scan's own, or thick ones made of these.

    Attributes:
        scan: which has them.
        index: of the slice, or of the middle one of those that it is the mean of.
        together: how many slices of the scan each is the mean of; they follow each other without a gap. 1 is
            the scan's own slices, as far apart as :attr:`CohortScan.neighbour` says.
    """

    scan: CohortScan
    index: int
    together: int = 1

    def __str__(self) -> str:
        return f"{self.scan.source.name} slice {self.index}"

    def places(self) -> npt.NDArray[np.integer]:
        """Which slices of the scan make it, (3, together): below, itself, above."""
        count = self.scan.slice_frame.shape[0]
        distance = self.scan.neighbour if self.together == 1 else self.together
        middles = slice_and_neighbours(np.array([self.index]), distance, count)[0]
        around = middles[:, None] + np.arange(self.together) - self.together // 2
        return np.clip(around, 0, count - 1)

    def stack(self) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
        """HU, and distance to the pleura in mm at the middle of each slice: (3, y, x) both."""
        places = self.places()
        hu = self.scan.slices[places].mean(axis=1, dtype=np.float32)
        return hu, self.scan.slice_depths[places[:, self.together // 2]]

    def heights_mm(self) -> list[float]:
        """Where to look into it, in mm of the slices' grid: at 3 heights, or at 9 where it is thick.

        A slice that stands in for a missing neighbour is looked at where it lies, as it is a copy.
        """
        middles = self.places().mean(axis=1)
        parts = np.arange(-1, 2) * self.together / 3 if self.together > 1 else np.zeros(1)
        heights: list[float] = ((middles[:, None] + parts) * self.scan.slice_mm[0]).ravel().tolist()
        return heights
