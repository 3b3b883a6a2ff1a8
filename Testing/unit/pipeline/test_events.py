"""What is written as an event is read as the same event; everything else is passed over."""

from __future__ import annotations

import io

import pytest
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.events import EventWriter, Failure, Result, StageProgress, parse_event


def test_events_survive_the_line() -> None:
    stream = io.StringIO()
    writer = EventWriter(stream)
    writer.progress("lungs", 0.31234567, "Finding the lungs\nof ümläut")
    writer.result({"numbers": {"both": {"infected_ml": 1.5}}})
    writer.error(UserError("what", why="why", fix="fix", code=ExitCode.OUT_OF_MEMORY))
    events = [parse_event(line) for line in stream.getvalue().splitlines()]
    assert events == [
        StageProgress("lungs", 0.3123, "Finding the lungs\nof ümläut"),
        Result({"numbers": {"both": {"infected_ml": 1.5}}}),
        Failure(4, "what", "why", "fix"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Loading weights ...",
        "3",
        "[1]",
        "null",
        '{"stage": "x"}',
        '{"error": "boom"}',
        '{"result": 3}',
        "{",
    ],
)
def test_lines_that_are_no_events_are_none(line: str) -> None:
    assert parse_event(line) is None
