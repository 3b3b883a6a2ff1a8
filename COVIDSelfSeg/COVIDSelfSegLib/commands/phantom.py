"""``covidselfseg phantom``: a synthetic chest CT with its truth."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .. import results
from ..file_errors import writing_to
from ..phantom import SEVERITY_SHARES, make_phantom
from ..volume import write_image
from .number_types import count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``phantom`` takes."""
    parser.add_argument("--seed", type=count, default=7, help="another number, another chest (7)")
    parser.add_argument(
        "--severity",
        type=int,
        choices=range(len(SEVERITY_SHARES)),
        default=2,
        help="0 is healthy, 4 the most infected (2)",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for its files")
    parser.set_defaults(command=_phantom)


def _phantom(parsed: argparse.Namespace) -> None:
    phantom = make_phantom(parsed.seed, parsed.severity)
    with results.results_folder(parsed.output) as folder:
        for name in ("scan", "healthy_twin", "lungs", "lesions"):
            write_image(getattr(phantom, name), folder / f"{name}.nrrd")
        truth = {
            "seed": parsed.seed,
            "severity": parsed.severity,
            "infected_share": phantom.infected_share,
        }
        with writing_to(folder):
            (folder / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
    sys.stdout.write(f"{parsed.output / 'scan.nrrd'}: infected {phantom.infected_share:.1%} of the lung\n")
