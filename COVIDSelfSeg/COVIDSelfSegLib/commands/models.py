"""``covidselfseg models``: the model packages and lung networks at hand, and every scan that they saw."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path

from ..errors import UserError
from ..lung_masks.network import SHIPPED_WEIGHTS, LungCard
from ..models import model_folders, open_package, weight_files
from ..weight_file import DamagedFileError, check_weights

_PHANTOM = re.compile(r"phantom_(\d+)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``models`` takes: nothing."""
    parser.set_defaults(command=_models)


def _models(_parsed: argparse.Namespace) -> None:
    for folder in model_folders():
        sys.stdout.write(f"folder {folder}\n")
        for path in weight_files(folder):
            _tell(path, _package_lines)
        for path in weight_files(folder / SHIPPED_WEIGHTS.parent.name):
            _tell(path, _lung_network_lines)


def _tell(path: Path, lines_of: Callable[[Path], Iterator[str]]) -> None:
    head = f"{path.name}  {path.stat().st_size / 1e6:.1f} MB"
    try:
        sha256, *lines = lines_of(path)
    except (UserError, DamagedFileError, ValueError, KeyError) as error:
        sys.stdout.write(f"{head}  damaged: {error.what if isinstance(error, UserError) else error}\n")
        return
    sys.stdout.write(f"{head}  present, SHA-256 {sha256}\n" + "".join(f"  {line}\n" for line in lines))


def _package_lines(path: Path) -> Iterator[str]:
    package = open_package(path)
    card = package.card
    yield package.sha256
    yield f"preset {card.preset}, threshold {card.inference.threshold:.2f}, code {card.code_version}"
    yield from _scan_lines((scan.name, scan.licence) for scan in card.trained_on)
    if card.non_commercial:
        yield f"NOT FOR COMMERCIAL USE: {len(card.non_commercial)} of its training scans forbid it"


def _lung_network_lines(path: Path) -> Iterator[str]:
    about, digest = check_weights(path)
    card = LungCard.from_json(about["card"])
    yield digest
    yield f"finds lungs, {'single slices' if card.flat else 'whole chests'}, code {card.code_version}"
    yield from _scan_lines(card.trained_on)


def _scan_lines(scans: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A line for each licence: its scans by name, those of phantoms in a row as one."""
    ordered = sorted(scans, key=lambda scan: (scan[1], scan[0]))
    yield f"trained on {len(ordered)} scans:"
    for licence, group in groupby(ordered, key=lambda scan: scan[1]):
        yield f"  {licence}: {', '.join(_in_short([name for name, _ in group]))}"


def _in_short(names: list[str]) -> Iterator[str]:
    seeds = [int(match[1]) if (match := _PHANTOM.fullmatch(name)) else None for name in names]
    numbered = enumerate(zip(names, seeds, strict=True))
    # Seeds that follow each other keep their distance to their place in the list.
    runs = groupby(numbered, key=lambda one: one[1][0] if one[1][1] is None else one[1][1] - one[0])
    for _, run in runs:
        (first, _), *others = (name_and_seed for _, name_and_seed in run)
        yield f"{first} to {others[-1][1]}" if others else first
