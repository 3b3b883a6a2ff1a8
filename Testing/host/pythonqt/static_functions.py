"""Functions of Qt that PythonQt offers in another form than PySide, or that would wait for a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QTimer, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QDialog, QFileDialog, QMenu, QMessageBox

from host.pythonqt import conversion
from host.pythonqt.dialogs import dialogs
from host.pythonqt.signals import guarded_call

_FILE_DIALOGS = ("getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory")
_MESSAGE_BOXES = ("information", "question", "warning", "critical", "about")
_NEEDING_OUTPUT_ARGUMENTS = ("QInputDialog.getText", "QInputDialog.getItem", "QInputDialog.getInt")


def modal_function(pyside_object: Any, name: str) -> Callable[..., Any] | None:
    """What stands for ``exec`` of a dialog or menu, ``None`` for any other method."""
    if name.rstrip("_") != "exec" or not isinstance(pyside_object, (QDialog, QMenu)):
        return None
    what = f"{type(pyside_object).__name__}.exec"

    def ask(*args: Any) -> Any:
        told = (pyside_object.text(),) if isinstance(pyside_object, QMessageBox) else args
        return conversion.wrap(dialogs.ask(what, told, lambda: pyside_object.exec(*conversion.unwrap(args))))

    return ask


def static_function(pyside_class: type, name: str) -> Callable[..., Any] | None:
    """What stands for a static function of a class, ``None`` if PySide's own will do.

    Raises:
        NotImplementedError: the function returns its result through a pointer, which the stand-in does not
        offer.
    """
    if name == "singleShot" and issubclass(pyside_class, QTimer):
        return _single_shot
    if name in _FILE_DIALOGS and issubclass(pyside_class, QFileDialog):
        return lambda *args: _file_dialog(name, args)
    if name in _MESSAGE_BOXES and issubclass(pyside_class, QMessageBox):
        return lambda *args: _message_box(name, args)
    if name == "openUrl" and pyside_class is QDesktopServices:
        return _open_url
    if f"{pyside_class.__name__}.{name}" in _NEEDING_OUTPUT_ARGUMENTS:
        raise NotImplementedError(f"{pyside_class.__name__}.{name} is not part of the host")
    return None


def _single_shot(milliseconds: int, slot: Callable[[], Any]) -> None:
    if not callable(slot):
        raise ValueError(f"QTimer.singleShot cannot call {slot!r}")
    QTimer.singleShot(milliseconds, lambda: guarded_call(slot))


def _file_dialog(name: str, args: tuple[Any, ...]) -> Any:
    """PythonQt returns the path alone, PySide a pair of path and filter."""

    def show() -> Any:
        chosen = getattr(QFileDialog, name)(*conversion.unwrap(args))
        return chosen[0] if isinstance(chosen, tuple) else chosen

    return conversion.wrap(dialogs.ask(f"QFileDialog.{name}", args, show))


def _message_box(name: str, args: tuple[Any, ...]) -> int:
    def show() -> Any:
        return getattr(QMessageBox, name)(*conversion.unwrap(args))

    return conversion.wrap(dialogs.ask(f"QMessageBox.{name}", args, show))


def _open_url(url: Any) -> bool:
    target: QUrl = conversion.unwrap(url)
    dialogs.opened_urls.append(target.toString())
    return QDesktopServices.openUrl(target) if dialogs.interactive else True
