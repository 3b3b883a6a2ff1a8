"""A folder for the files that Slicer and the worker hand to each other."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import slicer
from COVIDSelfSegLib.processes import may_be_working_in

from .runFailures import asError, diskFailure

_OF_PROCESS = re.compile(r"COVIDSelfSeg-(?P<pid>\d+)-.+")


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
        if match and int(match["pid"]) != os.getpid() and not may_be_working_in(folder, int(match["pid"])):
            shutil.rmtree(folder, ignore_errors=True)
