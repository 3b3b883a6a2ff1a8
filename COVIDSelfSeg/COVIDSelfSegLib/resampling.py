"""Resampling axis by axis: one small matrix of weights for each, applied as a sparse one.

Only grids whose axes are parallel can be resampled so, and a :class:`~.frame.LungFrame` has no others. It is
exact and fast, and makes no second full-size copy.

Two kinds of cells lie along an axis: ``count`` voxels, and the ``cells`` equal parts of a stretch from
``start`` to ``stop``. Both ends are counted in voxels (not in mm): 0 is the outer face of the first voxel and
0.5 its centre. The stretch may reach beyond the voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import csr_array

from .array_types import BoolArray, FloatArray


def area_weights(count: int, start: float, stop: float, cells: int) -> FloatArray:
    """Weights that average the voxels which each part of a stretch covers.

    Parts smaller than a voxel are interpolated at their centre instead, or they would repeat voxels.

    Args:
        count: voxels of the axis.
        start: where the stretch begins, in voxels from the outer face of the first.
        stop: where it ends, likewise.
        cells: equal parts of the stretch.

    Returns:
        (cells, count) matrix. Each row sums to 1; that of a part beyond the voxels holds zeros.
    """
    edges = start + (stop - start) / cells * np.arange(cells + 1)
    if stop - start < cells * (1 - 1e-9):
        centres = (edges[:-1] + edges[1:]) / 2
        weights = interpolation_weights(centres - 0.5, count)
        weights[(centres < 0) | (centres > count)] = 0
        return weights
    voxels = np.arange(count)
    overlap = np.minimum(edges[1:, None], voxels + 1) - np.maximum(edges[:-1, None], voxels)
    overlap = np.clip(overlap, 0, None)
    covered = overlap.sum(axis=1, keepdims=True)
    return np.divide(overlap, covered, out=np.zeros_like(overlap), where=covered > 1e-6).astype(np.float32)


def nearest_weights(count: int, start: float, stop: float, cells: int) -> FloatArray:
    """Weights that pick the voxel at the centre of each part of a stretch, for labels, which have no mean.

    Args:
        count: voxels of the axis.
        start: where the stretch begins, in voxels from the outer face of the first.
        stop: where it ends, likewise.
        cells: equal parts of the stretch.

    Returns:
        (cells, count) matrix. Each row holds a single 1; that of a part beyond the voxels holds zeros.
    """
    centres = start + (stop - start) / cells * (np.arange(cells) + 0.5)
    weights = np.zeros((cells, count), np.float32)
    inside = (centres >= 0) & (centres < count)
    weights[np.flatnonzero(inside), centres[inside].astype(int)] = 1
    return weights


def linear_weights(voxels: slice, start: float, stop: float, cells: int) -> FloatArray:
    """The way back: weights that interpolate the parts of a stretch at the centres of voxels.

    Args:
        voxels: to interpolate at; see :func:`voxels_inside`.
        start: where the stretch begins, in voxels from the outer face of the first.
        stop: where it ends, likewise.
        cells: equal parts of the stretch.

    Returns:
        (len(voxels), cells) matrix; each row sums to 1.
    """
    centres = np.arange(voxels.start, voxels.stop) + 0.5
    return interpolation_weights((centres - start) / (stop - start) * cells - 0.5, cells)


def interpolation_weights(places: npt.NDArray[np.floating], count: int) -> FloatArray:
    """Weights of linear interpolation between ``count`` values; beyond the ends the end value counts.

    Args:
        places: (n,) where to interpolate; 0 is the first value and ``count - 1`` the last.
        count: values of the axis.

    Returns:
        (n, count) matrix; each row sums to 1.
    """
    places = np.clip(places, 0, count - 1)
    below = np.minimum(places.astype(int), max(count - 2, 0))
    above = np.minimum(below + 1, count - 1)
    weights = np.zeros((len(places), count), np.float32)
    rows = np.arange(len(places))
    weights[rows, below] = 1 - (places - below)
    weights[rows, above] += places - below
    return weights


def voxels_inside(count: int, start: float, stop: float) -> slice:
    """The voxels, of ``count``, whose centre lies in a stretch from ``start`` to ``stop``."""
    return slice(max(0, int(np.ceil(start - 0.5))), min(count, int(np.floor(stop - 0.5)) + 1))


def resample_volume(volume: npt.NDArray[Any], weights: Sequence[FloatArray]) -> FloatArray:
    """Apply one matrix to each axis of a volume, slice by slice in plane and then across the slices.

    Args:
        volume: (z, y, x) of any type; only the voxels with a weight are read, one slice at a time.
        weights: for z, y and x a matrix with a row for each cell and a column for each voxel, not all zeros.

    Returns:
        float32 (cells in z, cells in y, cells in x); 0 where a row holds zeros.
    """
    deep, rows, columns = (_used_part(matrix) for matrix in weights)
    through, down, across = (
        csr_array(matrix[:, part]) for matrix, part in zip(weights, (deep, rows, columns), strict=True)
    )
    depth, height, width = (len(matrix) for matrix in weights)
    in_plane = np.empty((deep.stop - deep.start, height, width), np.float32)
    for z in range(deep.start, deep.stop):
        in_plane[z - deep.start] = resample_plane(volume[z, rows, columns], down, across)
    if _is_identity(through):
        return in_plane
    resampled: FloatArray = (through @ in_plane.reshape(len(in_plane), -1)).reshape(depth, height, width)
    return resampled


def resample_plane(plane: npt.NDArray[Any], down: csr_array, across: csr_array) -> FloatArray:
    """Apply one sparse matrix to the rows and one to the columns of a plane.

    Args:
        plane: (y, x).
        down: (cells in y, y).
        across: (cells in x, x).

    Returns:
        float32 (cells in y, cells in x).
    """
    rows_done = down @ np.ascontiguousarray(plane, np.float32)
    return (across @ np.ascontiguousarray(rows_done.T)).T


def with_rim(values: FloatArray, inside: BoolArray, around: tuple[int, int, int]) -> FloatArray:
    """Values in which the outermost cells of a region go on for one cell beyond it.

    What a network says outside the lung means nothing, and voxels at the lung's rim lie between its outermost
    cells and these.

    Args:
        values: (z, y, x).
        inside: of the region, the same shape.
        around: a cell beyond takes the mean of those inside among so many around it (z, y, x; 1 or 3 each).
    """
    total, share = (
        ndimage.uniform_filter(part, around, mode="constant")
        for part in (values * inside, inside.astype(np.float32))
    )
    filled = values.copy()
    np.divide(total, share, out=filled, where=~inside & (share > 0.5 / np.prod(around)))
    return filled


def _used_part(weights: FloatArray) -> slice:
    """From the first to the last voxel with a weight; empty where none has one."""
    used = np.flatnonzero(weights.any(axis=0))
    return slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 0)


def _is_identity(matrix: csr_array) -> bool:
    return matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix.diagonal(), np.ones(matrix.shape[0]))
