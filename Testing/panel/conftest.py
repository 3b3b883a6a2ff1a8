"""Runs the tests of this folder inside the stand-in for Slicer."""

from host.fixtures import *  # noqa: F403
