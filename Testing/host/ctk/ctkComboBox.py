"""``ctkComboBox``: a combo box with a text for "nothing chosen yet"."""

from __future__ import annotations

import enum

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QIcon, QWheelEvent
from PySide6.QtWidgets import QComboBox, QWidget

from host.properties import attribute, declared


class ctkComboBox(QComboBox):
    """Behaves like QComboBox until its own properties are set."""

    class ScrollEffect(enum.IntEnum):
        NeverScroll = 0
        AlwaysScroll = 1
        ScrollWithFocus = 2
        ScrollWithNoVScrollBar = 3

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._default_icon = QIcon()
        self._force_default = False
        self._elide_mode = Qt.TextElideMode.ElideNone
        self._scroll_effect = self.ScrollEffect.AlwaysScroll

    @Slot(str)
    def setCurrentUserDataAsString(self, data: str) -> None:
        """Choose the item whose user data is this text."""
        self.setCurrentIndex(self.findData(data))

    defaultText = declared(
        str, lambda self: self.placeholderText(), lambda self, text: self.setPlaceholderText(text)
    )
    defaultIcon = attribute(QIcon, "_default_icon")
    forceDefault = attribute(bool, "_force_default")
    elideMode = attribute(Qt.TextElideMode, "_elide_mode")
    scrollWheelEffect = attribute(int, "_scroll_effect")
    currentUserDataAsString = declared(
        str, lambda self: str(self.currentData() or ""), setCurrentUserDataAsString
    )

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self._scroll_effect == self.ScrollEffect.NeverScroll:
            event.ignore()
        else:
            super().wheelEvent(event)
