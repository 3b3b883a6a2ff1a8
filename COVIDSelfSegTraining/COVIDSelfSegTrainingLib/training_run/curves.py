"""A page of curves and sample pictures that grows while a training runs: one file, no script, no network."""

from __future__ import annotations

import base64
import html
import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from COVIDSelfSegLib.whole_files import appearing_whole

from .training_log import LOG, read_log

log = logging.getLogger(__name__)

PAGE = "training.html"
SAMPLES = "samples"

_WIDTH, _HEIGHT = 300, 120
_REFRESH_S = 20
_PHASES = {"gan": "Phase 1: generator and discriminator", "segmenter": "Phase 3: 2D network"}
PANELS = {
    "gan": ("diseased", "pseudo-healthy", "excess", "painted", "mended", "original"),
    "segmenter": ("slice", "pseudo-mask", "probability"),
}
"""What a sample picture of each phase shows, from left to right."""
_MEANING = {
    "accuracy": "of the discriminator; .5 is guessing, pinned at 1 it has won",
    "error_left": "1: the generator restores nothing, 0: a perfect healthy twin",
    "texture": "of pseudo-healthy against healthy lung; near 0 it is one flat value",
    "seconds": "a step",
}
_STYLE = """
body { font: 14px sans-serif; margin: 2em auto; max-width: 1010px; color: #222; background: #fff }
figure { display: inline-block; margin: 0 16px 12px 0; vertical-align: top }
figcaption { width: 300px } small { color: #666 } svg { background: #f6f6f6 } img { image-rendering: auto }
.warning { border-left: 4px solid #c00; padding: 4px 12px; background: #fee } td, th { padding: 2px 8px }
progress { width: 100% }
"""


@dataclass(frozen=True)
class State:
    """What the page says besides the curves.

    Attributes:
        title: of the training.
        facts: names and values.
        fraction: 0 .. 1 of the phase.
        message: where the training is.
        finished: the page need not be loaded again.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    fraction: float
    message: str
    finished: bool


def write_page(folder: Path, state: State) -> None:
    """Write the page from the log and the sample pictures in the folder; it appears whole or not at all.

    One that another program keeps open stays as it was.
    """
    lines = read_log(folder / LOG)
    refresh = "" if state.finished else f'<meta http-equiv="refresh" content="{_REFRESH_S}">'
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8">{refresh}<title>{html.escape(state.title)}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(state.title)}</h1>",
        f'<progress value="{state.fraction:.4f}"></progress><p>{html.escape(state.message)}</p>',
        "<table>",
        *(
            f"<tr><th align=left>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in state.facts
        ),
        "</table>",
        *(_warning(line) for line in lines if "warning" in line),
    ]
    for phase, title in _PHASES.items():
        parts += _phase(folder, phase, title, [line for line in lines if line["phase"] == phase])
    parts.append("<p><small>For research use only. Not a medical device.</small></p></body></html>")
    try:
        with appearing_whole(folder / PAGE) as temporary:
            temporary.write_text("\n".join(parts), encoding="utf-8")
    except PermissionError as error:  # on Windows, of a page that is open: no reason to end days of training
        log.warning("The page %s stays as it was: %s", folder / PAGE, error.strerror)


def _warning(line: dict[str, Any]) -> str:
    what = f"{line['phase']}, step {line['iteration']}: {line['warning']}"
    return f'<p class="warning"><b>{html.escape(what)}</b><br>{html.escape(line["fix"])}</p>'


def _phase(folder: Path, phase: str, title: str, lines: list[dict[str, Any]]) -> list[str]:
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for line in lines:
        for name, value in line.items():
            if name != "iteration" and isinstance(value, int | float):
                curves[name].append((line["iteration"], float(value)))
    if not curves:
        return []
    return [
        f"<h2>{title}</h2>",
        *(_curve(name, points) for name, points in curves.items()),
        *_samples(folder, phase),
    ]


def _curve(name: str, points: list[tuple[int, float]]) -> str:
    """One curve as inline SVG, with its smallest, largest and last value."""
    points = [(step, value) for step, value in points if math.isfinite(value)]
    if not points:
        return ""
    steps, values = zip(*points, strict=True)
    low, high = min(values), max(values)
    wide, tall = max(steps[-1] - steps[0], 1), high - low or 1.0
    path = " ".join(
        f"{_WIDTH * (step - steps[0]) / wide:.1f},{_HEIGHT - 4 - (_HEIGHT - 8) * (value - low) / tall:.1f}"
        for step, value in points
    )
    note = f"<br><small>{_MEANING[name]}</small>" if name in _MEANING else ""
    return (
        f'<figure><svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f"<title>{html.escape(name)}: {values[-1]:.4g} at step {steps[-1]}</title>"
        f'<polyline fill="none" stroke="#06c" stroke-width="1.5" points="{path}"/></svg>'
        f"<figcaption><b>{html.escape(name)}</b> {values[-1]:.4g} "
        f"<small>({low:.4g} .. {high:.4g}, to step {steps[-1]})</small>{note}</figcaption></figure>"
    )


def _samples(folder: Path, phase: str) -> list[str]:
    files = sorted((folder / SAMPLES).glob(f"{phase}-*.png"))
    if not files:
        return []
    rows = [f"<p>{' | '.join(PANELS[phase])}</p>"]
    for file in files:
        picture = base64.b64encode(file.read_bytes()).decode()
        step = int(file.stem.rsplit("-", 1)[1])
        rows.append(f'<p>step {step}<br><img alt="step {step}" src="data:image/png;base64,{picture}"></p>')
    return rows
