"""``qMRMLThreeDViewControllerWidget``: what the bar above a 3D view can do."""

from __future__ import annotations

import slicer
from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from host.views.qMRMLThreeDView import qMRMLThreeDView
from host.views.qMRMLViewControllerBar import qMRMLViewControllerBar


class qMRMLThreeDViewControllerWidget(qMRMLViewControllerBar):
    """Changes one 3D view and its node."""

    def __init__(self, view: qMRMLThreeDView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view = view

    @Slot(result=object)
    def mrmlThreeDViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._view.mrmlViewNode()

    @Slot()
    def resetFocalPoint(self) -> None:
        self._view.resetFocalPoint()

    @Slot(bool)
    def set3DAxisVisible(self, visible: bool) -> None:
        self._view.mrmlViewNode().SetBoxVisible(visible)

    @Slot(bool)
    def set3DAxisLabelVisible(self, visible: bool) -> None:
        self._view.mrmlViewNode().SetAxisLabelsVisible(visible)

    @Slot(bool)
    def setUseDepthPeeling(self, use: bool) -> None:
        self._view.mrmlViewNode().SetUseDepthPeeling(use)

    @Slot()
    def setBlackBackground(self) -> None:
        self._set_background(0.0, 0.0, 0.0)

    @Slot()
    def setWhiteBackground(self) -> None:
        self._set_background(1.0, 1.0, 1.0)

    def _set_background(self, *color: float) -> None:
        node = self._view.mrmlViewNode()
        node.SetBackgroundColor(*color)
        node.SetBackgroundColor2(*color)
