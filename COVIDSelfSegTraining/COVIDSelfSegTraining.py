"""COVIDSelfSegTraining: trains both networks of COVIDSelfSeg on a folder of unlabelled scans.

It has no panel. From Slicer's Python console::

    from COVIDSelfSegTraining import COVIDSelfSegTrainingLogic
    COVIDSelfSegTrainingLogic().prepare("/scans/healthy", "/scans/covid", "/scans/cohort")
    COVIDSelfSegTrainingLogic().train("/scans/cohort", "/scans/model")

The result is a model package that COVIDSelfSeg uses like the shipped one. See
:class:`COVIDSelfSegTrainingLogic` for what else it does.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if sys.version_info < (3, 11):  # noqa: UP036 (Slicer 5.8 has Python 3.9)
    raise RuntimeError("COVIDSelfSeg needs 3D Slicer 5.10 or later, with Python 3.11 or later.")

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

if TYPE_CHECKING:
    from COVIDSelfSegLib.events import StageProgress
    from COVIDSelfSegSlicer.workerProcess import WorkerProcess

FOLDER = Path(__file__).resolve().parent
_KILLED = (-9, 128 + 9)
"""Exit codes of a process that was killed (SIGKILL), its own and the one that a launcher gives for it."""


#
# Module
#


class COVIDSelfSegTraining(ScriptedLoadableModule):
    """What Slicer knows of the module; it is hidden, since it has no panel."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("COVIDSelfSeg Training")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["COVIDSelfSeg"]
        self.parent.hidden = True
        self.parent.contributors = [_("The COVIDSelfSeg developers")]
        self.parent.helpText = _(
            "Trains the networks of COVIDSelfSeg on a folder of unlabelled chest CTs, from the Python "
            "console. For research use only. Not a medical device. Nothing leaves this computer."
        )
        self.parent.acknowledgementText = _(
            "The method follows Shabani et al., Computers in Biology and Medicine 149 (2022), and its "
            "follow-up with TransUNet (Chen et al. 2021)."
        )


#
# Logic
#


class COVIDSelfSegTrainingLogic(ScriptedLoadableModuleLogic):
    """Prepare a cohort, train, evaluate: each runs ``covidselfseg ...`` as a child process and waits for it.

    Slicer stays alive meanwhile. ``callback`` is called with each step of progress; it has ``stage``,
    ``fraction`` (0 .. 1), ``message`` and, while training, ``values`` (the losses by name). :meth:`cancel`,
    called in it or from a button, ends the work within two seconds, and closing Slicer ends it at once.
    Called again, each continues where it stopped. Relative paths are seen from Slicer's current folder.

    All raise ``UserError`` with what, why and fix when something can be mended, and ``RuntimeError`` when the
    work was cancelled or ended unexpectedly, or Slicer was closed.
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._worker: WorkerProcess | None = None
        self._isCancelled = False  # its exit code does not tell: Windows ends a process as if it had failed

    @property
    def isRunning(self) -> bool:
        """Whether a child process works."""
        return self._worker is not None and self._worker.isRunning

    def prepare(
        self,
        healthyFolder: str | Path,
        covidFolder: str | Path,
        cohortFolder: str | Path,
        preset: str | Path = "default",
        *,
        callback: Callable[[StageProgress], None] | None = None,
        options: Sequence[str] = (),
    ) -> dict[str, object]:
        """Make a cohort of two folders of scans (DICOM, NIfTI, NRRD, MHA), with a verdict on every scan.

        Args:
            healthyFolder: scans of lungs without disease.
            covidFolder: scans of lungs with COVID-19.
            cohortFolder: where the cohort goes.
            preset: whose networks it is for; scans are cut into their grids.
            callback: see the class.
            options: more arguments of ``covidselfseg prepare``, for example ``["--licence", "CC BY 4.0"]``.

        Returns:
            What the command says of it: verdicts, number of scans used, notes.
        """
        folders = [
            "--healthy",
            str(healthyFolder),
            "--covid",
            str(covidFolder),
            "--output",
            str(cohortFolder),
            "--preset",
            str(preset),
        ]
        return self._run(["prepare", *folders, *options], callback)

    def train(
        self,
        cohortFolder: str | Path,
        outputFolder: str | Path,
        preset: str | Path = "default",
        callback: Callable[[StageProgress], None] | None = None,
        options: Sequence[str] = (),
    ) -> dict[str, object]:
        """Train both networks; continues from checkpoints of the same preset in the output folder.

        Args:
            cohortFolder: that :meth:`prepare` made.
            outputFolder: for checkpoints, log, ``training.html`` (open it in a browser) and model package.
            preset: ``default``, ``paper``, ``transunet``, or a .toml or .json file.
            callback: see the class.
            options: more arguments of ``covidselfseg train``, for example ``["--device", "cuda"]``.

        Returns:
            ``package``, ``page``, ``folder``, ``sha256`` and ``non_commercial`` (how many scans forbid it);
            with the option ``--plan`` nothing is trained, and ``plan`` says what it would take.
        """
        folders = [str(cohortFolder), str(outputFolder)]
        return self._run(["train", *folders, "--preset", str(preset), *options], callback)

    def evaluate(
        self,
        cohortFolder: str | Path,
        outputFolder: str | Path,
        model: str | Path | None = None,
        callback: Callable[[StageProgress], None] | None = None,
        options: Sequence[str] = (),
    ) -> dict[str, object]:
        """Score a model package on the held-out scans of a cohort; writes a page with tables and figures.

        Args:
            cohortFolder: that :meth:`prepare` made.
            outputFolder: for the page and its tables.
            model: name or file of a package; the shipped one by default.
            callback: see the class.
            options: more arguments of ``covidselfseg evaluate``.

        Returns:
            What the command says of it.
        """
        named = ["--model", str(model)] if model else []
        folders = [str(cohortFolder), "--output", str(outputFolder)]
        return self._run(["evaluate", *folders, *named, *options], callback)

    def cancel(self) -> None:
        """End the work; checkpoints and finished scans stay, and the next call continues from them."""
        if self._worker is not None and self._worker.isRunning:
            self._isCancelled = True
            self._worker.cancel()

    def cleanup(self) -> None:
        """End the work at once, as closing Slicer does."""
        if self._worker is not None and self._worker.isRunning:
            self._worker.kill()

    def _run(
        self, arguments: Sequence[str], callback: Callable[[StageProgress], None] | None
    ) -> dict[str, object]:
        # With COVIDSelfSeg's folder on the path, which Slicer sees to before it makes this logic.
        from COVIDSelfSegLib.errors import ExitCode, UserError
        from COVIDSelfSegLib.events import Event, Failure, Result, StageProgress
        from COVIDSelfSegSlicer import setup
        from COVIDSelfSegSlicer.runFailures import asError, startFailure
        from COVIDSelfSegSlicer.waiting import waitFor
        from COVIDSelfSegSlicer.workerProcess import WorkerProcess

        if self.isRunning:
            raise RuntimeError("A child process is already running.")
        outcome: list[Failure | Result] = []
        log: list[str] = []
        codes: list[int] = []
        self._isCancelled = False

        def onEvent(event: Event) -> None:
            if not isinstance(event, StageProgress):
                outcome.append(event)
            elif callback is not None:
                callback(event)

        def onLog(line: str) -> None:
            log.append(line)
            logging.info(line)

        python = setup.workerPython()
        try:
            self._worker = WorkerProcess(
                ["-m", "COVIDSelfSegTrainingLib", *arguments, "--events"],
                python=python,
                onEvent=onEvent,
                onLog=onLog,
                onExit=codes.append,
                folders=[FOLDER],
            )
        except OSError as error:
            raise asError(startFailure(python, error)) from error
        waitFor(lambda: self.isRunning, self._worker.poll, self.cleanup)
        if not codes:
            raise RuntimeError("The work was ended; the same call continues where it stopped.")
        last = outcome[-1] if outcome else None
        if isinstance(last, Failure):
            raise UserError(last.what, why=last.why, fix=last.fix, code=ExitCode(last.code))
        if codes == [ExitCode.DONE] and isinstance(last, Result):
            return last.values
        if self._isCancelled or codes == [ExitCode.CANCELLED]:
            raise RuntimeError("The work was cancelled; the same call continues where it stopped.")
        cause = " The system probably ended it because memory ran out." if codes[0] in _KILLED else ""
        words = "\n".join([f"The work ended unexpectedly (code {codes[0]}).{cause}", *log[-20:]])
        raise RuntimeError(words)


#
# Test
#


class COVIDSelfSegTrainingTest(ScriptedLoadableModuleTest):
    """Runs in a real Slicer, with or without PyTorch: the worker says what is wrong with an empty folder."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        self.setUp()
        self.test_aFolderWithoutCohortIsRefused()

    def test_aFolderWithoutCohortIsRefused(self) -> None:
        from COVIDSelfSegLib.errors import UserError
        from COVIDSelfSegSlicer import selfTestData

        problem = selfTestData.whatTheWorkerLacks()
        if problem:
            self.delayDisplay(f"Not training: {problem}")
            return
        self.delayDisplay("Training on a folder that holds no cohort")
        empty = Path(slicer.app.temporaryPath) / "COVIDSelfSegTraining-empty"
        empty.mkdir(exist_ok=True)
        try:
            COVIDSelfSegTrainingLogic().train(empty, empty / "output")
        except UserError as error:
            self.assertIn("holds no cohort", error.what)
            self.assertTrue(error.fix)
        else:
            self.fail("a folder without a cohort was trained on")
        self.delayDisplay("Test passed")
