"""``ctkFittedTextBrowser``: a text browser as high as its text."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QTextBrowser, QWidget


class ctkFittedTextBrowser(QTextBrowser):
    """Adds nothing but size hints to QTextBrowser, as the real one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.textChanged.connect(self.updateGeometry)

    def sizeHint(self) -> QSize:
        margins = self.contentsMargins()
        height = round(self.document().size().height()) + margins.top() + margins.bottom()
        return QSize(super().sizeHint().width(), height)

    def minimumSizeHint(self) -> QSize:
        return QSize(super().minimumSizeHint().width(), self.sizeHint().height())
