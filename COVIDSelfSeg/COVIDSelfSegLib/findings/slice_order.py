"""Whether the slices of a volume follow each other, as those of one patient from neck to belly do."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..frame import LungFrame
from ..hounsfield import HIGHEST_HU, LOWEST_HU

_PIXEL_MM = 4.0
"""Slices are compared at about such distances."""
_LEAST_MM = 150.0
"""In a thinner slab no two slices lie so far apart that they must differ more than neighbours, if
slices are thick (``test_doctor.py`` holds parts of real scans for which 100 mm were too few).
"""
_FAR_SHARE = 1 / 3
"""Slices that lie this share of the scan apart show other parts of the body."""
_LEAST_FAR_HU = 100.0
"""Usual difference between such slices, at least; less may be noise."""
_JUMP = 0.75
"""Share of the usual difference between such slices from which on neighbours differ too much. Neighbours of a
whole scan differ less, and where an order is wrong as much as any two slices do, which is about 1."""


def jumps_between_slices(scan: sitk.Image) -> int:
    """How many neighbouring slices differ as much as slices that lie far apart.

    Of a whole scan there are none, and two or more where slices lie in the order of their file names (1, 10,
    11, 2, ...) or are of several patients. Slices without any image, as of padding, do not count.

    Args:
        scan: HU.
    """
    frame = LungFrame.whole_scan(scan, 0.0)
    turned = frame.turned(scan)
    rows, columns = (max(1, round(_PIXEL_MM / mm)) for mm in frame.voxel_mm[1:])
    planes = np.clip(turned[:, ::rows, ::columns], LOWEST_HU, HIGHEST_HU).astype(np.float32)
    planes = planes[np.ptp(planes, axis=(1, 2)) > 0]
    apart = round(_FAR_SHARE * len(planes))
    if len(planes) * frame.voxel_mm[0] < _LEAST_MM or apart < 2:
        return 0
    near, far = (np.abs(planes[step:] - planes[:-step]).mean(axis=(1, 2)) for step in (1, apart))
    usual = float(np.median(far))
    return int(np.count_nonzero(near > _JUMP * usual)) if usual > _LEAST_FAR_HU else 0
