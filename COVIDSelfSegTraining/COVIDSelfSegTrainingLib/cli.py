"""The commands of training, beside those of the pipeline: ``covidselfseg prepare-shipped | train``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from COVIDSelfSegLib.cli import build_parser, run
from COVIDSelfSegLib.models import Inference

from .cohort import prepare_cohort
from .shipped import data_folder, shipped_sources
from .train_command import add_train


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    _add_prepare_shipped(commands)
    add_train(commands)
    return run(parser, arguments)


def _add_prepare_shipped(commands: Any) -> None:
    parser = commands.add_parser("prepare-shipped", help="make the cohort of the shipped models")
    parser.add_argument("cohort", type=Path, help="folder for the cohort")
    parser.set_defaults(command=_prepare_shipped)


def _prepare_shipped(parsed: argparse.Namespace) -> None:
    data = data_folder()
    if data is None:
        sys.stderr.write("No real scans were found; the cohort will hold phantoms alone.\n")
    sources = shipped_sources(data)
    scans = prepare_cohort(sources, parsed.cohort, Inference(), lambda name: sys.stderr.write(f"{name}\n"))
    sys.stdout.write(f"{len(scans)} scans in {parsed.cohort}\n")
