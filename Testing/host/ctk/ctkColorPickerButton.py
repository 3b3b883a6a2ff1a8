"""``ctkColorPickerButton``: a button that shows a color and lets the user choose another."""

from __future__ import annotations

import enum

from PySide6.QtCore import QSize, Signal, Slot
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QColorDialog, QPushButton

from host.properties import attribute, declared
from host.pythonqt.dialogs import dialogs

_ICON = QSize(16, 16)


class ctkColorPickerButton(QPushButton):
    """The text is the name of the color unless ``displayColorName`` is off."""

    class ColorDialogOption(enum.IntFlag):
        ShowAlphaChannel = 1
        NoButtons = 2
        DontUseNativeDialog = 4
        UseCTKColorDialog = 12

    colorChanged = Signal(QColor)
    colorNameChanged = Signal(str)

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._color = QColor(0, 0, 0)
        self._color_name = ""
        self._display_name = True
        self._dialog_options = 0
        self.setCheckable(True)
        self.clicked.connect(self.changeColor)
        self._show_color()

    @Slot(QColor)
    def setColor(self, color: QColor) -> None:
        if color == self._color:
            return
        self._color = color
        self._show_color()
        self.colorChanged.emit(color)

    @Slot()
    def changeColor(self) -> None:
        """Ask for a color with a dialog."""
        self.setChecked(False)
        chosen = dialogs.ask("QColorDialog.getColor", (), lambda: QColorDialog.getColor(self._color, self))
        if chosen is not None and chosen.isValid():
            self.setColor(chosen)

    @Slot(bool)
    def setDisplayColorName(self, display: bool) -> None:
        self._display_name = display
        self._show_color()

    def _set_color_name(self, name: str) -> None:
        self._color_name = name
        self._show_color()
        self.colorNameChanged.emit(name)

    color = declared(QColor, lambda self: self._color, setColor, notify=colorChanged)
    colorName = declared(
        str, lambda self: self._color_name or self._color.name(), _set_color_name, notify=colorNameChanged
    )
    displayColorName = declared(bool, lambda self: self._display_name, setDisplayColorName)
    dialogOptions = attribute(int, "_dialog_options")

    def _show_color(self) -> None:
        pixmap = QPixmap(_ICON)
        pixmap.fill(self._color)
        self.setIcon(QIcon(pixmap))
        if self._display_name:
            self.setText(self.colorName)
