"""The commands of training, and of what comes before and after it, beside those of the pipeline."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from COVIDSelfSegLib.cli import build_parser, run

from .benchmark_command import add_benchmark
from .card_command import add_card
from .evaluate_command import add_compare, add_evaluate
from .lung_command import add_train_lungs
from .mean_command import add_mean
from .prepare_command import add_prepare, add_prepare_shipped
from .train_command import add_train


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    add_prepare(commands)
    add_prepare_shipped(commands)
    add_train(commands)
    add_train_lungs(commands)
    add_mean(commands)
    add_evaluate(commands)
    add_compare(commands)
    add_benchmark(commands)
    add_card(commands)
    return run(parser, arguments)
