"""Means with what is known of their uncertainty."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2000


@dataclass(frozen=True)
class Summary:
    """Of a figure over scans (or slices).

    Attributes:
        count: values that went in.
        undefined: values that were NaN (empty against empty, say), which did not.
        mean: of the values.
        median: of the values.
        low: lower end of the 95 % bootstrap interval of the mean.
        high: upper end.
    """

    count: int
    undefined: int
    mean: float
    median: float
    low: float
    high: float


def summarise(values: Iterable[float], seed: int = 0) -> Summary:
    """Mean, median and 95 % percentile-bootstrap interval of the mean; NaN throughout without values."""
    given = np.array(list(values), float)
    known = given[np.isfinite(given)]
    undefined = len(given) - len(known)
    if not len(known):
        nan = float("nan")
        return Summary(0, undefined, nan, nan, nan, nan)
    draws = np.random.default_rng(seed).integers(len(known), size=(_RESAMPLES, len(known)))
    low, high = np.percentile(known[draws].mean(axis=1), (2.5, 97.5))
    return Summary(
        len(known), undefined, float(known.mean()), float(np.median(known)), float(low), float(high)
    )
