"""Refusals of scan files that are damaged, or whose header says what no CT has."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NoReturn

from ..errors import UserError
from ..file_names import unusual_letters

log = logging.getLogger(__name__)


def refuse_unreadable(path: Path, reason: str) -> NoReturn:
    """Turn what a reader says into the refusal that a user understands.

    Args:
        path: the scan file.
        reason: of the reader; it is logged, and tells a spacing or axes that ITK does not take from damage.

    Raises:
        UserError: always (exit code 2).
    """
    log.debug("reading %s failed: %s", path, reason)
    lowered = reason.lower()
    if "spacing" in lowered:
        refuse_spacing(path, "zero or not a number")
    if "orthonormal" in lowered:
        refuse_shear(path)
    raise unusual_letters(path) or UserError(
        f"{path.name} cannot be read: it is truncated, damaged or not what its name says.",
        why="A part of the scan is missing, so any result would be about a part of the lung at best.",
        fix="Copy or export the scan again, and compare the file sizes.",
    )


def refuse_spacing(path: Path, found: str) -> NoReturn:
    """Refuse a voxel spacing that no CT has.

    Args:
        path: the scan file.
        found: the spacing, in words.

    Raises:
        UserError: always (exit code 2).
    """
    raise UserError(
        f"{path.name} has an impossible voxel spacing ({found}).",
        why="Volumes in ml and the model's scale both depend on the voxel size in millimetres.",
        fix="Export the scan again from its DICOM source, or correct the spacing in the header.",
    )


def refuse_nifti2(path: Path) -> NoReturn:
    """Refuse the second version of NIfTI, which ITK cannot read.

    Args:
        path: the scan file.

    Raises:
        UserError: always (exit code 2).
    """
    raise UserError(
        f"{path.name} is NIfTI-2, which is not read.",
        why="Its header has another layout than that of NIfTI-1, so size and spacing cannot be known.",
        fix="Export the scan again from its DICOM source as NIfTI-1 or NRRD (3D Slicer writes both), or "
        "convert the file to NIfTI-1 (with nibabel: Nifti1Image.from_image).",
    )


def refuse_shear(path: Path) -> NoReturn:
    """Refuse axes that are not at right angles (gantry tilt kept as a shear).

    Args:
        path: the scan file.

    Raises:
        UserError: always (exit code 2).
    """
    raise UserError(
        f"{path.name} has axes that are not at right angles (gantry tilt or a shear in the header).",
        why="Slices would be taken from the wrong places.",
        fix="Resample the scan to a rectangular grid first (in Slicer: Acquisition geometry regularization).",
    )
