"""Exceptions that Qt and VTK swallow: in slots, timers and observers."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType


class SlotErrors(list[BaseException]):
    """The exceptions raised in slots and observers since the last :meth:`clear`.

    Slicer prints such an exception in its console and goes on, so a broken button looks like a button that
    does nothing. Both PySide and VTK report through ``sys.excepthook``, which is where they are collected.
    """

    def install(self) -> None:
        """Collect from now on; the exceptions are still printed."""
        sys.excepthook = self._collect

    def raise_first(self) -> None:
        """Fail with what was collected, and forget it.

        Raises:
            AssertionError: there was an exception; its cause is the first one.
        """
        if not self:
            return
        errors, first = list(self), self[0]
        self.clear()
        text = "\n".join("".join(traceback.format_exception(error)) for error in errors)
        raise AssertionError(f"{len(errors)} exception(s) in slots or observers:\n{text}") from first

    def _collect(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.append(error.with_traceback(trace))
        traceback.print_exception(kind, error, trace)


slot_errors = SlotErrors()
