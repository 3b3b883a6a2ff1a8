"""Other processes on this computer."""

from __future__ import annotations

import os


def may_run(pid: int) -> bool:
    """Whether a process of this number runs; on Windows, where to ask would end it, it always may."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
