"""Whether slices lie as one rectangular grid needs them: evenly, each at its own place, not at a slant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import UserError

LEAST_SLICES = 8
"""Fewer slices do not show a lung in three dimensions."""

_UNEVEN_GAP = 0.1
"""Share of the usual slice distance by which a gap may differ before slices count as missing."""
_TILT_COSINE = 0.9998
"""Smallest cosine between the slice normal and the stacking direction (1.1 degrees)."""

_SAME_MM = 1e-4
"""Largest difference between pixel sizes of one stack, mm."""


def pixel_sizes_differ(pixel_mm: Sequence[tuple[float, float]]) -> bool:
    """Whether slices with pixels of these sizes (mm, along x and along y) are no single stack."""
    return bool(np.ptp(np.array(pixel_mm), axis=0).max() > _SAME_MM)


def several_stacks(name: str, difference: str) -> UserError:
    """The error for a series that is more than one stack, as that difference between its slices tells."""
    return UserError(
        f"The series '{name}' holds several stacks of slices: {difference}.",
        why="One rectangular grid holds one stack; of several, it is not known which one is meant.",
        fix="Export a single reconstruction, or read one of them as a NIfTI, NRRD or MHA file.",
    )


def check_stack(positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64], name: str) -> None:
    """Refuse slices that one rectangular grid cannot hold.

    Args:
        positions: (slices, 3), mm, of the first pixel of each slice, sorted along the normal.
        normal: (3,), unit vector across the slices.
        name: of the series, for its user.

    Raises:
        UserError: slices are missing, doubled or stacked at a slant (gantry tilt).
    """
    if len(positions) < 2:
        return
    along = np.diff(positions, axis=0) @ normal
    usual = float(np.median(along))
    if usual <= 1e-3 or along.min() < 1e-3:
        raise UserError(
            f"The series '{name}' has several slices at one position.",
            why="It holds more than one volume (time points, or two reconstructions under one id), copies of "
            "slices, or slices whose header does not say where they lie.",
            fix="Name a folder that holds one reconstruction, each slice once, or read one of them as a "
            "NIfTI, NRRD or MHA file.",
        )
    uneven = np.flatnonzero(np.abs(along - usual) > max(_UNEVEN_GAP * usual, 0.05))
    if uneven.size:
        first = int(uneven[0])
        raise UserError(
            f"The series '{name}' has uneven slices: {along[first]:.2f} mm after slice "
            f"{first + 1}, usually {usual:.2f} mm ({uneven.size} such gaps).",
            why="Slices are missing or come from two stacks; shapes and volumes in ml would be wrong.",
            fix="Export the whole series again, or resample it to even slices first.",
        )
    whole = positions[-1] - positions[0]
    if abs(whole @ normal) < _TILT_COSINE * np.linalg.norm(whole):
        raise UserError(
            f"The series '{name}' was taken with a tilted gantry.",
            why="Its slices are stacked at a slant, which one rectangular grid cannot hold.",
            fix="Resample it to a rectangular grid first (in Slicer: Acquisition geometry regularization).",
        )
