"""The Python modules ``qt`` and ``ctk``: names of classes, looked up when they are used."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from host.pythonqt import registry


class QtModule(ModuleType):
    """``qt``: every class of QtCore, QtGui and QtWidgets under one name, as in Slicer."""

    def __init__(self, extra_classes: dict[str, type]) -> None:
        super().__init__("qt", "Stand-in for Slicer's qt module (PythonQt).")
        self.__dict__["_extra_classes"] = extra_classes

    def __getattr__(self, name: str) -> Any:
        pyside_class = self._extra_classes.get(name) or _qt_class(name)
        if pyside_class is None:
            raise AttributeError(f"module 'qt' has no attribute '{name}'")
        return registry.class_of(pyside_class)


class StandInModule(ModuleType):
    """A module that offers stand-in classes; asking for a class that nobody wrote is refused loudly."""

    def __init__(self, name: str, classes: dict[str, type]) -> None:
        super().__init__(name, f"Stand-in for Slicer's {name} module.")
        self.__dict__["_classes"] = classes

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._classes:
            raise AttributeError(f"module '{self.__name__}': the host has no stand-in for '{name}'")
        return registry.class_of(self._classes[name])


def _qt_class(name: str) -> type | None:
    if not name.startswith("Q"):
        return None
    for module in (QtCore, QtGui, QtWidgets):
        found = getattr(module, name, None)
        if isinstance(found, type):
            return found
    return None
