"""A folder for the files that Slicer and the worker hand to each other."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import slicer
from COVIDSelfSegLib.processes import may_run

from .runFailures import asError, diskFailure

_OF_PROCESS = re.compile(r"COVIDSelfSeg-(?P<pid>\d+)-.+")
_OLD_S = 24 * 3600
"""Age from which on Windows, which does not say whether a process runs, a folder is nobody's."""


def makeTemporaryFolder() -> Path:
    """Make one that is nobody else's; whoever asked for it deletes it.

    Those of a Slicer that crashed hold a patient's scan, and are deleted here.

    Raises:
        UserError: Slicer's temporary folder is gone, full, or not writable.
    """
    home = Path(slicer.app.temporaryPath)
    _removeLeftovers(home)
    try:
        return Path(tempfile.mkdtemp(prefix=f"COVIDSelfSeg-{os.getpid()}-", dir=home))
    except OSError as error:
        raise asError(diskFailure(error)) from error


def _removeLeftovers(home: Path) -> None:
    for folder in home.glob("COVIDSelfSeg-*"):
        match = _OF_PROCESS.fullmatch(folder.name)
        if match and _isNobodys(folder, int(match["pid"])):
            shutil.rmtree(folder, ignore_errors=True)


def _isNobodys(folder: Path, pid: int) -> bool:
    if pid == os.getpid():
        return False
    if os.name == "nt":
        with suppress(OSError):
            return time.time() - folder.stat().st_mtime > _OLD_S
    return not may_run(pid)
