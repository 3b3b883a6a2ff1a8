"""Runs the tests of this folder inside the stand-in for Slicer."""

from host.fixtures import *  # noqa: F403

from Testing.slicer_samples import *  # noqa: F403
