"""A folder for the files that Slicer and the worker hand to each other."""

from __future__ import annotations

import tempfile
from pathlib import Path

import slicer

from .runFailures import asError, diskFailure


def makeTemporaryFolder() -> Path:
    """Make one that is nobody else's; whoever asked for it deletes it.

    Raises:
        UserError: Slicer's temporary folder is gone, full, or not writable.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="COVIDSelfSeg-", dir=slicer.app.temporaryPath))
    except OSError as error:
        raise asError(diskFailure(error)) from error
