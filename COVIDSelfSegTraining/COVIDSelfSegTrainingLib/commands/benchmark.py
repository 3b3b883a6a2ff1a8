"""``covidselfseg benchmark``: model packages on everything at hand, beside their baselines, on one sheet."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from COVIDSelfSegLib.commands.number_types import count
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.events import Progress
from COVIDSelfSegLib.models import DEFAULT_PACKAGE
from COVIDSelfSegLib.pipeline import Options

from ..cohorts.shipped import data_folder
from ..evaluation.benchmark_cases import LUNG_MASKS, benchmark_phantoms, shared_cases, slice_sets
from ..evaluation.effusion_scores import score_effusions
from ..evaluation.evaluated import Evaluated
from ..evaluation.evaluation_sheet import FurtherFindings
from ..evaluation.lung_scores import lung_methods, score_lung_masks
from ..evaluation.rescan_scores import score_rescans
from .evaluate import add_sheet_options, open_packages, write_sheet

_NO_DATA = (
    "The shared real scans are not here, so there are no real rows: phantoms show that the machinery works, "
    "and no more."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``benchmark`` takes."""
    parser.description = (
        "Runs packages and baselines on the shared real scans and annotated slices and on "
        "held-out phantoms, and writes every table to one page, with CSV files beside it. If "
        "stopped and run again, or run with further packages, it scores no scan twice."
    )
    parser.add_argument(
        "--model", action="append", metavar="[LABEL=]NAME|FILE", help="package; may be given several times"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of the shared scans; default: $COVIDSELFSEG_DATA, or shared/data beside the checkout",
    )
    parser.add_argument("--phantoms", type=count, default=8, metavar="N", help="seeds of phantoms (8)")
    parser.add_argument(
        "--without-rescans",
        action="store_true",
        help="leave out the degraded scans (thick slices, soft kernel, noise)",
    )
    add_sheet_options(parser)
    parser.set_defaults(command=_benchmark)


def _benchmark(parsed: argparse.Namespace) -> None:
    if parsed.data is not None and not parsed.data.is_dir():
        raise UserError(
            f"The folder {parsed.data} does not exist.",
            why="The real scans are read from it.",
            fix="Name the folder with 'ct', 'ct_cropped' and 'medseg_dev', or leave --data out.",
        )
    data = parsed.data or data_folder()
    packages = open_packages(parsed.model or [DEFAULT_PACKAGE])
    phantoms = benchmark_phantoms(parsed.phantoms)
    real = [] if data is None else shared_cases(data)
    sets = [] if data is None else slice_sets(data)
    masks = [] if data is None else [(name, data / scan, data / mask) for name, scan, mask in LUNG_MASKS]
    masks = [one for one in masks if all(path.is_file() for path in one[1:])]
    if not real and not phantoms and not sets:
        raise UserError(
            "There is nothing to score.",
            why="The shared scans are not here, and no phantom was asked for.",
            fix="Name their folder with --data, or give --phantoms 8.",
        )
    notes = [] if real or sets else [_NO_DATA]
    write_sheet(
        parsed,
        packages,
        [*real, *phantoms],
        title="Benchmark",
        notes=notes,
        slice_files=sets,
        score_further=partial(_score_further, masks, parsed.without_rescans),
    )


def _score_further(
    masks: Sequence[tuple[str, Path, Path]],
    without_rescans: bool,
    evaluated: Evaluated,
    options: Options,
    progress: Progress,
) -> FurtherFindings:
    device = choose_device(options.device)
    return FurtherFindings(
        masks=score_lung_masks(
            lung_methods(device, options.lung_model),
            masks,
            evaluated.of_kind("phantoms"),
            lambda name: progress("lungs", 1.0, f"lung masks of {name}"),
        ),
        effusions=score_effusions(
            evaluated.cases, device, lambda name: progress("lungs", 1.0, f"effusions in {name}")
        ),
        rescans=() if without_rescans else score_rescans(evaluated, options, progress),
    )
