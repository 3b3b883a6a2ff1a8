"""The worker as a child process: started, listened to, ended; nothing here waits.

Lines are read by threads and handed over in :meth:`WorkerProcess.poll`, which a timer of the panel (or a
loop, where there is no panel) calls on the main thread.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import slicer
from COVIDSelfSegLib.events import Event, parse_event

MODULE_FOLDER = Path(__file__).resolve().parents[1]
"""The folder that holds ``COVIDSelfSegLib``; it is the worker's folder, or on its path."""

_PATIENCE_S = 1.0
"""How long a worker may take to end by itself once it was asked to."""


def slicersPython() -> str:
    """Slicer's own Python interpreter for child processes."""
    return shutil.which("PythonSlicer") or sys.executable


def environmentFor(python: str) -> dict[str, str]:
    """Environment of a child: Slicer's own for its own Python, the one Slicer was started from for another.

    Another interpreter would otherwise load Slicer's libraries instead of its own.
    """
    if Path(python) == Path(slicersPython()):
        environment = dict(os.environ)
    else:
        environment = dict(slicer.util.startupEnvironment())
        for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE"):
            environment.pop(name, None)
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8"
    environment.pop("PYTHONSAFEPATH", None)  # the worker's own folder must be searched
    # What the user added in the panel, besides what the environment names.
    models = [str(modelFolder()), environment.get("COVIDSELFSEG_MODELS", "")]
    environment["COVIDSELFSEG_MODELS"] = os.pathsep.join(filter(None, models))
    return environment


def modelFolder() -> Path:
    """Folder of the user's own model packages; it need not be there."""
    return Path(slicer.app.slicerUserSettingsFilePath).parent / "COVIDSelfSeg" / "models"


class WorkerProcess:
    """One run of the worker.

    Args:
        arguments: after the interpreter, for example ``["-m", "COVIDSelfSegLib", "segment", ...]``.
        python: the interpreter.
        onEvent: called with each event of the worker.
        onLog: called with each line of its log.
        onExit: called once with its exit code, after its last event.
        folders: put on the worker's ``PYTHONPATH``, besides the folder of this module. The worker then
            starts in Slicer's current folder, from which relative paths among its arguments are seen.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        python: str,
        onEvent: Callable[[Event], None],
        onLog: Callable[[str], None],
        onExit: Callable[[int], None],
        folders: Sequence[Path] = (),
    ) -> None:
        self._onEvent, self._onLog, self._onExit = onEvent, onLog, onExit
        self._lines: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._askedToEnd: float | None = None
        self._reported = False
        environment = environmentFor(python)
        if folders:
            paths = [str(MODULE_FOLDER), *(str(folder) for folder in folders)]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [*paths, environment.get("PYTHONPATH")]))
            environment["PYTHONSAFEPATH"] = "1"  # no file of the current folder stands in for a package
        self._process = subprocess.Popen(  # noqa: S603 (no shell; the interpreter is the user's choice)
            [python, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=None if folders else MODULE_FOLDER,
            env=environment,
            text=True,
            encoding="utf-8",
            errors="replace",
            **_ownGroup(),
        )
        self._readers = [
            threading.Thread(target=self._read, args=(name, stream), daemon=True)
            for name, stream in (("event", self._process.stdout), ("log", self._process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def isRunning(self) -> bool:
        """Whether :meth:`poll` has more to say."""
        return not self._reported

    def poll(self) -> None:
        """Hand over what the worker said since the last call, and its exit code when it has ended."""
        if self._reported:
            return
        self._handOver()
        code = self._process.poll()
        if code is None or self._isHeard:
            if self._askedToEnd is not None and time.monotonic() - self._askedToEnd > _PATIENCE_S:
                self._signal(_killSignal())
            return
        self._handOver()
        self._reported = True
        self._onExit(code)

    def cancel(self) -> None:
        """Ask the worker to end; :meth:`poll` ends it and its children for certain a second later."""
        if self._askedToEnd is None and self._process.poll() is None:
            self._askedToEnd = time.monotonic()
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the worker and its children at once, without a word; for when Slicer itself closes."""
        self._reported = True
        if self._process.poll() is None or self._isHeard:
            self._signal(_killSignal())

    @property
    def _isHeard(self) -> bool:
        """Whether someone holds the worker's output still, be it a child that outlives its launcher."""
        return any(reader.is_alive() for reader in self._readers)

    def _handOver(self) -> None:
        while not self._lines.empty():
            kind, line = self._lines.get_nowait()
            event = parse_event(line) if kind == "event" else None
            if event is not None:
                self._onEvent(event)
            else:
                self._onLog(line)

    def _read(self, kind: str, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.put((kind, line.rstrip("\n")))

    def _signal(self, number: int) -> None:
        """Signal the worker and its children: PythonSlicer is a launcher, whose child is the worker."""
        try:
            if sys.platform == "win32":
                command = ["taskkill", "/F", "/T", "/PID", str(self._process.pid)]
                hidden = subprocess.CREATE_NO_WINDOW  # else a console flashes up
                subprocess.run(command, capture_output=True, check=False, creationflags=hidden)  # noqa: S603
            else:
                os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS forbids it where all of a group have ended
            logging.debug("the worker had ended already")


def _ownGroup() -> dict[str, Any]:
    """Arguments that give a child a process group of its own, so that its children end with it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _killSignal() -> int:
    return getattr(signal, "SIGKILL", signal.SIGTERM)
