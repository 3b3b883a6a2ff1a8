"""What ``Testing.bench`` measures of the panel, on a small scan, so that the measurement stays alive."""

import slicer
from host import user

from Testing.bench import panel as bench


def test_the_time_of_cancelling_is_that_of_a_run_that_was_at_the_stage(a_panel, samples):
    ct = slicer.util.loadVolume(str(samples / "oblique.nrrd"))
    user.wait_until(lambda: a_panel.ui.ctSelector.currentNode() is ct)
    shown = a_panel.runSection.showProgress
    measured = bench.cancel(a_panel, ct, at=("read",))
    assert measured["cancel_s"] > 0
    assert not a_panel.logic.isRunning
    assert a_panel.runSection.showProgress == shown
