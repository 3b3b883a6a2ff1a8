"""The headless training module: three lines in the Python console, with real child processes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host import bootstrap
from PySide6.QtCore import QTimer

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [str(ROOT / "COVIDSelfSeg"), str(ROOT / "COVIDSelfSegTraining")]


@pytest.fixture
def a_module(an_application: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:  # noqa: ARG001
    """As Slicer loads it: both module folders on the path."""
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", "")
    yield importlib.import_module("COVIDSelfSegTraining")
    sys.modules.pop("COVIDSelfSegTraining", None)


@pytest.fixture
def a_logic(a_module: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from COVIDSelfSegSlicer import setup

    monkeypatch.setattr(setup, "workerPython", lambda: sys.executable)
    return a_module.COVIDSelfSegTrainingLogic()


def test_what_the_worker_refuses_reaches_the_console_with_its_three_lines(
    a_logic: Any, tmp_path: Path
) -> None:
    from COVIDSelfSegLib.errors import UserError

    with pytest.raises(UserError, match="no preset 'unknown'") as refused:
        a_logic.train(tmp_path, tmp_path / "out", preset="unknown")
    assert refused.value.fix
    assert refused.value.why
    assert not a_logic.isRunning


def test_relative_paths_are_seen_from_the_folder_that_the_console_is_in(
    a_logic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from COVIDSelfSegLib.errors import UserError

    (tmp_path / "hospital.toml").write_text('based_on = "default"\nname = "hospital"\n')
    (tmp_path / "random.py").write_text("raise RuntimeError('the worker imports what lies around')\n")
    (tmp_path / "cohort").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="cohort holds no cohort"):
        a_logic.train("cohort", "model", preset="hospital.toml")


def test_a_python_that_is_gone_is_told_with_what_to_do(a_module: Any, tmp_path: Path) -> None:
    from COVIDSelfSegLib.errors import UserError
    from COVIDSelfSegSlicer import setup

    setup.setWorkerPython(str(tmp_path / "gone"))
    logic = a_module.COVIDSelfSegTrainingLogic()
    with pytest.raises(UserError, match="Python could not be started") as refused:
        logic.train("cohort", "out")
    assert str(tmp_path / "gone") in refused.value.what
    assert "under Advanced" in refused.value.fix
    assert not logic.isRunning


def test_the_answer_of_a_command_is_what_the_logic_returns(
    a_logic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that says what it was asked, with losses on its way."""
    seen = []
    asked = _answering(monkeypatch, "0")
    values = a_logic.train("cohort", "out", "paper", seen.append, ["--device", "cpu"])
    assert values["arguments"] == [
        "train",
        "cohort",
        "out",
        "--preset",
        "paper",
        "--device",
        "cpu",
        "--events",
    ]
    assert [(event.stage, event.fraction, event.values) for event in seen] == [("gan", 0.5, {"loss": 2.0})]
    values = a_logic.prepare("h", "c", "cohort")
    assert values["arguments"] == [
        "prepare",
        "--healthy",
        "h",
        "--covid",
        "c",
        "--output",
        "cohort",
        "--preset",
        "default",
        "--events",
    ]
    values = a_logic.evaluate("cohort", "page", model="m.safetensors")
    assert values["arguments"] == [
        "evaluate", "cohort", "--output", "page", "--model", "m.safetensors", "--events",
    ]  # fmt: skip
    assert asked


def test_cancel_in_the_callback_ends_the_child(a_logic: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _answering(monkeypatch, "60")
    with pytest.raises(RuntimeError, match="continues where it stopped"):
        a_logic.train("cohort", "out", callback=lambda _event: a_logic.cancel())
    assert not a_logic.isRunning


@pytest.mark.parametrize("signal", ["lastWindowClosed", "aboutToQuit"])
def test_closing_slicer_ends_the_child(a_logic: Any, monkeypatch: pytest.MonkeyPatch, signal: str) -> None:
    """Qt 5 sends the second one only after the wait, so either must do."""
    _answering(monkeypatch, "60")
    closing = getattr(bootstrap.start(), signal)
    with pytest.raises(RuntimeError, match="Slicer was closed"):
        a_logic.train("cohort", "out", callback=lambda _event: QTimer.singleShot(0, closing.emit))
    assert not a_logic.isRunning
    assert a_logic._worker._process.wait(timeout=10) < 0, "it was killed"
    closing.emit()  # later there is nothing to end


def test_work_that_is_ended_from_elsewhere_says_so(a_logic: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _answering(monkeypatch, "60")
    with pytest.raises(RuntimeError, match="was ended"):
        a_logic.train("cohort", "out", callback=lambda _event: a_logic.cleanup())


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "memory"),
        ("os._exit(137)", "memory"),  # as a launcher says it of its child
        ("os.kill(os.getpid(), signal.SIGSEGV)", "code -11"),
        ("os._exit(143)", "code 143"),
        ("os._exit(1)", "code 1"),
    ],
)
def test_a_crash_is_no_cancelled_work_and_keeps_its_code_and_log(
    a_logic: Any, monkeypatch: pytest.MonkeyPatch, end: str, said: str
) -> None:
    script = f"import os, signal, sys; print('the last words', file=sys.stderr, flush=True); {end}"
    _running(monkeypatch, script)
    with pytest.raises(RuntimeError, match="ended unexpectedly") as ended:
        a_logic.train("cohort", "out")
    assert said in str(ended.value)
    assert "the last words" in str(ended.value)
    assert ("memory" in str(ended.value)) == (said == "memory")


@pytest.mark.parametrize("code", [1, 130])
def test_what_was_cancelled_says_so_whatever_code_the_child_ends_with(
    a_logic: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Windows ends a child with code 1; 130 is said by a child that was stopped in a terminal."""
    script = (
        "import sys, time\n"
        "if sys.argv[1] == 'prepare': exit(1)\n"
        'print(\'{"stage": "gan", "fraction": 0.5, "message": "m"}\', flush=True)\n'
        f"time.sleep(0.5); exit({code})\n"
    )
    _running(monkeypatch, script)
    monkeypatch.setattr("os.killpg", lambda *_: None)  # it ends by itself, with its own code
    ask = a_logic.cancel if code == 1 else lambda: None
    with pytest.raises(RuntimeError, match="was cancelled"):
        a_logic.train("cohort", "out", callback=lambda _event: ask())
    with pytest.raises(RuntimeError, match="ended unexpectedly"):
        a_logic.prepare("h", "c", "cohort")


def _answering(monkeypatch: pytest.MonkeyPatch, seconds: str) -> list[bool]:
    """Let a small script stand in for the worker's package: it answers without training for hours."""
    script = (
        "import json, sys, time\n"
        "event = {'stage': 'gan', 'fraction': .5, 'message': 'm', 'values': {'loss': 2}}\n"
        "print(json.dumps(event), flush=True)\n"
        f"time.sleep({seconds})\n"
        "print(json.dumps({'result': {'arguments': sys.argv[1:]}}))\n"
    )
    return _running(monkeypatch, script)


def _running(monkeypatch: pytest.MonkeyPatch, script: str) -> list[bool]:
    """Let this script stand in for the worker's package; the list grows with each start."""
    from COVIDSelfSegSlicer import workerProcess

    real, asked = workerProcess.WorkerProcess, []

    def start(arguments: list[str], **options: Any) -> Any:
        assert arguments[:2] == ["-m", "COVIDSelfSegTrainingLib"]
        asked.append(True)
        return real(["-c", script, *arguments[2:]], **options)

    monkeypatch.setattr(workerProcess, "WorkerProcess", start)
    return asked


@pytest.mark.usefixtures("a_logic")
def test_the_self_test_passes_with_a_worker(a_module: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    a_module.COVIDSelfSegTrainingTest().runTest()
    assert "Test passed" in caplog.text


def test_the_self_test_is_left_out_where_the_worker_has_no_torch(
    a_module: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from COVIDSelfSegSlicer import setup

    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" -S "$@"\n')
    bare.chmod(0o755)
    setup.setWorkerPython(str(bare))
    caplog.set_level("INFO")
    a_module.COVIDSelfSegTrainingTest().runTest()
    assert "Not training: PyTorch or other Python packages are missing" in caplog.text


def test_the_module_is_hidden_and_loads_after_the_one_it_needs(a_module: Any) -> None:
    class Parent:
        path = a_module.__file__

    parent = Parent()
    a_module.COVIDSelfSegTraining(parent)
    assert parent.hidden
    assert parent.dependencies == ["COVIDSelfSeg"]
    assert not hasattr(a_module, "COVIDSelfSegTrainingWidget")
