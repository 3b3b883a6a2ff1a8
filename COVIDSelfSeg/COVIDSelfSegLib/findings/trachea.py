"""The trachea: an air-filled tube in the midline, which tells which end of a chest is the upper one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..array_types import BoolArray, FloatArray

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
_LEAST_MM, _LEAST_BETWEEN_MM = 60.0, 15.0
"""How long it is at least, and over how much of that it lies between the lungs, neither in front of them nor
behind. Bowel may hold air as long a way near the midline, but below."""


@dataclass(frozen=True)
class _Hole:
    """A section of something that holds air: slice, row and column of its middle; is it between the lungs."""

    z: int
    y: float
    x: float
    between: bool


def find_trachea(
    hu: FloatArray, lungs: BoolArray, middle: float, voxel_mm: tuple[float, float, float]
) -> npt.NDArray[np.float64]:
    """Follow the trachea through the slices.

    Args:
        hu: (z, y, x) HU, voxels of a few millimetres.
        lungs: (z, y, x), both of them.
        middle: column, in voxels, of the midline between the lungs.
        voxel_mm: size of a voxel (z, y, x).

    Returns:
        (n, 3) its middle (z, y, x) in mm from the first voxel, from low z to high; of shape (0, 3) where
        no tube is found that is 60 mm long and lies between the lungs over 15 mm.
    """
    deep_mm = voxel_mm[0]
    # The longest chain that ends in each hole: the number of its holes, how many of these lie between the
    # lungs, and the hole before.
    chains: dict[_Hole, tuple[int, int, _Hole | None]] = {}
    for hole in _holes(hu, lungs, middle, voxel_mm):
        before = [
            (length, between, one)
            for one, (length, between, _) in chains.items()
            if 0 < (hole.z - one.z) * deep_mm <= _GAP_MM and _close(hole, one, voxel_mm)
        ]
        length, between, last = max(before, key=lambda chain: chain[0], default=(0, 0, None))
        chains[hole] = (length + 1, between + hole.between, last)
    found: list[_Hole] = []
    ends = (one for one, (_, between, _) in chains.items() if between * deep_mm >= _LEAST_BETWEEN_MM)
    hole_or_none = max(ends, key=lambda one: chains[one][0], default=None)
    while hole_or_none is not None:
        found.append(hole_or_none)
        hole_or_none = chains[hole_or_none][2]
    if not found or (found[0].z - found[-1].z + 1) * deep_mm < _LEAST_MM:
        return np.zeros((0, 3))
    return np.array([(hole.z, hole.y, hole.x) for hole in reversed(found)]) * voxel_mm


def _holes(
    hu: FloatArray, lungs: BoolArray, middle: float, voxel_mm: tuple[float, float, float]
) -> Iterator[_Hole]:
    """Sections of the size of a trachea, from slice to slice, that tissue encloses near the midline."""
    pixel_cm2 = voxel_mm[1] * voxel_mm[2] / 100
    for z, plane in enumerate(hu):
        beside = np.flatnonzero(lungs[z].any(axis=1))
        labels, _ = ndimage.label(plane < _AIR_HU)
        outside = set(np.unique(np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()])))
        for number, area in enumerate(np.bincount(labels.ravel())[1:] * pixel_cm2, start=1):
            if number in outside or not _AREA_CM2[0] <= area <= _AREA_CM2[1]:
                continue
            y, x = ndimage.center_of_mass(labels == number)
            if abs(x - middle) * voxel_mm[2] <= _ASIDE_MM:
                yield _Hole(z, float(y), float(x), bool(beside.size and beside[0] <= y <= beside[-1]))


def _close(hole: _Hole, other: _Hole, voxel_mm: tuple[float, float, float]) -> bool:
    apart = np.hypot((hole.y - other.y) * voxel_mm[1], (hole.x - other.x) * voxel_mm[2])
    return bool(apart <= _STEP_MM + _SLOPE * (hole.z - other.z) * voxel_mm[0])
