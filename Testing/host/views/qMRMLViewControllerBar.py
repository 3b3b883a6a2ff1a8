"""``qMRMLViewControllerBar``: the bar above a view, with the view's label on the view's color."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

_HEIGHT = 16


class qMRMLViewControllerBar(QWidget):
    """Base of the controllers of slice and 3D views."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(_HEIGHT)
        self._label = QLabel()
        self._label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        _stack(self, self._label)

    def show_label(self, label: str | None, color: tuple[float, float, float]) -> None:
        red, green, blue = (round(255 * part) for part in color)
        self._label.setText(label or "")
        self._label.setStyleSheet(f"background-color: rgb({red}, {green}, {blue}); color: black;")


def frame_view(widget: QWidget, bar: qMRMLViewControllerBar, view: QWidget) -> None:
    """Put a bar and its view into a widget, one above the other."""
    _stack(widget, bar, view)


def _stack(widget: QWidget, *parts: QWidget) -> None:
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    for part in parts:
        layout.addWidget(part, 0 if isinstance(part, qMRMLViewControllerBar) else 1)
