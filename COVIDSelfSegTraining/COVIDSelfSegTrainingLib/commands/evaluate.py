"""``covidselfseg evaluate`` and ``compare``: packages on a cohort, as one page with tables beside it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from COVIDSelfSegLib.commands.console import print_line
from COVIDSelfSegLib.commands.number_types import count, share
from COVIDSelfSegLib.commands.run_options import add_device
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.errors import UserError, stopped_saying
from COVIDSelfSegLib.events import EventWriter, Progress
from COVIDSelfSegLib.models import DEFAULT_PACKAGE, ModelPackage, find_package
from COVIDSelfSegLib.pipeline import Options

from ..evaluation.benchmark_cases import benchmark_phantoms
from ..evaluation.cases import Case, cases_of_cohort
from ..evaluation.evaluated import Evaluated, evaluate
from ..evaluation.evaluation_sheet import FurtherFindings, draw_sheet
from ..evaluation.score_tables import with_lesions
from ..evaluation.slice_sets import SliceSet, check_sets, read_slices, score_slice_set
from ..evaluation.statistics import summarise


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """What ``evaluate`` takes."""
    parser.description = (
        "Runs the package on the held-out scans of a cohort and writes every table and figure "
        "to one page, with CSV files beside it. If stopped and run again, it continues where it stopped."
    )
    parser.add_argument(
        "--model", action="append", metavar="[LABEL=]NAME|FILE", help="package; may be given several times"
    )
    parser.set_defaults(command=_evaluate)
    _add_common(parser)


def add_compare(parser: argparse.ArgumentParser) -> None:
    """What ``compare`` takes."""
    parser.description = (
        "As 'evaluate', with the packages side by side. The first is the old one, the last the new one."
    )
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="[LABEL=]NAME|FILE",
        help="package; give two or more",
    )
    parser.set_defaults(command=_compare)
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cohort", type=Path, nargs="?", help="folder that 'covidselfseg prepare' wrote")
    parser.add_argument("--all", action="store_true", help="evaluate the training side of the cohort too")
    parser.add_argument("--phantoms", type=count, default=0, metavar="N", help="add N held-out phantoms")
    parser.add_argument(
        "--slices", type=Path, action="append", default=[], metavar="DIR|NPZ", help="annotated single slices"
    )
    parser.add_argument(
        "--slice-labels",
        type=Path,
        metavar="JSON",
        help="labels of slices; see docs/cohorts-and-evaluation.md",
    )
    add_sheet_options(parser)


def add_sheet_options(parser: argparse.ArgumentParser) -> None:
    """How packages are run, and where the sheet goes."""
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for page and tables"
    )
    parser.add_argument("--threshold", type=share, metavar="T", help="0..1; default: each model's own")
    parser.add_argument("--lung-model", type=Path, metavar="FILE", help="R231 weights for lungmask")
    parser.add_argument("--builtin-lungs", action="store_true", help="do not use lungmask")
    add_device(parser)
    parser.add_argument("--pictures", type=count, default=12, metavar="N", help="scans to show (12)")
    parser.add_argument("--events", action="store_true", help="progress as JSON lines on stdout")


def _evaluate(parsed: argparse.Namespace) -> None:
    _run(parsed, parsed.model or [DEFAULT_PACKAGE], "Evaluation")


def _compare(parsed: argparse.Namespace) -> None:
    if len(parsed.model) < 2:
        raise UserError(
            "Only one model package was named.",
            why="A comparison needs an old one and a new one.",
            fix="Give --model twice, or use 'covidselfseg evaluate'.",
        )
    _run(parsed, parsed.model, "Comparison")


def _run(parsed: argparse.Namespace, models: Sequence[str], title: str) -> None:
    packages = open_packages(models)
    cases, notes = _cases(parsed)
    where = f" on {parsed.cohort.name}" if parsed.cohort else ""
    write_sheet(parsed, packages, cases, title=f"{title}{where}", notes=notes, slice_files=parsed.slices)


def write_sheet(
    parsed: argparse.Namespace,
    packages: Sequence[tuple[str, ModelPackage]],
    cases: Sequence[Case],
    *,
    title: str,
    notes: Sequence[str],
    slice_files: Sequence[Path],
    score_further: Callable[[Evaluated, Options, Progress], FurtherFindings] = lambda *_: FurtherFindings(),
) -> None:
    """Run packages over everything, write the sheet, and say where it is.

    Args:
        parsed: with what :func:`add_sheet_options` adds.
        packages: label and package.
        cases: scans.
        title: of the page.
        notes: what a reader must know of the choice of scans.
        slice_files: sets of annotated slices.
        score_further: scores what else the sheet shows.

    Raises:
        UserError: as :func:`..evaluation.evaluated.evaluate`.
    """
    check_sets(slice_files)
    if parsed.threshold is not None:
        packages = [(label, _at(parsed.threshold, package)) for label, package in packages]
    options = Options(
        lung_model=parsed.lung_model,
        builtin_lungs=parsed.builtin_lungs,
        device=parsed.device,
    )
    writer = EventWriter() if parsed.events else None
    progress = writer.progress if writer else print_line
    with stopped_saying(
        f"Stopped; no sheet was written. The scans that were scored stay in {parsed.output}, and the same "
        "command goes on from there."
    ):
        evaluated = evaluate(cases, packages, parsed.output, options, progress)
        sets = [_score_slices(path, packages, parsed.device, progress) for path in slice_files]
        further = score_further(evaluated, options, progress)
    sheet = draw_sheet(evaluated, title, notes, parsed.pictures, slice_sets=sets, further=further)
    page = sheet.write(parsed.output)
    if writer:
        writer.result({"page": str(page), **_summary(evaluated)})
    else:
        _print_outcome(evaluated, page)


def _at(threshold: float, package: ModelPackage) -> ModelPackage:
    """A package as if this threshold were its own, so that scans, slices and tables all go by it."""
    inference = replace(package.card.inference, threshold=threshold)
    return replace(package, card=replace(package.card, inference=inference))


def _score_slices(
    path: Path, packages: Sequence[tuple[str, ModelPackage]], device: str, progress: Progress
) -> SliceSet:
    count = sum(1 for _ in read_slices(path))
    return score_slice_set(
        path,
        packages,
        choose_device(device),
        lambda done, name: progress("slices", done / count, f"{done}/{count} slice {name} of {path.name}"),
    )


def open_packages(models: Sequence[str]) -> list[tuple[str, ModelPackage]]:
    """Open packages, each with a label of its own: the one before ``=``, or its name.

    Raises:
        UserError: a package is missing or damaged (exit code 3), or two have one label (2).
    """
    packages: list[tuple[str, ModelPackage]] = []
    for model in models:
        label, equals, name = model.partition("=")
        package = find_package(name if equals else model)
        label = label if equals else package.card.name
        if any(label == other for other, _ in packages):
            raise UserError(
                f"Two packages are called '{label}'.",
                why="The tables could not tell them apart.",
                fix="Give each a label of its own: --model old=FILE --model new=FILE.",
            )
        packages.append((label, package))
    return packages


def _cases(parsed: argparse.Namespace) -> tuple[list[Case], list[str]]:
    notes = []
    cases: list[Case] = []
    if parsed.cohort is not None:
        cases = cases_of_cohort(parsed.cohort, None if parsed.all else "held_out", parsed.slice_labels)
        if parsed.all:
            notes.append("Scans of the cohort's training side are among these (--all).")
    if parsed.phantoms:
        cases += benchmark_phantoms(parsed.phantoms)
    if not cases and not parsed.slices:
        raise UserError(
            "There is no scan to evaluate on.",
            why="The cohort holds no real scan on its held-out side." if parsed.cohort else "None was named.",
            fix="Name a cohort, take its training side too with --all, or give --phantoms 8 or --slices.",
        )
    return cases, notes


def _summary(evaluated: Evaluated) -> dict[str, Any]:
    figures = {}
    for kind in evaluated.kinds:
        cases, healthy = with_lesions(evaluated, kind), evaluated.of_kind(kind, healthy=True)
        for one in evaluated.contenders:
            of_kind: dict[str, float] = {}
            if cases:
                scores = [one.results[case.name].scan_scores for case in cases]
                of_kind["dice_per_scan"] = round(summarise(score.dice for score in scores if score).mean, 4)
            if healthy:
                shares = [100 * one.results[case.name].found_share for case in healthy]
                of_kind["falsely_infected_percent"] = round(summarise(shares).mean, 4)
            figures[f"{kind}, {one.label}"] = of_kind
    return {"scans": len(evaluated.cases), "failures": len(evaluated.failures), "figures": figures}


def _print_outcome(evaluated: Evaluated, page: Path) -> None:
    lines = [f"not evaluated: {name}: {why}" for name, why in evaluated.failures]
    for name, figures in _summary(evaluated)["figures"].items():
        said = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in figures.items())
        lines.append(f"{name}: {said or 'no truth to score against'}")
    lines.append(f"page  {page}")
    sys.stdout.write("\n".join(lines) + "\n")
