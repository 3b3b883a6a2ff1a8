"""Hounsfield units and the networks' scale: HU clipped to [-1000, 400], linear to [0, 1] ("unit HU")."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from .array_types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

LOWEST_HU = -1000.0
HIGHEST_HU = 400.0
HU_PER_UNIT = HIGHEST_HU - LOWEST_HU
STORED_HU = (-1024, 3071)
"""What twelve bits of a scanner hold. Metal on an extended scale, and padding, lie beyond; no tissue does."""

Values = TypeVar("Values", FloatArray, "Tensor")


def to_unit(hu: Values) -> Values:
    """HU to unit HU, clipped to 0..1."""
    return ((hu - LOWEST_HU) / HU_PER_UNIT).clip(0, 1)


def to_hu(unit: Values) -> Values:
    """Unit HU (0..1) to HU."""
    return unit * HU_PER_UNIT + LOWEST_HU


def as_stored(hu: npt.NDArray[np.floating]) -> npt.NDArray[np.int16]:
    """HU as scans are stored: whole numbers within :data:`STORED_HU`."""
    return np.clip(np.rint(hu), *STORED_HU).astype(np.int16)
