"""``qMRMLColorTableComboBox``: choosing a color table."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from host.qmrml.qMRMLNodeComboBox import qMRMLNodeComboBox


class qMRMLColorTableComboBox(qMRMLNodeComboBox):
    """A node selector for color nodes, also for those that hide from editors; no menu items."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.nodeTypes = ["vtkMRMLColorNode"]
        self.showHidden = True
        self.addEnabled = False
        self.removeEnabled = False
