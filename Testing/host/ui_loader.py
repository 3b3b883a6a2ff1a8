"""``qt.QUiLoader``: reads .ui files, and refuses what Slicer would quietly do wrong."""

from __future__ import annotations

import enum
from typing import Any
from xml.etree import ElementTree as ET

from PySide6.QtCore import (
    QBuffer,
    QByteArray,
    QIODevice,
    QObject,
    QtMsgType,
    Slot,
    qInstallMessageHandler,
)
from PySide6.QtUiTools import QUiLoader as PySideUiLoader
from PySide6.QtWidgets import QWidget

from host.pythonqt import signals

_PROPERTIES_OF_THE_FORMAT = frozenset({"geometry", "orientation"})
"""Written for every widget, or for the designer's own ``Line``, and no properties of the class."""


class UiFileError(RuntimeError):
    """A .ui file asks for something that does not exist."""


class QUiLoader(QObject):
    """Stands for QUiLoader with the designer plugins of CTK and Slicer.

    Slicer makes a plain QWidget of an unknown class, a dynamic property of an unknown property, and prints a
    warning for a connection that cannot be made; the module fails later, somewhere else. Here all of that
    raises.
    """

    stand_ins: dict[str, type[QWidget]]
    """The classes that Qt does not have, by name; set before the first use."""

    @Slot("QIODevice*", result=QWidget)
    @Slot("QIODevice*", QWidget, result=QWidget)
    def load(self, device: QIODevice, parent: QWidget | None = None) -> QWidget:
        """The widget that a .ui file describes.

        Raises:
            UiFileError: an unknown class, property, signal, slot or object, or a warning of Qt about the
            file.
        """
        tree = ET.fromstring(bytes(device.readAll().data()))  # noqa: S314 - the module's own file
        connections = [_connection(element) for element in tree.findall("connections/connection")]
        for parent_element in tree.findall("connections"):
            tree.remove(parent_element)
        loader = _Loader(self.stand_ins)
        for element in tree.iter("widget"):
            _check_widget(element, loader)
        widget = _load(loader, ET.tostring(tree), parent)
        for connection in connections:
            _connect(widget, *connection)
        return widget


class _Loader(PySideUiLoader):
    """Makes stand-ins for the classes that Qt does not have."""

    def __init__(self, stand_ins: dict[str, type[QWidget]]) -> None:
        super().__init__()
        self._stand_ins = stand_ins

    def class_named(self, name: str) -> Any:
        """The meta object of a class that a .ui file may use."""
        from PySide6 import QtWidgets

        if name == "Line":
            name = "QFrame"
        if name not in self._stand_ins and name not in self.availableWidgets():
            raise UiFileError(f"the host has no widget class {name}")
        return (self._stand_ins.get(name) or getattr(QtWidgets, name)).staticMetaObject

    def enum_value(self, class_name: str, text: str) -> int | None:
        """The number of ``Class::Value|Class::Other`` if the enum belongs to a stand-in."""
        values: dict[str, int] = {}
        for nested in vars(self._stand_ins.get(class_name, object)).values():
            if isinstance(nested, type) and issubclass(nested, enum.IntEnum | enum.IntFlag):
                values.update({name: int(member) for name, member in nested.__members__.items()})
        names = [part.rsplit("::", maxsplit=1)[-1] for part in text.split("|")]
        return sum(values[name] for name in names) if all(name in values for name in names) else None

    def createWidget(self, class_name: str, parent: QWidget | None = None, name: str = "") -> QWidget:
        if class_name not in self._stand_ins:
            return super().createWidget(class_name, parent, name)
        widget = self._stand_ins[class_name](parent)
        widget.setObjectName(name)
        return widget


def _check_widget(element: ET.Element, loader: _Loader) -> None:
    class_name = element.get("class", "")
    meta = loader.class_named(class_name)
    for prop in element.findall("property"):
        name = prop.get("name", "")
        if prop.get("stdset") == "0" or name in _PROPERTIES_OF_THE_FORMAT:
            continue
        if meta.indexOfProperty(name) < 0:
            raise UiFileError(f"{class_name} '{element.get('name')}' has no property '{name}'")
        for value in [*prop.findall("enum"), *prop.findall("set")]:
            number = loader.enum_value(class_name, value.text or "")
            if number is not None:
                value.tag, value.text = "number", str(number)


def _load(loader: _Loader, ui: bytes, parent: QWidget | None) -> QWidget:
    warnings: list[str] = []

    def note(kind: QtMsgType, _context: object, message: str) -> None:
        if kind != QtMsgType.QtDebugMsg:
            warnings.append(message)

    data = QByteArray(ui)
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.ReadOnly)
    previous = qInstallMessageHandler(note)
    try:
        widget = loader.load(buffer, parent)
    finally:
        qInstallMessageHandler(previous)
    if warnings or widget is None:
        raise UiFileError("; ".join(warnings) or loader.errorString())
    return widget


def _connection(element: ET.Element) -> tuple[str, str, str, str]:
    sender, signal, receiver, slot = (
        element.findtext(tag, "") for tag in ("sender", "signal", "receiver", "slot")
    )
    return sender, signal, receiver, slot


def _connect(widget: QWidget, sender: str, signal: str, receiver: str, slot: str) -> None:
    try:
        signals.connect_objects(_named(widget, sender), signal, _named(widget, receiver), slot)
    except (AttributeError, RuntimeError) as error:
        raise UiFileError(f"connection of {sender} to {receiver}: {error}") from error


def _named(widget: QWidget, name: str) -> QObject:
    found = widget if widget.objectName() == name else widget.findChild(QObject, name)
    if found is None:
        raise UiFileError(f"there is no object named '{name}'")
    return found
