"""Many scans, one after the other: while the networks run on one, the next is read and the last written.

All cores (or the GPU) so stay busy with little more memory than a single run takes. A scan that is refused
is a row of the table and stops nothing; what an earlier run finished is not done again.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from . import __version__, results
from .devices import choose_device
from .errors import ExitCode, UserError
from .file_errors import reading_from, writing_to
from .lungs import lung_weights_sha256
from .memory import fitting_into_memory
from .models import ModelPackage, find_package
from .pipeline import Options, Run, StageClock, segment, write_results
from .scan_files.dicom import described
from .volume import bare_name, files_of, read_scan
from .whole_files import write_whole

_NUMBERS = {
    f"{side} {key}": (side, key)
    for side in ("right", "left", "both")
    for key in ("volume_ml", "infected_ml", "infected_share")
}
"""Columns of the table, and where in a report's numbers they are: ml, and shares of the lung 0 .. 1."""
_COLUMNS = (
    *("name", "scan", "verdict"),
    *_NUMBERS,
    *("severity", "threshold", "series", "warnings", "seconds", "why"),
)
"""The same ones in the same order whatever became of the scans: tables of parts are put below one another."""
_FATAL = (ExitCode.MODEL_UNUSABLE, ExitCode.OUTPUT_NOT_WRITABLE)
"""The next scan would fail in the same way."""

Tell = Callable[["Outcome", int, int], object]
"""Called with each outcome, how many there are now, and of how many."""


@dataclass(frozen=True)
class Job:
    """A scan to segment.

    Attributes:
        name: of its folder of results; unique.
        scan: file or folder of DICOM slices.
    """

    name: str
    scan: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: the scan.
        verdict: ``done``, ``already done`` or ``refused``.
        why: it was refused.
        report: of the run; empty where it was refused.
        code: that a run on this scan alone would exit with.
    """

    job: Job
    verdict: str
    why: str
    report: dict[str, Any]
    code: ExitCode = ExitCode.DONE

    @property
    def seconds(self) -> float:
        """Sum of its stages; some of them ran beside those of the scans before and after."""
        return float(sum(self.report["seconds"].values())) if self.report else 0.0

    def row(self) -> dict[str, Any]:
        """Of the table; what a refused scan does not have is left out."""
        row: dict[str, Any] = {"name": self.job.name, "scan": str(self.job.scan), "verdict": self.verdict}
        if self.report:
            numbers = self.report["numbers"]
            row |= {column: numbers[side][key] for column, (side, key) in _NUMBERS.items()}
            row |= {"severity": numbers["severity"], "threshold": self.report["threshold"]}
            row["series"] = self.report.get("series", {}).get("description", "")
            row["warnings"] = " ".join(finding["what"] for finding in self.report["findings"])
        return row | {"seconds": round(self.seconds, 1) or "", "why": self.why}


def name_jobs(scans: Sequence[Path]) -> list[Job]:
    """Name each scan after its file or folder, with as much of its path as tells it from the others.

    Capitals do not tell names apart: on Windows and macOS such folders would be one.
    """
    # The results of ".." would lie outside of the output.
    places = [scan.resolve() if scan.name in ("", "..") else scan.absolute() for scan in scans]
    names = [_folder_name(place) for place in places]
    parents = [place.parent for place in places]
    while taken_twice := _taken_twice(names):
        longer = [
            f"{parent.name}_{name}" if twice and parent.name else name
            for name, parent, twice in zip(names, parents, taken_twice, strict=True)
        ]
        if longer == names:
            raise _same_folder(scans, names, taken_twice.index(True))
        parents = [
            parent.parent if twice else parent for parent, twice in zip(parents, taken_twice, strict=True)
        ]
        names = longer
    return [Job(name, scan) for name, scan in zip(names, scans, strict=True)]


def _taken_twice(names: Sequence[str]) -> list[bool]:
    """Which names are also another's; an empty list where none is."""
    counts = Counter(name.casefold() for name in names)
    return [counts[name.casefold()] > 1 for name in names] if len(counts) < len(names) else []


def _same_folder(scans: Sequence[Path], names: Sequence[str], first: int) -> UserError:
    """Why the scan of a number and another one cannot both have results."""
    folded = [name.casefold() for name in names]
    again = folded.index(folded[first], first + 1)
    if scans[first].absolute() == scans[again].absolute():
        return UserError(
            f"The scan {scans[first]} was named twice.",
            why="Its results would be written twice to the same folder.",
            fix="Name each scan once.",
        )
    return UserError(
        f"The names of {scans[first]} and {scans[again]} differ only in their ending or in capitals.",
        why="Their results would be written to the same folder.",
        fix="Rename one of them.",
    )


def _folder_name(scan: Path) -> str:
    name = bare_name(scan)
    return scan.name if name in ("", ".", "..") else name


def part_of(jobs: Sequence[Job], part: int, parts: int) -> list[Job]:
    """Every ``parts``-th job from the ``part``-th (1 ..) on: what one machine of several does."""
    return list(jobs[part - 1 :: parts])


def segment_batch(
    jobs: Sequence[Job], output: Path, options: Options, tell: Tell, *, old_table: Path | None = None
) -> list[Outcome]:
    """Segment scans into ``output/NAME``.

    Args:
        jobs: the scans.
        output: folder for one folder of results each.
        options: of every run; a lung mask or a series cannot be named.
        tell: see :data:`Tell`.
        old_table: deleted before the first result is replaced, since it would no longer be true.

    Returns:
        One outcome a job, in their order.

    Raises:
        UserError: the model is unusable (exit code 3), the output not writable (5), or the GPU that was asked
            for is not there (2). What was finished before stays, and the next run goes on from there.
    """
    package = find_package(options.model)
    with writing_to(output):
        output.mkdir(parents=True, exist_ok=True)
    lungs = lung_weights_sha256(options.lung_model, builtin=options.builtin_lungs)
    outcomes: dict[str, Outcome] = {}
    waiting = []
    for job in jobs:
        report = _finished(job, output, options, package, lungs)
        if report is None:
            waiting.append(job)
        else:
            outcomes[job.name] = Outcome(job, "already done", "", report)
            tell(outcomes[job.name], len(outcomes), len(jobs))
    if waiting:
        # Without a GPU every scan would fail alike, each as though something were wrong with it.
        choose_device(options.device)
        if old_table is not None:
            with writing_to(old_table):
                old_table.unlink(missing_ok=True)
    for outcome in _work(waiting, output, options, package):
        if outcome.verdict == "refused":
            _drop_report_of_other_files(outcome.job, output)
        outcomes[outcome.job.name] = outcome
        tell(outcome, len(outcomes), len(jobs))
    return [outcomes[job.name] for job in jobs]


def write_table(outcomes: Sequence[Outcome], file: Path) -> None:
    """Write one row a scan as CSV, whole or not at all.

    Raises:
        UserError: the file cannot be written (exit code 5).
    """
    rows = [outcome.row() for outcome in outcomes]
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(file, text.getvalue())


def _work(jobs: Sequence[Job], output: Path, options: Options, package: ModelPackage) -> Iterator[Outcome]:
    """Segment in this thread; another reads one scan ahead, a third writes one behind."""
    pending: tuple[Job, Future[dict[str, Any]]] | None = None
    with ThreadPoolExecutor(1) as writing:
        for job, clock, read in _read_ahead(jobs, options):
            result: Future[dict[str, Any]] = Future()
            try:
                results.check_stays(job.scan, output / job.name)
                with fitting_into_memory():
                    scan, about = read.result()
                    run = segment(scan, package, options, clock)
                if pending is not None:
                    wait([pending[1]])  # at most one run waits in memory for its files
                result = writing.submit(_write, run, job, output, about, clock)
            except UserError as error:
                result.set_exception(error)
            if pending is not None:
                yield _outcome(*pending)
            pending = job, result
        if pending is not None:
            yield _outcome(*pending)


def _read_ahead(
    jobs: Sequence[Job], options: Options
) -> Iterator[tuple[Job, StageClock, Future[tuple[sitk.Image, dict[str, Any]]]]]:
    """Each scan with the clock of its run; while it is worked on, the next one is read."""
    with ThreadPoolExecutor(1) as reading:
        clocks = [StageClock() for _ in jobs]
        reads = (reading.submit(_read, job, options, clock) for job, clock in zip(jobs, clocks, strict=True))
        following = next(reads, None)
        for job, clock in zip(jobs, clocks, strict=True):
            read, following = following, None
            assert read is not None
            wait([read])
            following = next(reads, None)
            yield job, clock, read


def _read(job: Job, options: Options, clock: StageClock) -> tuple[sitk.Image, dict[str, Any]]:
    """A scan, and what its report says about where it came from."""
    with clock.stage("read"):
        with reading_from(job.scan):
            asked = _asked(job, options)  # before it is read: what comes later is not in the result
        scan = read_scan(job.scan)
        return scan, {"scan": str(job.scan), **described(scan), "asked": asked}


def _outcome(job: Job, result: Future[dict[str, Any]]) -> Outcome:
    try:
        return Outcome(job, "done", "", result.result())
    except UserError as error:
        if error.code in _FATAL:
            raise
        return Outcome(job, "refused", f"{error.what} {error.fix}", {}, error.code)


def _write(run: Run, job: Job, output: Path, about: dict[str, Any], clock: StageClock) -> dict[str, Any]:
    with fitting_into_memory(), results.results_folder(output / job.name) as folder:
        return write_results(run, folder, about, clock)


def _asked(job: Job, options: Options) -> dict[str, Any]:
    """What decides the result; where it was computed does not."""
    chosen = {name: str(value) for name, value in asdict(options).items() if name != "device"}
    return chosen | _stamp(job)


def _stamp(job: Job) -> dict[str, int]:
    """What tells a scan's files from those of the same names at another time."""
    stamps = [file.stat() for file in files_of(job.scan)]
    changed = max((stamp.st_mtime_ns for stamp in stamps), default=0)
    return {"files": len(stamps), "bytes": sum(s.st_size for s in stamps), "changed": changed}


def _drop_report_of_other_files(job: Job, output: Path) -> None:
    """Delete the report of a scan that has been refused, if its files were others then."""
    file = output / job.name / results.REPORT
    with suppress(OSError, ValueError, KeyError, TypeError):
        asked, now = json.loads(file.read_text(encoding="utf-8"))["asked"], _stamp(job)
        if {name: asked[name] for name in now} != now:
            file.unlink()


def _finished(
    job: Job, output: Path, options: Options, package: ModelPackage, lungs: str
) -> dict[str, Any] | None:
    """The report of an earlier run of this scan with these options, models and version; None otherwise.

    Args:
        job: the scan.
        output: folder of all results.
        options: of the run.
        package: as it is now.
        lungs: SHA-256 of the lung mask's weights.
    """
    file = output / job.name / results.REPORT
    try:
        report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        same = report["scan"] == str(job.scan) and report["asked"] == _asked(job, options)
        same &= report["versions"]["covidselfseg"] == __version__
        same &= report["lung_mask"]["sha256"] == lungs
        same &= report["model"]["sha256"] == package.sha256
        same &= report["model"]["inference_sha256"] == package.card.inference.sha256
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return report if same else None
