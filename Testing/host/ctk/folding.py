"""What CTK's collapsible widgets have in common: hiding their children, and showing the same ones again."""

from __future__ import annotations

from PySide6.QtCore import QChildEvent, QEvent
from PySide6.QtWidgets import QWidget

UNLIMITED_HEIGHT = 16777215  # QWIDGETSIZE_MAX


class Folding:
    """The children that a collapsed section hid. Those hidden on purpose before are none of them."""

    def __init__(self, section: QWidget) -> None:
        self._section = section
        self._folded: list[QWidget] = []

    def fold(self) -> None:
        for child in self._section.children():
            self._fold(child)

    def unfold(self) -> None:
        for child in self._folded:
            child.setVisible(True)
        self._folded.clear()

    def fold_added_child(self, event: QChildEvent) -> None:
        """For the ``childEvent`` of a collapsed section: what is added to it later is hidden too."""
        if event.type() == QEvent.Type.ChildPolished:
            self._fold(event.child())

    def _fold(self, child: object) -> None:
        if isinstance(child, QWidget) and not child.isHidden() and child not in self._folded:
            self._folded.append(child)
            child.setVisible(False)
