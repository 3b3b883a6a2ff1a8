"""The one class of errors that a user can meet, and the exit codes of the worker.

Anything that is not a :class:`UserError` is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the worker and of the command line."""

    DONE = 0
    INPUT_REFUSED = 2
    MODEL_UNUSABLE = 3
    OUT_OF_MEMORY = 4
    OUTPUT_NOT_WRITABLE = 5
    CANCELLED = 130


class UserError(Exception):
    """Something the user can mend: what happened, why it matters, what to do.

    The panel and the command line show all three; the table of a batch what happened and what to do.

    Args:
        what: what happened, in one sentence that names the file or value.
        why: why the work cannot go on like this.
        fix: what the user can do about it.
        code: exit code of the process that meets this error.
    """

    def __init__(self, what: str, *, why: str, fix: str, code: ExitCode = ExitCode.INPUT_REFUSED) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.code = code

    def __str__(self) -> str:
        return f"{self.what}\n  Why: {self.why}\n  Fix: {self.fix}"


class Cancelled(BaseException):
    """The user ended the run. Not an ``Exception``: no handler on the way up may swallow it."""


@contextmanager
def stopped_saying(text: str) -> Iterator[None]:
    """Tell a user who stops this work what stays of it and how to go on.

    Raises:
        Cancelled: the user ended it.
    """
    try:
        yield
    except (KeyboardInterrupt, Cancelled) as stop:
        raise Cancelled(text) from stop
