"""Numbers from masks: lung volumes, infected ml and share, density, severity.

Volumes count voxels times their volume. Shares are of the lung volume, vessels and lesions included.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .array_types import BoolArray
from .lung_labels import LEFT, RIGHT
from .severity import severity_of
from .threshold_curve import LEVELS, ThresholdCurve
from .volume import array_view, voxel_volume_ml


@dataclass(frozen=True)
class LungNumbers:
    """One lung, or both.

    Attributes:
        volume_ml: of the lung.
        infected_ml: of the lesions in it.
        infected_share: 0 .. 1; 0 where there is no lung.
        lesion_hu: mean HU of the lesions, None where there is none.
    """

    volume_ml: float
    infected_ml: float
    infected_share: float
    lesion_hu: float | None


@dataclass(frozen=True)
class Numbers:
    """What a run measures."""

    right: LungNumbers
    left: LungNumbers
    both: LungNumbers

    @property
    def severity(self) -> str:
        """CT-0, CT-0/1, CT-1 .. CT-4; see :func:`.severity.severity_of`."""
        return severity_of(self.both.infected_share)

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return {**asdict(self), "severity": self.severity}


def measure(scan: sitk.Image, lungs: sitk.Image, lesions: sitk.Image) -> Numbers:
    """Measure lesions per lung.

    Args:
        scan: HU.
        lungs: 1 right, 2 left, on the scan's grid.
        lesions: non-zero inside a lesion, on the scan's grid.
    """
    ml = voxel_volume_ml(scan)
    volumes = np.zeros(3)
    infected = np.zeros(3)
    density = np.zeros(3)
    for hu, sides, lesion in zip(array_view(scan), array_view(lungs), array_view(lesions), strict=True):
        volumes += np.bincount(sides.ravel(), minlength=3)[:3]
        inside = lesion > 0
        labels = sides[inside]
        infected += np.bincount(labels, minlength=3)[:3]
        density += np.bincount(labels, weights=hu[inside], minlength=3)[:3]
    sums = np.stack([volumes, infected, density])[:, [RIGHT, LEFT]]
    right, left, both = (_lung(sums[:, 0], ml), _lung(sums[:, 1], ml), _lung(sums.sum(1), ml))
    return Numbers(right, left, both)


def threshold_curve(probability: sitk.Image, lungs: sitk.Image) -> ThresholdCurve:
    """Count the stored probabilities (uint8) of each lung."""
    counts = np.zeros(3 * LEVELS, np.int64)
    for values, sides in zip(array_view(probability), array_view(lungs), strict=True):
        inside = sides > 0
        codes = sides[inside].astype(np.int64) * LEVELS + values[inside]
        counts += np.bincount(codes, minlength=3 * LEVELS)
    _, right, left = counts.reshape(3, LEVELS)
    return ThresholdCurve(right, left, voxel_volume_ml(probability))


def dice(found: BoolArray, truth: BoolArray) -> float:
    """Dice overlap of two masks; NaN where both are empty, for that is neither right nor wrong."""
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else float("nan")


def _lung(sums: npt.NDArray[np.float64], ml: float) -> LungNumbers:
    volume, infected, density = map(float, sums)
    return LungNumbers(
        volume * ml,
        infected * ml,
        infected / volume if volume else 0.0,
        density / infected if infected else None,
    )
