"""Connected components, and the box that holds a mask: what makes lesions of a probability.

No SciPy here, since its import would be felt where the slider of Slicer's panel is let go.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .array_types import BoolArray

IntArray = npt.NDArray[np.int64]


def box_of(values: npt.NDArray[np.uint8], least: int = 1) -> tuple[slice, slice, slice]:
    """The smallest box (z, y, x) around all voxels that reach a value; of no size where none does.

    Args:
        values: (z, y, x); a bool mask as a view.
        least: the value.
    """
    deep = _reach(values.max(axis=(1, 2), initial=0) >= least)
    plane = values[deep].max(axis=0, initial=0) >= least
    return deep, _reach(plane.any(axis=1)), _reach(plane.any(axis=0))


def large_parts(mask: BoolArray, least: float) -> BoolArray:
    """The components of a mask (neighbours by a face) that have at least ``least`` voxels.

    Runs along x are numbered instead of voxels (the idea: He, Chao and Suzuki, IEEE Transactions on Image
    Processing 17, 2008). Lesions have few of them, so that this is faster than a label image and needs none.

    Args:
        mask: (z, y, x) or (y, x); best cut to the box that holds it.
        least: voxels.
    """
    starts, stops, rows = _runs(mask)
    parts = _parts(starts, stops, rows, mask.shape)
    lengths = stops - starts
    small = (np.bincount(parts, lengths) < least)[parts]
    large = np.array(mask, order="C")
    # The padding of one voxel a row is taken out of the places again.
    large.reshape(-1)[_ranges((starts - rows - 1)[small], lengths[small])] = False
    return large


def _reach(held: BoolArray) -> slice:
    """From the first to the last place that is held; slice(0, 0) if none is."""
    places = np.flatnonzero(held)
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)


def _runs(mask: BoolArray) -> tuple[IntArray, IntArray, IntArray]:
    """First place, place behind the last, and row of each run; places count a voxel before each row."""
    width = mask.shape[-1] + 1
    padded = np.zeros(math.prod(mask.shape[:-1]) * width + 1, bool)
    padded[:-1].reshape(*mask.shape[:-1], width)[..., 1:] = mask
    edges = np.flatnonzero(padded[1:] != padded[:-1]) + 1
    starts, stops = edges[::2], edges[1::2]
    return starts, stops, starts // width


def _parts(starts: IntArray, stops: IntArray, rows: IntArray, shape: tuple[int, ...]) -> IntArray:
    """For each run the number of the first one of its component."""
    pairs = []
    step = shape[-1] + 1
    rows_a_step = 1
    for count in shape[-2::-1]:
        # Runs overlap those of the next row along this axis, if there is one.
        run = np.flatnonzero(rows // rows_a_step % count < count - 1)
        first = np.searchsorted(stops, starts[run] + step, "right")
        behind = np.searchsorted(starts, stops[run] + step, "left")
        pairs.append((np.repeat(run, behind - first), _ranges(first, behind - first)))
        step, rows_a_step = step * count, rows_a_step * count
    one, other = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    return _first_of_joined(np.arange(len(starts)), one, other)


def _first_of_joined(first: IntArray, one: IntArray, other: IntArray) -> IntArray:
    """Hook the larger number of each joined pair below the smaller, until no pair differs."""
    while True:
        here, there = first[one], first[other]
        differ = here != there
        if not differ.any():
            return first
        here, there = here[differ], there[differ]
        np.minimum.at(first, np.maximum(here, there), np.minimum(here, there))
        one, other = one[differ], other[differ]
        while not np.array_equal(first, first[first]):
            first = first[first]


def _ranges(firsts: IntArray, lengths: IntArray) -> IntArray:
    """All of first, first + 1, ... for each length, one after another."""
    behind = np.cumsum(lengths)
    return np.repeat(firsts - behind + lengths, lengths) + np.arange(behind[-1] if len(behind) else 0)
