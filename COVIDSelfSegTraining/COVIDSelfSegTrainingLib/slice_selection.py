"""Which slices of diseased scans are highly and which are little infected (2022 paper, section 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .cohorts.cohort import CohortScan
from .mask_files import StoredMask
from .pseudo_masks import PseudoMask

CLASSES = {"clean": 0, "low": 1, "high": 2}
"""Numbers of the slice classes; painted slices are none of them."""
PAINTED = -1

_LEAST_BURDEN = 1e-4
"""Of a slice that is infected at all: a hundredth of a square centimetre in a hundred. Where disease is so
mild that most slices have none, the quantile is 0, and every slice would be highly infected."""


Diseased = Sequence[tuple[CohortScan, PseudoMask | StoredMask]]
"""Scans of diseased lungs with their pseudo-masks, in memory or on disk."""


class MaskedSlice(NamedTuple):
    """A slice of a diseased scan with its pseudo-mask."""

    scan: CohortScan
    place: int
    mask: PseudoMask | StoredMask


def high_slices(diseased: Diseased, share: float) -> list[MaskedSlice]:
    """Slices among the top ``share`` by infected share of the lung; none of those in which nothing is."""
    cut = _cut(diseased, share)
    return [one for one in _all(diseased) if one.mask.burden[one.place] >= max(cut, _LEAST_BURDEN)]


def low_slices(diseased: Diseased, share: float, factor: float) -> list[MaskedSlice]:
    """As many slices as are high, from the band just below ``factor`` times their cut."""
    cut = factor * max(_cut(diseased, share), _LEAST_BURDEN)
    below = [one for one in _all(diseased) if one.mask.burden[one.place] < cut]
    below.sort(key=lambda one: -one.mask.burden[one.place])
    return below[: max(1, len(high_slices(diseased, share)))]


def most_infected(scan: CohortScan, mask: PseudoMask | StoredMask) -> MaskedSlice:
    """The slice of a scan that holds most of its pseudo-mask.

    Not the one with the largest share: that is often the last rim of a lung, on which nothing can be seen.
    """
    return MaskedSlice(scan, int(mask.target.sum(axis=(1, 2), dtype=np.int64).argmax()), mask)


def some(slices: list[MaskedSlice], count: int, rng: np.random.Generator) -> list[MaskedSlice]:
    """Draw slices with replacement; none where there are none."""
    return [slices[index] for index in rng.integers(len(slices), size=count)] if slices else []


def any_slice(
    scans: list[CohortScan], chances: npt.NDArray[np.float64], rng: np.random.Generator
) -> tuple[CohortScan, int]:
    """Draw a slice that holds lung; those that hold much of it more often."""
    scan = scans[rng.choice(len(scans), p=chances)]
    return scan, int(rng.choice(scan.holding, p=scan.holding_chances))


def scan_chances(scans: list[CohortScan], real_share: float) -> npt.NDArray[np.float64]:
    """Chance of each scan to be drawn: real scans together have ``real_share``, phantoms the rest."""
    real = np.array([bool(scan.source.path) for scan in scans])
    shares = np.where(real, real_share, 1 - real_share) if real.any() and not real.all() else 1.0
    counts = np.where(real, real.sum(), (~real).sum())
    chances: npt.NDArray[np.float64] = shares / counts
    return chances


def _all(diseased: Diseased) -> list[MaskedSlice]:
    return [MaskedSlice(scan, int(index), mask) for scan, mask in diseased for index in scan.holding]


def _cut(diseased: Diseased, share: float) -> float:
    burdens = np.concatenate([mask.burden[scan.holding] for scan, mask in diseased] or [np.zeros(1)])
    return float(np.quantile(burdens, 1 - share))
