"""Lung mask of a single slice, by the lung network that sees slices alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from COVIDSelfSegLib.components import large_parts
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.lung_network import LungNetwork
from COVIDSelfSegLib.volume import array_view
from scipy import ndimage

from .overlap import BoolArray

_INSIDE, _LEAST_CM2 = 0.5, 2.0
"""Lung network's probability from which on a pixel is lung, and the smallest area that counts."""
_STRAY, _LEAST_AIR = 0.25, 0.1
"""Parts smaller than this share of the largest must lie in the body, and this share of them must be air."""
_AERATED_HU, _SOFT_HU = -500, -300


def lungs_of_slice(hu: sitk.Image, network: LungNetwork) -> npt.NDArray[np.uint8]:
    """Lung mask (y, x; 0 or 1) that the network for single slices finds.

    Args:
        hu: HU, exact or approximate, an image of one slice (1, y, x).
        network: for single slices.
    """
    frame = LungFrame.whole_scan(hu, network.grid_mm)
    probability = frame.to_scan(network.probability(frame.to_network(hu)))
    inside = array_view(probability)[0] > _INSIDE
    pixel_cm2 = hu.GetSpacing()[0] * hu.GetSpacing()[1] / 100
    lungs = large_parts(inside, _LEAST_CM2 / pixel_cm2)
    return _without_strays(lungs, array_view(hu)[0]).astype(np.uint8)


def _without_strays(lungs: BoolArray, hu: npt.NDArray[np.int16]) -> BoolArray:
    """A lung mask without small parts that hold no air, or lie outside the body.

    The network has seen few breasts, tables and burnt-in texts, for many scans are cropped to the lungs.
    """
    parts, count = ndimage.label(lungs)
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    areas[0] = 0
    body = _body(hu)
    stray = [0 < area < _STRAY * areas.max() for area in areas]
    for number in np.flatnonzero(stray):
        part = parts == number
        aerated = (hu[part] < _AERATED_HU).mean() > _LEAST_AIR
        stray[number] = not (aerated and body[part].mean() > 0.5)
    kept: BoolArray = lungs & ~np.array(stray)[parts]
    return kept


def _body(hu: npt.NDArray[np.int16]) -> BoolArray:
    """The largest part of soft tissue with all that it encloses."""
    parts, count = ndimage.label(ndimage.binary_opening(hu > _SOFT_HU))
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    areas[0] = 0
    body: BoolArray = ndimage.binary_fill_holes(parts == areas.argmax()) if count else parts > 0
    return body
