"""Work that a thread does while the user goes on: files are written and read, never nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

_PATIENCE_S = 0.5
_WAY_S = 0.02


def giveWay() -> None:
    """Let threads work for a moment; to be called again and again on the main thread while one does.

    Slicer's event loop keeps Python's interpreter lock while it waits for the next event: a thread gets it
    only while the main thread is in Python, and there waits or sleeps.
    """
    time.sleep(_WAY_S)


class BackgroundJob(Generic[Value]):
    """A function in a thread.

    Args:
        function: what to do; it is given a function that tells whether to stop.
    """

    def __init__(self, function: Callable[[Callable[[], bool]], Value]) -> None:
        self._stop = threading.Event()
        self._value: Value | None = None
        self._error: BaseException | None = None
        # A thread that has ended forgets its arguments, and with them the memory that the function holds.
        self._thread = threading.Thread(target=self._run, args=(function,), daemon=True)
        self._thread.start()

    @property
    def isDone(self) -> bool:
        """Whether :meth:`result` has something to give."""
        return not self._thread.is_alive()

    def result(self) -> Value:
        """What the function returned; raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def stop(self) -> None:
        """Ask the function to stop, and wait for it, half a second at most."""
        self._stop.set()
        self._thread.join(_PATIENCE_S)

    def _run(self, function: Callable[[Callable[[], bool]], Value]) -> None:
        try:
            self._value = function(self._stop.is_set)
        except BaseException as error:
            self._error = error
