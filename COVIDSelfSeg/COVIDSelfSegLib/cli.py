"""The command line: ``covidselfseg segment | batch | phantom | doctor | models | demo``.

The worker that Slicer's panel starts is this command line too: ``python -m COVIDSelfSegLib segment ...
--events``.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import SimpleITK as sitk

from . import __version__, demo, results
from .batch_command import add_batch
from .doctor import Severity, examine
from .errors import Cancelled, ExitCode, UserError
from .events import EventWriter
from .models_command import add_models
from .phantom import SEVERITY_SHARES, make_phantom
from .pipeline import Options, segment_file
from .run_options import add_run_options, chosen_options
from .volume import read_scan, write_image, writing_to

Command = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return run(build_parser(), arguments)


def build_parser() -> argparse.ArgumentParser:
    """The parser with the commands of this package; training adds its own."""
    parser = argparse.ArgumentParser(
        prog="covidselfseg",
        description="COVID-19 lesions in chest CT, without hand-drawn labels. Research use only.",
    )
    parser.add_argument("--version", action="version", version=f"covidselfseg {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_segment(commands)
    add_batch(commands)
    _add_phantom(commands)
    _add_doctor(commands)
    add_models(commands)
    _add_demo(commands)
    return parser


def run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Parse, run the command, and turn what ends it into an exit code."""
    parsed = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows only ASCII still gets its table
            stream.reconfigure(errors="replace")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    # ITK writes warnings about headers to stderr, which the doctor says better.
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    signal.signal(signal.SIGTERM, _cancel)
    writer = EventWriter() if getattr(parsed, "events", False) else None
    try:
        parsed.command(parsed)
    except UserError as error:
        if writer is not None:
            writer.error(error)
        else:
            sys.stderr.write(f"{error}\n")
        return int(error.code)
    except (KeyboardInterrupt, Cancelled) as stop:
        sys.stderr.write(f"{str(stop) or 'Cancelled; nothing was written.'}\n")
        return int(ExitCode.CANCELLED)
    return int(ExitCode.DONE)


def _cancel(_signal: int, _frame: FrameType | None) -> None:
    raise Cancelled


def _add_segment(commands: Any) -> None:
    parser = commands.add_parser("segment", help="find lesions in a chest CT")
    parser.add_argument("scan", type=Path, help="NIfTI, NRRD or MHA file, or a folder of DICOM slices")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--series", metavar="ID", help="DICOM series to take, if the folder holds several")
    parser.add_argument("--lung-mask", type=Path, metavar="FILE", help="a lung mask on the scan's grid")
    add_run_options(parser)
    parser.set_defaults(command=_segment)


def _segment(parsed: argparse.Namespace) -> None:
    options = chosen_options(parsed, series_id=parsed.series, lung_mask=parsed.lung_mask)
    if parsed.events:
        writer = EventWriter()
        writer.result(segment_file(parsed.scan, parsed.output, options, writer.progress))
        return
    with _Bar() as bar:
        report = segment_file(parsed.scan, parsed.output, options, bar.progress)
    print_report(report, parsed.output)


class _Bar:
    """A progress bar with stage and time left."""

    def __enter__(self) -> _Bar:
        from tqdm import tqdm  # noqa: PLC0415 (the worker under Slicer runs without it)

        form = "{desc:36} {percentage:3.0f}% |{bar}| {elapsed} elapsed, {remaining} left"
        self._bar = tqdm(total=1.0, bar_format=form, file=sys.stderr)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def progress(self, _stage: str, fraction: float, message: str) -> None:
        """A :data:`Progress`."""
        self._bar.set_description(message, refresh=False)
        self._bar.n = fraction
        self._bar.refresh()


def print_report(report: dict[str, Any], output: Path) -> None:
    """Print the numbers of a run and where its files are."""
    numbers = report["numbers"]
    sides = [numbers[name] for name in ("right", "left", "both")]
    lines = [f"{'':24}{'right':>10}{'left':>10}{'both':>10}"]
    for name, key, form in (
        ("lung volume, ml", "volume_ml", "{:.0f}"),
        ("infected, ml", "infected_ml", "{:.1f}"),
        ("infected, % of lung", "infected_share", "{:.1%}"),
        ("mean HU of lesions", "lesion_hu", "{:.0f}"),
    ):
        values = ["-" if side[key] is None else form.format(side[key]).rstrip("%") for side in sides]
        lines.append(f"{name:24}" + "".join(f"{value:>10}" for value in values))
    lines.append(
        f"severity {numbers['severity']}, threshold {report['threshold']:.2f}, on {report['device']}"
    )
    for finding in report["findings"]:
        lines.append(f"{finding['severity']}: {finding['what']} {finding['why']}")
    lines.append(f"picture  {output / results.OVERVIEW}")
    lines.append(f"files    {output}")
    lines.append(report["notice"])
    sys.stdout.write("\n".join(lines) + "\n")


def _add_phantom(commands: Any) -> None:
    parser = commands.add_parser("phantom", help="make a synthetic chest CT with its truth")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--severity", type=int, choices=range(len(SEVERITY_SHARES)), default=2)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
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
            (folder / "truth.json").write_text(json.dumps(truth, indent=1))
    sys.stdout.write(f"{parsed.output / 'scan.nrrd'}: infected {phantom.infected_share:.1%} of the lung\n")


def _add_doctor(commands: Any) -> None:
    parser = commands.add_parser("doctor", help="is this a chest CT in Hounsfield units?")
    parser.add_argument("scan", type=Path)
    parser.add_argument("--series", metavar="ID", help="DICOM series to take, if the folder holds several")
    parser.set_defaults(command=_doctor)


def _doctor(parsed: argparse.Namespace) -> None:
    scan = read_scan(parsed.scan, parsed.series)
    examination = examine(scan)
    for finding in examination.findings:
        if finding.severity is not Severity.REFUSED:
            text = f"{finding.severity}: {finding.what}\n  Why: {finding.why}\n  Fix: {finding.fix}\n"
            sys.stdout.write(text)
    examination.refuse()
    size, spacing = scan.GetSize(), scan.GetSpacing()
    sys.stdout.write(
        f"{parsed.scan}: a chest CT in HU, {size[0]} x {size[1]} x {size[2]} voxels "
        f"of {spacing[0]:.3g} x {spacing[1]:.3g} x {spacing[2]:.3g} mm\n"
    )


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser("demo", help="segment a phantom (or a scan) and show the result")
    parser.add_argument("scan", type=Path, nargs="?", help="a scan of your own instead of the phantom")
    parser.add_argument("--output", type=Path, default=Path("demo"), metavar="DIR")
    parser.set_defaults(command=_demo)


def _demo(parsed: argparse.Namespace) -> None:
    output: Path = parsed.output
    phantom = None
    scan = parsed.scan
    if scan is None:
        sys.stderr.write("Making a phantom, a synthetic chest CT with COVID-19 lesions: seed 7, severity 2\n")
        phantom = make_phantom(7, 2)
        scan = demo.write_scan(phantom, output)
    with _Bar() as bar:
        report = segment_file(scan, output, Options(), bar.progress)
    print_report(report, output)
    if phantom is not None:
        sys.stdout.write(f"\n{demo.compare(phantom, output)}\n")
    sys.stdout.write(f"\nLook at {output / results.OVERVIEW}\n")
