"""``ctkPushButton``: a push button whose text and icon can be aligned and elided."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from host.properties import attribute


class ctkPushButton(QPushButton):
    """The alignments are remembered but not drawn."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._text_alignment = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter
        self._icon_alignment = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        self._elide_mode = Qt.TextElideMode.ElideNone

    buttonTextAlignment = attribute(Qt.AlignmentFlag, "_text_alignment")
    iconAlignment = attribute(Qt.AlignmentFlag, "_icon_alignment")
    elideMode = attribute(Qt.TextElideMode, "_elide_mode")
