"""``ctkCollapsibleGroupBox``: a group box that can be folded."""

from __future__ import annotations

from PySide6.QtCore import QChildEvent
from PySide6.QtWidgets import QGroupBox

from host.ctk.folding import UNLIMITED_HEIGHT, Folding
from host.properties import attribute, declared

_COLLAPSED_HEIGHT = 14


class ctkCollapsibleGroupBox(QGroupBox):
    """A checkable group box; unchecked is collapsed, and then the children are hidden."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._collapsed_height = _COLLAPSED_HEIGHT
        self._folding = Folding(self)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(self._on_toggled)

    collapsed = declared(
        bool, lambda self: not self.isChecked(), lambda self, collapsed: self.setChecked(not collapsed)
    )
    collapsedHeight = attribute(int, "_collapsed_height")

    def childEvent(self, event: QChildEvent) -> None:
        super().childEvent(event)
        if not self.isChecked():
            self._folding.fold_added_child(event)

    def _on_toggled(self, expanded: bool) -> None:
        if expanded:
            self._folding.unfold()
            self.setMaximumHeight(UNLIMITED_HEIGHT)
        else:
            self._folding.fold()
            self.setMaximumHeight(self.fontMetrics().height() + self._collapsed_height)
