"""Runs the tests of this folder inside the stand-in for Slicer; without it, nothing here is collected."""

from host import environment

if not environment.drawing_problem():
    from host.fixtures import *  # noqa: F403

    from Testing.slicer_samples import *  # noqa: F403
