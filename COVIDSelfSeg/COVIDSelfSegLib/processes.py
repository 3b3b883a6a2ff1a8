"""Other processes on this computer."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_OLD_S = 24 * 3600
"""Nothing of ours works in a folder for so long."""


def may_be_working_in(folder: Path, pid: int) -> bool:
    """Whether a process of this number, which has made a folder, may still be working in it.

    On Windows the age of the folder has to tell: there, to ask whether a process runs would end it.
    """
    if os.name == "nt":
        with suppress(OSError):
            return time.time() - folder.stat().st_mtime <= _OLD_S
        return True
    return _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
