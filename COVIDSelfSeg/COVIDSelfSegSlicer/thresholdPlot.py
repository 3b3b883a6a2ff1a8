"""The curve of infected volume against threshold, as a picture for the panel."""

from __future__ import annotations

import itertools

import numpy as np
import qt
from COVIDSelfSegLib.colors import LESION
from COVIDSelfSegLib.threshold_curve import LEVELS, ThresholdCurve
from slicer.i18n import tr as _

_MARGIN = 4
_TEXT_HEIGHT = 14
_SHOWN_FROM = 0.02
"""Below this threshold nearly all lung counts, which would squeeze the rest of the curve flat."""


def drawCurve(curve: ThresholdCurve | None, threshold: float, calibrated: float, width: int, height: int):
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
    bottom = height - _TEXT_HEIGHT - _MARGIN

    def x(at: float) -> float:
        return _MARGIN + at * (width - 2 * _MARGIN)

    painter.setPen(qt.QPen(ink))
    painter.drawLine(qt.QPointF(x(0), bottom), qt.QPointF(x(1), bottom))
    if curve is not None:
        ml = curve.all_ml()
        first = int(_SHOWN_FROM * (LEVELS - 1))
        top = max(float(ml[first]), 1e-6)
        pen = qt.QPen(qt.QColor(*LESION))
        pen.setWidthF(2.0)
        painter.setPen(pen)
        places = np.arange(first, LEVELS)
        heights = _MARGIN + (bottom - _MARGIN) * (1 - np.minimum(ml[first:] / top, 1))
        points = [qt.QPointF(x(place / (LEVELS - 1)), float(at)) for place, at in zip(places, heights)]
        for start, end in itertools.pairwise(points):
            painter.drawLine(start, end)
        painter.setPen(qt.QPen(ink))
        painter.drawText(int(x(0)) + 2, _MARGIN + 10, _("{ml} ml").format(ml=f"{top:.0f}"))
    dashed = qt.QPen(ink)
    dashed.setStyle(qt.Qt.DashLine)
    painter.setPen(dashed)
    painter.drawLine(qt.QPointF(x(calibrated), _MARGIN), qt.QPointF(x(calibrated), bottom))
    painter.setPen(qt.QPen(ink))
    painter.drawLine(qt.QPointF(x(threshold), _MARGIN), qt.QPointF(x(threshold), bottom))
    painter.drawText(_MARGIN, height - 3, _("threshold 0"))
    painter.drawText(width - 14, height - 3, "1")
    painter.end()
    return pixmap
