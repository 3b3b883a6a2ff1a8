"""Everything a threshold can do, from two histograms of the stored probability (0 .. 255).

Kept per scan, they answer the threshold sweep, the calibration and the voxel-wise AUC without the networks
running again. All are before small components are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from COVIDSelfSegLib.array_types import BoolArray
from COVIDSelfSegLib.threshold_curve import LEVELS, level_of

from .overlap import Overlap

Counts = npt.NDArray[np.int64]
_BINS = 10


@dataclass(frozen=True)
class ProbabilityHistogram:
    """Voxels at each stored probability.

    Attributes:
        lesion: (256,) of true lesion, wherever it is; outside the lung mask its probability is 0.
        healthy: (256,) of the lung without true lesion.
    """

    lesion: Counts
    healthy: Counts

    @classmethod
    def of_scan(cls, probability: npt.NDArray[np.uint8], truth: BoolArray, lungs: BoolArray) -> Self:
        """Count a scan; arrays (z, y, x)."""
        lesion = np.bincount(probability[truth], minlength=LEVELS)
        healthy = np.bincount(probability[lungs & ~truth], minlength=LEVELS)
        return cls(lesion.astype(np.int64), healthy.astype(np.int64))

    def __add__(self, other: ProbabilityHistogram) -> ProbabilityHistogram:
        return ProbabilityHistogram(self.lesion + other.lesion, self.healthy + other.healthy)

    def at(self, threshold: float) -> Overlap:
        """Overlap at a threshold, 0 .. 1."""
        level = level_of(threshold)
        lesion, healthy = int(self.lesion[level:].sum()), int(self.healthy[level:].sum())
        return Overlap(lesion, healthy, int(self.lesion.sum()) - lesion, int(self.healthy.sum()) - healthy)

    def auc(self) -> float:
        """Chance that a lesion voxel has a higher probability than a healthy one, ties counting half."""
        lesion, healthy = self.lesion.astype(float), self.healthy.astype(float)
        if not lesion.sum() or not healthy.sum():
            return float("nan")
        below = np.concatenate([[0.0], np.cumsum(healthy)[:-1]])
        return float((lesion * (below + healthy / 2)).sum() / (lesion.sum() * healthy.sum()))

    def reliability(self) -> list[ReliabilityBin]:
        """Stated probability against the share of lesion: ten bins of a tenth each, without empty ones."""
        stated = np.arange(LEVELS) / (LEVELS - 1)
        place = np.minimum((stated * _BINS).astype(int), _BINS - 1)
        voxels = self.lesion + self.healthy
        result = []
        for index in range(_BINS):
            inside = place == index
            count = int(voxels[inside].sum())
            if count:
                mean = float((stated * voxels)[inside].sum() / count)
                result.append(ReliabilityBin(mean, float(self.lesion[inside].sum() / count), count))
        return result

    def calibration_error(self) -> float:
        """Expected calibration error: mean gap between stated and observed, weighted by voxels (Guo 2017)."""
        parts = self.reliability()
        count = sum(part.voxels for part in parts)
        gap = sum(abs(part.stated - part.observed) * part.voxels for part in parts)
        return gap / count if count else float("nan")


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of a reliability diagram.

    Attributes:
        stated: mean probability that the model says.
        observed: share that is lesion.
        voxels: in the bin.
    """

    stated: float
    observed: float
    voxels: int
