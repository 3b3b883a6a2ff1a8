"""Fixtures for tests of the module inside the stand-in: scans, results, a model, the panel."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "COVIDSelfSeg"
sys.path.insert(0, str(MODULE))  # as Slicer does for every module folder

__all__ = [
    "a_ct",
    "a_panel",
    "a_segmented_ct",
    "a_window",
    "expected",
    "real_scans",
    "remembered_status",
    "samples",
]


@functools.cache
def samples_folder(part: str = "samples") -> Path:
    """The folder that :mod:`Testing.make_samples` filled, once for a whole run of the tests."""
    holder = tempfile.TemporaryDirectory(prefix=f"covidselfseg-{part}-")
    _holders.append(holder)
    _make(part, Path(holder.name))
    return Path(holder.name)


@functools.cache
def expected_folder() -> Path:
    """The folder of the samples, with what the command line finds in them."""
    _make("expected", samples_folder())
    return samples_folder()


def _make(part: str, folder: Path) -> None:
    paths = os.pathsep.join(str(ROOT / name) for name in ("", "COVIDSelfSeg", "COVIDSelfSegTraining"))
    command = [sys.executable, "-m", "Testing.make_samples", part, str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths})


_holders: list[tempfile.TemporaryDirectory[str]] = []


@pytest.fixture
def samples() -> Path:
    """See :func:`Testing.make_samples.make_samples`."""
    return samples_folder()


@pytest.fixture
def expected() -> Path:
    """See :func:`Testing.make_samples.make_expected`."""
    return expected_folder()


@pytest.fixture
def real_scans() -> Path:
    """Folder of the real scans, if they are here."""
    named = os.environ.get("COVIDSELFSEG_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real scans are not here: no ../shared/data and no $COVIDSELFSEG_DATA")
    return folder


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Have Slicer's temporary folder be another one, which need not be there."""
    import slicer

    before = slicer.app.temporaryPath
    slicer.app.temporaryPath = str(folder)
    try:
        yield
    finally:
        slicer.app.temporaryPath = before


@pytest.fixture
def a_ct(a_scene: Any, samples: Path) -> Any:  # noqa: ARG001 - closes the scene first
    """The small phantom in the scene."""
    import slicer

    return slicer.util.loadVolume(str(samples / "scan.nrrd"))


def show_truth(ct_node: Any, folder: Path) -> Any:
    """Give a CT in the scene the results of a perfect run."""
    from COVIDSelfSegSlicer import results
    from COVIDSelfSegSlicer.runFiles import RunFiles

    results.setResults(ct_node, RunFiles.read(folder, lambda: False))
    return ct_node


@pytest.fixture
def a_segmented_ct(a_ct: Any, samples: Path) -> Any:
    """The small phantom with the results that a perfect run would give it."""
    return show_truth(a_ct, samples / "truth")


@pytest.fixture
def a_window(an_application: Any) -> Iterator[Callable[..., Any]]:  # noqa: ARG001 - runs it
    """Opens the main window with the module's panel and the views: ``a_window((1400, 900))``."""
    from host import bootstrap
    from host.application.main_window import qSlicerMainWindow

    windows = []

    def open_window(size: tuple[int, int] = (1400, 900)) -> Any:
        import slicer

        application = bootstrap.start()
        window = qSlicerMainWindow(application.moduleManager(), application.layoutManager().viewport())
        windows.append(window)
        window.resize(*size)
        window.show()
        slicer.util.selectModule("COVIDSelfSeg")
        return window

    yield open_window
    for window in windows:
        window.takeCentralWidget()
        window.close()
        window.deleteLater()


remembered_answers: list[tuple[Any, str]] = []


@pytest.fixture
def remembered_status(an_application: Any, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ARG001 - runs it
    """Asks the worker's Python what it has once for a whole run of the tests: each answer takes seconds.

    Hands over what really asks.
    """
    from COVIDSelfSegSlicer import setup

    class Remembered:
        def __init__(self, onAnswer: Callable[..., None]) -> None:  # noqa: N803 - its real name
            def remember(*answer: Any) -> None:
                remembered_answers.append(answer)
                onAnswer(*answer)

            self._onAnswer = onAnswer
            self._asked = None if remembered_answers else ask(remember)
            self._waits = self._asked is None

        @property
        def isRunning(self) -> bool:
            return self._waits if self._asked is None else self._asked.isRunning

        def poll(self) -> None:
            if self._asked is not None:
                self._asked.poll()
            elif self._waits:
                self._waits = False
                self._onAnswer(*remembered_answers[0])

        def kill(self) -> None:
            self._waits = False
            if self._asked is not None:
                self._asked.kill()

    ask = setup.StatusQuery
    monkeypatch.setattr(setup, "StatusQuery", Remembered)
    return ask


@pytest.fixture
def a_panel(
    a_module_panel: Callable[..., Any],
    samples: Path,
    remembered_status: Any,  # noqa: ARG001 - is in force
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    """The module's panel, with what its worker has looked up, and the small model to choose."""
    from host import user

    monkeypatch.setenv("COVIDSELFSEG_MODELS", str(samples / "models"))
    panel = a_module_panel(MODULE)
    user.wait_until(lambda: "Looking" not in panel.ui.setupSummaryLabel.text, seconds=120)
    user.choose(panel.ui.modelSelector, "small")
    yield panel
    panel.logic.abandon()
    from COVIDSelfSegSlicer import workerProcess

    shutil.rmtree(workerProcess.modelFolder(), ignore_errors=True)
