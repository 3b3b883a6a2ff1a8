"""Built-in lung mask: threshold, airways out, dense lung back in, left from right, closing.

A small network tells where dense lung lies, if it is there; all else is classical. Works on the scan pooled
to 2.5 mm, so its cost hardly depends on the scan, and brings the result back to the scan's grid. The lung
mask holds vessels and lesions and leaves out trachea and main bronchi.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..array_types import BoolArray, FloatArray, LabelArray
from ..frame import LungFrame
from ..lung_labels import LEFT, RIGHT
from .aerated import airways_of, enclosed_air, lung_parts
from .aorta import bulging_aorta
from .bowel_gas import gas_unlike_lung, swallowed_gas
from .network import LUNG_SHARE, LungNetwork
from .pooled_scan import POOLED_MM, PooledScan, bounding_box, face_neighbours
from .sides import split_sides

_CLOSING_MM = 11.0
_BONE_HU = 150.0
"""A closing may add consolidation, vessels and pleural disease, but not bone."""


def builtin_lung_mask(scan: sitk.Image, network: LungNetwork | None = None) -> sitk.Image:
    """Find both lungs of a chest CT.

    Args:
        scan: HU on any grid, whole or cropped to the chest.
        network: tells where dense lung lies; None finds what is aerated, and dents that disease makes in it.

    Returns:
        uint8 label map on the scan's grid: 0 outside, 1 right lung, 2 left lung. All zero where nothing
        looks like a lung; the doctor says so to the user.
    """
    frame = LungFrame.whole_scan(scan, POOLED_MM)
    pooled = PooledScan(frame.to_network(scan), frame.voxel_mm)
    dense = None
    if network is not None:
        coarse = LungFrame.whole_scan(scan, network.grid_mm, divide_slices=True)
        dense = coarse.onto(frame, network.probability(coarse.to_network(scan)))
    return _to_scan(frame, label_lungs(pooled, dense))


def label_lungs(pooled: PooledScan, dense: FloatArray | None = None) -> LabelArray:
    """Label right (1) and left (2) lung on the pooled grid.

    Args:
        pooled: the scan.
        dense: probability 0 .. 1 that a voxel is lung, aerated or not, on the same grid.
    """
    air = enclosed_air(pooled)
    airways = airways_of(pooled, air)
    lungs = lung_parts(pooled, air & ~airways)
    lungs = lung_parts(pooled, lungs & ~swallowed_gas(pooled, lungs))
    if dense is None:
        return _close(split_sides(lungs, pooled), pooled, None)
    lungs = lung_parts(pooled, lungs & ~gas_unlike_lung(pooled, lungs, dense))
    added = (dense > LUNG_SHARE) & (pooled.hu < _BONE_HU) & ~airways & ~lungs
    aorta = bulging_aorta(pooled, lungs, added)
    added &= ~aorta
    if added.any():
        box = _wider(bounding_box(added | lungs), lungs.shape)
        lungs[box] = _tied_to(_thick_parts(added[box], pooled), lungs[box])
    labels = _close(split_sides(lungs, pooled), pooled, dense)
    labels[aorta & ~lungs] = 0  # which a closing would take back in
    return labels


def _thick_parts(mask: BoolArray, pooled: PooledScan) -> BoolArray:
    """The parts thicker than about a centimetre: thinner ones are partial volume at the border."""
    cross = face_neighbours(pooled)
    opened = ndimage.binary_opening(mask, cross, iterations=2)
    grown: BoolArray = ndimage.binary_dilation(opened, cross, iterations=2, mask=mask)
    return grown


def _tied_to(mask: BoolArray, lungs: BoolArray) -> BoolArray:
    """The parts of a mask that hang together with the lungs."""
    parts, count = ndimage.label(mask | lungs)
    holds = np.zeros(count + 1, bool)
    holds[np.unique(parts[lungs])] = True
    holds[0] = False
    tied: BoolArray = holds[parts]
    return tied


def _wider(box: tuple[slice, slice, slice], shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """A box with a margin: as far as :func:`_body_around` and :func:`_thick_parts` look beyond it."""
    deep, rows, columns = (
        slice(max(0, part.start - 6), min(size, part.stop + 6)) for part, size in zip(box, shape, strict=True)
    )
    return deep, rows, columns


def _close(sides: LabelArray, pooled: PooledScan, dense: FloatArray | None) -> LabelArray:
    """Fill vessels, lesions inside, and dents that dense disease makes at the pleura, lung by lung.

    The dome of the diaphragm is a hole of the lung in a slice; in 3D it hangs together with the abdomen. So
    does a consolidation at the base, which the lung network tells from it.
    """
    soft = pooled.hu < _BONE_HU
    body = np.zeros(sides.shape, bool)
    if sides.any():
        box = _wider(bounding_box(sides > 0), sides.shape)
        body[box] = _body_around(sides[box] == 0, pooled)
    if dense is not None:
        body &= dense < LUNG_SHARE
    result = sides.copy()
    for side in (RIGHT, LEFT):
        lung = sides == side
        if not lung.any():
            continue
        filled = _closed(lung, _CLOSING_MM, pooled.voxel_mm)
        for z in np.flatnonzero(filled.any(axis=(1, 2))):
            filled[z] |= ndimage.binary_fill_holes(filled[z]) & ~body[z]
        result[filled & soft & (result == 0)] = side
    return result


def _body_around(outside: BoolArray, pooled: PooledScan) -> BoolArray:
    """What lies around the lungs, without what only vessels and thin bridges tie to it."""
    cross = face_neighbours(pooled)
    wide, _ = ndimage.label(ndimage.binary_opening(outside, cross, iterations=4))
    sizes = np.bincount(wide.ravel())
    sizes[0] = 0
    body: BoolArray = ndimage.binary_dilation(wide == sizes.argmax(), cross, iterations=2, mask=outside)
    return body


def _closed(mask: BoolArray, radius_mm: float, voxel_mm: tuple[float, float, float]) -> BoolArray:
    """Morphological closing with a ball, in millimetres."""
    pads = [(int(np.ceil(radius_mm / mm)) + 1,) * 2 for mm in voxel_mm]
    box = bounding_box(mask)
    padded = np.pad(mask[box], pads)
    grown = ndimage.distance_transform_edt(~padded, sampling=voxel_mm) <= radius_mm
    shrunk = ndimage.distance_transform_edt(grown, sampling=voxel_mm) > radius_mm
    result = mask.copy()
    inner = tuple(
        slice(before, size - after) for (before, after), size in zip(pads, shrunk.shape, strict=True)
    )
    result[box] |= shrunk[inner]
    return result


def _to_scan(frame: LungFrame, labels: LabelArray) -> sitk.Image:
    """Bring labels to the scan's grid, each lung interpolated on its own so that borders stay smooth."""
    whole = np.zeros(frame.size[::-1], np.uint8)
    turned = frame.turn(whole)[frame.box]
    both = zip(frame.planes(labels == RIGHT), frame.planes(labels == LEFT), strict=True)
    for z, (of_right, of_left) in enumerate(both):
        side = np.where(of_right >= of_left, np.uint8(RIGHT), np.uint8(LEFT))
        turned[z] = side * (np.maximum(of_right, of_left) >= 0.5)
    return frame.image(whole)
