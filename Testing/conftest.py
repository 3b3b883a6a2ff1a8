"""Leaves out what needs the stand-in for Slicer where VTK cannot draw, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from host import environment

_TIERS = {Path(__file__).parent / name for name in ("mrml", "panel", "render")}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Not even imported: without anything to draw with, VTK would end the process."""
    if _TIERS & {collection_path, *collection_path.parents} and environment.drawing_problem():
        return True
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line that cannot be overlooked."""
    problem = environment.drawing_problem()
    if problem:
        terminalreporter.section("left out: all tests of the panel, its scene and its views")
        terminalreporter.line(problem)
