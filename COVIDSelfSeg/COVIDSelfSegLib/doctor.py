"""Is this a chest CT in Hounsfield units? Findings with what, why and fix, before anything runs.

A volume that is not in HU, is flipped, or holds no lungs would otherwise give an empty or random result
without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .chest_look import ChestLook
from .errors import UserError
from .frame import LungFrame
from .padding import padding_of, without_padding
from .slice_order import jumps_between_slices
from .slice_stack import LEAST_SLICES
from .volume import array_view

_LEAST_PIXELS = 32
_LARGEST_SPACING_MM = 10.0
_THICK_MM = 3.0
_LEAST_LUNG_ML = 250.0
_SAMPLED_VOXELS = 3_000_000
_PADDING_BELOW = -1500.0
"""What is lower fills a scan beyond its field of view; air with its noise is not so low."""
_TALL, _DEEP, _WIDEST_MM = (0.55, 1.6), (0.4, 1.2), 400.0
"""Least and largest height and depth of both lungs as shares of their width. Sixteen real scans have 0.84 to
1.14 and 0.59 to 0.80, and are 323 mm wide at most."""
_LEAST_JUMPS = 2
"""Between slices; one may be where a patient moved."""


class Severity(StrEnum):
    """What a finding means for the run."""

    REFUSED = "refused"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor has to say: what it is, why it matters, what to do."""

    severity: Severity
    what: str
    why: str
    fix: str


@dataclass(frozen=True)
class Examination:
    """What the doctor found.

    Attributes:
        findings: refusals first.
        flipped: axes (z, y, x) whose direction in the header contradicts the anatomy.
        padding: value of what fills the scan beyond the field of view and reads as tissue; see
            :mod:`.padding`.
    """

    findings: tuple[Finding, ...]
    flipped: tuple[bool, bool, bool] = (False, False, False)
    padding: float | None = None

    def refuse(self) -> None:
        """Raise the first refusal, if there is one.

        Raises:
            UserError: the scan cannot be used (exit code 2).
        """
        for finding in self.findings:
            if finding.severity is Severity.REFUSED:
                raise UserError(finding.what, why=finding.why, fix=finding.fix)


def examine(scan: sitk.Image, *, lungs_given: bool = False) -> Examination:
    """Examine a scan: its grid, then its values, then its anatomy; the first refusal ends it.

    Args:
        scan: HU.
        lungs_given: its user has a lung mask, so that lungs without air are no reason to refuse.
    """
    findings = [*_grid_findings(scan)]
    if not _refused(findings):
        findings += _value_findings(scan)
    if not _refused(findings):
        findings += _order_findings(scan)
    padding = None if _refused(findings) else padding_of(scan)
    if padding is not None:
        scan = without_padding(scan, padding)
        findings = [*_grid_findings(scan), *_value_findings(scan), _padding_finding(padding)]
    if _refused(findings):
        return Examination(tuple(_sorted(findings)))
    look = ChestLook.at(scan)
    flipped = (False, False, False)
    if sum(look.lung_ml) < _LEAST_LUNG_ML:
        findings.append(_airless_finding(look, lungs_given))
    else:
        findings += _anatomy_findings(look)
        flipped = look.flipped_axes
        if any(flipped):
            findings.append(_flip_finding(flipped))
    return Examination(tuple(_sorted(findings)), flipped, padding)


def mend(scan: sitk.Image, examination: Examination) -> sitk.Image:
    """The scan as the networks expect it: air around the body, and the right way up.

    Args:
        scan: as it was read.
        examination: what :func:`examine` found.
    """
    if examination.padding is not None:
        scan = without_padding(scan, examination.padding)
    return mend_orientation(scan, examination.flipped)


def mend_orientation(scan: sitk.Image, flipped: tuple[bool, bool, bool]) -> sitk.Image:
    """The same voxels with a direction that fits the anatomy; the header's own where nothing is flipped.

    Args:
        scan: as it was read.
        flipped: patient axes (z, y, x), from :func:`examine`.
    """
    if not any(flipped):
        return scan
    frame = LungFrame.whole_scan(scan, 0.0)
    direction = np.array(scan.GetDirection()).reshape(3, 3)
    for axis, flip in zip(frame.axes, flipped, strict=True):
        if flip:
            direction[:, 2 - axis] *= -1
    mended = sitk.Image(scan)
    mended.SetDirection(direction.ravel())
    return mended


def _refused(findings: list[Finding]) -> bool:
    return any(finding.severity is Severity.REFUSED for finding in findings)


def _sorted(findings: list[Finding]) -> list[Finding]:
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _refusal(what: str, why: str, fix: str) -> Finding:
    return Finding(Severity.REFUSED, what, why, fix)


def _warning(what: str, why: str, fix: str) -> Finding:
    return Finding(Severity.WARNING, what, why, fix)


def _grid_findings(scan: sitk.Image) -> Iterator[Finding]:
    if scan.GetDimension() != 3 or scan.GetNumberOfComponentsPerPixel() != 1:
        yield _refusal(
            "The image is not one 3D volume.",
            "A chest CT is a stack of slices with one HU value per voxel.",
            "Export the CT as a single gray 3D volume.",
        )
        return
    size, spacing = scan.GetSize(), scan.GetSpacing()
    if min(size) < LEAST_SLICES:
        yield _refusal(
            f"The scan has only {min(size)} slice{'' if min(size) == 1 else 's'}.",
            f"At least {LEAST_SLICES} are needed to see a lung in three dimensions.",
            "Load the whole series, not a selection of slices.",
        )
    elif sorted(size)[1] < _LEAST_PIXELS:
        yield _refusal(
            f"The scan has only {size[0]} x {size[1]} x {size[2]} voxels.",
            "Lesions cannot be seen at this resolution.",
            "Load the original series instead of a preview.",
        )
    if not all(0 < mm <= _LARGEST_SPACING_MM for mm in spacing):
        yield _refusal(
            f"The voxels are {spacing[0]:.3g} x {spacing[1]:.3g} x {spacing[2]:.3g} mm.",
            f"No chest CT has voxels of zero, negative or more than {_LARGEST_SPACING_MM:g} mm; "
            "volumes in ml and shapes would be wrong.",
            "Export the scan again from its DICOM source, or correct the spacing in the header.",
        )
    axes = np.array(scan.GetDirection()).reshape(3, 3)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        yield _refusal(
            "The scan's axes are not at right angles (gantry tilt or a shear in the header).",
            "Slices would be taken from the wrong places.",
            "Resample it to a rectangular grid first (in Slicer: Acquisition geometry regularization).",
        )
    if max(spacing) > _THICK_MM:
        yield _warning(
            f"The slices are {max(spacing):.3g} mm apart.",
            "Small lesions and thin vessels fade into thick slices; volumes are coarser.",
            f"If a reconstruction of {_THICK_MM:g} mm or less exists, prefer it.",
        )


def _value_findings(scan: sitk.Image) -> Iterator[Finding]:
    values = array_view(scan)
    if scan.GetPixelID() == sitk.sitkFloat32 and not all(np.isfinite(plane).all() for plane in values):
        yield _refusal(
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
        low = float(values.min(where=values > _PADDING_BELOW, initial=high))
    if low == high:
        yield _refusal(
            f"All voxels have the same value ({low:g}).",
            "There is no image in this volume.",
            "Load another series, and check that the export finished.",
        )
    elif low >= 0 and high <= 255:
        levels = "8-bit gray levels" if high > 1 else "scaled gray levels"
        yield _refusal(
            f"The values run from {low:g} to {high:g}: {levels}, not Hounsfield units.",
            "The method reads densities in HU; gray levels of a window have lost them.",
            "Export the original CT series (DICOM, or NIfTI in HU), not pictures or a windowed copy.",
        )
    elif high - low < 300:
        yield _refusal(
            f"The values run from {low:g} to {high:g}, which is not a Hounsfield scale.",
            "A chest holds air (-1000 HU) and soft tissue (about 40 HU).",
            "Export the original CT series without normalisation.",
        )
    elif low >= 0:
        padding = f", but for a padding of {lowest:g}" if lowest < low else ""
        yield _refusal(
            f"No value is below zero (they run from {low:g} to {high:g}{padding}).",
            "Air is -1000 HU; the rescale intercept (usually -1024) was not applied.",
            "Export with the DICOM rescale applied, or subtract the intercept.",
        )
    else:
        yield from _tissue_findings(sample, low, high)


def _tissue_findings(sample: npt.NDArray[np.generic], low: float, high: float) -> Iterator[Finding]:
    values = sample.astype(np.float32)
    air = float((values < -700).mean())
    soft = float(((values > -150) & (values < 150)).mean())
    clipped = float((values >= high).mean())
    if air < 0.01:
        yield _refusal(
            f"There is no air in this volume (lowest value {low:g}).",
            "Lungs hold air, near -850 HU. A soft-tissue window, another organ, or a rescale intercept that "
            "was not applied looks like this.",
            "Load the chest CT in full HU range, without a window and with the DICOM rescale applied.",
        )
    elif soft < 0.02 or (clipped > 0.2 and high < 150):
        yield _refusal(
            f"There is no soft tissue in this volume (highest value {high:g}).",
            "A chest holds muscle and blood near 40 HU; a window or a wrong scale has cut them off.",
            "Load the chest CT in full HU range, without a window applied.",
        )
    elif clipped > 0.005 and high < 1000:
        yield Finding(
            Severity.NOTE,
            f"Values above {high:g} HU are cut off.",
            "The scan went through a window; dense disease cannot be told from bone there.",
            "If the original series is at hand, prefer it.",
        )
    if float((values > 2600).mean()) * 1e5 > 5:
        yield _warning(
            "There is metal in the scan.",
            "Its streaks can look like lesions, or hide them.",
            "Check the result near the metal by eye.",
        )


def _order_findings(scan: sitk.Image) -> Iterator[Finding]:
    jumps = jumps_between_slices(scan)
    if jumps >= _LEAST_JUMPS:
        yield _refusal(
            f"The slices do not follow each other: {jumps} times, neighbours differ as much as slices that "
            "lie far apart.",
            "They are in a wrong order (as by file names: 1, 10, 11, 2), or single slices of several scans. "
            "The networks look at neighbouring slices together.",
            "Put the slices in the order of their positions, or export the scan again from its DICOM source. "
            "Single slices with masks are scored by 'covidselfseg evaluate --slices'.",
        )


def _padding_finding(padding: float) -> Finding:
    return _warning(
        f"The scan is filled with {padding:g} HU beyond its field of view, or beyond the body.",
        "That reads as tissue, and a part of it would be taken for lung. It is taken for air here.",
        "Fill it with -1024 HU where the scan is exported, turned, resampled or masked.",
    )


def _airless_finding(look: ChestLook, lungs_given: bool) -> Finding:
    ml = f"{sum(look.lung_ml):.0f} ml"
    if lungs_given:
        return _warning(
            f"Hardly any aerated lung was found ({ml}); the lung mask that was given is used as it is.",
            "It could not be checked whether the scan lies upside down.",
            "Check by eye that it is the right way up, and that the mask covers the lungs.",
        )
    return _refusal(
        f"No lungs were found ({ml} of lung-like tissue).",
        "Lesions are looked for inside the lungs only.",
        "Load a chest CT that shows the lungs, or give a lung mask of your own.",
    )


def _anatomy_findings(look: ChestLook) -> Iterator[Finding]:
    right, left = look.lung_ml
    if look.reaches_edge:
        unsure = look.hides_which_end_is_up
        yield _warning(
            "The lungs reach the edge of the scan.",
            "A part of them is missing, so volumes and the infected share describe only the rest."
            + (
                " It could not be checked whether the scan lies upside down."
                if look.hides_which_end_is_up
                else ""
            ),
            "If the whole scan is at hand, use it."
            + (" Otherwise check by eye that it is the right way up." if unsure else ""),
        )
    if not look.has_both_lungs:
        missing = "left" if left < right else "right"
        yield _warning(
            f"Almost no {missing} lung was found ({min(right, left):.0f} ml).",
            "It is missing, collapsed, or so dense that it looks like soft tissue. Or the axes of the scan "
            "are exchanged, so that the lungs do not lie side by side; then the lesions are wrong too.",
            "Check the lung mask, and that axial slices look axial; give a mask of your own if dense lung is "
            "left out.",
        )
    elif look.is_nearly_whole:
        yield from _size_findings(look.lung_box_mm)
    if look.has_contrast:
        yield Finding(
            Severity.NOTE,
            "The scan was taken with contrast agent.",
            "Vessels are brighter than in the scans without, and may be taken for small lesions more often.",
            "Nothing to do; look at single bright spots with care.",
        )


def _size_findings(lung_box_mm: tuple[float, float, float]) -> Iterator[Finding]:
    """Of both lungs, about whole, with a box (z, y, x) of this size."""
    tall, deep, wide = lung_box_mm
    is_usual = _TALL[0] < tall / wide < _TALL[1] and _DEEP[0] < deep / wide < _DEEP[1] and wide < _WIDEST_MM
    if not is_usual:
        yield _warning(
            f"By the header, the lungs are {wide / 10:.0f} cm wide, {deep / 10:.0f} cm deep and "
            f"{tall / 10:.0f} cm tall.",
            "Hardly any lungs are so, so the size of the voxels may be wrong, and all volumes in ml with it.",
            "Compare the spacing with that of the DICOM source, also if pixels were merged or slices left "
            "out.",
        )


def _flip_finding(flipped: tuple[bool, bool, bool]) -> Finding:
    names = [
        name for name, flip in zip(("upside down", "back to front", "mirrored"), flipped, strict=True) if flip
    ]
    return _warning(
        f"The scan lies {' and '.join(names)}, contrary to its header.",
        "The networks expect a patient the right way up; it is turned for them, and the results are put "
        "back on the scan's own grid. Right and left may be exchanged.",
        "Correct the direction in the header, and check the side labels.",
    )
