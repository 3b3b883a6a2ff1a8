"""``covidselfseg train``: both networks on a cohort, and what that will cost."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from COVIDSelfSegLib.commands.number_types import whole_number
from COVIDSelfSegLib.commands.run_options import add_device
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.errors import UserError, stopped_saying
from COVIDSelfSegLib.events import EventWriter
from COVIDSelfSegLib.models import find_package

from ..cohorts.cohort import open_cohort
from ..options import SegmenterPreset
from ..plan import make_plan
from ..preset_checks import check_preset
from ..preset_files import find_preset, write_preset
from ..presets import PRESETS, Preset
from ..starting import check_start
from ..training import PHASES, Outcome, train
from ..training_run.checkpoint import checkpoint_of
from ..training_run.distributed import rank_of_launcher
from ..training_run.phase_run import Report, Running
from .arguments import for_the_card

_SPANS = {"gan": (0.0, 0.6), "masks": (0.6, 0.65), "segmenter": (0.65, 1.0)}
"""Where in the whole run a phase begins and ends, roughly."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``train`` takes."""
    parser.description = (
        "Trains both networks on a cohort that 'covidselfseg prepare' made, and writes a model "
        "package. If killed and run again, it continues where it stopped. On several GPUs: "
        "torchrun --nproc-per-node=N -m COVIDSelfSegTrainingLib train ..."
    )
    parser.add_argument("cohort", type=Path, nargs="?", help="folder that 'prepare' wrote")
    parser.add_argument("output", type=Path, nargs="?", help="folder for checkpoints, log, page and package")
    parser.add_argument(
        "--preset",
        default="default",
        metavar="NAME|FILE",
        help=f"{', '.join(PRESETS)}, or a .toml or .json file",
    )
    parser.add_argument(
        "--start-from",
        metavar="NAME|FILE",
        help="package whose weights to start from, for example with a hospital's own scans; "
        "--gan-iterations 0 then keeps its generator",
    )
    parser.add_argument("--gan-iterations", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument(
        "--segmenter-iterations",
        type=int,
        metavar="N",
        help="instead of the preset's; the warm-up of its rate then takes a quarter of them at most",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="instead of the preset's")
    add_device(parser)
    parser.add_argument(
        "--precision",
        choices=("auto", "float32"),
        default="auto",
        help="auto: bfloat16 products where the device is fast at them",
    )
    parser.add_argument(
        "--resume",
        choices=("auto", "must", "never"),
        default="auto",
        help="auto: resume if the output folder has a checkpoint; must: refuse if it has none; "
        "never: refuse if it has one",
    )
    parser.add_argument(
        "--save-every", type=whole_number, default=200, metavar="N", help="steps between checkpoints (200)"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile; for long runs on a GPU")
    parser.add_argument(
        "--plan", action="store_true", help="print expected time, memory and disk space, and stop"
    )
    parser.add_argument("--write-preset", type=Path, metavar="FILE", help="write the preset, and stop")
    parser.add_argument("--events", action="store_true", help="progress as JSON lines on stdout")
    parser.set_defaults(command=_train)


def _train(parsed: argparse.Namespace) -> None:
    preset = _preset(parsed)
    if parsed.write_preset is not None:
        write_preset(preset, parsed.write_preset)
        sys.stdout.write(f"{parsed.write_preset}\n")
        return
    if parsed.cohort is None or parsed.output is None:
        raise UserError(
            "The folders of the cohort and of the output were not named.",
            why="A training reads scans from one and writes its package to the other.",
            fix="Use: covidselfseg train COHORT OUTPUT [--preset NAME|FILE]",
        )
    start = None if parsed.start_from is None else find_package(parsed.start_from)
    check_start(preset, start)
    scans = open_cohort(parsed.cohort)
    device = choose_device(parsed.device, training=True)
    if parsed.precision == "float32":
        device = replace(device, precision=torch.float32)
    if parsed.plan:
        text = make_plan(preset, scans, parsed.output, device).text()
        if parsed.events:
            EventWriter().result({"plan": text})
        else:
            sys.stdout.write(text + "\n")
        return
    _check_resume(parsed.resume, parsed.output)
    writer = EventWriter() if parsed.events and rank_of_launcher() == 0 else None
    with stopped_saying(f"Stopped. The same command goes on from the last checkpoint in {parsed.output}"):
        outcome = train(
            preset,
            scans,
            parsed.output,
            device,
            command=for_the_card(parsed),
            report=_print_losses if writer is None else _events(writer),
            running=Running(save_every=parsed.save_every, compiled=parsed.compile),
            start=start,
        )
    if writer is not None:
        writer.result(_result(outcome))
    elif rank_of_launcher() == 0:
        sys.stdout.write(f"package  {outcome.package.path}\ncurves   {outcome.page}\n")


def _preset(parsed: argparse.Namespace) -> Preset:
    preset = find_preset(parsed.preset)
    if parsed.gan_iterations is not None:
        preset = replace(preset, gan=replace(preset.gan, iterations=parsed.gan_iterations))
    if parsed.segmenter_iterations is not None:
        preset = replace(preset, segmenter=_with_iterations(preset.segmenter, parsed.segmenter_iterations))
    if parsed.seed is not None:
        preset = replace(preset, seed=parsed.seed)
    check_preset(preset, "The command line")
    return preset


def _with_iterations(phase: SegmenterPreset, iterations: int) -> SegmenterPreset:
    """That training in so many steps; warm-up takes a quarter at most, lest the rate never reach its peak."""
    return replace(phase, iterations=iterations, warm_up=min(phase.warm_up, iterations // 4))


def _check_resume(resume: str, output: Path) -> None:
    found = [checkpoint_of(output, phase) for phase in PHASES if checkpoint_of(output, phase).is_file()]
    if resume == "must" and not found:
        raise UserError(
            f"{output} holds no checkpoint.",
            why="--resume must continues a training and never starts one.",
            fix="Name the folder of the training, or leave --resume out to start one.",
        )
    if resume == "never" and found:
        raise UserError(
            f"{output} holds a checkpoint already: {found[0].name}.",
            why="--resume never starts afresh and deletes nothing.",
            fix="Name another folder, or leave --resume out to continue.",
        )


def _events(writer: EventWriter) -> Report:
    def report(phase: str, done: int, iterations: int, means: dict[str, float]) -> None:
        first, last = _SPANS[phase]
        message = f"{phase} {done}/{iterations}" + (f", {_left(done, iterations, means)}" if means else "")
        writer.progress(phase, first + (last - first) * done / iterations, message, means)

    return report


def _print_losses(phase: str, done: int, iterations: int, means: dict[str, float]) -> None:
    losses = "  ".join(f"{name} {value:.4f}" for name, value in means.items() if name != "seconds")
    left = _left(done, iterations, means) if means else ""
    sys.stderr.write(f"{phase} {done}/{iterations}  {losses}  {left}\n")


def _left(done: int, iterations: int, means: dict[str, float]) -> str:
    return f"{(iterations - done) * means['seconds'] / 60:.0f} min left"


def _result(outcome: Outcome) -> dict[str, Any]:
    package = outcome.package
    return {
        "package": str(package.path),
        "sha256": package.sha256,
        "folder": str(outcome.folder),
        "page": str(outcome.page),
        "non_commercial": len(package.card.non_commercial),
    }
