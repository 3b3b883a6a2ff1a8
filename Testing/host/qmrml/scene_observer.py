"""Observing VTK objects for as long as a widget lives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk
from PySide6.QtCore import QObject


class Observations:
    """The observers that a widget added; they go when the widget is deleted."""

    def __init__(self, owner: QObject) -> None:
        self._tags: list[tuple[vtk.vtkObject, int]] = []
        owner.destroyed.connect(self.clear)

    def add(self, observed: vtk.vtkObject, event: int | str, callback: Callable[..., Any]) -> None:
        self._tags.append((observed, observed.AddObserver(event, callback)))

    def remove(self, observed: vtk.vtkObject) -> None:
        """Stop observing one object."""
        for other, tag in self._tags:
            if other is observed:
                other.RemoveObserver(tag)
        self._tags = [(other, tag) for other, tag in self._tags if other is not observed]

    def clear(self, *_: object) -> None:
        """Stop observing anything."""
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags.clear()
