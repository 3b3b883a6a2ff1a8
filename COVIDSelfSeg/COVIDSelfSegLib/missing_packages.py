"""A command line whose Python lacks a package, or has a damaged one, says so in three lines."""

from __future__ import annotations

import sys
from collections.abc import Callable

from .errors import ExitCode, UserError
from .events import EventWriter
from .status import torch_status

_WHY = "The networks run in this Python, and need it."


def saying_what_is_missing(main: Callable[[], int]) -> int:
    """Run a command line that imports what it needs; returns the exit code."""
    try:
        return main()
    except ModuleNotFoundError as missing:
        error = UserError(
            f"The Python package '{missing.name}' is missing from {sys.executable}.",
            why=_WHY,
            fix="Install it there (in Slicer: Set-up, Install), or choose another Python for the worker.",
            code=ExitCode.MODEL_UNUSABLE,
        )
    except KeyboardInterrupt:  # while it imports; later, it says what stays of its work
        sys.stderr.write("Cancelled; nothing was written.\n")
        return int(ExitCode.CANCELLED)
    except (ImportError, OSError, RuntimeError):
        torch = torch_status()
        if torch is None or "error" not in torch:
            raise
        error = UserError(
            f"PyTorch cannot be used in {sys.executable}: {torch['error']}",
            why=_WHY,
            fix=torch["fix"],
            code=ExitCode.MODEL_UNUSABLE,
        )
    if "--events" in sys.argv:
        EventWriter().error(error)
    else:
        sys.stderr.write(f"{error}\n")
    return int(error.code)
