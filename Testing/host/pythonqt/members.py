"""What a class offers to Python in Slicer: the narrow view that PythonQt has of it.

For Qt's own classes that is every public method, property, signal and enum. For classes of CTK and Slicer,
whose methods PythonQt finds in the meta object only, it is properties, signals, slots and invokable methods:
everything else is invisible, public or not. The stand-ins of those classes are Python classes, so what they
do not declare with ``Property``, ``Signal`` or ``Slot`` cannot be used by mistake.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from PySide6.QtCore import QMetaMethod, QMetaObject, QMetaProperty

_PYSIDE_ONLY = frozenset(
    {"emit", "isQmlExposed", "isQuickItemType", "toPyDate", "toPython", "toTuple"}
    | {"connect", "disconnect", "findChild", "findChildren"}  # PythonQt has its own
)


@dataclass(frozen=True)
class Member:
    """One attribute of a class.

    Attributes:
        name: the name on the C++ side; differs from the attribute for ``name`` and ``exec_``.
        prop: set for a property.
        signals: the overloads of a signal, the default first.
        slots: the overloads of a slot of a stand-in class.
        is_method: a method of a Qt class or a slot of a stand-in.
        value: set for an enum value or an enum type.
    """

    name: str
    prop: QMetaProperty | None = None
    signals: list[str] = field(default_factory=list)
    slots: list[QMetaMethod] = field(default_factory=list)
    is_method: bool = False
    value: Any = None


def find(pyside_class: type, attribute: str) -> Member | None:
    """The member that an attribute means, ``None`` if the class has no such attribute."""
    key = (pyside_class, attribute)
    if key not in _found:
        _found[key] = None if attribute.startswith("_") else _find(pyside_class, attribute)
    return _found[key]


def _find(pyside_class: type, attribute: str) -> Member | None:
    return (
        _property(pyside_class, attribute)
        or _signal(pyside_class, attribute)
        or _method(pyside_class, attribute)
        or _enum(pyside_class, attribute)
        or _method_with_underscore(pyside_class, attribute)
    )


_found: dict[tuple[type, str], Member | None] = {}


def meta_object(pyside_class: type) -> Any:
    """The class's meta object. ``None`` for value classes. An instance's own would die with it."""
    return getattr(pyside_class, "staticMetaObject", None)


def is_qt_class(pyside_class: type) -> bool:
    """True for a class of Qt itself, False for a stand-in and for a Python subclass."""
    return pyside_class.__module__.startswith("PySide6.")


def name_of(prop: QMetaProperty) -> str:
    return cast("str", prop.name())


def type_of(prop: QMetaProperty) -> str:
    """The name of a property's C++ type."""
    return cast("str", prop.typeName())


def signature_of(method: QMetaMethod) -> str:
    return bytes(method.methodSignature().data()).decode()


def _property(pyside_class: type, attribute: str) -> Member | None:
    meta = meta_object(pyside_class)
    if meta is None or (attribute == "singleShot" and meta.inherits(_timer_meta_object())):
        return None
    name = "objectName" if attribute == "name" and meta.indexOfProperty("name") < 0 else attribute
    index = meta.indexOfProperty(name)
    return Member(name, prop=meta.property(index)) if index >= 0 else None


def _timer_meta_object() -> QMetaObject:
    from PySide6.QtCore import QTimer

    return QTimer.staticMetaObject


def _signal(pyside_class: type, attribute: str) -> Member | None:
    signals = [
        signature_of(m) for m in _methods(pyside_class, attribute) if _is(m, QMetaMethod.MethodType.Signal)
    ]
    return Member(attribute, signals=signals) if signals else None


def _method(pyside_class: type, attribute: str) -> Member | None:
    if attribute in _PYSIDE_ONLY:
        return None
    for ancestor in pyside_class.__mro__:
        if is_qt_class(ancestor):
            if callable(getattr(vars(ancestor).get(attribute), "__get__", None)):
                return Member(attribute, is_method=True)
        else:
            slots = [m for m in _methods(ancestor, attribute, inherited=False) if not _is_signal(m)]
            if slots:
                return Member(attribute, slots=slots, is_method=True)
    return None


def _method_with_underscore(pyside_class: type, attribute: str) -> Member | None:
    return _method(pyside_class, attribute[:-1]) if attribute.endswith("_") else None


def _enum(pyside_class: type, attribute: str) -> Member | None:
    for ancestor in pyside_class.__mro__:
        for nested in vars(ancestor).values():
            if not (isinstance(nested, type) and issubclass(nested, enum.Enum)):
                continue
            if nested.__name__ == attribute:
                return Member(attribute, value=nested)
            if attribute in nested.__members__:
                return Member(attribute, value=nested.__members__[attribute])
    return None


def _methods(pyside_class: type, name: str, *, inherited: bool = True) -> Iterator[QMetaMethod]:
    meta = meta_object(pyside_class)
    if meta is None:
        return
    for index in range(0 if inherited else meta.methodOffset(), meta.methodCount()):
        method = meta.method(index)
        if bytes(method.name().data()).decode() == name:
            yield method


def _is(method: QMetaMethod, kind: QMetaMethod.MethodType) -> bool:
    return method.methodType() == kind


def _is_signal(method: QMetaMethod) -> bool:
    return _is(method, QMetaMethod.MethodType.Signal)
