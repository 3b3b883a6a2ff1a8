"""``qMRMLSliceWidget``: a slice view and its controller."""

from __future__ import annotations

import slicer
import vtk
from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QWidget

from host.properties import declared
from host.qmrml.qMRMLWidget import qMRMLWidget
from host.views.qMRMLSliceControllerWidget import qMRMLSliceControllerWidget
from host.views.qMRMLSliceView import qMRMLSliceView
from host.views.qMRMLViewControllerBar import frame_view


class qMRMLSliceWidget(qMRMLWidget):
    """Made by the layout manager for a slice node."""

    def __init__(self, logic: slicer.vtkMRMLSliceLogic, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic = logic
        self._controller = qMRMLSliceControllerWidget(logic)
        self._view = qMRMLSliceView(logic)
        frame_view(self, self._controller, self._view)
        logic.GetSliceNode().AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update_bar())
        self._update_bar()

    sliceOrientation = declared(
        str,
        lambda self: self._logic.GetSliceNode().GetOrientation(),
        lambda self, orientation: self._logic.GetSliceNode().SetOrientation(orientation),
    )

    @Slot(result=QObject)
    def sliceView(self) -> qMRMLSliceView:
        return self._view

    @Slot(result=QObject)
    def sliceController(self) -> qMRMLSliceControllerWidget:
        return self._controller

    @Slot(result=object)
    def sliceLogic(self) -> slicer.vtkMRMLSliceLogic:
        return self._logic

    @Slot(result=object)
    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._logic.GetSliceNode()

    @Slot(result=object)
    def mrmlSliceCompositeNode(self) -> slicer.vtkMRMLSliceCompositeNode:
        return self._logic.GetSliceCompositeNode()

    @Slot(result=object)
    def imageDataConnection(self) -> vtk.vtkAlgorithmOutput | None:
        return self._logic.GetImageDataConnection()

    @Slot(result=object)
    def interactorStyle(self) -> slicer.vtkMRMLSliceViewInteractorStyle:
        return self._view.sliceViewInteractorStyle()

    @Slot()
    def fitSliceToBackground(self) -> None:
        self._controller.fitSliceToBackground()

    def _update_bar(self) -> None:
        node = self._logic.GetSliceNode()
        self._controller.show_label(node.GetLayoutLabel(), node.GetLayoutColor())
