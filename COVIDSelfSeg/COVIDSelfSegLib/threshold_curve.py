"""Infected volume at any threshold, from a histogram: the slider never counts voxels.

Numpy alone, since Slicer's own process uses it. Volumes are before small components are dropped, which the
written lesion then does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEVELS = 256


def level_of(threshold: float) -> int:
    """The smallest stored probability (0 .. 255) that counts as lesion at a threshold of 0 .. 1."""
    return max(1, int(np.ceil(threshold * (LEVELS - 1))))


@dataclass(frozen=True)
class ThresholdCurve:
    """How much lung lies at or above each stored probability.

    Attributes:
        right: voxels of the right lung at each of the 256 stored probabilities.
        left: the same for the left lung.
        voxel_ml: volume of a voxel.
    """

    right: npt.NDArray[np.int64]
    left: npt.NDArray[np.int64]
    voxel_ml: float

    @classmethod
    def from_report(cls, values: dict[str, Any]) -> ThresholdCurve:
        """The curve that a run wrote into its report."""
        right, left = (np.array(values[side], np.int64) for side in ("right", "left"))
        return cls(right, left, float(values["voxel_ml"]))

    def to_report(self) -> dict[str, Any]:
        """For the report."""
        return {"right": self.right.tolist(), "left": self.left.tolist(), "voxel_ml": self.voxel_ml}

    def infected_ml(self, threshold: float) -> float:
        """Infected volume of both lungs in ml."""
        return float((self.right + self.left)[level_of(threshold) :].sum() * self.voxel_ml)

    def infected_share(self, threshold: float) -> float:
        """Infected share of both lungs, 0 .. 1."""
        lungs = float((self.right + self.left).sum() * self.voxel_ml)
        return self.infected_ml(threshold) / lungs if lungs else 0.0

    def all_ml(self) -> npt.NDArray[np.float64]:
        """Infected volume in ml at each of the 256 stored probabilities taken as threshold."""
        counts = (self.right + self.left)[::-1].cumsum()[::-1]
        ml: npt.NDArray[np.float64] = counts * self.voxel_ml
        return ml
