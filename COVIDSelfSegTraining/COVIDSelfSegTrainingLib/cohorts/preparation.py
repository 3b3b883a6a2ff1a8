"""Make a cohort of many scans: judge each, cut those that can be used, and write down what became of all.

Killed at any moment and run again, it does only what is missing: each scan leaves a folder (whole or not at
all) and a row of its own, and a row counts as long as the files it was read from have not changed.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.events import Progress
from COVIDSelfSegLib.file_errors import writing_to
from COVIDSelfSegLib.lungs import lung_weights_sha256
from COVIDSelfSegLib.memory import fitting_into_memory
from COVIDSelfSegLib.package_card import Inference
from COVIDSelfSegLib.whole_files import write_whole

from .cohort import open_scan
from .cutting import LungChoice, array_sha256, cut_source
from .found import Found, few
from .manifest import MANIFEST, WORK, write_manifest
from .patients import doubtful_patients, hold_out_together, patients_of_two_names
from .rows import Row, reject_copies
from .sources import Source
from .splitting import one_sided, split_by_patient
from .stored_rows import stamp_of, store_row, stored_row
from .workers import spread

log = logging.getLogger(__name__)

_SETTINGS = "settings.json"


@dataclass(frozen=True)
class Settings:
    """How a cohort is made.

    Attributes:
        inference: grids of the networks.
        lungs: where lung masks come from.
        held_out: share of the patients that are held out; None keeps the sides that the sources name.
        split_seed: another one draws another split.
        workers: processes.
        verify: compare the hashes of what is there, and make anew what is damaged.
    """

    inference: Inference = field(default_factory=Inference)
    lungs: LungChoice = field(default_factory=LungChoice)
    held_out: float | None = 0.2
    split_seed: int = 0
    workers: int = 1
    verify: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What the result depends on, for the manifest."""
        inference = asdict(self.inference)
        names = ("generator_grid", "slice_plane", "margin_mm", "neighbour_mm")
        return {
            "grids": {name: inference[name] for name in names},
            "lung_model": self.lungs.weights.name if self.lungs.weights else "",
            "builtin_lungs": self.lungs.builtin,
            "lung_weights": lung_weights_sha256(self.lungs.weights, builtin=self.lungs.builtin),
            "held_out": self.held_out,
            "split_seed": self.split_seed,
        }


@dataclass(frozen=True)
class Outcome:
    """A cohort that was made.

    Attributes:
        rows: of all scans, by name.
        notes: what the user should look at.
        worked: scans that were read in this run.
        seconds: that it took.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    worked: int
    seconds: float

    @property
    def scans_per_minute(self) -> float:
        """Throughput of this run."""
        return 60 * self.worked / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class _Stop:
    """A reason to stop them all, in a form that passes between processes."""

    what: str
    why: str
    fix: str


def prepare(
    found: Sequence[Found],
    folder: Path,
    settings: Settings,
    progress: Progress = lambda _stage, _fraction, _message: None,
    notes: Sequence[str] = (),
) -> Outcome:
    """Make a cohort, or continue one.

    Args:
        found: the scans.
        folder: of the cohort.
        settings: how.
        progress: told of each scan.
        notes: for the user, from the search.

    Raises:
        UserError: the folder was made with other settings (exit code 2) or cannot be written (5).
    """
    start = time.perf_counter()
    found = _with_sides(found, settings)
    _begin(folder, settings)
    stored = {one.source.name: stored_row(folder, one) for one in found}
    worked = 0
    # Every process would put a context and networks of its own onto a GPU.
    lungs = replace(settings.lungs, device="cpu" if settings.workers > 1 else "auto")
    while todo := _missing(folder, found, stored, settings.verify and not worked):
        _open_again(folder)
        cut = partial(_cut, folder=folder, inference=settings.inference, choice=lungs)
        for done, (one, result) in enumerate(spread(cut, todo, settings.workers), start=1):
            if isinstance(result, _Stop):
                raise UserError(
                    result.what, why=result.why, fix=result.fix, code=ExitCode.OUTPUT_NOT_WRITABLE
                )
            row = result or _died(one.source)
            stored[one.source.name] = row
            worked += 1
            rate = 60 * worked / (time.perf_counter() - start)
            said = row.verdict if row.verdict == "used" else f"{row.verdict}: {row.reason}"
            progress(
                "prepare",
                done / len(todo),
                f"{done}/{len(todo)} {one.source.name} {said} ({rate:.1f} scans/min)",
            )
    rows = _judge(found, stored)
    used = [row.source for row in rows if row.verdict == "used"]
    if not used:
        raise _nothing_usable(rows)
    _bring_into_line(folder, rows)
    told = (
        *notes,
        *_failed(rows),
        *doubtful_patients(found),
        *patients_of_two_names(rows),
        *one_sided(used),
    )
    write_manifest(folder, rows, settings.to_dict(), told)
    return Outcome(tuple(rows), told, worked, time.perf_counter() - start)


def _with_sides(found: Sequence[Found], settings: Settings) -> list[Found]:
    if settings.held_out is None:
        return list(found)
    sources = split_by_patient((one.source for one in found), settings.held_out, settings.split_seed)
    return [replace(one, source=source) for one, source in zip(found, sources, strict=True)]


def _begin(folder: Path, settings: Settings) -> None:
    """Make the folder, or check that what is in it was made the same way."""
    path = folder / WORK / _SETTINGS
    made = settings.to_dict()
    values = {name: made[name] for name in ("grids", "lung_model", "builtin_lungs", "lung_weights")}
    text = json.dumps(values, indent=1)
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise UserError(
            f"The cohort {folder} was made with other grids or another lung model.",
            why="Scans that were cut in two ways cannot be trained on together.",
            fix="Choose another folder, or delete this one first.",
        )
    with writing_to(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def _open_again(folder: Path) -> None:
    """Take the manifest away: until there is a new one, the cohort is not finished."""
    with writing_to(folder / MANIFEST):
        (folder / MANIFEST).unlink(missing_ok=True)


def _cut(one: Found, folder: Path, inference: Inference, choice: LungChoice) -> Row | _Stop:
    """Work of one process: a row, whatever the scan is like; noted, unless the next run shall try again.

    It shall if the files were being copied, or went away with their disk, while they were read.
    """
    before = stamp_of(one)
    try:
        row = _judged(one, folder, inference, choice)
        stamp = stamp_of(one)
        if row.verdict != "failed" and stamp == before:
            store_row(folder, row, stamp)
    except UserError as error:
        return _Stop(error.what, error.why, error.fix)
    return row


def _judged(one: Found, folder: Path, inference: Inference, choice: LungChoice) -> Row:
    """The row of a scan that is cut, or cannot be.

    Raises:
        UserError: the folder cannot be written (exit code 5).
    """
    try:
        with fitting_into_memory():
            facts = cut_source(one.source, folder / one.source.name, inference, choice, one.files)
        return Row(one.source, "used", facts=facts)
    except UserError as error:
        if error.code == ExitCode.OUTPUT_NOT_WRITABLE:
            raise
        if error.code == ExitCode.OUT_OF_MEMORY:
            return _died(one.source)
        return Row.refused(one.source, error)
    except Exception as error:
        log.exception("Cutting %s failed", one.source.name)
        return Row(
            one.source,
            "failed",
            f"An unexpected error: {type(error).__name__}: {error}",
            "Please report it with the lines above.",
        )


def _died(source: Source) -> Row:
    return Row(
        source,
        "failed",
        "Reading it ended the process: there was not enough memory, or the file is damaged in a way that "
        "crashes the reader.",
        "Run again with fewer --workers; if it fails again, take the file out.",
    )


def _missing(
    folder: Path, found: Sequence[Found], stored: dict[str, Row | None], verify: bool
) -> list[Found]:
    """Scans without a valid row, and those that are used and whose arrays are not as they were written."""
    judged = {row.source.name: row for row in _judge(found, stored)}
    return [
        one
        for one in found
        if stored[one.source.name] is None
        or (
            judged[one.source.name].verdict == "used"
            and not _is_whole(folder, judged[one.source.name], verify)
        )
    ]


def _is_whole(folder: Path, row: Row, verify: bool) -> bool:
    try:
        scan = open_scan(folder / row.source.name)
    except UserError:
        return False
    if not verify or row.facts is None:
        return True
    return all(
        array_sha256(np.load(scan.folder / f"{name}.npy", mmap_mode="r")) == digest
        for name, digest in row.facts.arrays.items()
    )


def _judge(found: Sequence[Found], stored: dict[str, Row | None]) -> list[Row]:
    """Rows of all scans that have one, by name, with copies rejected and each person on one side."""
    rows = []
    for one in found:
        row = stored[one.source.name]
        if row is not None:
            rows.append(replace(row, source=one.source))
    return hold_out_together(reject_copies(rows))


def _bring_into_line(folder: Path, rows: Sequence[Row]) -> None:
    """Let the folders of scans say what their rows say.

    Stopped on the way, a cohort that could still be opened would have scans of one patient on both sides.
    """
    _open_again(folder)
    for row in rows:
        if row.verdict == "used":
            _bring_up_to_date(folder / row.source.name, row.source)
        elif row.verdict == "rejected":
            shutil.rmtree(folder / row.source.name, ignore_errors=True)


def _bring_up_to_date(folder: Path, source: Source) -> None:
    """Note another patient, side or licence in a scan that need not be cut again."""
    path = folder / "scan.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["source"] != asdict(source):
        write_whole(path, json.dumps({**values, "source": asdict(source)}, indent=1))


def _failed(rows: Sequence[Row]) -> list[str]:
    """Say what may be lacking, since all else of a cohort is as it would be with it."""
    failed = [row.source.path or row.source.name for row in rows if row.verdict == "failed"]
    if not failed:
        return []
    return [
        f"{len(failed)} files or folders of scans are left out, since they could not be read or cut now "
        f"({few(failed)}). The table says why. Run again when that is mended; the rest stays as it is."
    ]


def _nothing_usable(rows: Sequence[Row]) -> UserError:
    reasons = "\n".join(f"    {row.source.name}: {row.reason}" for row in rows[:5])
    fixes = {row.fix for row in rows if row.fix}
    return UserError(
        f"None of the {len(rows)} scans can be used.",
        why=f"The first reasons:\n{reasons}",
        fix=fixes.pop()
        if len(fixes) == 1
        else "See the reasons above; 'covidselfseg doctor SCAN' says more about a single scan.",
    )
