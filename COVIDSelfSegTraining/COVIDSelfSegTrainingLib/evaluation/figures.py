"""Curves and scatter plots as SVG text, which a page carries without anything beside it.

Slicer's Python has no matplotlib, and a plot of a few lines does not need it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

_WIDTH, _HEIGHT = 520, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 16, 46
_COLOURS = ("#c8382e", "#2f6fb5", "#2e8b57", "#b8860b", "#7a4fa3", "#3f3f3f", "#d16ba5", "#008b8b")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")


@dataclass(frozen=True)
class Series:
    """One curve or cloud; points with NaN are left out.

    Attributes:
        name: for the legend.
        points: (x, y).
        is_line: joined by a line; else dots.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    is_line: bool = True


def plot(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
) -> str:
    """Draw series over common axes.

    Args:
        series: what to draw; colours and dashes follow their order.
        x_label: with its unit.
        y_label: with its unit.
        x_range: of the axis; from the data by default.
        y_range: likewise.
        diagonal: draw the line y = x, of a perfect calibration.

    Returns:
        An ``<svg>`` element.
    """
    known = [(x, y) for one in series for x, y in one.points if math.isfinite(x) and math.isfinite(y)] or [
        (0.0, 0.0)
    ]
    x_axis = _Axis.over([x for x, _ in known], x_range, _LEFT, _WIDTH - _RIGHT)
    y_axis = _Axis.over([y for _, y in known], y_range, _HEIGHT - _BOTTOM, _TOP)
    parts = [_axes(x_axis, y_axis, x_label, y_label)]
    if diagonal:
        low, high = max(x_axis.low, y_axis.low), min(x_axis.high, y_axis.high)
        ends = (
            f'x1="{x_axis(low):.1f}" y1="{y_axis(low):.1f}" x2="{x_axis(high):.1f}" y2="{y_axis(high):.1f}"'
        )
        parts.append(f'<line {ends} stroke="#999" stroke-dasharray="4 4"/>')
    for number, one in enumerate(series):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(x_axis(x), y_axis(y)) for x, y in one.points if math.isfinite(x) and math.isfinite(y)]
        if one.is_line:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            dash = _DASHES[number // len(_COLOURS) % len(_DASHES)]
            parts.append(
                f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" '
                f'stroke-dasharray="{dash}"/>'
            )
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2 if one.is_line else 4}" fill="{colour}" '
            f'fill-opacity="{1 if one.is_line else 0.7}"/>'
            for x, y in places
        ]
        parts.append(_legend_entry(number, one.name, colour))
    height = _HEIGHT + 18 * len(series)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True)
class _Axis:
    """Maps values to places on the page."""

    low: float
    high: float
    start: float
    stop: float

    @classmethod
    def over(
        cls, values: Sequence[float], asked: tuple[float, float] | None, start: float, stop: float
    ) -> _Axis:
        low, high = asked or (min(values), max(values))
        if high <= low:
            low, high = low - 0.5, high + 0.5
        elif asked is None:
            low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
        return cls(low, high, start, stop)

    def __call__(self, value: float) -> float:
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return self.start + share * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Four to nine round values."""
        rough = (self.high - self.low) / 6
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [float(n * step) for n in range(first, int(np.floor(self.high / step + 1e-9)) + 1)]


def _axes(x_axis: _Axis, y_axis: _Axis, x_label: str, y_label: str) -> str:
    bottom, left = _HEIGHT - _BOTTOM, _LEFT
    parts = [
        f'<rect x="{left}" y="{_TOP}" width="{_WIDTH - _RIGHT - left}" height="{bottom - _TOP}" '
        'fill="#fff" stroke="#888"/>'
    ]
    for tick in x_axis.ticks():
        x = x_axis(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#eee"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    for tick in y_axis.ticks():
        y = y_axis(tick)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#eee"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    middle = (left + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{bottom + 36}" text-anchor="middle">{escape(x_label)}</text>')
    height = (_TOP + bottom) / 2
    parts.append(
        f'<text x="14" y="{height}" text-anchor="middle" transform="rotate(-90 14 {height})">'
        f"{escape(y_label)}</text>"
    )
    return "".join(parts)


def _legend_entry(number: int, name: str, colour: str) -> str:
    y = _HEIGHT + 18 * number + 4
    return (
        f'<rect x="{_LEFT}" y="{y - 9}" width="14" height="10" fill="{colour}"/>'
        f'<text x="{_LEFT + 20}" y="{y}">{escape(name)}</text>'
    )
