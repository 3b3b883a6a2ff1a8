"""Severity classes by the infected share of the lung."""

from __future__ import annotations

from bisect import bisect_left

_UPPER_ENDS = (0.0, 0.25, 0.50, 0.75)
_OF_HEALTHY_LUNGS = 0.003
"""As much is called infected in healthy lungs (table ``healthy_scans_real_scans`` of the sheet)."""


def severity_of(infected_share: float) -> str:
    """CT-0 (none), CT-1 (up to 25 %), CT-2 (50 %), CT-3 (75 %), CT-4, as MosMedData (Morozov 2020).

    What is infected may be a small lesion or what is called so in healthy lungs: up to 0.3 % it is CT-0/1.
    """
    if 0 < infected_share <= _OF_HEALTHY_LUNGS:
        return "CT-0/1"
    return f"CT-{bisect_left(_UPPER_ENDS, infected_share)}"
