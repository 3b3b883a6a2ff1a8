"""One run, from the CT node to arrays that can become nodes: export, worker, reading; cancel at any point.

Nothing in the scene changes here, so a run that fails or is cancelled leaves it as it was.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from COVIDSelfSegLib.errors import ExitCode
from COVIDSelfSegLib.events import Event, Failure, Result, StageProgress
from slicer.i18n import tr as _

from .background import BackgroundJob
from .runFailures import crash, diskFailure, startFailure
from .runFiles import RunFiles
from .scanExport import ScanFiles
from .temporaryFolder import makeTemporaryFolder
from .workerProcess import WorkerProcess

_EXPORTED, _WORKED = 0.03, 0.95
"""Fractions of a run at which the worker starts and ends; the rest is files."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        stage: short name of what is being done.
        fraction: 0 .. 1 of the whole.
        message: for people.
        secondsLeft: None as long as nothing can be said.
    """

    stage: str
    fraction: float
    message: str
    secondsLeft: float | None


@dataclass(frozen=True)
class Listeners:
    """Whom a run tells; all are called on the main thread, from :meth:`SegmentationRun.poll`."""

    onProgress: Callable[[Progress], None]
    onLog: Callable[[str], None]
    onFinished: Callable[[RunFiles], None]
    onFailed: Callable[[Failure], None]
    onCancelled: Callable[[], None]


class _Phase(Enum):
    EXPORT = auto()
    WORK = auto()
    READ = auto()
    ENDED = auto()


class SegmentationRun:
    """A run that :meth:`poll` moves on.

    Args:
        files: what to export.
        arguments: of the worker, after the scan and its output folder.
        python: the interpreter that runs the worker.
        listeners: whom to tell.

    Raises:
        UserError: Slicer's temporary folder cannot be used.
    """

    def __init__(self, files: ScanFiles, arguments: Sequence[str], python: str, listeners: Listeners) -> None:
        self._arguments, self._python, self._listeners = arguments, python, listeners
        self._folder = makeTemporaryFolder()
        self._hasMask = files.lungs is not None
        self._started = time.monotonic()
        self._phase = _Phase.EXPORT
        self._cancelled = False
        self._outcome: Result | Failure | None = None
        self._log: list[str] = []
        self._worker: WorkerProcess | None = None
        self._reading: BackgroundJob[RunFiles] | None = None
        self._export = BackgroundJob(lambda stop: files.write(self._folder, stop))
        self._tell("export", 0.0, _("Handing the scan over"))

    @property
    def isRunning(self) -> bool:
        """Whether the run has not yet told how it ended."""
        return self._phase is not _Phase.ENDED

    @property
    def hasThread(self) -> bool:
        """Whether a thread writes or reads files, and needs Python for it, which the worker does not."""
        return self._phase in (_Phase.EXPORT, _Phase.READ)

    def poll(self) -> None:
        """Move on as far as can be without waiting."""
        if self._phase is _Phase.EXPORT and self._export.isDone:
            self._finishExport()
        elif self._phase is _Phase.WORK and self._worker is not None:
            self._worker.poll()
        elif self._phase is _Phase.READ and self._reading is not None and self._reading.isDone:
            self._finishReading()

    def cancel(self) -> None:
        """End the run; it says so from :meth:`poll` as soon as its worker is gone."""
        if not self.isRunning or self._cancelled:
            return
        self._cancelled = True
        if self._worker is not None and self._worker.isRunning:
            self._worker.cancel()
            return
        self._export.stop()
        if self._reading is not None:
            self._reading.stop()
        self._end(self._listeners.onCancelled)

    def abandon(self) -> None:
        """End the run at once and tell nobody; for when the panel goes."""
        self._phase = _Phase.ENDED
        self._export.stop()
        if self._worker is not None:
            self._worker.kill()
        if self._reading is not None:
            self._reading.stop()
        self._letGo()

    def _finishExport(self) -> None:
        try:
            self._export.result()
        except OSError as error:
            self._fail(diskFailure(error))
            return
        self._tell("start", _EXPORTED, _("Starting the worker"))
        if not self.isRunning:  # who was told cancelled it
            return
        command = ["-m", "COVIDSelfSegLib", "segment", str(self._folder / "scan.nrrd"), "--events"]
        command += ["--output", str(self._folder / "results"), *self._arguments]
        if self._hasMask:
            command += ["--lung-mask", str(self._folder / "lung_mask.nrrd")]
        try:
            self._worker = WorkerProcess(
                command,
                python=self._python,
                onEvent=self._onEvent,
                onLog=self._onLog,
                onExit=self._onExit,
            )
        except OSError as error:
            self._fail(startFailure(self._python, error))
            return
        self._phase = _Phase.WORK

    def _onEvent(self, event: Event) -> None:
        if isinstance(event, StageProgress):
            fraction = _EXPORTED + (_WORKED - _EXPORTED) * event.fraction
            self._tell(event.stage, fraction, event.message)
        else:
            self._outcome = event

    def _onLog(self, line: str) -> None:
        self._log.append(line)
        self._listeners.onLog(line)

    def _onExit(self, code: int) -> None:
        if self._cancelled or code == ExitCode.CANCELLED:
            self._end(self._listeners.onCancelled)
        elif code == ExitCode.DONE and isinstance(self._outcome, Result):
            self._phase = _Phase.READ
            self._reading = BackgroundJob(lambda stop: RunFiles.read(self._folder / "results", stop))
            self._tell("load", _WORKED, _("Loading the results"))
        elif isinstance(self._outcome, Failure):
            self._fail(self._outcome)
        else:
            self._fail(crash(code, self._log))

    def _finishReading(self) -> None:
        assert self._reading is not None
        try:
            files = self._reading.result()
        except (OSError, EOFError, ValueError, KeyError, MemoryError) as error:
            self._fail(diskFailure(error))
            return
        self._tell("load", 1.0, _("Loading the results"))
        if self.isRunning:  # else it was cancelled at the last moment
            self._end(lambda: self._listeners.onFinished(files))

    def _fail(self, failure: Failure) -> None:
        self._end(lambda: self._listeners.onFailed(failure))

    def _end(self, tell: Callable[[], None]) -> None:
        self._phase = _Phase.ENDED
        self._letGo()
        tell()

    def _letGo(self) -> None:
        """Free what was read, on disk and in memory: hundreds of MB that would stay until the next run."""
        self._reading = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tell(self, stage: str, fraction: float, message: str) -> None:
        spent = time.monotonic() - self._started
        left = spent * (1 - fraction) / fraction if fraction > 0.05 else None
        self._listeners.onProgress(Progress(stage, fraction, message, left))
