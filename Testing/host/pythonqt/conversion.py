"""Values on their way between PySide and Python code that is written for PythonQt."""

from __future__ import annotations

import enum
from typing import Any

from PySide6.QtCore import QMetaMethod, QMetaProperty
from shiboken6 import Shiboken

from host.pythonqt import members, registry
from host.pythonqt.enums import EnumValue, wrap_enum

_INTEGERS = ("int", "uint", "short", "ushort", "long", "ulong", "qlonglong", "qulonglong", "qint64")
_LISTS = ("QStringList", "QList<QString>", "QVariantList", "QList<int>", "QList<double>")

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_INTEGERS, (int,)),
    **dict.fromkeys(_LISTS, (list, tuple)),
    "bool": (int,),
    "double": (int, float),
    "float": (int, float),
    "QString": (str,),
    "QVariantMap": (dict,),
}
"""What PythonQt converts to a C++ type: no path to a string, no numpy integer to a number."""


def wrap(value: Any) -> Any:
    """What Python code gets to see: integers for enums, tuples for lists, wrappers for Qt objects.

    VTK objects, numbers, text and Python callables pass unchanged, as in Slicer.
    """
    if isinstance(value, enum.Enum):
        return wrap_enum(value)
    if isinstance(value, (list, tuple)):
        return tuple(wrap(item) for item in value)
    if isinstance(value, dict):
        return {key: wrap(item) for key, item in value.items()}
    if isinstance(value, Shiboken.Object):
        return registry.wrapper_of(value)
    return value


def unwrap(value: Any) -> Any:
    """What PySide needs for a value that Python code passes."""
    if isinstance(value, EnumValue):
        return value.to_pyside()
    if isinstance(value, (list, tuple)):
        return [unwrap(item) for item in value]
    if isinstance(value, dict):
        return {key: unwrap(item) for key, item in value.items()}
    return registry.object_of(value)


def accepts(type_name: str, value: Any) -> bool:
    """Whether PythonQt converts ``value`` to a C++ type."""
    return isinstance(value, _PYTHON_TYPES.get(type_name, (object,)))


def property_value(prop: QMetaProperty, value: Any) -> Any:
    """``value`` for writing to a property.

    Raises:
        AttributeError: the property does not take such a value.
    """
    if not accepts(members.type_of(prop), value):
        raise AttributeError(
            f"Property '{members.name_of(prop)}' of type '{members.type_of(prop)}' "
            f"does not accept an object of type {type(value).__name__} ({value!r})"
        )
    return unwrap(value)


def check_arguments(owner: str, methods: list[QMetaMethod], args: tuple[Any, ...]) -> None:
    """Refuse arguments that no overload of a slot takes, before the stand-in's Python code sees them.

    Raises:
        ValueError: as PythonQt raises for a wrong number or type of arguments.
    """
    for method in methods:
        types = [bytes(name.data()).decode() for name in method.parameterTypes()]
        if len(types) == len(args) and all(map(_accepts_argument, types, args)):
            return
    signatures = ", ".join(members.signature_of(method) for method in methods)
    raise ValueError(f"Called {owner}.{signatures} with wrong arguments: {args!r}")


def _accepts_argument(type_name: str, value: Any) -> bool:
    """As :func:`accepts`; besides, ``setCurrentNodeID(None)`` is common in Slicer's own scripts."""
    return accepts(type_name, value) or (type_name == "QString" and value is None)
