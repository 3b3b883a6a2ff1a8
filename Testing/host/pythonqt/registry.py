"""Which wrapper belongs to which Qt object, and which wrapper class to which Qt class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from PySide6.QtCore import QObject
from shiboken6 import Shiboken

if TYPE_CHECKING:
    from host.pythonqt.wrapper import PythonQtInstanceWrapper

_wrappers: WeakValueDictionary[int, PythonQtInstanceWrapper] = WeakValueDictionary()
_classes: dict[type, type[PythonQtInstanceWrapper]] = {}


def class_of(pyside_class: type) -> type[PythonQtInstanceWrapper]:
    """The wrapper class of a PySide class, always the same one."""
    if pyside_class not in _classes:
        from host.pythonqt.wrapper import make_class

        _classes[pyside_class] = make_class(pyside_class)
    return _classes[pyside_class]


def wrapper_of(pyside_object: Any) -> PythonQtInstanceWrapper:
    """The wrapper of a Qt object: the same one as long as somebody holds it."""
    python_subclass = getattr(pyside_object, "python_wrapper", None)
    if python_subclass is not None:
        return python_subclass
    address = _address(pyside_object)
    known = _wrappers.get(address)
    if known is not None and known.__dict__["pyside_object"] is pyside_object:  # else an address used again
        return known
    wrapper_class = class_of(type(pyside_object))
    wrapper = wrapper_class.__new__(wrapper_class)
    bind(wrapper, pyside_object)
    return wrapper


def bind(wrapper: PythonQtInstanceWrapper, pyside_object: Any) -> None:
    """Tie a wrapper to its Qt object."""
    object.__setattr__(wrapper, "pyside_object", pyside_object)
    if isinstance(pyside_object, QObject):
        _wrappers[_address(pyside_object)] = wrapper


def object_of(value: Any) -> Any:
    """The Qt object behind a wrapper; any other value is returned unchanged.

    Raises:
        ValueError: the Qt object was deleted.
    """
    if not hasattr(type(value), "pyside_class"):
        return value
    pyside_object = value.__dict__.get("pyside_object")
    if pyside_object is None or not Shiboken.isValid(pyside_object):
        raise ValueError(f"the {type(value).__name__} object was destroyed")
    return pyside_object


def _address(pyside_object: Any) -> int:
    return Shiboken.getCppPointer(pyside_object)[0]
