"""``qMRMLPlotWidget``: a plot view of the layout."""

from __future__ import annotations

import slicer
from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QWidget

from host.qmrml.qMRMLPlotView import qMRMLPlotView
from host.qmrml.qMRMLWidget import qMRMLWidget
from host.views.qMRMLViewControllerBar import frame_view, qMRMLViewControllerBar


class qMRMLPlotWidget(qMRMLWidget):
    """Shows the chart of its plot view node."""

    def __init__(self, view_node: slicer.vtkMRMLPlotViewNode, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._node = view_node
        self._view = qMRMLPlotView()
        self._view.setMRMLPlotViewNode(view_node)
        self._controller = qMRMLViewControllerBar()
        self._controller.show_label(view_node.GetLayoutLabel(), view_node.GetLayoutColor())
        frame_view(self, self._controller, self._view)

    @Slot(result=QObject)
    def plotView(self) -> qMRMLPlotView:
        return self._view

    @Slot(result=QObject)
    def plotController(self) -> qMRMLViewControllerBar:
        return self._controller

    @Slot(result=object)
    def mrmlPlotViewNode(self) -> slicer.vtkMRMLPlotViewNode:
        return self._node
