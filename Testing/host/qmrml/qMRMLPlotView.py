"""``qMRMLPlotView``: a plot chart node as a chart."""

from __future__ import annotations

from typing import ClassVar

import slicer
import vtk
from PySide6.QtCore import QPoint, QRectF, Qt, Slot
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

_MARGIN = 40


class qMRMLPlotView(QWidget):
    """Draws the series of the chart that its plot view node shows: lines or dots, a frame and titles."""

    vtk_signatures: ClassVar[tuple[str, ...]] = (
        "setMRMLScene(vtkMRMLScene*)",
        "setMRMLPlotViewNode(vtkMRMLPlotViewNode*)",
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view_node: slicer.vtkMRMLPlotViewNode | None = None
        self.setMinimumSize(3 * _MARGIN, 3 * _MARGIN)

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        """The view node knows its scene; nothing else is needed."""

    @Slot(result=object)
    def mrmlPlotViewNode(self) -> slicer.vtkMRMLPlotViewNode | None:
        return self._view_node

    @Slot(object)
    def setMRMLPlotViewNode(self, node: slicer.vtkMRMLPlotViewNode | None) -> None:
        self._view_node = node
        if node is not None:
            node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self.update())

    @Slot()
    def fitToContent(self) -> None:
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("white"))
        chart = self._view_node.GetPlotChartNode() if self._view_node else None
        if chart is not None:
            _Chart(painter, self.rect().adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)).draw(chart)
        painter.end()


class _Chart:
    """One drawing of a chart node inside a rectangle."""

    def __init__(self, painter: QPainter, area: QRectF) -> None:
        self._painter = painter
        self._area = QRectF(area)

    def draw(self, chart: slicer.vtkMRMLPlotChartNode) -> None:
        self._painter.setPen(QColor("black"))
        self._painter.drawRect(self._area)
        top, bottom = self._area.top(), self._area.bottom()
        self._text(chart.GetTitle() if chart.GetTitleVisibility() else "", top - _MARGIN)
        self._text(chart.GetXAxisTitle() if chart.GetXAxisTitleVisibility() else "", bottom)
        series = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
        curves = [(node, points) for node in series if (points := _points(node))]
        if not curves:
            return
        x_range = _range([x for _, points in curves for x, _ in points])
        y_range = _range([y for _, points in curves for _, y in points])
        for node, points in curves:
            self._curve(node, points, x_range, y_range)

    def _text(self, text: str | None, y: float) -> None:
        box = QRectF(self._area.left(), y, self._area.width(), _MARGIN)
        self._painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text or "")

    def _curve(
        self,
        node: slicer.vtkMRMLPlotSeriesNode,
        points: list[tuple[float, float]],
        x_range: tuple[float, float],
        y_range: tuple[float, float],
    ) -> None:
        left, bottom, width, height = (
            self._area.left(),
            self._area.bottom(),
            self._area.width(),
            self._area.height(),
        )
        polygon = QPolygonF()
        for x, y in points:
            right = width * (x - x_range[0]) / (x_range[1] - x_range[0])
            up = height * (y - y_range[0]) / (y_range[1] - y_range[0])
            polygon.append(QPoint(round(left + right), round(bottom - up)))
        self._painter.setPen(QPen(QColor.fromRgbF(*node.GetColor()), max(1.0, node.GetLineWidth())))
        if node.GetPlotType() == node.PlotTypeScatter and node.GetLineStyle() == node.LineStyleNone:
            self._painter.drawPoints(polygon)
        else:
            self._painter.drawPolyline(polygon)


def _points(node: slicer.vtkMRMLPlotSeriesNode) -> list[tuple[float, float]]:
    table = node.GetTableNode().GetTable() if node.GetTableNode() else None
    if table is None:
        return []
    ys = table.GetColumnByName(node.GetYColumnName() or "")
    xs = table.GetColumnByName(node.GetXColumnName() or "")
    if ys is None:
        return []
    rows = range(ys.GetNumberOfTuples())
    return [(xs.GetComponent(row, 0) if xs else float(row), ys.GetComponent(row, 0)) for row in rows]


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
