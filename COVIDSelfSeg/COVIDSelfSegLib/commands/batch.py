"""``covidselfseg batch``: many scans into one folder of results each, and one table of numbers."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..batch import Outcome, name_jobs, part_of, segment_batch, write_table
from ..errors import ExitCode, UserError, stopped_saying
from ..events import EventWriter
from .run_options import add_run_options, chosen_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``batch`` takes."""
    parser.description = (
        "Segments each scan into a folder of its own and writes one table of numbers. A scan "
        "that is refused is a row of the table; the exit code is 0 all the same, and 2 only where every scan "
        "was refused (4 where each for want of memory). If stopped and run again, it continues where it "
        "stopped."
    )
    parser.add_argument("scans", type=Path, nargs="*", help="files, or folders of one DICOM series each")
    parser.add_argument("--list", type=Path, metavar="FILE", help="text file with more scans, one per line")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--part", type=_part, default=(1, 1), metavar="I/N", help="do the I-th of N parts; for job arrays"
    )
    add_run_options(parser)
    parser.set_defaults(command=_batch)


def _batch(parsed: argparse.Namespace) -> None:
    scans = [scan for typed in parsed.scans for scan in _meant_by(typed)]
    scans += _listed(parsed.list) if parsed.list is not None else []
    if not scans:
        raise UserError(
            "No scan was named.",
            why="A batch needs files, or folders of DICOM slices.",
            fix="Use: covidselfseg batch SCAN [SCAN ...] --output DIR, or --list FILE.",
        )
    part, parts = parsed.part
    jobs = part_of(name_jobs(scans), part, parts)
    table = parsed.output / ("batch.csv" if parts == 1 else f"batch-{part}-of-{parts}.csv")
    if parsed.list is not None:
        _check_list_stays(parsed.list, table)
    writer = EventWriter() if parsed.events else None

    def tell(outcome: Outcome, done: int, of: int) -> None:
        line = f"{done}/{of} {outcome.job.name}: {_said(outcome)}"
        if writer is not None:
            writer.progress("batch", done / of, line)
        else:
            sys.stderr.write(f"{line}\n")

    start = time.perf_counter()
    with stopped_saying(
        f"Stopped; no table was written. What was finished stays in {parsed.output}, "
        "and the same command goes on from there."
    ):
        outcomes = segment_batch(jobs, parsed.output, chosen_options(parsed), tell, old_table=table)
    write_table(outcomes, table)
    counts = {
        verdict: sum(one.verdict == verdict for one in outcomes)
        for verdict in ("done", "already done", "refused")
    }
    seconds = time.perf_counter() - start
    # A part of a job array may have no scan at all.
    all_refused = bool(outcomes) and counts["refused"] == len(outcomes)
    if writer is None:
        said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        if counts["done"]:
            said += f"; {seconds:.0f} s, {seconds / counts['done']:.1f} s a scan"
        sys.stdout.write(f"{said}\ntable  {table}\nFor research use only.\n")
    elif not all_refused:
        writer.result({"table": str(table), **counts, "seconds": round(seconds, 1)})
    if all_refused:
        raise _nothing_done(outcomes, table)


def _nothing_done(outcomes: Sequence[Outcome], table: Path) -> UserError:
    """The error of a batch whose scans were all refused: a script goes by the exit code.

    More often than bad scans that is a disk that is not connected, or a list of the wrong files.
    """
    first = outcomes[0]
    codes = {one.code for one in outcomes}
    return UserError(
        f"Not one scan of {len(outcomes)} was segmented: each was refused.",
        why=f"The first, {first.job.scan}: {first.why}",
        fix=f"See {table} for the others. The same command tries them again.",
        code=first.code if len(codes) == 1 else ExitCode.INPUT_REFUSED,
    )


def _said(outcome: Outcome) -> str:
    if not outcome.report:
        return f"refused: {outcome.why}"
    share = outcome.report["numbers"]["both"]["infected_share"]
    return f"{share:.1%} of the lung infected ({outcome.verdict})"


def _meant_by(typed: Path) -> list[Path]:
    """The scans that a pattern such as ``*.nii.gz`` stands for, which the shells of Windows leave be."""
    if not {"*", "?"} & set(str(typed)) or typed.exists():
        return [typed]
    start = Path(typed.anchor)
    found: list[Path] = []
    with suppress(ValueError):  # of "**" in a name
        found = sorted(start.glob(str(typed.relative_to(start))))
    return [scan for scan in found if not scan.name.startswith(".")] or [typed]  # as shells have it


def _listed(file: Path) -> list[Path]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The list {file} cannot be read: {error}.",
            why="It should name one scan per line.",
            fix="Check its name, and save it as UTF-8 text.",
        ) from error
    return [Path(line.strip()) for line in lines if line.strip()]


def _check_list_stays(file: Path, table: Path) -> None:
    """Refuse a list that the table of numbers would take the place of."""
    if not (table.exists() and table.samefile(file)):
        return
    raise UserError(
        f"{file} would be replaced by the table of numbers, which is called the same.",
        why="The list it holds now would be lost.",
        fix="Choose another output folder, or rename the list.",
    )


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError("must be I/N with 1 <= I <= N, as 3/10")
    return int(match[1]), int(match[2])
