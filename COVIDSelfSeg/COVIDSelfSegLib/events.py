"""The line protocol between the worker process and its parent: one JSON object a line on stdout.

``{"stage": "lungs", "fraction": 0.31, "message": "..."}`` while working, and last either
``{"result": {...}}`` or ``{"error": {"code", "what", "why", "fix"}}``. Logs go to stderr. Light on purpose:
Slicer's own process reads events and must not import torch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from .errors import UserError

Progress = Callable[[str, float, str], None]
"""Called with a stage, the fraction of the whole run that is done (0 .. 1), and a message for people."""


@dataclass(frozen=True)
class StageProgress:
    """Where in a run the worker is."""

    stage: str
    fraction: float
    message: str
    values: dict[str, float] = field(default_factory=dict)
    """Losses, while training."""


@dataclass(frozen=True)
class Result:
    """The run is done; ``values`` is what the worker says of it (see the report)."""

    values: dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """The run ended with something the user can mend."""

    code: int
    what: str
    why: str
    fix: str


Event = StageProgress | Result | Failure


class EventWriter:
    """Writes events as lines; each is flushed, so that a parent sees it at once."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def progress(
        self, stage: str, fraction: float, message: str, values: Mapping[str, float] | None = None
    ) -> None:
        """A :data:`Progress` that writes an event; ``values`` are losses, while training."""
        event = {"stage": stage, "fraction": round(fraction, 4), "message": message}
        self._write(event | ({"values": dict(values)} if values else {}))

    def result(self, values: dict[str, Any]) -> None:
        """The last event of a run that went well."""
        self._write({"result": values})

    def error(self, error: UserError) -> None:
        """The last event of a run that the user can mend."""
        values = {"code": int(error.code), "what": error.what, "why": error.why, "fix": error.fix}
        self._write({"error": values})

    def _write(self, event: dict[str, Any]) -> None:
        self._stream.write(json.dumps(event) + "\n")
        self._stream.flush()


def parse_event(line: str) -> Event | None:
    """Read one line of a worker; None for anything that is not an event (a library's print, say)."""
    try:
        match json.loads(line):
            case {
                "stage": str(stage),
                "fraction": int() | float() as fraction,
                "message": str(message),
                **rest,
            }:
                return StageProgress(stage, float(fraction), message, _numbers(rest.get("values")))
            case {"result": dict(values)}:
                return Result(values)
            case {"error": {"code": int(code), "what": str(what), "why": str(why), "fix": str(fix)}}:
                return Failure(code, what, why, fix)
    except json.JSONDecodeError:
        pass
    return None


def _numbers(values: object) -> dict[str, float]:
    if not isinstance(values, dict):
        return {}
    return {str(name): float(value) for name, value in values.items() if isinstance(value, int | float)}
