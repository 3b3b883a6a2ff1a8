"""Distances between the surfaces of two masks, in mm.

A surface is the set of voxels of a mask with a face neighbour outside of it; distances run between voxel
centres. What lies at the edge of the volume has its outside there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from COVIDSelfSegLib.array_types import BoolArray
from scipy import ndimage


@dataclass(frozen=True)
class SurfaceDistances:
    """From each surface voxel of a mask to the nearest one of the other, in mm.

    Attributes:
        of_found: from the found surface to the true one.
        of_truth: from the true surface to the found one.
    """

    of_found: npt.NDArray[np.float64]
    of_truth: npt.NDArray[np.float64]

    def surface_dice(self, tolerance_mm: float) -> float:
        """Normalised surface Dice: share of both surfaces within the tolerance of the other (Nikolov 2021).

        NaN where both masks are empty, 0 where one is.
        """
        count = len(self.of_found) + len(self.of_truth)
        near = sum(np.count_nonzero(part <= tolerance_mm) for part in (self.of_found, self.of_truth))
        return near / count if count else float("nan")

    def hausdorff(self, percentile: float = 95.0) -> float:
        """The larger of the two percentiles of the distances; NaN unless both masks hold something."""
        parts = (self.of_found, self.of_truth)
        if not all(len(part) for part in parts):
            return float("nan")
        return float(max(np.percentile(part, percentile) for part in parts))


def surface_distances(
    found: BoolArray, truth: BoolArray, voxel_mm: tuple[float, float, float]
) -> SurfaceDistances:
    """Distances between the surfaces of two masks; infinite where the other mask is empty.

    Args:
        found: (z, y, x).
        truth: (z, y, x).
        voxel_mm: (z, y, x).
    """
    boxes = ndimage.find_objects((found | truth).astype(np.uint8))
    if not boxes:
        nothing = np.empty(0)
        return SurfaceDistances(nothing, nothing)
    surfaces = [_surface(mask[boxes[0]]) for mask in (found, truth)]
    of_found, of_truth = (
        _distance_to(other, voxel_mm)[surface]
        for surface, other in zip(surfaces, reversed(surfaces), strict=True)
    )
    return SurfaceDistances(of_found, of_truth)


def _surface(mask: BoolArray) -> BoolArray:
    surface: BoolArray = mask & ~ndimage.binary_erosion(mask)
    return surface


def _distance_to(surface: BoolArray, voxel_mm: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    if not surface.any():
        return np.full(surface.shape, np.inf)
    distance: npt.NDArray[np.float64] = ndimage.distance_transform_edt(~surface, sampling=voxel_mm)
    return distance
