"""Python classes that derive from Qt classes: ``class Curve(qt.QWidget)``."""

from __future__ import annotations

from typing import Any

from host.pythonqt import conversion, members


def shell_class(python_class: type) -> type:
    """A PySide class whose virtual functions call the methods that a Python class overrides.

    PythonQt can override virtual functions of Qt's own classes only, not those of CTK or Slicer.

    Raises:
        TypeError: ``python_class`` derives from several Qt classes or from one of CTK or Slicer.
    """
    wrapped = {base.pyside_class for base in python_class.__bases__ if hasattr(base, "pyside_class")}
    if len(wrapped) != 1:
        raise TypeError(f"{python_class.__name__} must derive from exactly one Qt class")
    pyside_class = wrapped.pop()
    overridden = [
        name for name in vars(python_class) if not name.startswith("_") and hasattr(pyside_class, name)
    ]
    if overridden and not members.is_qt_class(_first_named(pyside_class)):
        raise TypeError(f"PythonQt cannot override {overridden} of {pyside_class.__name__}")
    body: dict[str, Any] = {name: _forward(name, getattr(pyside_class, name)) for name in overridden}
    body["python_wrapper"] = None
    return type(pyside_class)(python_class.__name__, (pyside_class,), body)


def _first_named(pyside_class: type) -> type:
    """The class itself, or the Qt class under a chain of Python subclasses."""
    return next(ancestor for ancestor in pyside_class.__mro__ if "python_wrapper" not in vars(ancestor))


def _forward(name: str, inherited: Any) -> Any:
    def virtual_function(self: Any, *args: Any) -> Any:
        if self.python_wrapper is None:
            return inherited(self, *args)
        return conversion.unwrap(getattr(self.python_wrapper, name)(*conversion.wrap(args)))

    virtual_function.__name__ = name
    return virtual_function
