"""``ctkMenuButton``: a push button with a separate arrow for its menu."""

from __future__ import annotations

from PySide6.QtWidgets import QPushButton


class ctkMenuButton(QPushButton):
    """Looks different from QPushButton in Slicer; it has no properties, signals or slots of its own."""
