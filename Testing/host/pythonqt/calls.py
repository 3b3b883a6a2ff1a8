"""Calling methods of Qt objects with the strictness and the leniency of PythonQt."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from shibokensupport.signature import get_signature

from host.pythonqt import conversion
from host.pythonqt.members import Member

_WRONG_ARGUMENTS = ("called with wrong argument", "not enough arguments", "takes ", "not supported")


class Method:
    """A method as an attribute of an object or class."""

    def __init__(self, owner: str, member: Member, function: Callable[..., Any]) -> None:
        self._owner = owner
        self._member = member
        self._function = function
        self.__name__ = member.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method.

        Raises:
            ValueError: PythonQt would find no overload for the arguments, or there are keyword arguments.
        """
        name = f"{self._owner}.{self._member.name}"
        if kwargs:
            raise ValueError(
                f"Called {name} with keyword arguments, but called slot does not support kwargs."
            )
        if self._member.slots:
            conversion.check_arguments(self._owner, self._member.slots, args)
            return conversion.wrap(self._function(*conversion.unwrap(args)))
        return conversion.wrap(call(name, self._function, self._function, conversion.unwrap(args)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Method) and self._function == other._function

    def __hash__(self) -> int:
        return hash(self._function)

    def __repr__(self) -> str:
        return f"<qt slot {self._member.name} of {self._owner}>"


def call(name: str, function: Callable[..., Any], signature_source: Any, args: list[Any]) -> Any:
    """Call Qt with PySide values; integers are taken for enums where no overload takes integers.

    Raises:
        ValueError: no overload takes the arguments.
    """
    try:
        return function(*args)
    except TypeError as error:
        if not any(text in str(error) for text in _WRONG_ARGUMENTS):
            raise
        for candidate in _with_enums(signature_source, args):
            try:
                return function(*candidate)
            except TypeError:
                continue
        raise ValueError(f"Called {name} with wrong arguments: {error}") from error


def _with_enums(signature_source: Any, args: list[Any]) -> Iterator[list[Any]]:
    """``args`` with integers replaced by enum members, once for every overload that takes enums there."""
    signatures = get_signature(signature_source)
    for signature in signatures if isinstance(signatures, list) else [signatures]:
        if signature is None:
            continue
        parameters = [
            p for p in signature.parameters.values() if p.name != "self" and p.kind is not p.KEYWORD_ONLY
        ]
        if len(parameters) < len(args):
            continue
        pairs = list(zip(parameters, args, strict=False))
        if any(_takes_enum(parameter, arg) for parameter, arg in pairs):
            yield [p.annotation(arg) if _takes_enum(p, arg) else arg for p, arg in pairs]


def _takes_enum(parameter: inspect.Parameter, arg: Any) -> bool:
    annotation = parameter.annotation
    is_enum = isinstance(annotation, type) and issubclass(annotation, enum.Enum)
    return is_enum and isinstance(arg, int) and not isinstance(arg, (bool, enum.Enum))
