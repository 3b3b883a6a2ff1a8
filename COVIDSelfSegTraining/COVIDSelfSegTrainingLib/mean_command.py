"""``covidselfseg mean``: a package whose 2D network is the mean of others."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.models import find_package

from .cohort import open_cohort
from .weight_mean import Part, check_parts, write_mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``mean`` takes."""
    parser.description = (
        "Writes a package whose 2D network is the mean of those of other packages, each trained "
        "from another with 'train --start-from', and calibrates it on lesions painted on the cohort's "
        "healthy scans. A training on own scans loses some of what the network could do before; the mean "
        "has much of both. Generator, preset and name are those of the last package."
    )
    parser.add_argument("cohort", type=Path, help="folder that 'prepare' wrote")
    parser.add_argument("output", type=Path, help="package to write, a .safetensors file")
    parser.add_argument(
        "--of",
        action="append",
        nargs=2,
        default=[],
        metavar=("PACKAGE", "SHARE"),
        help="a package's name or file, and its share of the mean; two or more, shares sum up to 1",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(command=_mean)


def _mean(parsed: argparse.Namespace) -> None:
    parts = [Part(find_package(name), _share(share)) for name, share in parsed.of]
    check_parts(parts)
    healthy = [scan for scan in open_cohort(parsed.cohort) if scan.source.group == "healthy"]
    if not healthy:
        raise UserError(
            f"The cohort {parsed.cohort} has no healthy scan.",
            why="The mean is calibrated on lesions that are painted on healthy lungs.",
            fix="Name a cohort with healthy scans, as for 'covidselfseg train'.",
        )
    command = shlex.join(["covidselfseg", *sys.argv[1:]])
    device = choose_device(parsed.device, training=True)
    package = write_mean(parts, healthy, parsed.output, device, command=command)
    sys.stdout.write(f"package  {package.path}\n")


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UserError(
            f"'{text}' is no share.",
            why="Each package counts with a share of the mean, such as 0.5.",
            fix="Give --of PACKAGE SHARE for each package.",
        ) from error
