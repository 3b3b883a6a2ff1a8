"""One row per scan: what became of it and why; copies are told here, since they need all rows."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.package_card import is_non_commercial

from .cutting import Facts
from .sources import Source

Verdict = Literal["used", "rejected", "failed"]


@dataclass(frozen=True)
class Row:
    """A scan and its verdict.

    Attributes:
        source: the scan.
        verdict: ``used``; ``rejected`` for a reason in the scan; ``failed`` for one outside of it, and then
            the next run tries again.
        reason: why it is not used.
        fix: what to do about it.
        facts: None where it was not cut.
    """

    source: Source
    verdict: Verdict
    reason: str = ""
    fix: str = ""
    facts: Facts | None = None

    @classmethod
    def refused(cls, source: Source, error: UserError) -> Row:
        """The row of a scan that cannot be used.

        What the system does not let be read, it may next time; nor is a lung model that is gone the scan's
        fault.
        """
        cause = error.__cause__
        outside = error.code is not ExitCode.INPUT_REFUSED or (isinstance(cause, OSError) and cause.errno)
        verdict: Verdict = "failed" if outside else "rejected"
        return cls(source, verdict, f"{error.what} {error.why}", error.fix)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Row:
        """The row that :meth:`to_dict` took apart."""
        facts = values["facts"]
        if facts is not None:
            triples = {name: tuple(facts[name]) for name in ("size", "spacing_mm", "findings")}
            facts = Facts(**{**facts, **triples})
        return cls(Source(**values["source"]), values["verdict"], values["reason"], values["fix"], facts)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def reject_copies(rows: Iterable[Row]) -> list[Row]:
    """Keep one of every scan that is there more than once, whatever its format or name.

    A scan in both the healthy and the COVID folder is kept in neither: one of the two is wrong, and which
    one cannot be seen from here.
    """
    rows = list(rows)
    same: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row.verdict == "used" and row.facts is not None:
            same[row.facts.content_sha256].append(index)
    for indices in same.values():
        copies = [rows[index] for index in indices]
        # One half of a scan may be healthy where the other is not, so the side belongs to the group.
        if len({row.source.group for row in copies}) > 1:
            for index in indices:
                others = [_place(rows[other]) for other in indices if other != index]
                rows[index] = replace(
                    rows[index],
                    verdict="rejected",
                    reason=f"The same scan is given as healthy and as COVID ({', '.join(others)}).",
                    fix="Take it out of the folder that it does not belong to.",
                )
            continue
        first, *rest = sorted(indices, key=lambda index: (rows[index].source.lesion_mask is None, index))
        for index in rest:
            rows[index] = replace(
                rows[index],
                verdict="rejected",
                reason=f"It is a copy of {_place(rows[first])}.",
                fix="Nothing to do: the other one is used.",
            )
    return rows


def to_csv(rows: Iterable[Row]) -> str:
    """All rows as a table that a person can open."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_cells(row) for row in rows)
    return text.getvalue()


_COLUMNS = (
    *("name", "verdict", "reason", "fix", "group", "class", "split", "patient", "licence", "non_commercial"),
    *("scan", "series", "lesion_mask", "lung_mask", "size", "spacing_mm", "lung_ml", "lung_source"),
    *("findings", "content_sha256"),
)


def _cells(row: Row) -> dict[str, object]:
    source, facts = row.source, row.facts
    cells: dict[str, object] = {
        "name": source.name,
        "verdict": row.verdict,
        "reason": row.reason,
        "fix": row.fix,
        "group": source.group,
        "class": source.stated_class,
        "split": source.split if row.verdict == "used" else "",
        "patient": source.patient,
        "licence": source.licence,
        "non_commercial": "yes" if is_non_commercial(source.licence) else "",
        "scan": _place(row),
        "series": source.series,
        "lesion_mask": source.lesion_mask or "",
        "lung_mask": source.lung_mask or "",
    }
    if facts is not None:
        cells |= {
            "size": " x ".join(map(str, facts.size)),
            "spacing_mm": " x ".join(f"{mm:.4g}" for mm in facts.spacing_mm),
            "lung_ml": f"{facts.lung_ml:.0f}",
            "lung_source": facts.lung_source,
            "findings": " | ".join(facts.findings),
            "content_sha256": facts.content_sha256,
        }
    return cells


def _place(row: Row) -> str:
    return row.source.path or f"phantom of seed {row.source.seed}, severity {row.source.severity}"
