"""``covidselfseg mean`` and ``mean-lungs``: networks whose weights are the mean of others'."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from COVIDSelfSegLib.commands.run_options import add_device
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.models import find_package

from ..cohorts.cohort import healthy_scans
from ..lung_networks.mean import LungPart, write_lung_mean
from ..lung_networks.training import read_network
from ..weight_mean import Part, check_parts, write_mean
from .arguments import check_new_package, for_the_card


def add_mean(parser: argparse.ArgumentParser) -> None:
    """What ``mean`` takes."""
    parser.description = (
        "Writes a package whose 2D network is the mean of those of other packages, each trained "
        "from another with 'train --start-from', and calibrates it on lesions painted on the cohort's "
        "healthy scans. Training on your own scans loses some of what the network could do before; the mean "
        "has much of both. Generator, preset and name are those of the last package."
    )
    parser.add_argument("cohort", type=Path, help="folder that 'prepare' wrote")
    parser.add_argument("output", type=Path, help="package to write, a .safetensors file")
    _add_parts(parser, "PACKAGE", "a package's name or file")
    add_device(parser)
    parser.set_defaults(command=_mean)


def add_mean_lungs(parser: argparse.ArgumentParser) -> None:
    """What ``mean-lungs`` takes."""
    parser.description = (
        "Writes a lung network whose weights are the mean of those of others, each trained from another "
        "with 'train-lungs --start-from'."
    )
    parser.add_argument("output", type=Path, help="file to write, .safetensors")
    _add_parts(parser, "FILE", "a lung network")
    parser.set_defaults(command=_mean_lungs)


def _add_parts(parser: argparse.ArgumentParser, what: str, said: str) -> None:
    parser.add_argument(
        "--of",
        action="append",
        nargs=2,
        default=[],
        metavar=(what, "SHARE"),
        help=f"{said}, and its share of the mean; two or more, shares sum up to 1",
    )


def _mean(parsed: argparse.Namespace) -> None:
    parts = [Part(find_package(name), _share(share)) for name, share in parsed.of]
    check_parts(parts)
    healthy = healthy_scans(parsed.cohort)
    check_new_package(parsed.output)
    device = choose_device(parsed.device, training=True)
    package = write_mean(parts, healthy, parsed.output, device, command=for_the_card(parsed))
    sys.stdout.write(f"package  {package.path}\n")


def _mean_lungs(parsed: argparse.Namespace) -> None:
    parts = [LungPart(read_network(Path(file)), _share(share)) for file, share in parsed.of]
    write_lung_mean(parts, parsed.output, command=for_the_card(parsed))
    sys.stdout.write(f"lung network  {parsed.output}\n")


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UserError(
            f"'{text}' is not a share.",
            why="Each network counts with a share of the mean, such as 0.5.",
            fix="Give --of FILE SHARE for each of them.",
        ) from error
