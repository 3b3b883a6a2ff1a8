"""Is this a chest CT in Hounsfield units? Findings with what, why and fix, before anything runs.

A volume that is not in HU, is flipped, or holds no lungs would otherwise give an empty or random result
without a word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from .errors import UserError
from .findings.anatomy_findings import airless_finding, anatomy_findings, flip_finding
from .findings.chest_look import ChestLook
from .findings.finding import Finding, Severity
from .findings.padding import padding_of, without_padding
from .findings.scan_findings import grid_findings, order_findings, padding_finding, value_findings
from .frame import LungFrame

_LEAST_LUNG_ML = 250.0


@dataclass(frozen=True)
class Examination:
    """What the doctor found.

    Attributes:
        findings: refusals first.
        flipped: axes (z, y, x) whose direction in the header contradicts the anatomy.
        padding: value of what fills the scan beyond the field of view and reads as tissue; see
            :mod:`.findings.padding`.
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
    findings = [*grid_findings(scan)]
    if not _refused(findings):
        findings += value_findings(scan)
    if not _refused(findings):
        findings += order_findings(scan)
    padding = None if _refused(findings) else padding_of(scan)
    if padding is not None:
        scan = without_padding(scan, padding)
        findings = [*grid_findings(scan), *value_findings(scan), padding_finding(padding)]
    if _refused(findings):
        return Examination(tuple(_sorted(findings)))
    look = ChestLook.at(scan)
    flipped = (False, False, False)
    if sum(look.lung_ml) < _LEAST_LUNG_ML:
        findings.append(airless_finding(look, lungs_given))
    else:
        findings += anatomy_findings(look, lungs_given)
        flipped = look.flipped_axes
        if any(flipped):
            findings.append(flip_finding(flipped))
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
