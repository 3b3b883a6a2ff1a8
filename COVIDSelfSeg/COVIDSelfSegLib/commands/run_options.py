"""The arguments of every command that segments scans."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..models import DEFAULT_PACKAGE
from ..pipeline import Options
from .number_types import share


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what a user may choose of how a scan is segmented."""
    parser.add_argument(
        "--model", default=DEFAULT_PACKAGE, metavar="NAME|FILE", help=f"model package ({DEFAULT_PACKAGE})"
    )
    parser.add_argument("--threshold", type=share, metavar="T", help="0..1; default: the model's own")
    parser.add_argument("--lung-model", type=Path, metavar="FILE", help="R231 weights for lungmask")
    parser.add_argument("--builtin-lungs", action="store_true", help="do not use lungmask")
    parser.add_argument(
        "--plain-lungmask", action="store_true", help="lungmask on every slice in float32 (slow)"
    )
    add_device(parser)
    parser.add_argument("--events", action="store_true", help="progress as JSON lines on stdout")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the choice of where networks run."""
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where networks run; auto: on a GPU if there is one",
    )


def chosen_options(
    parsed: argparse.Namespace, *, series_id: str | None = None, lung_mask: Path | None = None
) -> Options:
    """The options that were typed."""
    return Options(
        series_id=series_id,
        model=parsed.model,
        threshold=parsed.threshold,
        lung_mask=lung_mask,
        lung_model=parsed.lung_model,
        builtin_lungs=parsed.builtin_lungs,
        plain_lungmask=parsed.plain_lungmask,
        device=parsed.device,
    )
