"""``covidselfseg demo``: a first look, on a phantom or on a scan of one's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .. import demo, results
from ..phantom import make_phantom
from ..pipeline import Options, segment_file
from .console import ProgressBar, print_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``demo`` takes."""
    parser.add_argument("scan", type=Path, nargs="?", help="a scan of your own instead of the phantom")
    parser.add_argument(
        "--output", type=Path, default=Path("demo"), metavar="DIR", help="folder for the results (demo)"
    )
    parser.set_defaults(command=_demo)


def _demo(parsed: argparse.Namespace) -> None:
    output: Path = parsed.output
    phantom = None
    scan = parsed.scan
    if scan is None:
        sys.stderr.write("Making a phantom, a synthetic chest CT with COVID-19 lesions: seed 7, severity 2\n")
        phantom = make_phantom(7, 2)
        scan = demo.write_scan(phantom, output)
    with ProgressBar() as bar:
        report = segment_file(scan, output, Options(), bar.progress)
    print_report(report, output)
    if phantom is not None:
        sys.stdout.write(f"\n{demo.compare(phantom, output)}\n")
    sys.stdout.write(f"\nLook at {output / results.OVERVIEW}\n")
