"""Enum values as Python sees them in Slicer: integers, not enum objects."""

from __future__ import annotations

import enum
from functools import cache
from typing import ClassVar


class EnumValue(int):
    """One enum value. PythonQt derives a type from ``int`` for every C++ enum.

    Comparing with integers and combining with ``|`` works (and gives a plain ``int``); ``.value`` and
    ``.name``, which PySide offers, do not exist. Values live on the class (``qt.QMessageBox.Ok``), not on
    the enum's type.
    """

    pyside_enum: ClassVar[type[enum.Enum]]

    def to_pyside(self) -> enum.Enum:
        return self.pyside_enum(int(self))


@cache
def enum_type(pyside_enum: type[enum.Enum]) -> type[EnumValue]:
    """The integer type that stands for a PySide enum; calling it with an integer makes a value."""
    return type(pyside_enum.__name__, (EnumValue,), {"pyside_enum": pyside_enum})


def wrap_enum(member: enum.Enum) -> int:
    """A PySide enum member as PythonQt returns it; a combination of flags is a plain integer."""
    if isinstance(member, enum.Flag) and member.name not in type(member).__members__:
        return int(member.value)
    return enum_type(type(member))(member.value)
