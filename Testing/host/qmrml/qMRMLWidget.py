"""``qMRMLWidget``: a widget that knows the scene, the usual top widget of a module's .ui file."""

from __future__ import annotations

from typing import ClassVar

import slicer
from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QWidget


class qMRMLWidget(QWidget):
    """Passes the scene on: a .ui file connects ``mrmlSceneChanged`` to ``setMRMLScene`` of the selectors."""

    vtk_signatures: ClassVar[tuple[str, ...]] = (
        "mrmlSceneChanged(vtkMRMLScene*)",
        "setMRMLScene(vtkMRMLScene*)",
    )

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: slicer.vtkMRMLScene | None = None

    @Slot(result=object)
    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        if scene is self._scene:
            return
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)
