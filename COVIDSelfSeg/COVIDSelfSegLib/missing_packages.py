"""A command line of which a Python package is missing says so in three lines instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from .errors import ExitCode, UserError
from .events import EventWriter


def saying_what_is_missing(main: Callable[[], int]) -> int:
    """Run a command line that imports what it needs; returns the exit code."""
    try:
        return main()
    except ModuleNotFoundError as missing:
        error = UserError(
            f"The Python package '{missing.name}' is missing from {sys.executable}.",
            why="The networks run in this Python, and need it.",
            fix="Install it there (in Slicer: Set-up, Install), or choose another Python for the worker.",
            code=ExitCode.MODEL_UNUSABLE,
        )
        if "--events" in sys.argv:
            EventWriter().error(error)
        else:
            sys.stderr.write(f"{error}\n")
        return int(error.code)
