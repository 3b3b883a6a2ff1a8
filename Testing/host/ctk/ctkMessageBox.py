"""``ctkMessageBox``: the message box behind ``slicer.util.messageBox``."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QMessageBox, QWidget

from host.properties import attribute, declared


class ctkMessageBox(QMessageBox):
    """A QMessageBox with a "don't show again" check box."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._dont_show_again = False
        self._settings_key = ""
        self._check_box_visible = False

    @Slot(bool)
    def setDontShowAgain(self, dont_show: bool) -> None:
        self._dont_show_again = dont_show

    dontShowAgain = declared(bool, lambda self: self._dont_show_again, setDontShowAgain)
    dontShowAgainSettingsKey = attribute(str, "_settings_key")
    dontShowAgainVisible = attribute(bool, "_check_box_visible")
