"""The module's own test, which Slicer runs, passes here too: with a worker and without."""

import pytest


@pytest.mark.usefixtures("a_panel")
def test_the_self_test_passes_without_a_worker(monkeypatch):
    import COVIDSelfSeg

    # Not the module imported above: reloading the panel, as another test does, makes a new one.
    monkeypatch.setattr(COVIDSelfSeg.selfTestData, "whatTheWorkerLacks", lambda: "nothing was installed")
    COVIDSelfSeg.COVIDSelfSegTest().runTest()


@pytest.mark.slow
@pytest.mark.usefixtures("a_panel")
def test_the_self_test_segments_a_phantom():
    import COVIDSelfSeg

    assert COVIDSelfSeg.selfTestData.whatTheWorkerLacks() == ""
    COVIDSelfSeg.COVIDSelfSegTest().runTest()


@pytest.mark.usefixtures("an_application")
def test_it_is_told_what_the_worker_lacks(tmp_path):
    from COVIDSelfSegSlicer import selfTestData, setup

    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)
    setup.setWorkerPython(str(bare))
    assert "ended with code 1" in selfTestData.whatTheWorkerLacks()
