"""Connecting Python functions to Qt signals the way PythonQt does."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import SIGNAL, QMetaObject, QObject
from shiboken6 import Shiboken

from host.pythonqt import conversion, signatures


@dataclass(frozen=True)
class _Connection:
    signature: str
    slot: Callable[..., Any]
    handle: QMetaObject.Connection


_connections: dict[int, list[_Connection]] = {}


class BoundSignal:
    """A signal as an attribute of an object: ``button.clicked``.

    PythonQt connects the first overload; choosing another with ``signal[type]`` is not possible there, only
    with ``object.connect("signal(type)", function)``.
    """

    def __init__(self, sender: QObject, overloads: list[str]) -> None:
        self._sender = sender
        self._signature = overloads[0]

    def connect(self, slot: Callable[..., Any]) -> bool:
        return connect(self._sender, self._signature, slot)

    def disconnect(self, slot: Callable[..., Any] | None = None) -> bool:
        return disconnect(self._sender, self._signature, slot)

    def emit(self, *args: Any) -> None:
        getattr(self._sender, self._signature.split("(")[0]).emit(*conversion.unwrap(args))

    __call__ = emit


def connect(sender: QObject, pyside_signature: str, slot: Callable[..., Any]) -> bool:
    """Call ``slot`` whenever the signal is emitted; the connection keeps the function alive.

    Raises:
        TypeError: ``slot`` cannot be called.
    """
    if not callable(slot):
        raise TypeError(f"cannot connect {pyside_signature} to {slot!r}")
    handle = QObject.connect(sender, SIGNAL(pyside_signature), _guarded(slot))
    _connections_of(sender).append(_Connection(pyside_signature, slot, handle))
    return True


def disconnect(sender: QObject, pyside_signature: str, slot: Callable[..., Any] | None) -> bool:
    """Undo one connection to ``slot``, or all connections of the signal. False if there was none."""
    connections = _connections_of(sender)
    found = [c for c in connections if c.signature == pyside_signature and (slot is None or c.slot == slot)]
    for connection in found[:1] if slot is not None else found:
        QObject.disconnect(connection.handle)
        connections.remove(connection)
    return bool(found)


def connect_objects(sender: QObject, signal: str, receiver: QObject, slot: str) -> None:
    """Connect a signal to a slot, both by their C++ signatures.

    Raises:
        AttributeError: there is no such signal or slot.
        RuntimeError: their arguments do not fit together.
    """
    pyside_signal = signatures.signal(sender, signal)
    pyside_slot = signatures.slot(receiver, slot)
    if not QMetaObject.checkConnectArgs(pyside_signal, pyside_slot):
        raise RuntimeError(f"the arguments of {signal} do not fit {slot}")
    target = getattr(receiver, pyside_slot.split("(")[0])
    number_of_arguments = 0 if pyside_slot.endswith("()") else pyside_slot.count(",") + 1
    QObject.connect(
        sender, SIGNAL(pyside_signal), _guarded(lambda *args: target(*args[:number_of_arguments]))
    )


def arguments_taken(slot: Callable[..., Any]) -> int | None:
    """How many signal arguments PythonQt hands to a function, ``None`` for all of them.

    Only plain functions and bound methods get fewer; arguments with a default count, so a signal's argument
    replaces the default of ``lambda path=path: ...``.
    """
    function = slot.__func__ if inspect.ismethod(slot) else slot
    if not inspect.isfunction(function) or function.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return function.__code__.co_argcount - (1 if inspect.ismethod(slot) else 0)


def guarded_call(slot: Callable[..., Any], *args: Any) -> None:
    """Call Python code on behalf of Qt: an exception is reported, as in Slicer's console, and Qt goes on."""
    try:
        slot(*args)
    except Exception:
        sys.excepthook(*sys.exc_info())


def _guarded(slot: Callable[..., Any]) -> Callable[..., None]:
    taken = arguments_taken(slot)

    def call(*args: Any) -> None:
        guarded_call(slot, *(conversion.wrap(arg) for arg in args[:taken]))

    return call


def _connections_of(sender: QObject) -> list[_Connection]:
    address = Shiboken.getCppPointer(sender)[0]
    if address not in _connections:
        _connections[address] = []
        sender.destroyed.connect(lambda *_: _connections.pop(address, None))
    return _connections[address]
