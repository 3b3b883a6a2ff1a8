"""``qMRMLThreeDWidget``: a 3D view and its controller."""

from __future__ import annotations

import slicer
from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QWidget

from host.qmrml.qMRMLWidget import qMRMLWidget
from host.views.qMRMLThreeDView import qMRMLThreeDView
from host.views.qMRMLThreeDViewControllerWidget import qMRMLThreeDViewControllerWidget
from host.views.qMRMLViewControllerBar import frame_view


class qMRMLThreeDWidget(qMRMLWidget):
    """Made by the layout manager for a 3D view node."""

    def __init__(self, logic: slicer.vtkMRMLViewLogic, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic = logic
        self._view = qMRMLThreeDView(logic)
        self._controller = qMRMLThreeDViewControllerWidget(self._view)
        frame_view(self, self._controller, self._view)
        node = logic.GetViewNode()
        self._controller.show_label(node.GetLayoutLabel(), node.GetLayoutColor())

    @Slot(result=QObject)
    def threeDView(self) -> qMRMLThreeDView:
        return self._view

    @Slot(result=QObject)
    def threeDController(self) -> qMRMLThreeDViewControllerWidget:
        return self._controller

    @Slot(result=object)
    def mrmlViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._logic.GetViewNode()

    @Slot(result=object)
    def viewLogic(self) -> slicer.vtkMRMLViewLogic:
        return self._logic
