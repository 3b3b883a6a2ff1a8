"""``ctkDirectoryButton``: a button that shows a folder and lets the user choose another."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from host.properties import attribute, declared, of_qt_child
from host.pythonqt.dialogs import dialogs


class ctkDirectoryButton(QWidget):
    """``directorySelected`` comes whenever a folder is set, ``directoryChanged`` if it is another one."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._directory = str(Path.cwd())
        self._text = ""
        self._caption = ""
        self._options = 0
        self._accept_mode = QFileDialog.AcceptMode.AcceptOpen
        self._button = QPushButton(self._directory)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.clicked.connect(self.browse)

    @Slot()
    def browse(self) -> None:
        """Ask for a folder with a file dialog."""
        args = (self._caption or self.toolTip(), self._directory)
        chosen = dialogs.ask(
            "QFileDialog.getExistingDirectory", args, lambda: QFileDialog.getExistingDirectory(self, *args)
        )
        if chosen:
            self._set_directory(chosen)

    def _set_directory(self, directory: str) -> None:
        directory = str(Path(directory or ".").absolute())
        changed, self._directory = directory != self._directory, directory
        self._button.setText(self._text or directory)
        self.directorySelected.emit(directory)
        if changed:
            self.directoryChanged.emit(directory)

    def _set_text(self, text: str) -> None:
        self._text = text
        self._button.setText(text or self._directory)

    directory = declared(str, lambda self: self._directory, _set_directory, notify=directoryChanged)
    text = declared(str, lambda self: self._text, _set_text)
    caption = attribute(str, "_caption")
    icon = of_qt_child(QIcon, "_button", "icon", "setIcon")
    options = attribute(int, "_options")
    acceptMode = attribute(QFileDialog.AcceptMode, "_accept_mode")
