"""The descending aorta and its arch, where they bulge into the left lung.

Of an old patient it can be wide, wind into the lung, and lie between lung on three sides: a lung network
takes it for consolidated lung. What tells it is that it is round and goes on for a hand's breadth: a tube of
discs, searched for slice by slice and joined by dynamic programming (after the idea of U. Kurkure et al.,
*Automated segmentation of thoracic aorta in non-contrast CT images*, ISBI 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..array_types import BoolArray, FloatArray
from .pooled_scan import PooledScan, bounding_box

_RADII_MM = np.arange(9.5, 22.0, 1.5)
_BLOOD_HU = (-60.0, 150.0)
"""Of blood without much contrast agent, pooled, with noise; brighter blood is in no lung mask."""
_DARK_HU = -30.0
"""Lung and fat are darker."""
_BONE_WORTH = 0.3
"""Of bone beside the disc, where lung or fat counts 1: it bounds the aorta, but also the spinal canal."""
_FULL = 0.93
"""Share of blood in the disc: calcified walls are none."""
_ROUND = 0.5
"""A disc bounded by lung or fat for more than this share speaks for the tube, another one against it."""
_RING_MM = (1.0, 4.0)
_LEAST_MM = 80.0
_LEAST_BULGE_ML = 5.0
_RIGHTWARDS_MM, _LEFTWARDS_MM = 15.0, 70.0
"""How far from the middle between the lungs it can lie."""
_RIM_MM = 2.5
_ARCH_MM, _CAP_MM = 60.0, 25.0
"""How far below the upper end of the tube the arch can leave it, and how far it goes on above."""


@dataclass(frozen=True)
class _Disc:
    """A section of the aorta: slice, row and column of its middle on the pooled grid, and its radius."""

    z: int
    y: int
    x: int
    radius_mm: float


def bulging_aorta(pooled: PooledScan, lungs: BoolArray, dense: BoolArray) -> BoolArray:
    """Tell which of what a network takes for dense lung is the aorta.

    Args:
        pooled: the scan.
        lungs: (z, y, x), what is aerated of them.
        dense: what the network takes for dense lung.

    Returns:
        The aorta with a rim of partial volume, whether in ``dense`` or not, and of its arch what is in
        ``dense``; nothing where no aorta is found or less than 5 ml of it are in ``dense``.
    """
    aorta = np.zeros(lungs.shape, bool)
    least = _LEAST_BULGE_ML * 1000 / np.prod(pooled.voxel_mm)
    if dense.sum() < least:
        return aorta
    discs = _descending_aorta(pooled, lungs)
    for disc in discs:
        aorta[disc.z] = _within(disc, lungs.shape[1:], pooled.voxel_mm)
    if (aorta & dense).sum() < least:
        return np.zeros(lungs.shape, bool)
    return aorta | _arch(discs, aorta, dense, pooled.voxel_mm)


def _descending_aorta(pooled: PooledScan, lungs: BoolArray) -> list[_Disc]:
    """Find the descending aorta as a tube.

    Returns:
        A disc for each slice, from below upwards; none where no tube is as long as a hand is broad (80 mm).
    """
    if not lungs.any():
        return []
    voxel_mm = pooled.voxel_mm
    box = _where_it_can_be(lungs, voxel_mm)
    worth = _roundness(pooled.hu[box], voxel_mm) - _ROUND
    path = _best_path(worth, steps=max(1, round(voxel_mm[0] / voxel_mm[1])))
    if len(path) * voxel_mm[0] < _LEAST_MM:
        return []
    deep, rows, columns = (part.start for part in box)
    return [_Disc(z + deep, y + rows, x + columns, float(_RADII_MM[size])) for z, size, y, x in path]


def _where_it_can_be(lungs: BoolArray, voxel_mm: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    """Behind the middle of the lungs, and not far from the midline on its right."""
    deep, rows, columns = bounding_box(lungs)
    middle = (columns.start + columns.stop) / 2
    first = max(0, int(middle - _RIGHTWARDS_MM / voxel_mm[2]))
    last = min(lungs.shape[2], int(middle + _LEFTWARDS_MM / voxel_mm[2]))
    return deep, slice((rows.start + rows.stop) // 2, rows.stop), slice(first, last)


def _roundness(hu: FloatArray, voxel_mm: tuple[float, float, float]) -> FloatArray:
    """Share of the ring around a disc of blood that is lung or fat, (z, radius, y, x); 0 without blood."""
    blood = ((hu > _BLOOD_HU[0]) & (hu < _BLOOD_HU[1])).astype(np.float32)
    bounds = (hu < _DARK_HU) + np.float32(_BONE_WORTH) * (hu >= _BLOOD_HU[1])
    reach = int(np.ceil((_RADII_MM[-1] + _RING_MM[1]) / min(voxel_mm[1:])))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    apart = np.hypot(rows * voxel_mm[1], columns * voxel_mm[2])
    found = np.zeros((hu.shape[0], len(_RADII_MM), *hu.shape[1:]), np.float32)
    for size, radius in enumerate(_RADII_MM):
        disc = _mean_over(apart <= radius - _RING_MM[0])
        ring = _mean_over((apart > radius + _RING_MM[0]) & (apart <= radius + _RING_MM[1]))
        full = ndimage.convolve(blood, disc, mode="nearest") > _FULL
        found[:, size] = np.where(full, ndimage.convolve(bounds, ring, mode="nearest"), 0)
    return found


def _mean_over(footprint: BoolArray) -> FloatArray:
    """A kernel for the mean over a neighbourhood in the slice."""
    kernel: FloatArray = (footprint / footprint.sum()).astype(np.float32)[None]
    return kernel


def _best_path(worth: FloatArray, steps: int) -> list[tuple[int, int, int, int]]:
    """The path (z, radius, y, x) of greatest sum through slices, whose disc moves by some pixels at most.

    Args:
        worth: (z, radius, y, x), of either sign.
        steps: pixels, and sizes, that the disc may move from slice to slice.
    """
    best = worth.copy()
    for z in range(1, worth.shape[0]):
        best[z] += np.maximum(ndimage.maximum_filter(best[z - 1], 2 * steps + 1), 0)
    z, *at = (int(one) for one in np.unravel_index(best.argmax(), best.shape))
    path = [(z, at[0], at[1], at[2])]
    while z > 0:
        near = tuple(slice(max(0, one - steps), one + steps + 1) for one in at)
        before = best[z - 1][near]
        if before.max() <= 0:
            break
        moved = np.unravel_index(before.argmax(), before.shape)
        at = [part.start + int(one) for part, one in zip(near, moved, strict=True)]
        z -= 1
        path.append((z, at[0], at[1], at[2]))
    return path[::-1]


def _within(disc: _Disc, shape: tuple[int, ...], voxel_mm: tuple[float, float, float]) -> BoolArray:
    """The disc and its rim, in its slice."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    apart = np.hypot((rows - disc.y) * voxel_mm[1], (columns - disc.x) * voxel_mm[2])
    inside: BoolArray = apart <= disc.radius_mm + _RIM_MM
    return inside


def _arch(
    discs: list[_Disc], aorta: BoolArray, dense: BoolArray, voxel_mm: tuple[float, float, float]
) -> BoolArray:
    """What hangs together in the slice with the upper part of the tube, in front of it and no further out.

    Above the tube goes on what lies on top of that.
    """
    arch = np.zeros_like(dense)
    top = discs[-1]
    for disc in (one for one in discs if (top.z - one.z) * voxel_mm[0] <= _ARCH_MM):
        tube = aorta[disc.z]
        if (tube & dense[disc.z]).sum() < tube.sum() / 2:
            continue
        edge = disc.x + int(np.ceil((disc.radius_mm + _RIM_MM) / voxel_mm[2]))
        inwards = dense[disc.z] | tube
        inwards[disc.y :] &= tube[disc.y :]
        inwards[:, edge + 1 :] = False
        arch[disc.z] = ndimage.binary_propagation(tube & inwards, mask=inwards)
    for z in range(top.z + 1, min(len(dense), top.z + 1 + round(_CAP_MM / voxel_mm[0]))):
        arch[z] = dense[z] & ndimage.binary_dilation(arch[z - 1] | aorta[z - 1])
    return arch & ~aorta
