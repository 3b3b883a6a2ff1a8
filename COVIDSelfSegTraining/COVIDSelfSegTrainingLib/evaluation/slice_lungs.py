"""Lung mask of a single slice, by the lung network that sees slices alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from COVIDSelfSegLib.array_types import BoolArray, FloatArray
from COVIDSelfSegLib.components import large_parts
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.lung_masks.network import LungNetwork
from COVIDSelfSegLib.volume import array_view
from scipy import ndimage

_INSIDE, _LEAST_CM2 = 0.6, 2.0
"""Lung network's probability from which on a pixel is lung (docs/steps.md, step 23), and the least area."""
_SIZES = (0.9, 1.0, 1.1)
"""Of the network's pixels, to the mean of which it is looked at: pictures carry no size, chests differ."""
_STRAY, _LEAST_AIR = 0.25, 0.1
"""Of parts smaller than this share of the largest, this share must be air within the body."""
_AERATED_HU, _SOFT_HU = -500, -300
_CUT_WITHIN = 0.5
"""Share of tissue on its border from which on a picture is cut within the body; lungs may reach it then."""
_SOLID_HU, _SOLID_MM, _ORGAN_CM2 = -200, 8.0, 45.0
"""What is denser than this, and thicker than twice this, over more than this area, is an organ."""
_NOISE_PIXELS = 1.0
"""Smoothing, so that the noise of a picture is no air."""


@dataclass(frozen=True)
class SliceLungs:
    """The lungs of a slice.

    Attributes:
        labels: lung mask (y, x), 0 or 1.
        probability: that a pixel is lung (y, x), 0 .. 1; None where the mask was given, and is sure.
    """

    labels: npt.NDArray[np.uint8]
    probability: FloatArray | None = None


def lungs_of_slice(hu: sitk.Image, network: LungNetwork) -> SliceLungs:
    """The lungs that the network for single slices finds.

    Args:
        hu: HU, exact or approximate, an image of one slice (1, y, x).
        network: for single slices.
    """
    looks = []
    for size in _SIZES:
        frame = LungFrame.whole_scan(hu, size * network.grid_mm)
        looks.append(array_view(frame.to_scan(network.probability(frame.to_network(hu))))[0])
    probability: FloatArray = np.mean(looks, axis=0)
    pixel_cm2 = hu.GetSpacing()[0] * hu.GetSpacing()[1] / 100
    inside = _without_organs(probability > _INSIDE, hu)
    lungs = large_parts(inside, _LEAST_CM2 / pixel_cm2)
    return SliceLungs(_without_strays(lungs, array_view(hu)[0]).astype(np.uint8), probability)


def _without_organs(lungs: BoolArray, hu: sitk.Image) -> BoolArray:
    """A lung mask without large parts that hold no air at all: liver, spleen, a full stomach.

    Below the lungs the network takes them for drowned lung. A consolidation is seldom so large in one slice
    without a bronchus in it that holds air (docs/steps.md, step 29); a large effusion goes with them.
    """
    pixel_mm = hu.GetSpacing()[1::-1]
    smooth = ndimage.gaussian_filter(array_view(hu)[0].astype(np.float32), _NOISE_PIXELS)
    solid = lungs & (smooth > _SOLID_HU)
    thick = ndimage.distance_transform_edt(solid, sampling=pixel_mm) > _SOLID_MM
    kept = lungs.copy()
    cores, count = ndimage.label(thick)
    for number in range(1, count + 1):
        part = solid & (ndimage.distance_transform_edt(cores != number, sampling=pixel_mm) <= _SOLID_MM)
        if part.sum() * np.prod(pixel_mm) / 100 > _ORGAN_CM2:
            kept &= ~part
    return kept


def _without_strays(lungs: BoolArray, hu: npt.NDArray[np.int16]) -> BoolArray:
    """A lung mask without parts outside the body, and without small ones that hold no air.

    The network has seen few breasts, tables and burnt-in texts, for many scans are cropped to the lungs. The
    largest part always stays.
    """
    parts, count = ndimage.label(lungs)
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    areas[0] = 0
    body = _body(hu)
    stray = np.zeros(count + 1, bool)
    for number in np.flatnonzero((areas > 0) & (areas < areas.max())):
        part = parts == number
        airless = (body[part] & (hu[part] < _AERATED_HU)).mean() <= _LEAST_AIR
        small = areas[number] < _STRAY * areas.max()
        stray[number] = body[part].mean() <= 0.5 or (small and airless)
    kept: BoolArray = lungs & ~stray[parts]
    return kept


def _body(hu: npt.NDArray[np.int16]) -> BoolArray:
    """The largest part of soft tissue with all that it encloses; all of a picture cut within the body."""
    soft = hu > _SOFT_HU
    border = np.concatenate([soft[0], soft[-1], soft[:, 0], soft[:, -1]])
    if border.mean() > _CUT_WITHIN:
        return np.ones(hu.shape, bool)
    parts, count = ndimage.label(ndimage.binary_opening(soft))
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    areas[0] = 0
    body: BoolArray = ndimage.binary_fill_holes(parts == areas.argmax()) if count else parts > 0
    return body
