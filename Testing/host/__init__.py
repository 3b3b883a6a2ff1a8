"""A stand-in for the application 3D Slicer, with which scripted modules are tested without it.

The scene, its nodes, logics, storage, displayable managers and ``slicer.util`` are Slicer's own, from the
package ``slicer-core``. Written here, from Slicer's documented behaviour: the application around them
(``slicer.app``, ``slicer.modules``, module loading), and ``qt``, ``ctk`` and the ``qMRML`` widgets over
PySide6, as strict as the real ones. See README.md in this folder.

Attributes:
    slot_errors: exceptions raised in slots, timers and observers.
    dialogs: answers for modal dialogs, and what was asked.
"""

from host.errors import slot_errors
from host.pythonqt.dialogs import dialogs

__all__ = ["dialogs", "slot_errors"]
