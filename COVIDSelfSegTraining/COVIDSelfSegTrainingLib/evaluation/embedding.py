"""Where healthy, diseased and synthesised lungs lie to each other (2022 paper, figure 2).

A lung is the vector of its pooled densities. The picture is the plane of the two principal components; the
distances are between group means in the whole space, with bootstrap intervals over scans. The means of few
scans lie apart by chance alone, the more so the more dimensions there are: what that gives is taken off.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from COVIDSelfSegLib.array_types import FloatArray

Vectors = npt.NDArray[np.float64]
_RESAMPLES = 500


@dataclass(frozen=True)
class Distance:
    """Between the means of two groups.

    Attributes:
        first: name of a group.
        second: name of the other.
        value: Euclidean distance, in the unit of the vectors' mean element (root mean square), without what
            chance gives; 0 where there is no more than that.
        low: lower end of the 95 % bootstrap interval; 0 where the groups may be one.
        high: upper end.
    """

    first: str
    second: str
    value: float
    low: float
    high: float


def principal_components(vectors: Vectors) -> tuple[Vectors, npt.NDArray[np.float64]]:
    """Project vectors (n, d) on their first two principal components.

    Returns:
        Places (n, 2), each column's largest entry positive; and the share of the variance of each.
    """
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(vectors), 2))
    shares = np.zeros(2)
    kept = min(2, len(sizes))
    places[:, :kept] = left[:, :kept] * sizes[:kept]
    total = float((sizes**2).sum())
    if total > 0:
        shares[:kept] = sizes[:kept] ** 2 / total
    for column in range(kept):
        if places[np.abs(places[:, column]).argmax(), column] < 0:
            places[:, column] *= -1
    return places, shares


def group_distances(groups: Mapping[str, Vectors], paired: Collection[str] = ()) -> list[Distance]:
    """Distances between the means of all pairs of groups.

    Args:
        groups: by name, each (n, d) with two scans at least.
        paired: names of groups whose rows are of the same scans, in the same order.
    """
    rng = np.random.default_rng(0)
    distances = []
    for first, second in combinations(groups, 2):
        one, other = groups[first], groups[second]
        if first in paired and second in paired:
            one, other = one - other, np.zeros((1, one.shape[1]))
        distances.append(Distance(first, second, *_distance(one, other, rng)))
    return distances


def flattened(features: Sequence[FloatArray]) -> Vectors:
    """One vector a scan, (n, d)."""
    return np.stack([feature.ravel().astype(np.float64) for feature in features])


def _distance(one: Vectors, other: Vectors, rng: np.random.Generator) -> tuple[float, float, float]:
    """Distance of two means, and the ends of its interval."""
    chance = _chance(one) + _chance(other)
    squares = [_mean_square(one.mean(axis=0) - other.mean(axis=0)) - chance]
    for _ in range(_RESAMPLES):
        of_one = one[rng.integers(len(one), size=len(one))].mean(axis=0)
        of_other = other[rng.integers(len(other), size=len(other))].mean(axis=0)
        # Chance has moved these means twice: when the scans were drawn, and when they were drawn from.
        squares.append(_mean_square(of_one - of_other) - 2 * chance)
    low, high = np.percentile(squares[1:], (2.5, 97.5))
    value, low, high = np.sqrt(np.maximum((squares[0], low, high), 0))
    return float(value), float(low), float(high)


def _chance(vectors: Vectors) -> float:
    """Mean square by which the mean of some vectors misses that of all there are."""
    return float(vectors.var(axis=0, ddof=1).mean() / len(vectors)) if len(vectors) > 1 else 0.0


def _mean_square(vector: npt.NDArray[np.float64]) -> float:
    return float((vector**2).mean())
