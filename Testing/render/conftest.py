"""Runs the tests of this folder inside the stand-in for Slicer, if it can draw here."""

import pytest
from host.fixtures import *  # noqa: F403
from host.views.displayable_managers import slice_factory
from host.views.render_target import RenderTarget

from Testing.slicer_samples import *  # noqa: F403


@pytest.fixture(scope="session", autouse=True)
def _drawing() -> None:
    """Skip where VTK draws nothing: a machine without a screen needs software rendering."""
    target = RenderTarget(slice_factory(), overlay=False)
    target.renderer.SetBackground(1.0, 0.0, 0.0)
    target.render()
    if tuple(target.pixels()[0, 0]) != (255, 0, 0):
        pytest.skip("VTK draws nothing here; install libosmesa6")
