"""The commands of training beside those of the pipeline: prepare, train, evaluate, compare."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from COVIDSelfSegLib.cli import build_parser, run
from COVIDSelfSegLib.devices import choose_device

from .cohort import open_cohort
from .evaluate_command import add_compare, add_evaluate
from .prepare_command import add_prepare, add_prepare_shipped
from .presets import Preset
from .training import train


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    add_prepare(commands)
    add_prepare_shipped(commands)
    _add_train(commands)
    add_evaluate(commands)
    add_compare(commands)
    return run(parser, arguments)


def _add_train(commands: Any) -> None:
    parser = commands.add_parser("train", help="train both networks on a cohort")
    parser.add_argument("cohort", type=Path)
    parser.add_argument("output", type=Path, help="folder for checkpoints, log and model package")
    parser.add_argument("--gan-iterations", type=int, metavar="N")
    parser.add_argument("--segmenter-iterations", type=int, metavar="N")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(command=_train)


def _train(parsed: argparse.Namespace) -> None:
    preset = Preset()
    if parsed.gan_iterations:
        preset = replace(preset, gan=replace(preset.gan, iterations=parsed.gan_iterations))
    if parsed.segmenter_iterations:
        phase = replace(preset.segmenter, iterations=parsed.segmenter_iterations)
        preset = replace(preset, segmenter=phase)
    outcome = train(
        preset,
        open_cohort(parsed.cohort),
        parsed.output,
        choose_device(parsed.device),
        command=shlex.join(["covidselfseg", *sys.argv[1:]]),
        report=_print_losses,
    )
    sys.stdout.write(f"{outcome.package.path}\n")


def _print_losses(phase: str, done: int, iterations: int, means: dict[str, float]) -> None:
    losses = "  ".join(f"{name} {value:.4f}" for name, value in means.items() if name != "seconds")
    left = (iterations - done) * means["seconds"] / 60
    sys.stderr.write(f"{phase} {done}/{iterations}  {losses}  {left:.0f} min left\n")
