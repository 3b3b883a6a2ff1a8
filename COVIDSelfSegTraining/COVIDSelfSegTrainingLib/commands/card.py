"""``covidselfseg card``: what a package says of itself, and figures put into it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.models import DEFAULT_PACKAGE, find_package

from ..evaluation.model_card import card_text, with_figures, with_threshold, write_card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``card`` takes."""
    parser.description = (
        "Prints the card as Markdown. With --sheet, the figures that 'covidselfseg benchmark' "
        "measured for these very weights are first written into the package; --threshold gives it another "
        "threshold. Both change the file that is named."
    )
    parser.add_argument(
        "package", nargs="?", default=DEFAULT_PACKAGE, metavar="NAME|FILE", help="default: the shipped one"
    )
    parser.add_argument("--sheet", type=Path, metavar="DIR", help="folder that 'benchmark' wrote")
    parser.add_argument("--label", help="what the package is called there; default: its name")
    parser.add_argument(
        "--failure",
        action="append",
        default=[],
        metavar="TEXT",
        help="with --sheet: where it goes wrong, in words; may be given several times",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="0..1: make it the package's own; figures of the old one are removed from the card",
    )
    parser.set_defaults(command=_card)


def _card(parsed: argparse.Namespace) -> None:
    if parsed.failure and parsed.sheet is None:
        raise UserError(
            "--failure was given without --sheet.",
            why="Figures and failures enter a card together, so that both are of the same weights.",
            fix="Name the folder that 'covidselfseg benchmark' wrote with --sheet.",
        )
    changed = parsed.threshold is not None or parsed.sheet is not None
    if changed and not parsed.package.endswith(".safetensors"):
        raise UserError(
            f"'{parsed.package}' is the name of a package, not a file.",
            why="Found by its name, it may be the shipped one, which every user of this computer runs.",
            fix="Copy the package, and name the file of the copy; 'covidselfseg models' says where it lies.",
        )
    package = find_package(parsed.package)
    if parsed.threshold is not None:
        package = with_threshold(package, parsed.threshold)
    if parsed.sheet is not None:
        label = parsed.label or package.card.name
        package = with_figures(package, parsed.sheet, label, tuple(parsed.failure))
    if changed:  # all at once: a sheet that is refused leaves the threshold and its figures
        package = write_card(package)
    sys.stdout.write(card_text(package))
