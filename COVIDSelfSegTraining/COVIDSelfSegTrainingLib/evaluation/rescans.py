"""A scan as another scanner would have made it: thicker slices, gaps, noise, a soft kernel.

Imitated on the scan's own voxels, so what a real scanner would do beside this (dose, breath, contrast) is not
in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from COVIDSelfSegLib.array_types import BoolArray
from COVIDSelfSegLib.hounsfield import as_stored
from COVIDSelfSegLib.volume import array_view, image_like, voxel_volume_ml
from scipy import ndimage

_THICK_MM = 8.0
_NOISE_HU = 60.0
_SOFT_MM = 0.9
"""Standard deviation of the blur in the slice."""


@dataclass(frozen=True)
class Rescan:
    """A scan as another scanner would have made it.

    Attributes:
        name: of what is other.
        scan: HU.
        expected: what was found in the original scan, (z, y, x) on the grid of ``scan``.
        expected_ml: its volume in the original scan, in the slices that are left.
    """

    name: str
    scan: sitk.Image
    expected: BoolArray
    expected_ml: float


def thick_slices(scan: sitk.Image, found: BoolArray) -> Rescan:
    """Neighbouring slices averaged to about 8 mm; found is what most of them hold.

    The volume is that of all that was found: what most slices hold is less, since small foci fill none.

    Args:
        scan: HU, stored slice by slice.
        found: (z, y, x).
    """
    count = _slices_together(scan)
    mean, share = (
        sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), (1, 1, count))
        for image in (scan, image_like(found.astype(np.uint8), scan))
    )
    image = image_like(np.rint(array_view(mean)).astype(np.int16), mean)
    held = array_view(share)
    ml = float(held.sum(dtype=np.float64)) * voxel_volume_ml(image)
    return Rescan(f"slices of {_THICK_MM:.0f} mm", image, held > 0.5, ml)


def sparse_slices(scan: sitk.Image, found: BoolArray) -> Rescan:
    """A thin slice about every 8 mm, as archives keep them; arguments as of :func:`thick_slices`."""
    count = _slices_together(scan)
    first = count // 2
    return _of(f"a slice every {_THICK_MM:.0f} mm", scan[:, :, first::count], found[first::count])


def noisy(scan: sitk.Image, found: BoolArray) -> Rescan:
    """White noise added, as at a low dose with a sharp kernel; arguments as of :func:`thick_slices`."""
    noise = np.random.default_rng(0).normal(0, _NOISE_HU, array_view(scan).shape)
    return _of(f"noise of {_NOISE_HU:.0f} HU added", _with_hu(scan, array_view(scan) + noise), found)


def soft(scan: sitk.Image, found: BoolArray) -> Rescan:
    """Blurred in the slice, as by a soft kernel; arguments as of :func:`thick_slices`."""
    sigma = (0.0, *(_SOFT_MM / mm for mm in scan.GetSpacing()[1::-1]))
    blurred = ndimage.gaussian_filter(array_view(scan).astype(np.float32), sigma)
    return _of("soft kernel", _with_hu(scan, blurred), found)


Maker = Callable[[sitk.Image, BoolArray], Rescan]
OF_HEALTHY: tuple[Maker, ...] = (thick_slices, sparse_slices)
OF_DISEASED: tuple[Maker, ...] = (*OF_HEALTHY, noisy, soft)
"""The last two keep every slice, and so take as long as the scan itself."""


def _of(name: str, scan: sitk.Image, found: BoolArray) -> Rescan:
    return Rescan(name, scan, found, float(np.count_nonzero(found)) * voxel_volume_ml(scan))


def _slices_together(scan: sitk.Image) -> int:
    return max(2, round(_THICK_MM / scan.GetSpacing()[2]))


def _with_hu(scan: sitk.Image, hu: npt.NDArray[np.floating]) -> sitk.Image:
    return image_like(as_stored(hu), scan)
