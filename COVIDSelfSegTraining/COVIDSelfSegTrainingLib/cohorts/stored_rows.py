"""What earlier runs found out of each scan; it counts as long as the files have not changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from COVIDSelfSegLib.whole_files import write_whole

from .found import Found
from .manifest import WORK
from .rows import Row
from .sources import Source

Stamp = list[list[str | int]]


def stored_row(folder: Path, one: Found) -> Row | None:
    """What an earlier run found out of a scan; None where it did not, or the files have changed since."""
    if one.problem is not None:
        return Row.refused(one.source, one.problem)
    try:
        values = json.loads((folder / WORK / f"{one.source.name}.json").read_text(encoding="utf-8"))
        row = Row.from_dict(values["row"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    same = values["stamp"] == stamp_of(one) and _cut_from(row.source) == _cut_from(one.source)
    return row if same else None


def store_row(folder: Path, row: Row, stamp: Stamp) -> None:
    """Note what was found out of a scan.

    Args:
        folder: of the cohort.
        row: of the scan.
        stamp: of its files, the same before they were read and after.

    Raises:
        UserError: it cannot be written (exit code 5).
    """
    values = {"stamp": stamp, "row": row.to_dict()}
    write_whole(folder / WORK / f"{row.source.name}.json", json.dumps(values, indent=1))


def stamp_of(one: Found) -> Stamp:
    """Size and time of the files that a scan is read from."""
    stamp: Stamp = []
    for path in one.files:
        try:
            status = path.stat()
        except OSError:
            continue  # reading it will say so
        stamp.append([str(path), status.st_size, status.st_mtime_ns])
    return stamp


def _cut_from(source: Source) -> Source:
    """What the arrays depend on."""
    return replace(
        source, group="healthy", licence="", patient="", split="train", lesion_mask=None, stated_class=""
    )
