"""The wrapper around every Qt object: the only thing that Python code in Slicer ever touches.

Written from PythonQt's documented behaviour: properties are attributes, methods stay methods, unknown
attributes raise on reading and on writing, and no wrapper class derives from another, so
``isinstance(button, qt.QWidget)`` is False.
"""

from __future__ import annotations

import operator
from typing import Any, ClassVar, cast

from PySide6.QtCore import Property, QObject
from shiboken6 import Shiboken

from host.pythonqt import conversion, members, registry, signals, signatures
from host.pythonqt.calls import Method, call
from host.pythonqt.enums import enum_type, wrap_enum
from host.pythonqt.static_functions import modal_function, static_function
from host.pythonqt.subclasses import shell_class


class PythonQtClassWrapper(type):
    """The type of ``qt.QWidget``: offers static methods, unbound methods and enum values."""

    pyside_class: type

    def __getattr__(cls, attribute: str) -> Any:
        if attribute.startswith("_") or "pyside_class" not in dir(cls):
            raise AttributeError(attribute)
        member = members.find(cls.pyside_class, attribute)
        if member is not None and member.value is not None:
            return _enum_attribute(member.value)
        if member is not None and member.is_method:
            instead = static_function(cls.pyside_class, member.name)
            return instead or Method(cls.__name__, member, getattr(cls.pyside_class, member.name))
        raise AttributeError(f"type object '{cls.__name__}' has no attribute '{attribute}'")


class PythonQtInstanceWrapper(metaclass=PythonQtClassWrapper):
    """A Qt object in Python. :func:`make_class` makes its classes; Python code may derive from them."""

    pyside_class: ClassVar[type]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Create the Qt object.

        Raises:
            ValueError: no constructor takes the arguments; none ever takes keyword arguments.
        """
        name = type(self).__name__
        if kwargs:
            raise ValueError(
                f"Called {name}() with keyword arguments, but called slot does not support kwargs."
            )
        pyside_class = type(self).pyside_class
        constructed = members.is_qt_class(pyside_class)
        arguments = conversion.unwrap(args)
        pyside_object = call(name, pyside_class, pyside_class if constructed else None, arguments)
        registry.bind(self, pyside_object)
        if _is_python_subclass(type(self)):
            pyside_object.python_wrapper = self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "pyside_class" not in vars(cls):
            cls.pyside_class = shell_class(cls)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_") or attribute == "pyside_object":
            raise AttributeError(attribute)
        pyside_object = registry.object_of(self)
        member = members.find(type(pyside_object), attribute)
        if member is None:
            return self._dynamic_property_or_child(pyside_object, attribute)
        if member.prop is not None:
            return _read(pyside_object, member)
        if member.signals:
            return signals.BoundSignal(pyside_object, member.signals)
        if member.is_method:
            instead = modal_function(pyside_object, member.name) or static_function(
                type(pyside_object), member.name
            )
            return instead or Method(self.className(), member, getattr(pyside_object, member.name))
        return _enum_attribute(member.value)

    def __setattr__(self, attribute: str, value: Any) -> None:
        pyside_object = registry.object_of(self)
        member = members.find(type(pyside_object), attribute)
        if member is not None:
            self._write_member(pyside_object, attribute, member, value)
        elif _has_dynamic_property(pyside_object, attribute):
            pyside_object.setProperty(attribute, conversion.unwrap(value))
        elif _is_python_subclass(type(self)):
            object.__setattr__(self, attribute, value)
        else:
            raise AttributeError(
                f"'{attribute}' does not exist on {self.className()} "
                "and creating new attributes on C++ objects is not allowed"
            )

    def _write_member(self, pyside_object: Any, attribute: str, member: members.Member, value: Any) -> None:
        if member.prop is None:
            kind = "Signal" if member.signals else "Slot" if member.is_method else "EnumValue"
            raise AttributeError(f"{kind} '{attribute}' can not be overwritten on {self.className()} object")
        if not member.prop.isWritable():
            raise AttributeError(f"Property '{attribute}' of {self.className()} object is not writable")
        in_python = _is_declared_in_python(pyside_object, member.name)
        if in_python and value is None and members.type_of(member.prop) == "QString":
            value = ""  # slicer.util writes None to qMRMLNodeComboBox.currentNodeID
        written = conversion.property_value(member.prop, value)
        if in_python:
            setattr(pyside_object, member.name, written)
        elif not pyside_object.setProperty(member.name, written):
            raise AttributeError(
                f"Property '{attribute}' does not accept an object of type {type(value).__name__}"
            )

    def _dynamic_property_or_child(self, pyside_object: Any, attribute: str) -> Any:
        if _has_dynamic_property(pyside_object, attribute):
            return conversion.wrap(pyside_object.property(attribute))
        if isinstance(pyside_object, QObject):
            for child in pyside_object.children():
                if child.objectName() == attribute:
                    return conversion.wrap(child)
        raise AttributeError(f"{self.className()} has no attribute named '{attribute}'")

    def className(self) -> str:
        """The name of the C++ class, or of the Python class that derives from it."""
        return type(self).__name__

    def inherits(self, class_name: str) -> bool:
        return any(ancestor.__name__ == class_name for ancestor in type(registry.object_of(self)).__mro__)

    def delete(self) -> None:
        """Delete the C++ object now."""
        Shiboken.delete(registry.object_of(self))

    def connect(self, signal: str, *receiver_and_slot: Any) -> bool:
        """``connect("clicked(bool)", function)`` or ``connect("clicked(bool)", receiver, "slot()")``."""
        sender = registry.object_of(self)
        if len(receiver_and_slot) == 1:
            return signals.connect(sender, signatures.signal(sender, signal), receiver_and_slot[0])
        receiver, slot = receiver_and_slot
        signals.connect_objects(sender, signal, registry.object_of(receiver), slot)
        return True

    def disconnect(self, signal: str, slot: Any = None) -> bool:
        sender = registry.object_of(self)
        return signals.disconnect(sender, signatures.signal(sender, signal), slot)

    def findChild(self, kind: Any, name: str = "") -> Any:
        """The first descendant of a class (wrapper class or class name), optionally with a name."""
        found = self.findChildren(kind, name)
        return found[0] if found else None

    def findChildren(self, kind: Any, name: str = "") -> tuple[Any, ...]:
        class_name = kind if isinstance(kind, str) else kind.__name__
        descendants = registry.object_of(self).findChildren(QObject)
        wrappers = (conversion.wrap(child) for child in descendants if not name or child.objectName() == name)
        return tuple(wrapper for wrapper in wrappers if wrapper.inherits(class_name))

    def __bool__(self) -> bool:
        pyside_object = self.__dict__.get("pyside_object")
        return pyside_object is not None and Shiboken.isValid(pyside_object)

    def __eq__(self, other: object) -> bool:
        if other is None:
            return not self
        if not isinstance(other, PythonQtInstanceWrapper):
            return NotImplemented
        mine, others = self.__dict__["pyside_object"], other.__dict__["pyside_object"]
        return mine is others or (not isinstance(mine, QObject) and bool(mine == others))

    def __hash__(self) -> int:
        return hash(id(self.__dict__["pyside_object"]))

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({self.__dict__.get('pyside_object')!r})"


def make_class(pyside_class: type) -> type[PythonQtInstanceWrapper]:
    """The wrapper class of a PySide class; all wrapper classes are siblings."""
    body = {"pyside_class": pyside_class}
    wrapper_class = PythonQtClassWrapper(pyside_class.__name__, (PythonQtInstanceWrapper,), body)
    return cast("type[PythonQtInstanceWrapper]", wrapper_class)


def _add_operators() -> None:
    """Arithmetic and comparison of Qt's value classes, for example ``point + point`` and ``size * 2``."""
    for name in ("add", "sub", "mul", "truediv", "and", "or", "lt", "le", "gt", "ge"):
        function = getattr(operator, f"__{name}__")

        def method(self: Any, other: Any, function: Any = function) -> Any:
            return conversion.wrap(function(registry.object_of(self), conversion.unwrap(other)))

        setattr(PythonQtInstanceWrapper, f"__{name}__", method)


_add_operators()


def _enum_attribute(value: Any) -> Any:
    return enum_type(value) if isinstance(value, type) else wrap_enum(value)


def _is_python_subclass(wrapper_class: type) -> bool:
    return wrapper_class.__bases__ != (PythonQtInstanceWrapper,)


def _is_declared_in_python(pyside_object: Any, name: str) -> bool:
    return any(isinstance(vars(ancestor).get(name), Property) for ancestor in type(pyside_object).__mro__)


def _read(pyside_object: Any, member: members.Member) -> Any:
    if _is_declared_in_python(pyside_object, member.name):
        return conversion.wrap(getattr(pyside_object, member.name))
    return conversion.wrap(pyside_object.property(member.name))


def _has_dynamic_property(pyside_object: Any, name: str) -> bool:
    return isinstance(pyside_object, QObject) and name.encode() in pyside_object.dynamicPropertyNames()
