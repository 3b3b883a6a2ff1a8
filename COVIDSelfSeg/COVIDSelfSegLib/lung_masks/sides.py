"""Which lung is the right one, and which the left."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import ConvexHull

from ..array_types import BoolArray, LabelArray
from ..frame import LungFrame
from ..lung_labels import LEFT, RIGHT
from ..volume import array_view, image_like
from .pooled_scan import POOLED_MM, PooledScan, bounding_box

_LEAST_SEED = 0.04
"""Smallest share of the whole that tells where a lung lies; less goes where the larger parts are."""
_SIDES_APART_MM = 40.0
_TISSUE_HU = -200.0
_CUT_SHARE = 0.25
"""Share of tissue in the first or last column from which on the scan ends within the body there."""
_LEAST_ALONE = 0.97
"""Share of a lung that does not reach across the middle of the other one; 1.0 in every real scan we have."""


def split_lungs(mask: sitk.Image, scan: sitk.Image) -> sitk.Image:
    """Label right (1) and left (2) in a mask of one lung or both.

    Args:
        mask: uint8, non-zero inside.
        scan: HU on the same grid: on which side of the body a single lung lies.

    Returns:
        uint8 on the same grid.
    """
    frame = LungFrame.whole_scan(mask, POOLED_MM)
    sides = split_sides(
        frame.to_network(mask, fill=0) > 0.5, PooledScan(frame.to_network(scan), frame.voxel_mm)
    )
    # Voxels that pooling lost take the side of the nearest that it kept.
    nearest = ndimage.distance_transform_edt(
        sides == 0, sampling=frame.voxel_mm, return_distances=False, return_indices=True
    )
    on_scan = frame.to_scan((sides[tuple(nearest)] == LEFT).astype(np.float32))
    side = array_view(on_scan)
    labels = np.where(array_view(mask) == 0, 0, np.where(side > 0.5, LEFT, RIGHT)).astype(np.uint8)
    return image_like(labels, mask)


def split_sides(lungs: BoolArray, pooled: PooledScan) -> LabelArray:
    """Label right and left; lungs that touch are cut where the bridge between them is thinnest.

    A lung may be in several parts, as where a consolidation is left out. Each part is of one side, unless
    it holds cores of both.
    """
    if not lungs.any():
        return np.zeros(lungs.shape, np.uint8)
    box = bounding_box(lungs)
    seeds = _seeds(lungs[box], pooled.voxel_mm)
    if seeds is None:
        is_left = (
            _is_hollow_to_the_right(_without_rests(lungs[box]))
            if _is_cut_at_a_side(pooled)
            else ndimage.center_of_mass(lungs)[2] > _body_middle(pooled)
        )
        return np.where(lungs, LEFT if is_left else RIGHT, 0).astype(np.uint8)
    sides = np.zeros(lungs.shape, np.uint8)
    sides[box] = _grown(seeds, lungs[box], pooled.voxel_mm)
    return sides


def _seeds(lungs: BoolArray, voxel_mm: tuple[float, float, float]) -> LabelArray | None:
    """The cores of right and left lung, eroded as little as separates them; None for a single lung."""
    depth = ndimage.distance_transform_edt(np.pad(lungs, 1), sampling=voxel_mm)[1:-1, 1:-1, 1:-1]
    for erosion in np.arange(0, 21, 2.5):
        parts, count = ndimage.label(depth > erosion)
        sizes = np.bincount(parts.ravel())[1:]
        large = 1 + np.flatnonzero(sizes >= _LEAST_SEED * np.count_nonzero(lungs))
        if large.size < 2:
            continue
        columns = np.array([middle[2] for middle in ndimage.center_of_mass(parts > 0, parts, large)])
        order = np.argsort(columns)
        gaps = np.diff(columns[order])
        widest = int(gaps.argmax())
        if gaps[widest] * voxel_mm[2] < _SIDES_APART_MM:
            continue  # upper and lower lobe of one lung, not two sides
        side_of = np.zeros(count + 1, np.uint8)
        side_of[large[order[: widest + 1]]] = RIGHT
        side_of[large[order[widest + 1 :]]] = LEFT
        seeds: LabelArray = side_of[parts]
        if _lie_apart(seeds):
            return seeds
    return None


def are_told_apart(labels: sitk.Image) -> bool:
    """Whether what a mask labels right lies right of what it labels left, where it holds both."""
    frame = LungFrame.whole_scan(labels, 2 * POOLED_MM)
    sides = np.rint(frame.to_network(labels, "nearest", fill=0)).astype(np.uint8)
    return not {RIGHT, LEFT} <= set(np.unique(sides)) or _lie_apart(sides)


def _lie_apart(seeds: LabelArray) -> bool:
    """False where a seed reaches across: a part of one lung that is still tied to the other one."""
    right, left = (np.nonzero(seeds == side)[2] for side in (RIGHT, LEFT))
    alone = np.mean(right < left.mean()), np.mean(left > right.mean())
    return bool(min(alone) > _LEAST_ALONE)


def _grown(seeds: LabelArray, lungs: BoolArray, voxel_mm: tuple[float, float, float]) -> LabelArray:
    """Each voxel of the lungs takes the nearest side; each part the side of most of it, unless it holds both.

    A rest without a seed may lie nearer to the other lung than to its own: where it lies clearly on one side,
    that counts.
    """
    nearest = ndimage.distance_transform_edt(
        seeds == 0, sampling=voxel_mm, return_distances=False, return_indices=True
    )
    sides = seeds[tuple(nearest)]
    middle = np.mean([np.nonzero(seeds == side)[2].mean() for side in (RIGHT, LEFT)])
    parts, _ = ndimage.label(lungs)
    for number, box in enumerate(ndimage.find_objects(parts), 1):
        part = parts[box] == number
        held = np.unique(seeds[box][part])
        if {RIGHT, LEFT} <= set(held):
            continue
        off_middle = box[2].start + np.nonzero(part)[2].mean() - middle
        is_left = sides[box][part].mean() > (RIGHT + LEFT) / 2
        if not held.any() and abs(off_middle) * voxel_mm[2] > _SIDES_APART_MM / 2:
            is_left = off_middle > 0
        sides[box][part] = LEFT if is_left else RIGHT
    return np.where(lungs, sides, 0).astype(np.uint8)


def _is_cut_at_a_side(pooled: PooledScan) -> bool:
    """Whether the scan ends within the body on its right or left, as where one lung is reconstructed."""
    ends = (pooled.hu[:, :, [0, -1]] > _TISSUE_HU).mean(axis=(0, 1))
    return bool(ends.max() > _CUT_SHARE)


def _without_rests(lungs: BoolArray) -> BoolArray:
    """The parts that are no mere rest, cut to their box; one of the other lung would shift its middle."""
    parts, _ = ndimage.label(lungs)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    large = (sizes >= min(_LEAST_SEED * sizes.sum(), sizes.max()))[parts]
    cut: BoolArray = large[bounding_box(large)]
    return cut


def _is_hollow_to_the_right(lung: BoolArray) -> bool:
    """Whether slices of a lung (z, y, x) are more hollow on their right, as those of the left lung are.

    Heart and hilum lie on its inner side.
    """
    hollow = np.zeros(lung.shape[2])
    for plane in lung:
        rows, columns = np.nonzero(plane)
        if not rows.size or min(np.ptp(rows), np.ptp(columns)) < 2:
            continue
        # Joggled, since a hull of pixels on one line has no inside.
        borders = ConvexHull(np.stack([rows, columns], axis=1), qhull_options="QJ").equations
        outside = np.argwhere(~plane)
        is_within = (outside @ borders[:, :2].T + borders[:, 2] <= 0).all(axis=1)
        hollow += np.bincount(outside[is_within, 1], minlength=lung.shape[2])
    middle, column = (lung.shape[2] - 1) / 2, np.arange(lung.shape[2])
    return bool(hollow[column < middle].sum() > hollow[column > middle].sum())


def _body_middle(pooled: PooledScan) -> float:
    """Column of the middle of the body."""
    columns = np.flatnonzero((pooled.hu > _TISSUE_HU).mean(axis=(0, 1)) > 0.05)
    return float(columns.mean()) if columns.size else pooled.hu.shape[2] / 2
