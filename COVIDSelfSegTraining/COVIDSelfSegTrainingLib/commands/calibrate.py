"""``covidselfseg calibrate``: what a package's probabilities mean, fitted anew."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from COVIDSelfSegLib.commands.number_types import whole_number
from COVIDSelfSegLib.commands.run_options import add_device
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.models import find_package

from ..cohorts.cohort import healthy_scans
from ..recalibration import What, recalibrate
from .arguments import check_new_package, for_the_card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``calibrate`` takes."""
    parser.description = (
        "Writes a package with the weights of another, calibrated on lesions painted on the cohort's healthy "
        "scans, as on a hospital's own: where it says 80 %, four of five voxels are then painted lesion. Its "
        "threshold becomes the one that finds these lesions best."
    )
    parser.add_argument("cohort", type=Path, help="folder that 'prepare' wrote")
    parser.add_argument("package", metavar="NAME|FILE", help="package to calibrate")
    parser.add_argument("output", type=Path, help="package to write, a .safetensors file")
    parser.add_argument(
        "--equalised",
        action="store_true",
        help="only for contrast-equalised pictures; scans in HU and the threshold stay as they are",
    )
    parser.add_argument(
        "--batches",
        type=whole_number,
        metavar="N",
        help="painted batches to calibrate by, instead of the preset's (a fifth are equalised)",
    )
    add_device(parser)
    parser.set_defaults(command=_calibrate)


def _calibrate(parsed: argparse.Namespace) -> None:
    package = find_package(parsed.package)
    healthy = healthy_scans(parsed.cohort)
    check_new_package(parsed.output)
    device = choose_device(parsed.device, training=True)
    what: What = "equalised" if parsed.equalised else "all"
    command = for_the_card(parsed)
    written = recalibrate(
        package, healthy, parsed.output, device, what, batches=parsed.batches, command=command
    )
    sys.stdout.write(f"package  {written.path}\n")
