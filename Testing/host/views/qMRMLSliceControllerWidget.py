"""``qMRMLSliceControllerWidget``: what the bar above a slice view can do."""

from __future__ import annotations

import slicer
from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from host.views.qMRMLViewControllerBar import qMRMLViewControllerBar


class qMRMLSliceControllerWidget(qMRMLViewControllerBar):
    """Changes the slice node and the slice composite node of one slice logic."""

    def __init__(self, logic: slicer.vtkMRMLSliceLogic, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic = logic

    @Slot()
    def fitSliceToBackground(self) -> None:
        """Show the whole background volume."""
        self._logic.FitSliceToBackground()
        self._logic.SnapSliceOffsetToIJK()

    @Slot()
    def rotateSliceToBackground(self) -> None:
        self._logic.RotateSliceToLowestVolumeAxes()

    @Slot(str)
    def setSliceOrientation(self, orientation: str) -> None:
        self._logic.GetSliceNode().SetOrientation(orientation)

    @Slot(float)
    def setSliceOffsetValue(self, offset: float) -> None:
        """Move the slice, and the slices that are linked to it."""
        self._logic.StartSliceOffsetInteraction()
        self._logic.SetSliceOffset(offset)
        self._logic.EndSliceOffsetInteraction()

    @Slot(bool)
    def setSliceVisible(self, visible: bool) -> None:
        self._logic.GetSliceNode().SetSliceVisible(visible)

    @Slot(bool)
    def setSliceLink(self, linked: bool) -> None:
        """Link all slice views, as the real controller does."""
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            node.SetLinkedControl(linked)

    @Slot(bool)
    def setHotLinked(self, hot: bool) -> None:
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            node.SetHotLinkedControl(hot)

    @Slot(float)
    def setForegroundOpacity(self, opacity: float) -> None:
        self._logic.GetSliceCompositeNode().SetForegroundOpacity(opacity)

    @Slot(float)
    def setLabelMapOpacity(self, opacity: float) -> None:
        self._logic.GetSliceCompositeNode().SetLabelOpacity(opacity)
