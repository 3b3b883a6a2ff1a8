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

from .array_types import FloatArray
from .errors import UserError
from .frame import LungFrame
from .lung_masks.classical import label_lungs
from .lung_masks.pooled_scan import PooledScan
from .lung_masks.sides import LEFT, RIGHT
from .volume import array_view

_LEAST_SLICES = 8
_LEAST_PIXELS = 32
_LARGEST_SPACING_MM = 10.0
_THICK_MM = 3.0
_LEAST_LUNG_ML = 250.0
_LOOK_MM = 4.0
"""The doctor looks at the scan pooled to this: enough to find lungs, spine and heart in a moment."""
_CUT_SHARE = 0.08
"""Lungs taper to nothing at both ends; where an end has more of their widest section, the scan cuts them."""
_BLUNT_SHARE = 0.5
"""From this share on an end is neither apex nor base. Lower parts of real scans that reach farther out at
their upper end have 0.9 and more there; the base that one real scan ends too early for has 0.43."""
_SAMPLED_VOXELS = 3_000_000


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
    """

    findings: tuple[Finding, ...]
    flipped: tuple[bool, bool, bool] = (False, False, False)

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
    if _refused(findings):
        return Examination(tuple(_sorted(findings)))
    look = _Look.at(scan)
    flipped = (False, False, False)
    if sum(look.lung_ml) < _LEAST_LUNG_ML:
        findings.append(_airless_finding(look, lungs_given))
    else:
        findings += _anatomy_findings(look)
        flipped = _flipped_axes(look)
        if any(flipped):
            findings.append(_flip_finding(flipped))
    return Examination(tuple(_sorted(findings)), flipped)


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
    if min(size) < _LEAST_SLICES:
        yield _refusal(
            f"The scan has only {min(size)} slice{'' if min(size) == 1 else 's'}.",
            f"At least {_LEAST_SLICES} are needed to see a lung in three dimensions.",
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
    low, high = float(values.min()), float(values.max())
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
        yield _refusal(
            f"No value is below zero (they run from {low:g} to {high:g}).",
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
            "Lungs hold air, near -850 HU. A soft-tissue window or another organ looks like this.",
            "Load the chest CT in full HU range, without a window applied.",
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


@dataclass(frozen=True)
class _Look:
    """The scan pooled to a few millimetres, in patient axes as its header says."""

    hu: FloatArray
    lungs: npt.NDArray[np.uint8]
    voxel_mm: tuple[float, float, float]

    @classmethod
    def at(cls, scan: sitk.Image) -> _Look:
        frame = LungFrame.whole_scan(scan, _LOOK_MM)
        hu = frame.to_network(scan)
        return cls(hu, label_lungs(PooledScan(hu, frame.voxel_mm)), frame.voxel_mm)

    @property
    def lung_ml(self) -> tuple[float, float]:
        """Right and left."""
        voxel_ml = float(np.prod(self.voxel_mm)) / 1000
        right, left = (np.count_nonzero(self.lungs == side) for side in (RIGHT, LEFT))
        return right * voxel_ml, left * voxel_ml

    @property
    def has_both_lungs(self) -> bool:
        """Whether a right and a left lung were found."""
        right, left = self.lung_ml
        return min(right, left) >= 0.1 * max(right, left)

    @property
    def end_shares(self) -> tuple[float, float]:
        """Section of both lungs where they begin and where they end in z, as shares of their widest one.

        Of the slices that hold lung: those beyond may be padding of a scan that cuts it.
        """
        sections = np.count_nonzero(self.lungs, axis=(1, 2))
        sections = sections[sections > 0]
        return float(sections[0] / sections.max()), float(sections[-1] / sections.max())

    @property
    def ends_bluntly(self) -> bool:
        """Whether the upper end by the header is cut through wide lung, so that it is no base and no apex."""
        return self.end_shares[1] > _BLUNT_SHARE


def _airless_finding(look: _Look, lungs_given: bool) -> Finding:
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


def _anatomy_findings(look: _Look) -> Iterator[Finding]:
    right, left = look.lung_ml
    inside = look.lungs > 0
    faces = [inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1]]
    cut_ends = max(look.end_shares) > _CUT_SHARE
    if cut_ends or sum(int(face.sum()) for face in faces) * look.voxel_mm[0] * look.voxel_mm[1] / 100 > 5:
        yield _warning(
            "The lungs reach the edge of the scan.",
            "A part of them is missing, so volumes and the infected share describe only the rest."
            + (" It could not be checked whether the scan lies upside down." if look.ends_bluntly else ""),
            "If the whole scan is at hand, use it."
            + (" Otherwise check by eye that it is the right way up." if look.ends_bluntly else ""),
        )
    if not look.has_both_lungs:
        missing = "left" if left < right else "right"
        yield _warning(
            f"Almost no {missing} lung was found ({min(right, left):.0f} ml).",
            "It is missing, collapsed, or so dense that it looks like soft tissue.",
            "Check the lung mask; give one of your own if dense lung is left out.",
        )
    if _contrast(look):
        yield Finding(
            Severity.NOTE,
            "The scan was taken with contrast agent.",
            "Vessels are brighter than in the scans without, and may be taken for small lesions more often.",
            "Nothing to do; look at single bright spots with care.",
        )


def _between_lungs(look: _Look) -> tuple[slice, slice, slice]:
    """The block between the two lungs, where heart and spine are."""
    inside = look.lungs > 0
    rows = np.flatnonzero(inside.any(axis=(0, 2)))
    deep = np.flatnonzero(inside.any(axis=(1, 2)))
    columns = np.flatnonzero(inside.any(axis=(0, 1)))
    middle = (columns[0] + columns[-1]) // 2
    reach = max(1, (columns[-1] - columns[0]) // 6)
    return (
        slice(int(deep[0]), int(deep[-1]) + 1),
        slice(max(0, int(rows[0]) - 4), int(rows[-1]) + 8),
        slice(int(middle - reach), int(middle + reach + 1)),
    )


def _contrast(look: _Look) -> bool:
    """Whether much of the tissue in the front three fifths between the lungs is brighter than blood."""
    deep, rows, columns = _between_lungs(look)
    front = slice(rows.start, rows.start + (rows.stop - rows.start) * 3 // 5)
    block = look.hu[deep, front, columns]
    tissue = block[block > -50]
    return tissue.size > 0 and float((tissue > 110).mean()) > 0.2


def _flipped_axes(look: _Look) -> tuple[bool, bool, bool]:
    """Which patient axes run against the anatomy.

    The spine must lie behind the middle of the lungs, and both lungs must reach farther out at their base.
    Where the upper end is cut through wide lung, it is the cut that reaches far out, of lower lungs the right
    way up as of upper ones upside down; such a scan is left as its header says. So is one of a single lung,
    for which nothing says where the midline is. Right and left cannot be told from a chest with certainty and
    are left likewise.
    """
    if not look.has_both_lungs:
        return False, False, False
    deep, rows, columns = _between_lungs(look)
    bone = look.hu[deep, rows, columns] > 130
    half = bone.shape[1] // 2
    front, back = bone[:, :half].sum(), bone[:, half:].sum()
    upside_down_y = front > 3 * max(back, 1)
    middle = (columns.start + columns.stop - 1) / 2
    upside_down_z = not look.ends_bluntly and all(
        _wider_at_top(look.lungs == side, middle) for side in (RIGHT, LEFT)
    )
    return upside_down_z, bool(upside_down_y), False


def _wider_at_top(lung: npt.NDArray[np.bool_], middle: float) -> bool:
    """Whether a lung lies farther from the midline at its upper end than at its lower end."""
    held = np.flatnonzero(lung.any(axis=(1, 2)))
    if held.size < 6:
        return False
    end = max(1, held.size // 6)
    bottom, top = (
        np.abs(np.flatnonzero(lung[part].any(axis=(0, 1))) - middle).max()
        for part in (held[:end], held[-end:])
    )
    return bool(top > 1.2 * bottom)


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
