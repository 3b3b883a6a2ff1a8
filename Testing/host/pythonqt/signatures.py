"""Signal and slot signatures as C++ spells them.

A signal that carries a VTK object is ``Signal(object)`` in a stand-in, and PySide calls its argument
``PyObject``. Slicer calls it by its class, for example ``currentNodeChanged(vtkMRMLNode*)``. A stand-in
class lists those true signatures in its class attribute ``vtk_signatures``.
"""

from __future__ import annotations

import re
from typing import Any

from PySide6.QtCore import QMetaObject, QObject

from host.pythonqt.members import meta_object

_meta_functions: Any = QMetaObject  # its stubs ask for bytes, its functions for str
_VTK_POINTER = re.compile(r"vtk\w+\s*\*")


def signal(sender: QObject, signature: str) -> str:
    """The signature by which PySide knows a signal.

    Raises:
        AttributeError: the sender has no such signal. PythonQt only prints a warning and never calls back.
    """
    found = _normalized(sender, signature)
    if meta_object(type(sender)).indexOfSignal(found) < 0:
        raise AttributeError(f"signal '{signature}' does not exist on {type(sender).__name__}")
    return found


def slot(receiver: QObject, signature: str) -> str:
    """The signature by which PySide knows a slot.

    Raises:
        AttributeError: the receiver has no such slot.
    """
    found = _normalized(receiver, signature)
    if meta_object(type(receiver)).indexOfSlot(found) < 0:
        raise AttributeError(f"slot '{signature}' does not exist on {type(receiver).__name__}")
    return found


def _normalized(owner: QObject, signature: str) -> str:
    name = type(owner).__name__
    if "PyObject" in signature:
        raise AttributeError(
            f"'{signature}' of {name}: PyObject exists in the stand-in only, name the VTK class"
        )
    normalized = bytes(_meta_functions.normalizedSignature(signature).data()).decode()
    if not _VTK_POINTER.search(normalized):
        return normalized
    if not any(normalized in vars(ancestor).get("vtk_signatures", ()) for ancestor in type(owner).__mro__):
        raise AttributeError(f"'{signature}' does not exist on {name}")
    return _VTK_POINTER.sub("PyObject", normalized)
