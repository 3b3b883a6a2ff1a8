"""Memory that ran out: how each library says so, and what the user is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import ExitCode, UserError

_TEXTS = (
    "out of memory",  # torch on a GPU
    "alloc_failed",  # cuBLAS and cuDNN on a GPU that others have filled
    "allocation_failed",  # cuDNN since version 9
    "can't allocate memory",  # torch on a CPU
    "not enough memory",  # torch on a CPU, in Windows
    "failed to allocate memory",  # ITK
    "bad_alloc",  # C++, by either
)
"""Only Python and numpy raise a :class:`MemoryError`; of the others' RuntimeErrors the text tells."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, numpy, torch or ITK says that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(text in said for text in _TEXTS)


@contextmanager
def fitting_into_memory(why: str = "Each step holds the whole scan in memory.") -> Iterator[None]:
    """Turn memory that runs out, in work on a whole scan, into an error that the user understands.

    Raises:
        UserError: memory ran out (exit code 4).
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise not_enough_memory(why) from error


def not_enough_memory(why: str) -> UserError:
    """What to say when memory ran out and nothing else can be tried."""
    return UserError(
        "There is not enough memory for this scan.",
        why=why,
        fix="Close other programs, or crop the scan to the chest.",
        code=ExitCode.OUT_OF_MEMORY,
    )


def memory_ran_out() -> UserError:
    """What to say when memory ran out in a command that does more than one scan."""
    return UserError(
        "Memory ran out.",
        why="What was being worked on does not fit into it. What was finished before is kept.",
        fix="Close other programs, or give the command less at a time: smaller scans, fewer workers, or a "
        "preset with a smaller batch.",
        code=ExitCode.OUT_OF_MEMORY,
    )
