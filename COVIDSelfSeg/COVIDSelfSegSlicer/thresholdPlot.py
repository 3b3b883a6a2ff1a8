"""The curve of infected volume against threshold, as a picture for the panel."""

from __future__ import annotations

import itertools

import numpy as np
import qt
from COVIDSelfSegLib.colors import LESION
from COVIDSelfSegLib.threshold_curve import LEVELS, ThresholdCurve
from slicer.i18n import tr as _

_MARGIN = 4
_SHOWN_FROM = 0.05
"""Below this threshold nearly all lung counts, which would squeeze the rest of the curve flat."""


def drawCurve(
    curve: ThresholdCurve | None, threshold: float, calibrated: float, width: int, height: int
) -> qt.QPixmap:
    """Draw the curve with the threshold (solid) and the model's calibrated one (dashed).

    Args:
        curve: None draws an empty frame.
        threshold: 0 .. 1.
        calibrated: 0 .. 1.
        width: of the picture in pixels.
        height: of the picture in pixels.

    Returns:
        A QPixmap.
    """
    pixmap = qt.QPixmap(width, height)
    palette = qt.QApplication.palette()
    pixmap.fill(palette.color(qt.QPalette.Base))
    painter = qt.QPainter(pixmap)
    painter.setRenderHint(qt.QPainter.Antialiasing, True)
    ink = palette.color(qt.QPalette.Text)
    line = painter.fontMetrics().height()
    top, bottom = line + _MARGIN, height - line - _MARGIN

    def x(at: float) -> float:
        return _MARGIN + at * (width - 2 * _MARGIN)

    painter.setPen(qt.QPen(ink))
    painter.drawLine(qt.QPointF(x(0), bottom), qt.QPointF(x(1), bottom))
    painter.drawText(int(x(0)), height - _MARGIN, _("0"))
    painter.drawText(int(x(calibrated)) - line, height - _MARGIN, _("calibrated"))
    painter.drawText(int(x(1)) - line // 2, height - _MARGIN, _("1"))
    _drawThreshold(painter, qt.QPen(ink), qt.Qt.DashLine, x(calibrated), (top, bottom))
    _drawThreshold(painter, qt.QPen(ink), qt.Qt.SolidLine, x(threshold), (top, bottom))
    if curve is not None:
        ml = curve.all_ml()
        first = int(_SHOWN_FROM * (LEVELS - 1))
        most = max(float(ml[first]), 1e-6)
        pen = qt.QPen(qt.QColor(*LESION))
        pen.setWidthF(2.0)
        painter.setPen(pen)
        heights = top + (bottom - top) * (1 - np.minimum(ml[first:] / most, 1))
        places = np.arange(first, LEVELS) / (LEVELS - 1)
        points = [qt.QPointF(x(place), float(at)) for place, at in zip(places, heights)]
        for start, end in itertools.pairwise(points):
            painter.drawLine(start, end)
        painter.setPen(qt.QPen(ink))
        painter.drawText(int(x(0)), line, _("up to {ml} ml").format(ml=f"{most:.0f}"))
    painter.end()
    return pixmap


def _drawThreshold(
    painter: qt.QPainter, pen: qt.QPen, style: int, x: float, ends: tuple[float, float]
) -> None:
    pen.setStyle(style)
    painter.setPen(pen)
    painter.drawLine(qt.QPointF(x, ends[0]), qt.QPointF(x, ends[1]))
