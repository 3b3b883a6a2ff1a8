"""Stomach and bowel that run into the lung on the pooled scan, where the diaphragm between is thin."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..array_types import BoolArray, FloatArray
from .network import LUNG_SHARE
from .pooled_scan import AERATED_HU, PooledScan, bounding_box, face_neighbours

_SWALLOWED_HU = -945.0
_UNLIKE_SHARE = 0.1
"""Lung network's probability below which gas may be bowel; that of real lungs is hardly ever below 0.4."""


def swallowed_gas(pooled: PooledScan, lungs: BoolArray) -> BoolArray:
    """Stomach or bowel gas that touches the lung through a thin diaphragm.

    It is much darker than the lung, lies at the lung's lower end, and is walled by tissue where emphysema
    lies in lung.
    """
    if not lungs.any():
        return np.zeros_like(lungs)
    dark = lungs & (pooled.hu < min(float(np.median(pooled.hu[lungs])) - 80, -920))
    deep = bounding_box(lungs)[0]
    dark[deep.start + int(0.35 * (deep.stop - deep.start)) :] = False
    return _walled_pockets(pooled, dark, dark, _SWALLOWED_HU)


def gas_unlike_lung(pooled: PooledScan, lungs: BoolArray, dense: FloatArray) -> BoolArray:
    """Bowel and stomach that run into the lung, by the lung network; in thick slices their gas is not dark.

    The network is unsure of lungs within which a scan ends, so nothing is looked for in such a scan. The
    upper half is left alone, since what is aerated and walled there is a cavity.

    Args:
        pooled: the scan.
        lungs: (z, y, x), what is aerated.
        dense: probability 0 .. 1 that a voxel is lung, aerated or not.
    """
    if not lungs.any() or (dense[0] > LUNG_SHARE).any():
        return np.zeros_like(lungs)
    deep = bounding_box(lungs)[0]
    unlike = lungs & (dense < _UNLIKE_SHARE)
    unlike[(deep.start + deep.stop) // 2 :] = False
    return _walled_pockets(pooled, unlike, lungs & (dense < LUNG_SHARE), AERATED_HU)


def _walled_pockets(pooled: PooledScan, seeds: BoolArray, gas: BoolArray, darkest_hu: float) -> BoolArray:
    """Pockets that tissue walls, with their wall.

    Args:
        pooled: the scan.
        seeds: a pocket holds a thick part of these.
        gas: what a pocket may reach.
        darkest_hu: the median of a pocket is below this.
    """
    found = np.zeros_like(gas)
    cross = face_neighbours(pooled)
    cores, _ = ndimage.label(ndimage.binary_erosion(seeds, cross, iterations=2))
    for number, core_box in enumerate(ndimage.find_objects(cores), start=1):
        box = tuple(slice(max(0, part.start - 5), part.stop + 5) for part in core_box)
        pocket = ndimage.binary_propagation(cores[box] == number, mask=gas[box])
        wider = ndimage.binary_dilation(pocket, cross, iterations=2)
        rim = ndimage.binary_dilation(wider, cross) & ~wider
        walled = rim.any() and (pooled.hu[box][rim] > AERATED_HU).mean() > 0.6
        if walled and np.median(pooled.hu[box][pocket]) < darkest_hu:
            found[box] |= wider
    return found
