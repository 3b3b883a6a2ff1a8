"""Severity classes by the infected share of the lung."""

from __future__ import annotations

from bisect import bisect_left

_UPPER_ENDS = (0.0, 0.25, 0.50, 0.75)


def severity_of(infected_share: float) -> str:
    """CT-0 (none), CT-1 (up to 25 %), CT-2 (50 %), CT-3 (75 %), CT-4, as MosMedData (Morozov 2020)."""
    return f"CT-{bisect_left(_UPPER_ENDS, infected_share)}"
