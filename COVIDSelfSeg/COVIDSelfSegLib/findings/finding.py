"""One thing that the doctor has to say of a scan: what it is, why it matters, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a finding means for the run."""

    REFUSED = "refused"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """What it is, why it matters, what to do."""

    severity: Severity
    what: str
    why: str
    fix: str


def refusal(what: str, why: str, fix: str) -> Finding:
    """A reason not to run."""
    return Finding(Severity.REFUSED, what, why, fix)


def warning(what: str, why: str, fix: str) -> Finding:
    """A reason to look at the results with care."""
    return Finding(Severity.WARNING, what, why, fix)


def note(what: str, why: str, fix: str) -> Finding:
    """Something to know."""
    return Finding(Severity.NOTE, what, why, fix)
