"""``covidselfseg doctor``: what is wrong with a scan, without running anything on it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..doctor import examine
from ..findings.finding import Severity
from ..volume import read_scan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``doctor`` takes."""
    parser.add_argument("scan", type=Path, help="NIfTI, NRRD or MHA file, or a folder of DICOM slices")
    parser.add_argument(
        "--series", metavar="ID", help="DICOM series to take; default: the chest CT with the most slices"
    )
    parser.set_defaults(command=_doctor)


def _doctor(parsed: argparse.Namespace) -> None:
    scan = read_scan(parsed.scan, parsed.series)
    examination = examine(scan)
    for finding in examination.findings:
        if finding.severity is not Severity.REFUSED:
            text = f"{finding.severity}: {finding.what}\n  Why: {finding.why}\n  Fix: {finding.fix}\n"
            sys.stdout.write(text)
    examination.refuse()
    size, spacing = scan.GetSize(), scan.GetSpacing()
    sys.stdout.write(
        f"{parsed.scan}: a chest CT in HU, {size[0]} x {size[1]} x {size[2]} voxels "
        f"of {spacing[0]:.3g} x {spacing[1]:.3g} x {spacing[2]:.3g} mm\n"
    )
