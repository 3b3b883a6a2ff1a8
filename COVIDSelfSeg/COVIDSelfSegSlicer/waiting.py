"""Waiting for a child process in the console, while Slicer stays alive and may be closed."""

from __future__ import annotations

import time
from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

_CLOSING = ("lastWindowClosed()", "aboutToQuit()")
"""Signals of a Slicer that closes. Qt 5 sends the second one after the wait, which would go on till then."""


def waitFor(isRunning: Callable[[], bool], poll: Callable[[], None], end: Callable[[], None]) -> None:
    """Poll a child process until it has ended.

    Args:
        isRunning: whether there is something to wait for.
        poll: moves the work on without waiting.
        end: ends the child at once; called when Slicer closes, and when something raises.

    Raises:
        RuntimeError: Slicer closes; its event loop does not end before this one.
    """
    isClosing = False

    def onClosing() -> None:
        nonlocal isClosing
        isClosing = True
        end()

    for signal in _CLOSING:
        slicer.app.connect(signal, onClosing)
    try:
        while isRunning() and not isClosing:
            poll()
            slicer.app.processEvents()
            time.sleep(0.01)
    except BaseException:
        end()
        raise
    finally:
        for signal in _CLOSING:
            slicer.app.disconnect(signal, onClosing)
    if isClosing:
        raise RuntimeError(_("Slicer was closed; the work was ended."))
