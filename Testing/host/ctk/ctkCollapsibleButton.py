"""``ctkCollapsibleButton``: a titled section of a panel that can be folded."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QChildEvent, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QFrame,
    QLayout,
    QStyle,
    QStyleOptionButton,
    QStylePainter,
)

from host.ctk.folding import UNLIMITED_HEIGHT, Folding
from host.properties import attribute, declared

_COLLAPSED_HEIGHT = 14


class ctkCollapsibleButton(QAbstractButton):
    """A checkable button above its children; unchecked is collapsed, and then the children are hidden.

    A child that was hidden on purpose stays hidden when the section is opened again.
    """

    contentsCollapsed = Signal(bool)

    def __init__(self, *args: object) -> None:
        text, parent = (args[0], args[1:]) if args and isinstance(args[0], str) else ("", args)
        super().__init__(*parent)
        self._collapsed_height = _COLLAPSED_HEIGHT
        self._flat = False
        self._alignments = {"text": _LEFT, "indicator": _LEFT}
        self._frame = {"shape": QFrame.Shape.NoFrame, "shadow": QFrame.Shadow.Plain, "line": 1, "mid": 0}
        self._folding = Folding(self)
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self._button_height(), 0, 0)
        self.toggled.connect(self._on_toggled)

    collapsed = declared(
        bool,
        lambda self: not self.isChecked(),
        lambda self, collapsed: self.setChecked(not collapsed),
        notify=contentsCollapsed,
    )
    collapsedHeight = attribute(int, "_collapsed_height")
    flat = attribute(bool, "_flat")
    contentsFrameShape = declared(
        QFrame.Shape,
        lambda self: self._frame["shape"],
        lambda self, shape: self._frame.__setitem__("shape", shape),
    )
    contentsFrameShadow = declared(
        QFrame.Shadow,
        lambda self: self._frame["shadow"],
        lambda self, shadow: self._frame.__setitem__("shadow", shadow),
    )
    contentsLineWidth = declared(
        int, lambda self: self._frame["line"], lambda self, width: self._frame.__setitem__("line", width)
    )
    contentsMidLineWidth = declared(
        int, lambda self: self._frame["mid"], lambda self, width: self._frame.__setitem__("mid", width)
    )
    buttonTextAlignment = declared(
        Qt.AlignmentFlag,
        lambda self: self._alignments["text"],
        lambda self, alignment: self._alignments.__setitem__("text", alignment),
    )
    indicatorAlignment = declared(
        Qt.AlignmentFlag,
        lambda self: self._alignments["indicator"],
        lambda self, alignment: self._alignments.__setitem__("indicator", alignment),
    )

    def sizeHint(self) -> QSize:
        return self._size(QLayout.totalSizeHint)

    def minimumSizeHint(self) -> QSize:
        return self._size(QLayout.totalMinimumSize)

    def hitButton(self, position: QPoint) -> bool:
        return QRect(0, 0, self.width(), self._button_height()).contains(position)

    def paintEvent(self, _event: QPaintEvent) -> None:
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect = QRect(0, 0, self.width(), self._button_height())
        option.text = f"{'▾' if self.isChecked() else '▸'} {self.text()}"
        option.state |= QStyle.StateFlag.State_Raised
        painter = QStylePainter(self)
        painter.drawControl(QStyle.ControlElement.CE_PushButton, option)
        painter.end()

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
            self.setMaximumHeight(self._button_height() + self._collapsed_height)
        self.updateGeometry()
        self.contentsCollapsed.emit(not expanded)

    def _size(self, size_of_layout: Callable[[QLayout], QSize]) -> QSize:
        button = QSize(self._button_width(), self._button_height())
        if not self.isChecked() or self.layout() is None:
            return button
        return size_of_layout(self.layout()).expandedTo(button)

    def _button_height(self) -> int:
        return self.fontMetrics().height() + 10

    def _button_width(self) -> int:
        return self.fontMetrics().horizontalAdvance(self.text()) + 40


_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
