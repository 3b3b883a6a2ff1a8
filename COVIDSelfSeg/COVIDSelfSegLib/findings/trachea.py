"""The trachea: an air-filled tube in the midline, which tells which end of a chest is the upper one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..array_types import FloatArray

_AIR_HU = -600.0
"""Pooled to millimetres, the air of a trachea is brighter than air."""
_AREA_CM2 = (0.6, 6.0)
"""Of a section, with both main bronchi where they part."""
_STEP_MM, _SLOPE = 4.0, 0.6
"""How far its middle may move from one slice to the next: so far, and by so much of their distance."""
_ASIDE_MM = 25.0
"""How far from the midline it can lie; the large bronchi in consolidated lung lie farther out."""
_GAP_MM = 20.0
"""Over how much of its length it may be lost, as where it joins a lung on coarse voxels."""
_LEAST_MM = 60.0
"""Bowel and stomach hold air too, but not near the midline over so long a way."""


@dataclass(frozen=True)
class _Hole:
    """A section of something that holds air: slice, and row and column of its middle."""

    z: int
    y: float
    x: float


def find_trachea(
    hu: FloatArray, middle: float, voxel_mm: tuple[float, float, float]
) -> npt.NDArray[np.float64]:
    """Follow the trachea through the slices.

    Args:
        hu: (z, y, x) HU, voxels of a few millimetres.
        middle: column, in voxels, of the midline between the lungs.
        voxel_mm: size of a voxel (z, y, x).

    Returns:
        (n, 3) its middle (z, y, x) in mm from the first voxel, from low z to high; of shape (0, 3) where
        no tube is found that is 60 mm long.
    """
    deep_mm = voxel_mm[0]
    # The longest chain that ends in each hole, as the number of its holes and the hole before.
    chains: dict[_Hole, tuple[int, _Hole | None]] = {}
    for hole in _holes(hu, middle, voxel_mm):
        before = [
            (length, one)
            for one, (length, _) in chains.items()
            if 0 < (hole.z - one.z) * deep_mm <= _GAP_MM and _close(hole, one, voxel_mm)
        ]
        length, last = max(before, key=lambda chain: chain[0], default=(0, None))
        chains[hole] = (length + 1, last)
    found: list[_Hole] = []
    hole_or_none = max(chains, key=lambda one: chains[one][0], default=None)
    while hole_or_none is not None:
        found.append(hole_or_none)
        hole_or_none = chains[hole_or_none][1]
    if not found or (found[0].z - found[-1].z + 1) * deep_mm < _LEAST_MM:
        return np.zeros((0, 3))
    return np.array([(hole.z, hole.y, hole.x) for hole in reversed(found)]) * voxel_mm


def _holes(hu: FloatArray, middle: float, voxel_mm: tuple[float, float, float]) -> Iterator[_Hole]:
    """Sections of the size of a trachea, from slice to slice, that tissue encloses near the midline."""
    pixel_cm2 = voxel_mm[1] * voxel_mm[2] / 100
    for z, plane in enumerate(hu):
        labels, _ = ndimage.label(plane < _AIR_HU)
        outside = set(np.unique(np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()])))
        for number, area in enumerate(np.bincount(labels.ravel())[1:] * pixel_cm2, start=1):
            if number in outside or not _AREA_CM2[0] <= area <= _AREA_CM2[1]:
                continue
            y, x = ndimage.center_of_mass(labels == number)
            if abs(x - middle) * voxel_mm[2] <= _ASIDE_MM:
                yield _Hole(z, float(y), float(x))


def _close(hole: _Hole, other: _Hole, voxel_mm: tuple[float, float, float]) -> bool:
    apart = np.hypot((hole.y - other.y) * voxel_mm[1], (hole.x - other.x) * voxel_mm[2])
    return bool(apart <= _STEP_MM + _SLOPE * (hole.z - other.z) * voxel_mm[0])
