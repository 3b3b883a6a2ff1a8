"""Means with what is known of their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student_t


@dataclass(frozen=True)
class Summary:
    """Of a figure over scans (or slices).

    Attributes:
        count: values that went in.
        undefined: values that were NaN (empty against empty, say), which did not.
        mean: of the values.
        median: of the values.
        low: lower end of the 95 % interval of the mean; NaN where there is one value alone.
        high: upper end.
    """

    count: int
    undefined: int
    mean: float
    median: float
    low: float
    high: float


def summarise(values: Iterable[float]) -> Summary:
    """Mean, median and 95 % interval of the mean by Student's t; NaN throughout without values.

    Cohorts are small, and the bootstrap's intervals are too narrow then: of two scans that got better by
    chance it would say that it is shown.
    """
    given = np.array(list(values), float)
    known = given[np.isfinite(given)]
    undefined = len(given) - len(known)
    if not len(known):
        nan = float("nan")
        return Summary(0, undefined, nan, nan, nan, nan)
    mean, half = float(known.mean()), float("nan")
    if len(known) > 1:
        half = float(student_t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return Summary(len(known), undefined, mean, float(np.median(known)), mean - half, mean + half)


def summarise_clusters(values: Iterable[float], clusters: Sequence[Hashable]) -> Summary:
    """The same of values that belong together, as slices or scans of one patient do.

    The interval counts patients, not slices or scans: what they deviate from the mean by, summed patient by
    patient (the cluster-robust variance of a mean, Liang and Zeger 1986). Where each value is a cluster of
    its own it is that of :func:`summarise`; of one cluster alone nothing is known.

    Args:
        values: one a slice, say.
        clusters: of each value, to whom it belongs.
    """
    given = np.array(list(values), float)
    plain = summarise(given)
    sums: dict[Hashable, float] = {}
    for value, cluster in zip(given, clusters, strict=True):
        if np.isfinite(value):
            sums[cluster] = sums.get(cluster, 0.0) + float(value) - plain.mean
    count, half = len(sums), float("nan")
    if count > 1:
        spread = math.sqrt(count / (count - 1) * sum(value**2 for value in sums.values())) / plain.count
        half = float(student_t.ppf(0.975, count - 1)) * spread
    return replace(plain, low=plain.mean - half, high=plain.mean + half)
