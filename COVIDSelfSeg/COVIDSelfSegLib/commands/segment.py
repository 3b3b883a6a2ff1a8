"""``covidselfseg segment``: one scan; the worker that Slicer's panel starts."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..events import EventWriter
from ..pipeline import segment_file
from .console import ProgressBar, print_report
from .run_options import add_run_options, chosen_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``segment`` takes."""
    parser.add_argument("scan", type=Path, help="NIfTI, NRRD or MHA file, or a folder of DICOM slices")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--series", metavar="ID", help="DICOM series to take; default: the chest CT with the most slices"
    )
    parser.add_argument(
        "--lung-mask",
        type=Path,
        metavar="FILE",
        help="a lung mask on the scan's grid: 1 right, 2 left; if all 1, sides are told apart by position",
    )
    add_run_options(parser)
    parser.set_defaults(command=_segment)


def _segment(parsed: argparse.Namespace) -> None:
    options = chosen_options(parsed, series_id=parsed.series, lung_mask=parsed.lung_mask)
    if parsed.events:
        writer = EventWriter()
        writer.result(segment_file(parsed.scan, parsed.output, options, writer.progress))
        return
    with ProgressBar() as bar:
        report = segment_file(parsed.scan, parsed.output, options, bar.progress)
    print_report(report, parsed.output)
