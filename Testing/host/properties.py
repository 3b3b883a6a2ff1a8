"""Qt properties of the stand-ins, in the few forms in which they occur."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Property, Signal

Kind = Any
"""A Python type, or the name of a C++ type such as ``QStringList``."""


def declared(
    kind: Kind,
    read: Callable[[Any], Any],
    write: Callable[[Any, Any], Any] | None = None,
    *,
    notify: Any = None,
    constant: bool = False,
) -> Any:
    """A property with its own getter and setter; without a setter it is read-only."""
    return Property(kind, read, write, notify=notify, constant=constant)


def attribute(kind: Kind, name: str, default: Any = None) -> Any:
    """A property that is kept in a Python attribute and has no other effect."""
    return Property(
        kind, lambda self: getattr(self, name, default), lambda self, value: setattr(self, name, value)
    )


def of_child(kind: Kind, child: str, name: str) -> Any:
    """The property of a stand-in that is kept in the attribute ``child``."""
    return Property(
        kind,
        lambda self: getattr(getattr(self, child), name),
        lambda self, value: setattr(getattr(self, child), name, value),
    )


def of_qt_child(kind: Kind, child: str, getter: str, setter: str) -> Any:
    """The property of one of Qt's own widgets that is kept in the attribute ``child``."""
    return Property(
        kind,
        lambda self: getattr(getattr(self, child), getter)(),
        lambda self, value: getattr(getattr(self, child), setter)(value),
    )


def overloaded_signal(*signatures: Any) -> Any:
    """A signal with several signatures, each a tuple of types, the default one first."""
    return Signal(*signatures)
