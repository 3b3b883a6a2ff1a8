"""What a cohort folder holds: ``manifest.json`` with hashes, ``cohort.csv`` for people, and the work so far.

The manifest is written last. While scans are being cut there is none, so that a cohort that was not
finished cannot be taken for a whole one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from COVIDSelfSegLib import __version__
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.whole_files import write_whole

from .rows import Row, to_csv

FORMAT = 2
MANIFEST, TABLE, WORK = "manifest.json", "cohort.csv", ".rows"


def write_manifest(folder: Path, rows: Sequence[Row], settings: dict[str, Any], notes: Sequence[str]) -> None:
    """Write the manifest and the table; the same rows give the same bytes.

    Raises:
        UserError: the folder cannot be written (exit code 5).
    """
    values = {
        "format": FORMAT,
        "code_version": __version__,
        "settings": settings,
        "notes": list(notes),
        "scans": [row.to_dict() for row in rows],
    }
    # Without the mark, Excel takes the letters of paths and patients for those of another alphabet.
    write_whole(folder / TABLE, "\ufeff" + to_csv(rows))
    write_whole(folder / MANIFEST, json.dumps(values, indent=1) + "\n")


def read_manifest(folder: Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows and the settings of a cohort.

    Raises:
        UserError: there is none, or it is of a later version.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] > FORMAT:
            raise UserError(
                f"{path} has format {values['format']}; this version reads up to {FORMAT}.",
                why="A later version of COVIDSelfSeg made it, and its entries may mean something else.",
                fix="Update COVIDSelfSeg, or make the cohort again with this version.",
            )
        return [Row.from_dict(scan) for scan in values["scans"]], values["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} holds no readable cohort manifest ({error}).",
            why="It says which scans are used, and what they were made from.",
            fix="Make the cohort with 'covidselfseg prepare'; run again, it continues where it stopped.",
        ) from error


def used_scans(folder: Path) -> dict[str, str] | None:
    """Scans that a cohort uses, by name, with the hash of their content; None without a manifest.

    Raises:
        UserError: the cohort was not finished.
    """
    if (folder / MANIFEST).is_file():
        rows, _ = read_manifest(folder)
        used = [row for row in rows if row.verdict == "used"]
        return {row.source.name: row.facts.content_sha256 if row.facts else "" for row in used}
    if (folder / WORK).is_dir():
        raise UserError(
            f"The cohort {folder} is not finished.",
            why="Its preparation was stopped, so scans are missing.",
            fix="Run the same 'covidselfseg prepare' again; it does only what is missing.",
        )
    return None
