"""The command line: ``covidselfseg segment | batch | phantom | doctor | models | demo``.

The worker that Slicer's panel starts is this command line too: ``python -m COVIDSelfSegLib segment ...
--events``.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk

from .cancelling import end_on_signals, was_asked_to_end
from .commands.command import Command, parse
from .errors import Cancelled, ExitCode, UserError
from .events import EventWriter
from .memory import is_out_of_memory, memory_ran_out

COMMANDS = (
    Command("segment", "find lesions in a chest CT", "COVIDSelfSegLib.commands.segment"),
    Command("batch", "find lesions in many chest CTs", "COVIDSelfSegLib.commands.batch"),
    Command("phantom", "make a synthetic chest CT with its truth", "COVIDSelfSegLib.commands.phantom"),
    Command("doctor", "is this a chest CT in Hounsfield units?", "COVIDSelfSegLib.commands.doctor"),
    Command("models", "list and check the available model packages", "COVIDSelfSegLib.commands.models"),
    Command("demo", "segment a phantom (or a scan) and show the result", "COVIDSelfSegLib.commands.demo"),
)
"""Those of this package; training has more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return run(COMMANDS, arguments)


def run(commands: Sequence[Command], arguments: Sequence[str] | None) -> int:
    """Parse, run one of the commands, and turn what ends it into an exit code."""
    _have_streams()
    typed = sys.argv[1:] if arguments is None else arguments
    parsed = parse(commands, typed)
    parsed.typed = tuple(typed)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows only ASCII still gets its table
            stream.reconfigure(errors="replace")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    # ITK writes warnings about headers to stderr, which the doctor says better.
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    end_on_signals()
    writer = EventWriter() if getattr(parsed, "events", False) else None
    try:
        parsed.command(parsed)
        sys.stdout.flush()
    except UserError as error:
        return _tell(error, writer)
    except (KeyboardInterrupt, Cancelled) as stop:
        sys.stderr.write(f"{str(stop) or 'Cancelled; nothing was written.'}\n")
        return int(ExitCode.CANCELLED)
    except BrokenPipeError:
        # Whoever read stdout is gone, as `head` is after ten lines; what is left would be written on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OUTPUT_NOT_WRITABLE)
    except Exception as error:
        # What is raised in the middle of a library may come out of it as an error of its own.
        if was_asked_to_end():
            logging.getLogger(__name__).debug("Cancelled", exc_info=True)
            sys.stderr.write("Cancelled.\n")
            return int(ExitCode.CANCELLED)
        if is_out_of_memory(error):
            logging.getLogger(__name__).debug("Out of memory", exc_info=True)
            return _tell(memory_ran_out(), writer)
        raise
    return int(ExitCode.DONE)


def _have_streams() -> None:
    """Let words go nowhere that are said into a closed stream: a service, or pythonw, may start a run so."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (as long as the process lives)


def _tell(error: UserError, writer: EventWriter | None) -> int:
    """Say what happened to whoever listens; returns the exit code."""
    if writer is not None:
        writer.error(error)
    else:
        sys.stderr.write(f"{error}\n")
    return int(error.code)
