"""``ctkExpandButton``: a tool button with an arrow, to show and hide something."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton, QWidget

from host.properties import attribute


class ctkExpandButton(QToolButton):
    """The arrow turns when the button is checked, if ``mirrorOnExpand``."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._mirror = False
        self.setArrowType(Qt.ArrowType.RightArrow)
        self.toggled.connect(self._turn)

    mirrorOnExpand = attribute(bool, "_mirror")

    def _turn(self, checked: bool) -> None:
        if self._mirror:
            self.setArrowType(Qt.ArrowType.LeftArrow if checked else Qt.ArrowType.RightArrow)
