"""The sample scan: a phantom, made on the spot by the worker's Python; nothing is downloaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import slicer
from COVIDSelfSegLib.errors import UserError
from slicer.i18n import tr as _

from . import display, setup
from .runFailures import asError, showInDialog, startFailure
from .temporaryFolder import makeTemporaryFolder
from .waiting import waitFor
from .workerProcess import WorkerProcess

_NAME = "COVIDSelfSegPhantom"


def offerPhantom(_source: object = None) -> slicer.vtkMRMLScalarVolumeNode | None:
    """What the button in Sample Data calls, which itself shows no error; None where there is no phantom."""
    try:
        return makePhantom()
    except UserError as error:
        showInDialog(error)
        return None


def makePhantom() -> slicer.vtkMRMLScalarVolumeNode:
    """Make the phantom (seed 7, severity 2 of 4) and load it; returns its volume node.

    Raises:
        UserError: the worker's Python cannot make it, or Slicer's temporary folder cannot be used.
        RuntimeError: Slicer was closed.
    """
    folder = makeTemporaryFolder()
    try:
        _writePhantom(folder / "phantom")
        node = slicer.util.loadVolume(str(folder / "phantom" / "scan.nrrd"), {"name": _NAME})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # The file that it was loaded from is gone; it exists in the scene alone.
    slicer.mrmlScene.RemoveNode(node.GetStorageNode())
    display.showLungWindow(node)
    return node


def _writePhantom(folder: Path) -> None:
    """Have the worker's Python write the phantom, and wait for it."""
    python = setup.workerPython()
    log: list[str] = []
    codes: list[int] = []
    arguments = ["phantom", "--seed", "7", "--severity", "2", "--output", str(folder)]
    try:
        process = WorkerProcess(
            ["-m", "COVIDSelfSegLib", *arguments],
            python=python,
            onEvent=lambda _event: None,
            onLog=log.append,
            onExit=codes.append,
        )
    except OSError as error:
        raise asError(startFailure(python, error)) from error
    waitFor(lambda: process.isRunning, process.poll, process.kill)
    if codes != [0]:
        raise UserError(
            # What happened, why, and what to do are the last three lines.
            _("The phantom could not be made: {reason}").format(reason="\n".join(log[-3:]) or codes),
            why=_("It is made by the worker, which may lack a Python package."),
            fix=_("Open COVIDSelfSeg, look at Set-up, and install what is missing."),
        )
