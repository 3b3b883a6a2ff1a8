"""What the doctor finds of a scan's grid, values and slices, before it looks for lungs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..scan_files.slice_stack import LEAST_SLICES
from ..volume import array_view
from .finding import Finding, note, refusal, warning
from .slice_order import jumps_between_slices

_LEAST_PIXELS = 32
_LARGEST_SPACING_MM = 10.0
_THICK_MM = 3.0
_SAMPLED_VOXELS = 3_000_000
_PADDING_BELOW = -1500.0
"""What is lower fills a scan beyond its field of view; air with its noise is not so low."""
_LEAST_JUMPS = 2
"""Between slices; one may be where a patient moved."""


def grid_findings(scan: sitk.Image) -> Iterator[Finding]:
    """What is wrong with the grid of a scan."""
    if scan.GetDimension() != 3 or scan.GetNumberOfComponentsPerPixel() != 1:
        yield refusal(
            "The image is not one 3D volume.",
            "A chest CT is a stack of slices with one HU value per voxel.",
            "Export the CT as a single gray 3D volume.",
        )
        return
    size, spacing = scan.GetSize(), scan.GetSpacing()
    if min(size) < LEAST_SLICES:
        yield refusal(
            f"The scan has only {min(size)} slice{'' if min(size) == 1 else 's'}.",
            f"At least {LEAST_SLICES} are needed to see a lung in three dimensions.",
            "Load the whole series, not a selection of slices.",
        )
    elif sorted(size)[1] < _LEAST_PIXELS:
        yield refusal(
            f"The scan has only {size[0]} x {size[1]} x {size[2]} voxels.",
            "Lesions cannot be seen at this resolution.",
            "Load the original series instead of a preview.",
        )
    if not all(0 < mm <= _LARGEST_SPACING_MM for mm in spacing):
        yield refusal(
            f"The voxels are {spacing[0]:.3g} x {spacing[1]:.3g} x {spacing[2]:.3g} mm.",
            f"No chest CT has voxels of zero, negative or more than {_LARGEST_SPACING_MM:g} mm; "
            "volumes in ml and shapes would be wrong.",
            "Export the scan again from its DICOM source, or correct the spacing in the header.",
        )
    axes = np.array(scan.GetDirection()).reshape(3, 3)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        yield refusal(
            "The scan's axes are not at right angles (gantry tilt or a shear in the header).",
            "Slices would be taken from the wrong places.",
            "Resample it to a rectangular grid first (in Slicer: Acquisition geometry regularization).",
        )
    if max(spacing) > _THICK_MM:
        yield warning(
            f"The slices are {max(spacing):.3g} mm apart.",
            "Small lesions and thin vessels fade into thick slices; volumes are coarser.",
            f"If a reconstruction of {_THICK_MM:g} mm or less exists, prefer it.",
        )


def value_findings(scan: sitk.Image) -> Iterator[Finding]:
    """Whether the values of a scan are HU of a chest."""
    values = array_view(scan)
    if scan.GetPixelID() == sitk.sitkFloat32 and not all(np.isfinite(plane).all() for plane in values):
        yield refusal(
            "The scan holds values that are not numbers (NaN or infinity).",
            "Any result that touches them would be undefined.",
            "Export the scan again, or fill these voxels with air (-1000 HU) on purpose.",
        )
        return
    step = max(1, values.size // _SAMPLED_VOXELS)
    sample = values.reshape(-1)[::step]
    lowest, high = float(values.min()), float(values.max())
    low = lowest
    if lowest < _PADDING_BELOW:
        inside = sample[sample > _PADDING_BELOW]  # of all voxels it would take as long as the rest
        low = float(inside.min()) if inside.size else high
    if low == high:
        yield refusal(
            f"All voxels have the same value ({low:g}).",
            "There is no image in this volume.",
            "Load another series, and check that the export finished.",
        )
    elif low >= 0 and high <= 255:
        levels = "8-bit gray levels" if high > 1 else "scaled gray levels"
        yield refusal(
            f"The values run from {low:g} to {high:g}: {levels}, not Hounsfield units.",
            "The method reads densities in HU; gray levels of a window have lost them.",
            "Export the original CT series (DICOM, or NIfTI in HU), not pictures or a windowed copy.",
        )
    elif high - low < 300:
        yield refusal(
            f"The values run from {low:g} to {high:g}, which is not a Hounsfield scale.",
            "A chest holds air (-1000 HU) and soft tissue (about 40 HU).",
            "Export the original CT series without normalisation.",
        )
    elif low >= 0:
        padding = f", but for a padding of {lowest:g}" if lowest < low else ""
        yield refusal(
            f"No value is below zero (they run from {low:g} to {high:g}{padding}).",
            "Air is -1000 HU; the rescale intercept (usually -1024) was not applied.",
            "Export with the DICOM rescale applied, or subtract the intercept.",
        )
    else:
        yield from _tissue_findings(sample, low, high)


def order_findings(scan: sitk.Image) -> Iterator[Finding]:
    """Whether the slices of a scan follow each other."""
    jumps = jumps_between_slices(scan)
    if jumps >= _LEAST_JUMPS:
        yield refusal(
            f"The slices do not follow each other: {jumps} times, neighbours differ as much as slices that "
            "lie far apart.",
            "They are in a wrong order (as by file names: 1, 10, 11, 2), or single slices of several scans. "
            "The networks look at neighbouring slices together.",
            "Put the slices in the order of their positions, or export the scan again from its DICOM source. "
            "Single slices with masks are scored by 'covidselfseg evaluate --slices'.",
        )


def padding_finding(padding: float) -> Finding:
    """What to say of a padding, in HU, that reads as tissue."""
    return warning(
        f"The scan is filled with {padding:g} HU beyond its field of view, or beyond the body.",
        "That reads as tissue, and a part of it would be taken for lung. It is taken for air here.",
        "Fill it with -1024 HU where the scan is exported, turned, resampled or masked.",
    )


def _tissue_findings(sample: npt.NDArray[np.generic], low: float, high: float) -> Iterator[Finding]:
    values = sample.astype(np.float32)
    air = float((values < -700).mean())
    soft = float(((values > -150) & (values < 150)).mean())
    clipped = float((values >= high).mean())
    if air < 0.01:
        yield refusal(
            f"There is no air in this volume (lowest value {low:g}).",
            "Lungs hold air, near -850 HU. A soft-tissue window, another organ, or a rescale intercept that "
            "was not applied looks like this.",
            "Load the chest CT in full HU range, without a window and with the DICOM rescale applied.",
        )
    elif soft < 0.02 or (clipped > 0.2 and high < 150):
        yield refusal(
            f"There is no soft tissue in this volume (highest value {high:g}).",
            "A chest holds muscle and blood near 40 HU; a window or a wrong scale has cut them off.",
            "Load the chest CT in full HU range, without a window applied.",
        )
    elif clipped > 0.005 and high < 1000:
        yield note(
            f"Values above {high:g} HU are cut off.",
            "The scan went through a window; dense disease cannot be told from bone there.",
            "If the original series is at hand, prefer it.",
        )
    if float((values > 2600).mean()) * 1e5 > 5:
        yield warning(
            "There is metal in the scan.",
            "Its streaks can look like lesions, or hide them.",
            "Check the result near the metal by eye.",
        )
