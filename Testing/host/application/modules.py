"""Slicer's own modules as ``slicer.modules.<name>``: in a test they are their logics."""

from __future__ import annotations

import slicer
from PySide6.QtCore import QObject, Slot

from host.properties import declared


class qSlicerLoadableModule(QObject):
    """Stands for a C++ module such as Volumes: it has a name and a logic, and no panel."""

    def __init__(self, name: str, logic: slicer.vtkMRMLAbstractLogic, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._logic = logic

    name = declared(str, lambda self: self._name, constant=True)
    title = declared(str, lambda self: self._name, constant=True)

    @Slot(result=object)
    def logic(self) -> slicer.vtkMRMLAbstractLogic:
        return self._logic

    @Slot(result=object)
    def widgetRepresentation(self) -> None:
        """The panels of Slicer's own modules are not part of the host.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"the host has no panel of the module {self._name}")
