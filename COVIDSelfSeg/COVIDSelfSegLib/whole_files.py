"""Text files that appear whole or not at all, be there a crash or a full disk."""

from __future__ import annotations

import os
from pathlib import Path

from .file_errors import writing_to


def write_whole(path: Path, text: str) -> None:
    """Write a text file; one that is there stays as it is until the new one is whole.

    Raises:
        UserError: it cannot be written (exit code 5).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with writing_to(path):
        try:
            # Paths of scans may be in any script, or in none, whatever the locale of this machine.
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
