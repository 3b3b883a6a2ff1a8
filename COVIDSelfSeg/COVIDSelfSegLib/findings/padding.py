"""What fills a scan beyond the scanner's field of view, where it reads as tissue.

Programs that turn, resample or mask a scan often fill with 0, which is the HU of water. Lungs would then be
looked for in it, and found: the lung network takes it for drowned lung.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..frame import AIR_HU, LungFrame
from ..volume import image_like

_AIR_BELOW_HU = -700.0
"""What is darker reads as air, which is right beyond the body."""
_LEAST_SHARE = 0.5
"""Of the corners of slices that hold one value; what a scanner saw there differs by its noise."""


def padding_of(scan: sitk.Image) -> float | None:
    """The value, denser than air, that fills the corners of most slices; None where there is none.

    Args:
        scan: HU.
    """
    corners = LungFrame.whole_scan(scan, 0.0).turned(scan)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    values, counts = np.unique(corners, return_counts=True)
    most = int(counts.argmax())
    is_padding = counts[most] >= _LEAST_SHARE * corners.size and values[most] >= _AIR_BELOW_HU
    return float(values[most]) if is_padding else None


def without_padding(scan: sitk.Image, value: float) -> sitk.Image:
    """The scan with air in place of its padding: what hangs together with the corners of a slice.

    Args:
        scan: HU.
        value: of the padding, from :func:`padding_of`.
    """
    hu = sitk.GetArrayFromImage(scan)
    for plane in LungFrame.whole_scan(scan, 0.0).turn(hu):
        parts, _ = ndimage.label(plane == value)
        at_corners = np.unique(parts[[0, 0, -1, -1], [0, -1, 0, -1]])
        plane[np.isin(parts, at_corners[at_corners > 0])] = AIR_HU
    return image_like(hu, scan)
