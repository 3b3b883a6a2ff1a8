"""What a person at a terminal sees of a run: a bar, and a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .. import results


class ProgressBar:
    """A progress bar with stage and time left."""

    def __enter__(self) -> ProgressBar:
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


def print_line(_stage: str, _fraction: float, message: str) -> None:
    """A :data:`Progress` that is a line for each step: of work on many scans, where a bar says too little."""
    sys.stderr.write(f"{message}\n")


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
