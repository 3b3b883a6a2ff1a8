"""Files that appear whole or not at all, be there a crash or a full disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .file_errors import writing_to

_TRIES, _APART_S = 10, 0.1


@contextmanager
def appearing_whole(path: Path) -> Iterator[Path]:
    """Where to write a file; what is written moves to ``path`` when the block ends without error.

    Raises:
        OSError: it cannot be put there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(made: Path, target: Path) -> None:
    """Give a file or folder its name; a file takes the place of one that is there.

    Windows refuses as long as any program has one of them open: a virus scanner, which looks at what was just
    written, or a browser, which loads the page of a training again. Most are done within a moment.

    Raises:
        OSError: it cannot be put there.
    """
    for _ in range(_TRIES - 1):
        try:
            made.replace(target)
            return
        except PermissionError:
            time.sleep(_APART_S)
    made.replace(target)


def write_whole(path: Path, text: str) -> None:
    """Write a text file; one that is there stays as it is until the new one is whole.

    Raises:
        UserError: it cannot be written (exit code 5).
    """
    with writing_to(path), appearing_whole(path) as temporary:
        # Paths of scans may be in any script, or in none, whatever the locale of this machine.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
