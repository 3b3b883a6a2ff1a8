"""That the user asked this process to end, kept where a library swallowed what was raised.

A signal raises wherever Python happens to be. In the middle of a library's own code that may come out as an
error of the library, or not at all: safetensors has made a damaged file of it, and the run went on.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

from .errors import Cancelled

_asked = threading.Event()


def end_on_signals() -> None:
    """Have SIGTERM and Ctrl-C end what runs, from now on; what was asked before is forgotten."""
    _asked.clear()
    signal.signal(signal.SIGTERM, _on_terminate)
    # Where a shell started this in the background, an interrupt of another program is ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)


def was_asked_to_end() -> bool:
    """Whether a signal came since :func:`end_on_signals`."""
    return _asked.is_set()


def end_if_asked() -> None:
    """Raise again what a library swallowed; for those who work long, between their steps.

    Another thread than the main one finishes what it does.

    Raises:
        Cancelled: the user ended it.
    """
    if was_asked_to_end() and threading.current_thread() is threading.main_thread():
        raise Cancelled


def _on_terminate(_signal: int, _frame: FrameType | None) -> None:
    _asked.set()
    raise Cancelled


def _on_interrupt(_signal: int, _frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt
