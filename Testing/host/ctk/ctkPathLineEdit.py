"""``ctkPathLineEdit``: a line for a path, with a history and a browse button."""

from __future__ import annotations

import enum
import re
from typing import Any

from PySide6.QtCore import QSettings, Signal, Slot
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QToolButton, QWidget

from host.properties import attribute, declared
from host.pythonqt.dialogs import dialogs

_HISTORY = 5
_EXTENSION = re.compile(r"\*\.(\w+)")


class ctkPathLineEdit(QWidget):
    """Filters decide what is chosen: a file to open, one to save (``Writable``), a folder (no ``Files``).

    Valid is a text that is not empty and has an extension of the name filters, whether there is such a file
    or not. Of a text that is not valid ``currentPathChanged`` tells nothing: of an empty line,
    ``validInputChanged`` alone tells.
    """

    class Filter(enum.IntFlag):
        Dirs = 0x001
        Files = 0x002
        Drives = 0x004
        NoSymLinks = 0x008
        AllEntries = 0x007
        TypeMask = 0x00F
        Readable = 0x010
        Writable = 0x020
        Executable = 0x040
        PermissionMask = 0x070
        Modified = 0x080
        Hidden = 0x100
        System = 0x200
        AccessMask = 0x3F0
        AllDirs = 0x400
        CaseSensitive = 0x800
        NoDotAndDotDot = 0x1000
        NoDot = 0x2000
        NoDotDot = 0x4000
        NoFilter = -1

    class SizeAdjustPolicy(enum.IntEnum):
        AdjustToContents = 0
        AdjustToContentsOnFirstShow = 1
        AdjustToMinimumContentsLength = 2

    validInputChanged = Signal(bool)
    currentPathChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo_box = QComboBox(self)
        self._combo_box.setEditable(True)
        self._combo_box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._browse_button = QToolButton(self)
        self._browse_button.setText("...")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo_box, 1)
        layout.addWidget(self._browse_button)
        self._valid = False
        self._combo_box.editTextChanged.connect(self._on_text_changed)
        self._browse_button.clicked.connect(self.browse)

    @Slot(str)
    def setCurrentPath(self, path: str) -> None:
        self._combo_box.setEditText(path)

    @Slot()
    def browse(self) -> None:
        """Ask for a path with a file dialog."""
        filters = self.Filter(int(self.filters))
        args: tuple[str, ...] = (self.label, self._combo_box.currentText(), ";;".join(self.nameFilters))
        if not filters & self.Filter.Files:
            what, args = "getExistingDirectory", args[:2]
        else:
            what = "getSaveFileName" if filters & self.Filter.Writable else "getOpenFileName"
        chosen = dialogs.ask(f"QFileDialog.{what}", args, lambda: getattr(QFileDialog, what)(self, *args))
        path = chosen[0] if isinstance(chosen, tuple) else chosen
        if path:
            self.setCurrentPath(path)

    @Slot()
    def retrieveHistory(self) -> None:
        """Offer the paths of earlier sessions; the present path stays."""
        path, blocked = self._combo_box.currentText(), self.blockSignals(True)
        self._combo_box.clear()
        self._combo_box.addItems(self._history())
        self._combo_box.setEditText(path or self._combo_box.itemText(0))
        self.blockSignals(blocked)

    @Slot()
    def addCurrentPathToHistory(self) -> None:
        """Remember the present path for later sessions, the last five."""
        path = self._combo_box.currentText()
        if path:
            history = [path, *(old for old in self._history() if old != path)][:_HISTORY]
            QSettings().setValue(self._history_key(), history)
            self.retrieveHistory()

    currentPath = declared(str, lambda self: self._combo_box.currentText(), setCurrentPath)
    label = attribute(str, "_label", "")
    filters = attribute(int, "_filters", int(Filter.AllEntries | Filter.NoDotAndDotDot | Filter.Readable))
    options = attribute(int, "_options", 0)
    settingKey = attribute(str, "_setting_key", "")
    nameFilters = attribute("QStringList", "_name_filters", [])
    sizeAdjustPolicy = attribute(
        int, "_size_adjust_policy", int(SizeAdjustPolicy.AdjustToContentsOnFirstShow)
    )
    minimumContentsLength = attribute(int, "_minimum_contents_length", 0)
    showHistoryButton = attribute(bool, "_show_history_button", True)
    showBrowseButton = declared(
        bool,
        lambda self: not self._browse_button.isHidden(),
        lambda self, show: self._browse_button.setVisible(show),
    )

    def _on_text_changed(self, text: str) -> None:
        was_valid, self._valid = self._valid, self._is_valid(text)
        if self._valid:
            self.currentPathChanged.emit(text)
        if self._valid != was_valid:
            self.validInputChanged.emit(self._valid)

    def _is_valid(self, text: str) -> bool:
        extensions = _EXTENSION.findall(" ".join(self.nameFilters))
        return bool(text) and (not extensions or any(text.endswith(f".{ending}") for ending in extensions))

    def _history(self) -> list[str]:
        stored: Any = QSettings().value(self._history_key(), [])
        return [stored] if isinstance(stored, str) else list(stored or [])

    def _history_key(self) -> str:
        return f"ctkPathLineEdit/{self.settingKey or self.objectName()}"
