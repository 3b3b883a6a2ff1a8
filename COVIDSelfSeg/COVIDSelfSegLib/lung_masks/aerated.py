"""Aerated lungs on the pooled scan: air inside the body, without trachea and main bronchi."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..array_types import BoolArray
from .pooled_scan import (
    AERATED_HU,
    PartArray,
    PooledScan,
    bounding_box,
    inner_quantile,
    part_volumes_ml,
)

_LEAST_LUNG_ML = 150.0
_LEAST_ISLAND_ML = 3.0
_GAS_HU, _MOST_GAS = -960.0, 0.7
"""Bowel gas is darker than this inside; even emphysema rarely is, once pooled. Of lungs, so large a share may
be gas: they may hang together with a pneumothorax of one of them."""
_OUTSIDE_HU = -940.0
_CUT_CM2_PER_ML = 0.1
"""A lung that a crop cuts shows less cut face for its volume than air around the body does."""
_LEAST_INSIDE = 0.1
"""Share of an aerated part that lies where lung can lie; of what lies in the table it is nothing."""
_SHELL_MM, _WALL_GAP_MM = 7.5, 5.0
"""About the thickest shell of a table, and half the width of a gap in the chest wall."""
_AIRWAY_HU = (-950.0, -925.0, -900.0, -875.0)
_AIRWAY_ML = 110.0


def enclosed_air(pooled: PooledScan) -> BoolArray:
    """Aerated voxels inside the body: components off the sides of the scan, and lungs that a crop cuts.

    Lungs may hang together with the air around the body: above a shoulder where slices are thick, or
    through an open mouth. Of those what the body encloses in its own slice counts. Foam in the table is as
    aerated as lung; but the body does not enclose it. Nor does it lie behind it, or both behind and beside it
    where the patient lies prone.
    """
    air = pooled.hu < AERATED_HU
    body = _body(pooled, air)
    inside = np.stack([ndimage.binary_fill_holes(of_slice) for of_slice in body])
    in_front = np.flip(np.logical_or.accumulate(np.flip(body, 1), axis=1), 1)
    in_front = inside | (in_front & body.any(axis=2, keepdims=True))
    parts, count = ndimage.label(air)
    off_sides = _cut_faces_cm2(parts, count, pooled) == 0
    found = air & (off_sides & _hold(parts, count, inside))[parts]
    rest = air & ~off_sides[parts]
    found |= _cut_lungs(pooled, rest, in_front)
    found |= _cut_lungs(pooled, rest & ~found & inside, inside)
    return found


def _cut_lungs(pooled: PooledScan, air: BoolArray, region: BoolArray) -> BoolArray:
    """The large parts within a region that are lungs, though they may reach a side of the scan."""
    parts, count = ndimage.label(air)
    cut_cm2 = _cut_faces_cm2(parts, count, pooled)
    millilitres = part_volumes_ml(parts, count, pooled)
    lungs = _hold(parts, count, region)
    lungs &= (millilitres > _LEAST_LUNG_ML) & (cut_cm2 < _CUT_CM2_PER_ML * millilitres)
    for number in np.flatnonzero(lungs):
        lungs[number] = inner_quantile(pooled, parts == number, 0.5) > _OUTSIDE_HU
    return lungs[parts]


def _hold(parts: PartArray, count: int, region: BoolArray) -> BoolArray:
    """Which labelled parts lie in a region with more than a tenth of their volume; entry 0 is False."""
    whole, shared = (np.bincount(one.ravel(), minlength=count + 1) for one in (parts, parts[region]))
    holds: BoolArray = shared > _LEAST_INSIDE * whole
    holds[0] = False
    return holds


def _cut_faces_cm2(parts: PartArray, count: int, pooled: PooledScan) -> npt.NDArray[np.floating]:
    """How much of the four sides of the scan each labelled part covers."""
    cut_cm2 = np.zeros(count + 1)
    for axis in (1, 2):
        face_cm2 = pooled.voxel_ml * 10 / pooled.voxel_mm[axis]
        for end in (0, -1):
            face = parts.take(end, axis=axis)
            cut_cm2 += np.bincount(face.ravel(), minlength=count + 1) * face_cm2
    return cut_cm2


def _body(pooled: PooledScan, air: BoolArray) -> BoolArray:
    """The largest piece of tissue of each slice, without the table on which it lies."""
    # Opened, so that the shell of the table is no body; then closed, since a chest wall may be thin.
    fine = pooled.voxel_mm[1] < _SHELL_MM / 2.5
    thicker_than_shell = ndimage.generate_binary_structure(2, 1) if fine else np.ones((2, 2))
    steps = max(1, round(_WALL_GAP_MM / pooled.voxel_mm[1]))
    bodies = np.zeros_like(air)
    for z, of_slice in enumerate(air):
        pieces, count = ndimage.label(ndimage.binary_opening(~of_slice, thicker_than_shell))
        if count:
            largest = pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1
            bodies[z] = ndimage.binary_closing(largest, np.ones((3, 3)), iterations=steps)
    return bodies


def lung_parts(pooled: PooledScan, air: BoolArray) -> BoolArray:
    """The large aerated parts that are not bowel gas, and the rests that disease cuts off from them.

    Such islands count inside the bounding box of the large parts, above its lower third, where bowel gas
    cannot be, and off the midline, where the oesophagus runs.
    """
    parts, count = ndimage.label(air)
    millilitres = part_volumes_ml(parts, count, pooled)
    is_lung = _are_large_lungs(parts, millilitres, pooled)
    if not is_lung.any():
        return np.zeros(air.shape, bool)
    deep, rows, columns = bounding_box(is_lung[parts])
    above = slice(deep.start + (deep.stop - deep.start) // 3, deep.stop)
    islands = np.setdiff1d(np.unique(parts[above, rows, columns]), np.append(0, np.flatnonzero(is_lung)))
    middle, reach = (columns.start + columns.stop) / 2, 0.1 * (columns.stop - columns.start)
    centres = np.array(ndimage.center_of_mass(air, parts, islands)).reshape(-1, 3)[:, 2]
    islands = islands[np.abs(centres - middle) > reach]
    is_lung[islands[millilitres[islands] >= _LEAST_ISLAND_ML]] = True
    return is_lung[parts]


def _are_large_lungs(
    parts: PartArray, millilitres: npt.NDArray[np.floating], pooled: PooledScan
) -> BoolArray:
    """Which labelled parts are too large for anything but lungs, and not bowel gas."""
    lungs = np.zeros(len(millilitres), bool)
    for number in 1 + np.flatnonzero(millilitres[1:] >= _LEAST_LUNG_ML):
        lungs[number] = inner_quantile(pooled, parts == number, _MOST_GAS) > _GAS_HU
    return lungs


def airways_of(pooled: PooledScan, air: BoolArray) -> BoolArray:
    """Trachea and main bronchi with their wall, grown from the trachea until it would leak into the lung."""
    seed = _trachea(pooled, air)
    if not seed.any():
        return seed
    airway = seed
    for level in _AIRWAY_HU:
        grown = ndimage.binary_propagation(seed, mask=(air & (pooled.hu < level)) | seed)
        if grown.sum() * pooled.voxel_ml > _AIRWAY_ML:
            break
        airway = grown
    return ndimage.binary_dilation(airway)


def _trachea(pooled: PooledScan, air: BoolArray) -> BoolArray:
    """The longest chain, slice to slice, of small dark discs walled by soft tissue near the midline."""
    parts, count = ndimage.label(air)
    lungs = _are_large_lungs(parts, part_volumes_ml(parts, count, pooled), pooled)[parts]
    if not lungs.any():
        return np.zeros(air.shape, bool)
    deep, _, across = bounding_box(lungs)
    middle = (across.start + across.stop - 1) / 2
    reach = 0.2 * (across.stop - across.start)
    upper = range((deep.start + deep.stop) // 2, air.shape[0])
    pixel_mm2 = pooled.voxel_mm[1] * pooled.voxel_mm[2]
    discs = np.zeros(pooled.hu.shape, bool)
    for z in upper:
        dark, _ = ndimage.label(air[z] & (pooled.hu[z] < -800))
        for number, box in enumerate(ndimage.find_objects(dark), start=1):
            rows, columns = box
            part = dark[box] == number
            area = part.sum() * pixel_mm2
            height, width = part.shape[0] * pooled.voxel_mm[1], part.shape[1] * pooled.voxel_mm[2]
            centred = abs((columns.start + columns.stop - 1) / 2 - middle) < reach
            if centred and 40 < area < 900 and max(height, width) < 2.2 * min(height, width):
                discs[z, rows, columns] |= part
    chains, count = ndimage.label(discs)
    if count == 0:
        return discs
    lengths = [box[0].stop - box[0].start for box in ndimage.find_objects(chains)]
    longest = int(np.argmax(lengths))
    if lengths[longest] * pooled.voxel_mm[0] < 20:
        return np.zeros_like(discs)
    return chains == longest + 1
