"""Where healthy, diseased and synthesised lungs lie to each other (2022 paper, figure 2).

A lung is the vector of its pooled densities. The picture is the plane of the two principal components; the
distances are between group means in the whole space, with bootstrap intervals over scans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float64]
_RESAMPLES = 500


@dataclass(frozen=True)
class Distance:
    """Between the means of two groups.

    Attributes:
        first: name of a group.
        second: name of the other.
        value: Euclidean distance, in the unit of the vectors' mean element (root mean square).
        low: lower end of the 95 % bootstrap interval.
        high: upper end.
    """

    first: str
    second: str
    value: float
    low: float
    high: float


def principal_components(vectors: Vectors, count: int = 2) -> tuple[Vectors, npt.NDArray[np.float64]]:
    """Project vectors (n, d) on their first principal components.

    Returns:
        Places (n, count), each column's largest entry positive; and the share of the variance of each.
    """
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(vectors), count))
    shares = np.zeros(count)
    kept = min(count, len(sizes))
    places[:, :kept] = left[:, :kept] * sizes[:kept]
    total = float((sizes**2).sum())
    if total > 0:
        shares[:kept] = sizes[:kept] ** 2 / total
    for column in range(kept):
        if places[np.abs(places[:, column]).argmax(), column] < 0:
            places[:, column] *= -1
    return places, shares


def group_distances(groups: Mapping[str, Vectors], seed: int = 0) -> list[Distance]:
    """Distances between the means of all pairs of groups, each (n, d)."""
    rng = np.random.default_rng(seed)
    return [_distance(first, second, groups, rng) for first, second in combinations(groups, 2)]


def flattened(features: Sequence[npt.NDArray[np.float32]]) -> Vectors:
    """One vector a scan, (n, d)."""
    return np.stack([feature.ravel().astype(np.float64) for feature in features])


def _distance(first: str, second: str, groups: Mapping[str, Vectors], rng: np.random.Generator) -> Distance:
    one, other = groups[first], groups[second]
    draws = []
    for _ in range(_RESAMPLES):
        of_one = one[rng.integers(len(one), size=len(one))].mean(axis=0)
        of_other = other[rng.integers(len(other), size=len(other))].mean(axis=0)
        draws.append(_rms(of_one - of_other))
    low, high = np.percentile(draws, (2.5, 97.5))
    return Distance(first, second, _rms(one.mean(axis=0) - other.mean(axis=0)), float(low), float(high))


def _rms(vector: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt((vector**2).mean()))
