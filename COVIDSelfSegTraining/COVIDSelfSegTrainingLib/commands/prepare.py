"""``covidselfseg prepare`` and ``prepare-shipped``: folders of scans become a cohort."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from COVIDSelfSegLib.commands.console import print_line
from COVIDSelfSegLib.commands.number_types import whole_number
from COVIDSelfSegLib.errors import UserError, stopped_saying
from COVIDSelfSegLib.events import EventWriter
from COVIDSelfSegLib.package_card import is_non_commercial

from ..cohorts.corrections import corrected
from ..cohorts.cutting import LungChoice
from ..cohorts.found import Found, Root
from ..cohorts.layouts import MOSMED_LICENCE
from ..cohorts.manifest import MANIFEST, TABLE
from ..cohorts.preparation import Outcome, Settings, prepare
from ..cohorts.rows import Row
from ..cohorts.scan_folders import search
from ..cohorts.shipped import data_folder, shipped_sources
from ..cohorts.sources import LICENCE_UNKNOWN
from ..cohorts.workers import usable_cores
from ..preset_files import find_preset


def add_prepare(parser: argparse.ArgumentParser) -> None:
    """What ``prepare`` takes."""
    parser.description = (
        "Judges every scan, cuts those that can be used, and writes a table of all. If killed and "
        "run again, it continues where it stopped."
    )
    for option, text in (
        ("--healthy", "scans without disease; may be given several times, as the next two"),
        ("--covid", "scans with COVID-19"),
        ("--mosmed", "scans in folders CT-0 .. CT-4, laid out as MosMedData"),
    ):
        parser.add_argument(option, type=Path, action="append", default=[], metavar="DIR", help=text)
    parser.add_argument("--licence", metavar="TEXT", help="of all these scans, for the model card")
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="CSV",
        help="a copy of cohort.csv with patients etc. corrected; 'none' removes a mask",
    )
    parser.add_argument(
        "--held-out", type=float, default=0.2, metavar="SHARE", help="share of the patients held out (0.2)"
    )
    parser.add_argument(
        "--split-seed", type=int, default=0, metavar="N", help="another number holds out others (0)"
    )
    parser.add_argument("--lung-model", type=Path, metavar="FILE", help="R231 weights for lungmask")
    parser.add_argument("--builtin-lungs", action="store_true", help="do not use lungmask")
    parser.set_defaults(command=_prepare)
    _add_common(parser)


def add_prepare_shipped(parser: argparse.ArgumentParser) -> None:
    """What ``prepare-shipped`` takes."""
    parser.add_argument("output", type=Path, metavar="DIR", help="folder for the cohort")
    parser.set_defaults(command=_prepare_shipped)
    _add_common(parser, with_output=False)


def _add_common(parser: argparse.ArgumentParser, *, with_output: bool = True) -> None:
    if with_output:
        parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the cohort")
    parser.add_argument(
        "--preset", default="default", metavar="NAME|FILE", help="whose grids to cut into (default)"
    )
    cores = usable_cores()
    parser.add_argument(
        "--workers",
        type=whole_number,
        default=cores,
        metavar="N",
        help=f"processes, 0.6 to 2 GB each (here {cores}); a single one uses a GPU for the lungs",
    )
    parser.add_argument("--verify", action="store_true", help="compare hashes, and remake what is damaged")
    parser.add_argument("--events", action="store_true", help="progress as JSON lines on stdout")


def _prepare(parsed: argparse.Namespace) -> None:
    if not 0 <= parsed.held_out <= 1:
        raise UserError(
            f"--held-out is {parsed.held_out:g}.",
            why="It is the share of the patients to hold out for evaluation.",
            fix="Give a number between 0 and 1.",
        )
    licence = parsed.licence or LICENCE_UNKNOWN
    roots = [Root(folder, "healthy", licence) for folder in parsed.healthy]
    roots += [Root(folder, "diseased", licence) for folder in parsed.covid]
    roots += [Root(folder, None, parsed.licence or MOSMED_LICENCE) for folder in parsed.mosmed]
    if not roots:
        raise UserError(
            "No folder of scans was named.",
            why="A cohort needs scans without disease and scans with COVID-19.",
            fix="Give --healthy DIR and --covid DIR, or --mosmed DIR.",
        )
    found = search(roots)
    scans, notes = list(found.found), list(found.notes)
    if parsed.corrections:
        scans, unused = corrected(found.found, parsed.corrections)
        notes += unused
    settings = Settings(
        inference=find_preset(parsed.preset).inference,
        lungs=LungChoice(parsed.lung_model, parsed.builtin_lungs),
        held_out=parsed.held_out,
        split_seed=parsed.split_seed,
        workers=parsed.workers,
        verify=parsed.verify,
    )
    _run(parsed, scans, settings, notes)


def _prepare_shipped(parsed: argparse.Namespace) -> None:
    data = data_folder()
    if data is None:
        sys.stderr.write("No real scans were found; the cohort will hold only phantoms.\n")
    scans = [
        Found(source, (Path(source.path),) if source.path else ())
        for source in sorted(shipped_sources(data), key=lambda source: source.name)
    ]
    settings = Settings(
        inference=find_preset(parsed.preset).inference,
        lungs=LungChoice(builtin=True),  # the same cohort on every machine, with R231's weights or without
        # What is held out from the shipped models is other phantoms and other scans altogether.
        held_out=None,
        workers=parsed.workers,
        verify=parsed.verify,
    )
    _run(parsed, scans, settings, ())


def _run(parsed: argparse.Namespace, scans: list[Found], settings: Settings, notes: Sequence[str]) -> None:
    folder: Path = parsed.output
    writer = EventWriter() if parsed.events else None
    with stopped_saying(
        f"Stopped; there is no cohort yet. The scans that were cut stay in {folder}, and the same command "
        "goes on from there."
    ):
        outcome = prepare(scans, folder, settings, writer.progress if writer else print_line, notes)
    if writer:
        writer.result({"cohort": str(folder), **_summary(outcome)})
    else:
        _print_outcome(outcome, folder)


def _summary(outcome: Outcome) -> dict[str, Any]:
    verdicts = Counter(row.verdict for row in outcome.rows)
    used = [row.source for row in outcome.rows if row.verdict == "used"]
    sides = Counter(f"{source.group} {source.split}" for source in used)
    return {
        "verdicts": dict(verdicts),
        "used": dict(sides),
        "non_commercial": sum(is_non_commercial(source.licence) for source in used),
        "notes": list(outcome.notes),
        "worked": outcome.worked,
        "seconds": round(outcome.seconds, 1),
        "scans_per_minute": round(outcome.scans_per_minute, 1),
    }


def _print_outcome(outcome: Outcome, folder: Path) -> None:
    summary = _summary(outcome)
    lines = [_line(row) for row in outcome.rows if row.verdict != "used"]
    lines += [f"note: {note}" for note in outcome.notes]
    if summary["non_commercial"]:
        lines.append(
            f"note: {summary['non_commercial']} scans are under a non-commercial licence; the model card of "
            "what is trained on them will say so."
        )
    counts = ", ".join(f"{count} {name}" for name, count in sorted(summary["verdicts"].items()))
    sides = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(summary["used"].items()))
    lines.append(f"{len(outcome.rows)} scans: {counts} ({sides})")
    if outcome.worked:
        lines.append(
            f"{outcome.worked} read in {outcome.seconds:.0f} s, {outcome.scans_per_minute:.1f} scans a minute"
        )
    else:
        lines.append("all were there already")
    lines += [f"table     {folder / TABLE}", f"manifest  {folder / MANIFEST}"]
    sys.stdout.write("\n".join(lines) + "\n")


def _line(row: Row) -> str:
    return f"{row.verdict}: {row.source.path or row.source.name}\n  Why: {row.reason}\n  Fix: {row.fix}"
