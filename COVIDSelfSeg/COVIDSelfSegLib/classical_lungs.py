"""Built-in lung mask: threshold, airways out, dense lung back in, left from right, closing.

A small network tells where dense lung lies, if it is there; all else is classical. Works on the scan pooled
to 2.5 mm, so its cost hardly depends on the scan, and brings the result back to the scan's grid. The lung
mask holds vessels and lesions and leaves out trachea and main bronchi.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from .aorta import bulging_aorta
from .frame import FloatArray, LungFrame
from .lung_network import LungNetwork
from .volume import array_view, image_like

BoolArray = npt.NDArray[np.bool_]
LabelArray = npt.NDArray[np.uint8]

RIGHT, LEFT = 1, 2
"""Labels of a lung mask."""

_POOLED_MM = 2.5
_AERATED_HU = -400.0
"""Half-way between lung (-850) and soft tissue (+40): the border stays where it is under pooling."""
_LEAST_LUNG_ML = 150.0
_LEAST_ISLAND_ML = 3.0
_GAS_HU = -960.0
"""Bowel gas is darker than this inside; even emphysema rarely is, once pooled."""
_SWALLOWED_HU = -945.0
_OUTSIDE_HU = -940.0
_CUT_CM2_PER_ML = 0.1
"""A lung that a crop cuts shows less cut face for its volume than air around the body does."""
_AIRWAY_HU = (-950.0, -925.0, -900.0, -875.0)
_AIRWAY_ML = 110.0
_LEAST_SIDE = 0.04
"""Smallest share of the whole that counts as a lung of its own; less is a rest of the other one."""
_SIDES_APART_MM = 40.0
_CLOSING_MM = 11.0
_DENSE_SHARE = 0.5
"""Lung network's probability from which on dense tissue is lung."""
_BONE_HU = 150.0
"""A closing may add consolidation, vessels and pleural disease, but not bone."""


@dataclass(frozen=True)
class _Pooled:
    """The scan on the pooled grid."""

    hu: FloatArray
    voxel_mm: tuple[float, float, float]

    @property
    def voxel_ml(self) -> float:
        return float(np.prod(self.voxel_mm)) / 1000


def builtin_lung_mask(scan: sitk.Image, network: LungNetwork | None = None) -> sitk.Image:
    """Find both lungs of a chest CT.

    Args:
        scan: HU on any grid, whole or cropped to the chest.
        network: tells where dense lung lies; None finds what is aerated, and dents that disease makes in it.

    Returns:
        uint8 label map on the scan's grid: 0 outside, 1 right lung, 2 left lung. All zero where nothing
        looks like a lung; the doctor says so to the user.
    """
    frame = LungFrame.whole_scan(scan, _POOLED_MM)
    pooled = _Pooled(frame.to_network(scan), frame.voxel_mm)
    dense = None
    if network is not None:
        coarse = LungFrame.whole_scan(scan, network.grid_mm)
        dense = coarse.onto(frame, network.probability(coarse.to_network(scan)))
    return _to_scan(frame, label_lungs(pooled.hu, pooled.voxel_mm, dense))


def split_lungs(mask: sitk.Image) -> sitk.Image:
    """Label right (1) and left (2) in a mask of both lungs (uint8, non-zero inside); the same grid."""
    frame = LungFrame.whole_scan(mask, _POOLED_MM)
    share = frame.to_network(mask, fill=0)
    pooled = _Pooled(np.where(share > 0.5, -850.0, 40.0).astype(np.float32), frame.voxel_mm)
    sides = _split_sides(share > 0.5, pooled)
    # Voxels that pooling lost take the side of the nearest that it kept.
    nearest = ndimage.distance_transform_edt(
        sides == 0, sampling=frame.voxel_mm, return_distances=False, return_indices=True
    )
    on_scan = frame.to_scan((sides[tuple(nearest)] == LEFT).astype(np.float32))
    side = array_view(on_scan)
    labels = np.where(array_view(mask) == 0, 0, np.where(side > 0.5, LEFT, RIGHT)).astype(np.uint8)
    return image_like(labels, mask)


def label_lungs(
    hu: FloatArray, voxel_mm: tuple[float, float, float], dense: FloatArray | None = None
) -> LabelArray:
    """Label right (1) and left (2) lung on a pooled grid turned to patient axes (z up, y back, x left).

    Args:
        hu: (z, y, x).
        voxel_mm: (z, y, x).
        dense: probability 0 .. 1 that a voxel is lung, aerated or not, on the same grid.
    """
    pooled = _Pooled(hu, voxel_mm)
    air = _enclosed_air(pooled)
    airways = _airways(pooled, air)
    lungs = _lung_parts(pooled, air & ~airways)
    lungs = _lung_parts(pooled, lungs & ~_swallowed_gas(pooled, lungs))
    if dense is None:
        return _close(_split_sides(lungs, pooled), pooled, None)
    added = (dense > _DENSE_SHARE) & (hu < _BONE_HU) & ~airways & ~lungs
    aorta = bulging_aorta(hu, voxel_mm, lungs, added)
    added &= ~aorta
    if added.any():
        box = _wider(_bounding_box(added | lungs), lungs.shape)
        lungs[box] = _tied_to(_thick_parts(added[box], pooled), lungs[box])
    labels = _close(_split_sides(lungs, pooled), pooled, dense)
    labels[aorta & ~lungs] = 0  # which a closing would take back in
    return labels


def _thick_parts(mask: BoolArray, pooled: _Pooled) -> BoolArray:
    """The parts thicker than about a centimetre: thinner ones are partial volume at the border."""
    cross = _cross(pooled)
    opened = ndimage.binary_opening(mask, cross, iterations=2)
    grown: BoolArray = ndimage.binary_dilation(opened, cross, iterations=2, mask=mask)
    return grown


def _cross(pooled: _Pooled) -> BoolArray:
    """Neighbours by a face; within the slice alone where slices are much thicker than pixels."""
    cross: BoolArray = ndimage.generate_binary_structure(3, 1)
    if pooled.voxel_mm[0] > 1.5 * _POOLED_MM:
        cross[[0, 2]] = False
    return cross


def _tied_to(mask: BoolArray, lungs: BoolArray) -> BoolArray:
    """The parts of a mask that hang together with the lungs."""
    parts, count = ndimage.label(mask | lungs)
    holds = np.zeros(count + 1, bool)
    holds[np.unique(parts[lungs])] = True
    holds[0] = False
    tied: BoolArray = holds[parts]
    return tied


def _enclosed_air(pooled: _Pooled) -> BoolArray:
    """Aerated voxels inside the body: components off the sides of the scan, and lungs that a crop cuts."""
    parts, count = ndimage.label(pooled.hu < _AERATED_HU)
    millilitres = _millilitres(parts, count, pooled)
    cut_cm2 = np.zeros(count + 1)
    for axis in (1, 2):
        face_cm2 = pooled.voxel_ml * 10 / pooled.voxel_mm[axis]
        for end in (0, -1):
            face = parts.take(end, axis=axis)
            cut_cm2 += np.bincount(face.ravel(), minlength=count + 1) * face_cm2
    enclosed = cut_cm2 == 0
    for number in np.flatnonzero((millilitres > _LEAST_LUNG_ML) & ~enclosed)[1:]:
        median = _inner_median(pooled, parts == number)
        enclosed[number] = median > _OUTSIDE_HU and cut_cm2[number] < _CUT_CM2_PER_ML * millilitres[number]
    enclosed[0] = False
    return enclosed[parts]


def _lung_parts(pooled: _Pooled, air: BoolArray) -> BoolArray:
    """The large aerated parts that are not bowel gas, and the rests that disease cuts off from them.

    Such islands count inside the bounding box of the large parts, above its lower third, where bowel gas
    cannot be, and off the midline, where the oesophagus runs.
    """
    parts, count = ndimage.label(air)
    millilitres = _millilitres(parts, count, pooled)
    is_lung = np.zeros(count + 1, bool)
    for number in 1 + np.flatnonzero(millilitres[1:] >= _LEAST_LUNG_ML):
        is_lung[number] = _inner_median(pooled, parts == number) > _GAS_HU
    if not is_lung.any():
        return np.zeros(air.shape, bool)
    deep, rows, columns = _bounding_box(is_lung[parts])
    above = slice(deep.start + (deep.stop - deep.start) // 3, deep.stop)
    islands = np.setdiff1d(np.unique(parts[above, rows, columns]), np.append(0, np.flatnonzero(is_lung)))
    middle, reach = (columns.start + columns.stop) / 2, 0.1 * (columns.stop - columns.start)
    centres = np.array(ndimage.center_of_mass(air, parts, islands)).reshape(-1, 3)[:, 2]
    islands = islands[np.abs(centres - middle) > reach]
    is_lung[islands[millilitres[islands] >= _LEAST_ISLAND_ML]] = True
    return is_lung[parts]


def _bounding_box(mask: BoolArray) -> tuple[slice, slice, slice]:
    box: tuple[slice, slice, slice] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return box


def _wider(box: tuple[slice, slice, slice], shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """A box with a margin of what :func:`_body_around` and :func:`_thick_parts` look at."""
    deep, rows, columns = (
        slice(max(0, part.start - 6), min(size, part.stop + 6)) for part, size in zip(box, shape, strict=True)
    )
    return deep, rows, columns


def _millilitres(parts: npt.NDArray[np.int32], count: int, pooled: _Pooled) -> npt.NDArray[np.floating]:
    """Volume of each labelled part; entry 0 is the background."""
    return np.bincount(parts.ravel(), minlength=count + 1) * pooled.voxel_ml


def _inner_median(pooled: _Pooled, part: BoolArray) -> float:
    """Median HU away from the part's own border."""
    box = _bounding_box(part)
    inner = ndimage.binary_erosion(part[box])
    return float(np.median(pooled.hu[box][inner if inner.any() else part[box]]))


def _airways(pooled: _Pooled, air: BoolArray) -> BoolArray:
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


def _trachea(pooled: _Pooled, air: BoolArray) -> BoolArray:
    """The longest chain, slice to slice, of small dark discs walled by soft tissue near the midline."""
    large, count = ndimage.label(air)
    if count == 0:
        return np.zeros(air.shape, bool)
    main = int(np.argmax(_millilitres(large, count, pooled)[1:])) + 1
    deep, _, across = _bounding_box(large == main)
    middle = (across.start + across.stop - 1) / 2
    reach = 0.2 * (across.stop - across.start)
    upper = range((deep.start + deep.stop) // 2, air.shape[0])
    pixel_mm2 = pooled.voxel_mm[1] * pooled.voxel_mm[2]
    discs = np.zeros(pooled.hu.shape, bool)
    for z in upper:
        parts, _ = ndimage.label(air[z] & (pooled.hu[z] < -800))
        for number, box in enumerate(ndimage.find_objects(parts), start=1):
            rows, columns = box
            part = parts[box] == number
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


def _swallowed_gas(pooled: _Pooled, lungs: BoolArray) -> BoolArray:
    """Stomach or bowel gas that touches the lung through a thin diaphragm.

    It is much darker than the lung, lies at the lung's lower end, and is walled by tissue where emphysema
    lies in lung.
    """
    gas = np.zeros_like(lungs)
    if not lungs.any():
        return gas
    dark = lungs & (pooled.hu < min(float(np.median(pooled.hu[lungs])) - 80, -920))
    deep = _bounding_box(lungs)[0]
    dark[deep.start + int(0.35 * (deep.stop - deep.start)) :] = False
    cores, _ = ndimage.label(ndimage.binary_erosion(dark, iterations=2))
    for number, core_box in enumerate(ndimage.find_objects(cores), start=1):
        box = tuple(slice(max(0, part.start - 5), part.stop + 5) for part in core_box)
        pocket = ndimage.binary_propagation(cores[box] == number, mask=dark[box])
        rim = ndimage.binary_dilation(pocket, iterations=3) & ~ndimage.binary_dilation(pocket, iterations=2)
        walled = (pooled.hu[box][rim] > _AERATED_HU).mean() > 0.6
        if walled and np.median(pooled.hu[box][pocket]) < _SWALLOWED_HU:
            gas[box] |= ndimage.binary_dilation(pocket, iterations=2)
    return gas


def _split_sides(lungs: BoolArray, pooled: _Pooled) -> LabelArray:
    """Label right and left; lungs that touch are cut where the bridge between them is thinnest."""
    if not lungs.any():
        return np.zeros(lungs.shape, np.uint8)
    seeds = _two_seeds(lungs, pooled)
    if seeds is None:
        is_left = ndimage.center_of_mass(lungs)[2] > _body_middle(pooled)
        return np.where(lungs, LEFT if is_left else RIGHT, 0).astype(np.uint8)
    box = _bounding_box(lungs)
    nearest = ndimage.distance_transform_edt(
        seeds[box] == 0, sampling=pooled.voxel_mm, return_distances=False, return_indices=True
    )
    sides = np.zeros(lungs.shape, np.uint8)
    sides[box] = np.where(lungs[box], seeds[box][tuple(nearest)], 0)
    return sides


def _two_seeds(lungs: BoolArray, pooled: _Pooled) -> LabelArray | None:
    """The cores of right and left lung, eroded as little as separates them; None for a single lung."""
    box = _bounding_box(lungs)
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


def _body_middle(pooled: _Pooled) -> float:
    """Column of the middle of the body."""
    columns = np.flatnonzero((pooled.hu > -200).mean(axis=(0, 1)) > 0.05)
    return float(columns.mean()) if columns.size else pooled.hu.shape[2] / 2


def _close(sides: LabelArray, pooled: _Pooled, dense: FloatArray | None) -> LabelArray:
    """Fill vessels, lesions inside, and dents that dense disease makes at the pleura, lung by lung.

    The dome of the diaphragm is a hole of the lung in a slice; in 3D it hangs together with the abdomen. So
    does a consolidation at the base, which the lung network tells from it.
    """
    soft = pooled.hu < _BONE_HU
    body = np.zeros(sides.shape, bool)
    if sides.any():
        box = _wider(_bounding_box(sides > 0), sides.shape)
        body[box] = _body_around(sides[box] == 0, pooled)
    if dense is not None:
        body &= dense < _DENSE_SHARE
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


def _body_around(outside: BoolArray, pooled: _Pooled) -> BoolArray:
    """What lies around the lungs, without what only vessels and thin bridges tie to it."""
    cross = _cross(pooled)
    wide, _ = ndimage.label(ndimage.binary_opening(outside, cross, iterations=4))
    sizes = np.bincount(wide.ravel())
    sizes[0] = 0
    body: BoolArray = ndimage.binary_dilation(wide == sizes.argmax(), cross, iterations=2, mask=outside)
    return body


def _closed(mask: BoolArray, radius_mm: float, voxel_mm: tuple[float, float, float]) -> BoolArray:
    """Morphological closing with a ball, in millimetres."""
    pads = [(int(np.ceil(radius_mm / mm)) + 1,) * 2 for mm in voxel_mm]
    box = _bounding_box(mask)
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
