"""Which lung is the right one, and which the left."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..frame import LungFrame
from ..volume import array_view, image_like
from .pooled_scan import POOLED_MM, BoolArray, LabelArray, PooledScan, bounding_box

RIGHT, LEFT = 1, 2
"""Labels of a lung mask."""

_LEAST_SIDE = 0.04
"""Smallest share of the whole that counts as a lung of its own; less is a rest of the other one."""
_SIDES_APART_MM = 40.0


def split_lungs(mask: sitk.Image) -> sitk.Image:
    """Label right (1) and left (2) in a mask of both lungs (uint8, non-zero inside); the same grid."""
    frame = LungFrame.whole_scan(mask, POOLED_MM)
    share = frame.to_network(mask, fill=0)
    pooled = PooledScan(np.where(share > 0.5, -850.0, 40.0).astype(np.float32), frame.voxel_mm)
    sides = split_sides(share > 0.5, pooled)
    # Voxels that pooling lost take the side of the nearest that it kept.
    nearest = ndimage.distance_transform_edt(
        sides == 0, sampling=frame.voxel_mm, return_distances=False, return_indices=True
    )
    on_scan = frame.to_scan((sides[tuple(nearest)] == LEFT).astype(np.float32))
    side = array_view(on_scan)
    labels = np.where(array_view(mask) == 0, 0, np.where(side > 0.5, LEFT, RIGHT)).astype(np.uint8)
    return image_like(labels, mask)


def split_sides(lungs: BoolArray, pooled: PooledScan) -> LabelArray:
    """Label right and left; lungs that touch are cut where the bridge between them is thinnest."""
    if not lungs.any():
        return np.zeros(lungs.shape, np.uint8)
    seeds = _two_seeds(lungs, pooled)
    if seeds is None:
        is_left = ndimage.center_of_mass(lungs)[2] > _body_middle(pooled)
        return np.where(lungs, LEFT if is_left else RIGHT, 0).astype(np.uint8)
    box = bounding_box(lungs)
    nearest = ndimage.distance_transform_edt(
        seeds[box] == 0, sampling=pooled.voxel_mm, return_distances=False, return_indices=True
    )
    sides = np.zeros(lungs.shape, np.uint8)
    sides[box] = np.where(lungs[box], seeds[box][tuple(nearest)], 0)
    return sides


def _two_seeds(lungs: BoolArray, pooled: PooledScan) -> LabelArray | None:
    """The cores of right and left lung, eroded as little as separates them; None for a single lung."""
    box = bounding_box(lungs)
    depth = ndimage.distance_transform_edt(np.pad(lungs[box], 1), sampling=pooled.voxel_mm)[1:-1, 1:-1, 1:-1]
    for erosion in np.arange(0, 21, 2.5):
        parts, count = ndimage.label(depth > erosion)
        if count < 2:
            continue
        sizes = np.bincount(parts.ravel())[1:]
        first, second = np.argsort(-sizes)[:2]
        if sizes[second] < _LEAST_SIDE * lungs.sum():
            continue
        middles = ndimage.center_of_mass(parts > 0, parts, [first + 1, second + 1])
        if abs(middles[0][2] - middles[1][2]) * pooled.voxel_mm[2] < _SIDES_APART_MM:
            continue  # upper and lower lobe of one lung, not two sides
        if middles[0][2] > middles[1][2]:
            first, second = second, first
        seeds = np.zeros(lungs.shape, np.uint8)
        seeds[box] = RIGHT * (parts == first + 1) + LEFT * (parts == second + 1)
        return seeds
    return None


def _body_middle(pooled: PooledScan) -> float:
    """Column of the middle of the body."""
    columns = np.flatnonzero((pooled.hu > -200).mean(axis=(0, 1)) > 0.05)
    return float(columns.mean()) if columns.size else pooled.hu.shape[2] / 2
