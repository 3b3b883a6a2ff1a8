"""Commands with ``--events``: as a process of their own, like the panel's worker, or in that of the tests."""

from __future__ import annotations

import contextlib
import io
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from COVIDSelfSegLib.cli import main
from COVIDSelfSegLib.events import Event, Failure, parse_event
from COVIDSelfSegLib.models import ModelPackage

Run = Callable[[list[str]], tuple[int, list[Event]]]


def typed(scan: Path, output: Path, package: ModelPackage, *more: str) -> list[str]:
    """What the panel types behind the worker's name to segment a scan."""
    fixed = ["--model", str(package.path), "--builtin-lungs", "--device", "cpu", "--events"]
    return ["segment", str(scan), "--output", str(output), *fixed, *more]


def command(arguments: list[str], module: str = "COVIDSelfSegLib") -> list[str]:
    """A process with these arguments."""
    return [sys.executable, "-m", module, *arguments]


def run_process(
    arguments: list[str], *, module: str = "COVIDSelfSegLib", largest_file: int | None = None
) -> tuple[int, list[Event]]:
    """Exit code and events of a process of its own, which may write files of so many bytes."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    done = subprocess.run(
        command(arguments, module),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
        preexec_fn=limit,
    )
    return done.returncode, _events(done.stdout)


def run_here(arguments: list[str], main: Callable[[list[str]], int] = main) -> tuple[int, list[Event]]:
    """The same without a start that takes seconds, where a process of its own would show nothing more."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = main(arguments)
    return code, _events(said.getvalue())


def refused(arguments: list[str], code: int, saying: str, run: Run = run_here) -> Failure:
    """The failure that a run ends with; it must have this exit code and say why and what to do."""
    exit_code, events = run(arguments)
    assert exit_code == code
    failure = events[-1]
    assert isinstance(failure, Failure)
    assert failure.code == code
    assert saying in failure.what
    assert failure.why
    assert failure.fix
    return failure


def leftovers(output: Path) -> list[str]:
    """What a run may have left beside its output."""
    return [path.name for path in output.parent.iterdir() if path.name.startswith(f".{output.name}.")]


def _events(said: str) -> list[Event]:
    events = [event for line in said.splitlines() if (event := parse_event(line)) is not None]
    assert len(events) == len(said.splitlines()), "stdout holds events and nothing else"
    return events
