"""A user loads a CT, presses the button, waits, drags: with the real panel and the real worker."""

import operator
import os
import shutil
import signal
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
import vtk
from COVIDSelfSegSlicer import layouts, resultNodes, sampleData
from COVIDSelfSegSlicer.lesionSegments import LEFT_LUNG, LESION, RIGHT_LUNG
from host import bootstrap, user
from host.pythonqt import registry
from PySide6.QtCore import Qt, QTimer

from Testing.mrml.sparse_lesions import sparse_lesions, sparse_threshold
from Testing.slicer_samples import MODULE, show_truth, temporary_files_in

STAGES = ("export", "read", "picture", "load")
"""Before the worker, at its first stage and its last, and after it: the panel does not tell stages apart.

What a worker leaves at each of them is tested in ``test_worker.py``.
"""


def load(path):
    return slicer.util.loadVolume(str(path))


def segment(ct, segment_id):
    segmentation = resultNodes.findNode(ct, resultNodes.SEGMENTATION)
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, ct) > 0


def lesion(ct):
    return segment(ct, LESION)


def ids_of_all_nodes():
    scene = slicer.mrmlScene
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def press_when_ready(panel):
    user.wait_until(lambda: panel.ui.segmentButton.enabled, seconds=60)
    user.press(panel.ui.segmentButton)


def wait_for_the_end(panel):
    user.wait_until(lambda: not panel.logic.isRunning, seconds=300)


def run(panel):
    press_when_ready(panel)
    wait_for_the_end(panel)


def worker_of(panel):
    return panel.logic._run._worker._process


def temporary_folders():
    return list(Path(slicer.app.temporaryPath).glob("COVIDSelfSeg-*"))


class Kept:
    """Tells what is still in memory of a run: the CT node, what was handed over, what was read."""

    def __init__(self, panel, ct, monkeypatch):
        import COVIDSelfSeg  # the panel's own, which is another one after a reload

        self._node = vtk.vtkWeakReference()
        self._node.Set(ct)
        self._files = []
        export, finish = COVIDSelfSeg.scanExport.scanFiles, panel.onFinished
        monkeypatch.setattr(COVIDSelfSeg.scanExport, "scanFiles", lambda *of: self._watch(export(*of)))
        monkeypatch.setattr(panel, "onFinished", lambda files: finish(self._watch(files)))

    def _watch(self, files):
        self._files.append(weakref.ref(files))
        return files

    @property
    def files(self):
        return [type(kept()).__name__ for kept in self._files]

    @property
    def node(self):
        return self._node.Get()


def stage_listener(panel, monkeypatch, act):
    """Have ``act(stage)`` called at each progress that the panel shows."""
    shown = panel.runSection.showProgress

    def show(progress):
        shown(progress)
        act(progress)

    monkeypatch.setattr(panel.runSection, "showProgress", show)


def test_one_click_finds_the_lesions(a_panel, expected, monkeypatch):
    ui = a_panel.ui
    ct = load(expected / "scan.nrrd")
    user.wait_until(lambda: ui.ctSelector.currentNode() is ct)
    seen = []
    stage_listener(
        a_panel,
        monkeypatch,
        lambda progress: seen.append((progress.stage, ui.progressBar.value, ui.progressLabel.text)),
    )
    press_when_ready(a_panel)
    assert ui.segmentButton.text == "Cancel"
    assert ui.progressBar.visible
    wait_for_the_end(a_panel)
    stages = list(dict.fromkeys(stage for stage, _, _ in seen))
    assert stages[0] == "export"
    assert {"read", "check", "lungs", "synthesis", "segmentation", "measure", "write", "load"} <= set(stages)
    values = [value for _, value, _ in seen]
    assert values == sorted(values)
    assert values[-1] == 1000
    assert any("about" in text and "left" in text for _, _, text in seen)
    assert ui.segmentButton.text == "Segment infection"
    assert not ui.progressBar.visible
    assert not ui.errorLabel.visible
    assert temporary_folders() == []
    found = slicer.util.loadLabelVolume(str(expected / "scan_lesions.nii.gz"))
    assert np.array_equal(lesion(ct), slicer.util.arrayFromVolume(found) > 0)
    threshold, found = sparse_lesions(expected, "scan")
    user.drag(ui.thresholdSlider, threshold)
    assert np.array_equal(lesion(ct), slicer.util.arrayFromVolume(found) > 0)
    assert "ml" in ui.readoutLabel.text
    assert ui.overlayButton.enabled
    assert ui.thresholdSlider.enabled
    assert not ui.logText.visible
    ui.logCheckBox.click()
    assert ui.logText.visible
    assert "Plan: model small on" in ui.logText.plainText


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_before_during_and_after_the_worker_leaves_the_scene_as_it_was(
    a_panel, samples, monkeypatch, stage
):
    load(samples / "scan.nrrd")
    user.wait_until(lambda: a_panel.ui.segmentButton.enabled, seconds=60)
    before = ids_of_all_nodes()
    pressed, workers = [], []

    def cancel(progress):
        if progress.stage == stage and not pressed:
            pressed.append(stage)
            if stage == "export":  # the run is being made by the press of the same button
                return
            workers.extend([worker_of(a_panel)] if stage in ("read", "picture") else [])
            user.press(a_panel.ui.segmentButton)

    stage_listener(a_panel, monkeypatch, cancel)
    user.press(a_panel.ui.segmentButton)
    if stage == "export":
        user.press(a_panel.ui.segmentButton)
    wait_for_the_end(a_panel)
    assert pressed
    assert all(worker.wait(timeout=10) != 0 for worker in workers), "it was not waited for"
    assert ids_of_all_nodes() == before
    assert not resultNodes.hasResults(a_panel.ctNode)
    assert temporary_folders() == []
    assert a_panel.ui.segmentButton.text == "Segment infection"
    assert a_panel.ui.segmentButton.enabled
    assert not a_panel.ui.errorLabel.visible


def test_cancel_just_before_the_worker_starts_starts_none(a_panel, samples, monkeypatch):
    load(samples / "scan.nrrd")
    started = []

    def cancel(progress):
        if progress.stage == "start":
            user.press(a_panel.ui.segmentButton)

    stage_listener(a_panel, monkeypatch, cancel)
    monkeypatch.setattr(
        "COVIDSelfSegSlicer.segmentationRun.WorkerProcess", lambda *_, **__: started.append(True)
    )
    run(a_panel)
    assert started == []
    assert a_panel.ui.segmentButton.text == "Segment infection"


def test_a_worker_that_is_killed_leaves_the_scene_and_its_log(a_panel, samples, monkeypatch):
    load(samples / "scan.nrrd")
    user.wait_until(lambda: a_panel.ui.segmentButton.enabled, seconds=60)
    before = ids_of_all_nodes()

    def kill(progress):
        if progress.stage == "synthesis":
            os.killpg(worker_of(a_panel).pid, signal.SIGKILL)

    stage_listener(a_panel, monkeypatch, kill)
    run(a_panel)
    assert ids_of_all_nodes() == before
    assert a_panel.ui.errorLabel.visible
    assert "ended unexpectedly" in a_panel.ui.errorLabel.text
    assert "Its log ends with: Plan: model small" in a_panel.ui.errorLabel.text
    assert "Tick Show the log" in a_panel.ui.errorLabel.text
    assert "Traceback" not in a_panel.ui.errorLabel.text
    flags = registry.object_of(a_panel.ui.errorLabel).textInteractionFlags()
    assert flags & Qt.TextInteractionFlag.TextSelectableByMouse
    assert "Plan: model small" in a_panel.ui.logText.plainText
    assert temporary_folders() == []


def test_the_panel_gives_way_to_threads_while_there_is_one(a_panel, samples, monkeypatch):
    """In Slicer they get nowhere without that. Here they wait for it."""
    import COVIDSelfSeg  # the panel's own, which is another one after a reload

    load(samples / "scan.nrrd")
    given, stages, during = threading.Event(), [], []
    stage_listener(a_panel, monkeypatch, lambda progress: stages.append(progress.stage))

    def give_way():
        during.append(stages[-1])
        given.set()

    def after(work):
        def wait_and_work(*arguments):
            given.clear()
            assert given.wait(timeout=30), "nobody gave way"
            return work(*arguments)

        return wait_and_work

    monkeypatch.setattr(COVIDSelfSeg, "giveWay", give_way)
    for owner, name in (
        (COVIDSelfSeg.scanExport.ScanFiles, "write"),
        (COVIDSelfSeg.results.RunFiles, "read"),
    ):
        monkeypatch.setattr(owner, name, after(getattr(owner, name)))
    run(a_panel)
    assert not a_panel.ui.errorLabel.visible, a_panel.ui.errorLabel.text
    assert {"synthesis", "segmentation"} < set(stages)
    assert set(during) == {"export", "load"}, "never while the worker works by itself"


def test_the_scene_can_be_closed_in_the_middle_of_a_run(a_panel, samples, monkeypatch):
    kept = Kept(a_panel, load(samples / "scan.nrrd"), monkeypatch)
    workers = []

    def close(progress):
        if progress.stage == "lungs" and not workers:
            workers.append(worker_of(a_panel))
            slicer.mrmlScene.Clear(False)

    stage_listener(a_panel, monkeypatch, close)
    run(a_panel)
    assert workers[0].wait(timeout=10) != 0
    assert temporary_folders() == []
    assert a_panel.ui.segmentButton.text == "Segment infection"
    assert "Choose a CT" in a_panel.ui.segmentButton.toolTip
    assert kept.files == ["NoneType"]
    assert kept.node is None
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_a_run_that_has_ended_keeps_nothing_in_memory(a_panel, samples, monkeypatch):
    kept = Kept(a_panel, load(samples / "scan.nrrd"), monkeypatch)
    run(a_panel)
    assert resultNodes.hasResults(a_panel.ctNode)
    assert kept.files == ["NoneType", "NoneType"]
    slicer.mrmlScene.Clear(False)
    assert kept.node is None


def test_a_ct_that_is_removed_in_the_middle_of_a_run_is_told(a_panel, samples, monkeypatch):
    ct = load(samples / "scan.nrrd")

    def remove(progress):
        if progress.stage == "segmentation" and ct.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(ct)

    stage_listener(a_panel, monkeypatch, remove)
    run(a_panel)
    assert "was removed during the run" in a_panel.ui.errorLabel.text
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_a_refused_scan_says_what_why_and_what_to_do(a_panel, samples):
    load(samples / "gray.nrrd")
    before = ids_of_all_nodes()
    run(a_panel)
    text = a_panel.ui.errorLabel.text
    assert a_panel.ui.errorLabel.visible
    what, why, fix = text.split("<br>")[0], text.split("<br>")[1], text.split("<br>")[-1]
    assert "8-bit" in what
    assert why
    assert fix.startswith("<i>")
    assert ids_of_all_nodes() == before


def test_an_error_goes_with_the_ct_that_it_is_about(a_panel, samples):
    load(samples / "gray.nrrd")
    run(a_panel)
    assert a_panel.ui.errorLabel.visible
    load(samples / "scan.nrrd")
    user.let_run(0.1)
    assert a_panel.ui.errorLabel.visible
    user.choose(a_panel.ui.ctSelector, "scan")
    assert not a_panel.ui.errorLabel.visible


def test_an_error_of_a_ct_that_is_not_chosen_any_more_says_of_which_it_is(a_panel, samples):
    load(samples / "gray.nrrd")
    load(samples / "scan.nrrd")
    user.choose(a_panel.ui.ctSelector, "gray")
    press_when_ready(a_panel)
    user.choose(a_panel.ui.ctSelector, "scan")
    wait_for_the_end(a_panel)
    assert a_panel.ui.errorLabel.visible
    assert "<b>gray: The values run from" in a_panel.ui.errorLabel.text


def test_results_are_shown_with_their_ct_although_another_one_was_chosen_meanwhile(a_panel, samples):
    ct, other = load(samples / "scan.nrrd"), load(samples / "moved.nrrd")
    user.choose(a_panel.ui.ctSelector, "scan")
    press_when_ready(a_panel)
    user.choose(a_panel.ui.ctSelector, "moved")
    assert a_panel.ctNode is other
    wait_for_the_end(a_panel)
    assert a_panel.ctNode is ct
    assert a_panel.ui.readoutLabel.text
    assert {node.GetBackgroundVolumeID() for node in layouts.sliceCompositeNodes().values()} == {ct.GetID()}


def test_without_a_temporary_folder_it_is_said_and_a_run_can_start_again(a_panel, samples, tmp_path):
    load(samples / "scan.nrrd")
    with temporary_files_in(tmp_path / "gone"):
        press_when_ready(a_panel)
    assert "temporary files of this run could not be written" in a_panel.ui.errorLabel.text
    assert a_panel.ui.errorLabel.visible
    assert a_panel.ui.segmentButton.text == "Segment infection"
    run(a_panel)
    assert resultNodes.hasResults(a_panel.ctNode)
    assert not a_panel.ui.errorLabel.visible


@pytest.mark.parametrize(
    ("owner", "name"),
    [("scanExport", "scanFiles"), ("scanExport.ScanFiles", "write"), ("results", "setResults")],
)
def test_after_an_error_of_ours_the_panel_is_as_before_the_run(a_panel, samples, monkeypatch, owner, name):
    import COVIDSelfSeg  # the panel's own, which is another one after a reload

    def fail(*_args, **_options):
        raise MemoryError("of ours")

    monkeypatch.setattr(operator.attrgetter(owner)(COVIDSelfSeg), name, fail)
    load(samples / "scan.nrrd")
    press_when_ready(a_panel)
    with pytest.raises(AssertionError, match="of ours"):
        user.wait_until(lambda: False, seconds=300)
    assert not a_panel.logic.isRunning
    assert a_panel.ui.segmentButton.text == "Segment infection"
    assert a_panel.ui.segmentButton.enabled
    assert not a_panel.ui.progressBar.visible
    assert temporary_folders() == []
    user.let_run(0.2)  # nothing is raised again


def test_a_real_scan_is_segmented(a_panel, real_scans):
    ct = load(real_scans / "ct_cropped" / "pyradiomics_lung1.nii.gz")
    run(a_panel)
    assert not a_panel.ui.errorLabel.visible, a_panel.ui.errorLabel.text
    assert resultNodes.hasResults(ct)
    hu, lungs = slicer.util.arrayFromVolume(ct), [segment(ct, side) for side in (RIGHT_LUNG, LEFT_LUNG)]
    assert all(hu[lung].mean() < -600 for lung in lungs)
    probability = slicer.util.arrayFromVolume(resultNodes.findNode(ct, resultNodes.PROBABILITY))
    user.drag(a_panel.ui.thresholdSlider, sparse_threshold(probability, lungs[0] | lungs[1]))
    ml = np.array([lesion(ct).sum(), (lungs[0] | lungs[1]).sum()]) * np.prod(ct.GetSpacing()) / 1000
    assert 0 < ml[0] < ml[1] / 4
    assert float(a_panel.ui.readoutLabel.text.split()[0]) == pytest.approx(ml[0], abs=0.051)
    assert layouts.isCompare() is False


def test_the_lung_segments_that_the_user_ticks_are_used(a_panel, samples, monkeypatch):
    other = show_truth(load(samples / "left_handed.nrrd"), samples / "truth")
    given = resultNodes.findNode(other, resultNodes.SEGMENTATION)
    ct = load(samples / "scan.nrrd")
    user.choose(a_panel.ui.ctSelector, ct.GetName())
    user.choose(a_panel.ui.lungMaskSelector, given.GetName())
    ticks = a_panel.ui.lungSegmentsList
    user.wait_until(lambda: ticks.count == 3)
    ticked = [ticks.item(row).checkState() == qt.Qt.Checked for row in range(3)]
    assert ticked == [True, True, False], "those named lung are ticked at first"
    ticks.item(0).setCheckState(qt.Qt.Unchecked)
    started = {}
    monkeypatch.setattr(a_panel.logic, "start", lambda *args, **options: started.update(options, args=args))
    press_when_ready(a_panel)
    assert started["args"] == (ct, given)
    assert started["lungSegmentIDs"] == [LEFT_LUNG]
    a_panel.runSection.showEnded()


def a_mask_of(names):
    """A segmentation as Segment Editor makes it: its segments are numbered, whatever they are called."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", " and ".join(names))
    for number, name in enumerate(names, 1):
        node.GetSegmentation().AddEmptySegment(f"Segment_{number}", name)
    return node


def what_is_listed(panel):
    ticks = panel.ui.lungSegmentsList
    items = [ticks.item(row) for row in range(ticks.count)]
    return {item.text(): item.checkState() == qt.Qt.Checked for item in items}


def test_the_segments_are_those_of_the_chosen_mask(a_panel):
    masks = [a_mask_of(names) for names in (["lung", "tumor"], ["tumor", "lung"])]
    for mask in masks:
        user.choose(a_panel.ui.lungMaskSelector, mask.GetName())
        assert what_is_listed(a_panel) == {"lung": True, "tumor": False}
    assert a_panel.lungSegments.chosenIDs == ["Segment_2"]


def test_what_was_ticked_stays_when_segments_are_renamed_or_added(a_panel):
    mask = a_mask_of(["right lung", "left lung"])
    user.choose(a_panel.ui.lungMaskSelector, mask.GetName())
    a_panel.ui.lungSegmentsList.item(0).setCheckState(qt.Qt.Unchecked)
    mask.GetSegmentation().GetSegment("Segment_1").SetName("lung to leave out")
    mask.GetSegmentation().AddEmptySegment("Segment_3", "third lung")
    a_panel.enter()  # as when one comes back from Segment Editor
    assert what_is_listed(a_panel) == {"lung to leave out": False, "left lung": True, "third lung": True}


def test_a_lung_mask_that_is_deleted_is_not_exchanged_for_another_segmentation(a_panel):
    masks = [a_mask_of([name]) for name in ("heart", "lungs", "liver")]
    user.choose(a_panel.ui.lungMaskSelector, "lungs")
    slicer.mrmlScene.RemoveNode(masks[1])
    assert a_panel.ui.lungMaskSelector.currentNode() is None
    assert a_panel._parameterNode.GetNodeReference("LungMask") is None
    slicer.mrmlScene.RemoveNode(masks[0])
    user.choose(a_panel.ui.lungMaskSelector, "liver")
    assert a_panel._parameterNode.GetNodeReference("LungMask") is masks[2]


def test_a_lung_mask_without_a_ticked_segment_is_refused_with_what_to_do(a_panel, samples):
    ct = show_truth(load(samples / "scan.nrrd"), samples / "truth")
    given = resultNodes.findNode(ct, resultNodes.SEGMENTATION)
    user.choose(a_panel.ui.lungMaskSelector, given.GetName())
    ticks = a_panel.ui.lungSegmentsList
    user.wait_until(lambda: ticks.count == 3)
    for row in range(ticks.count):
        ticks.item(row).setCheckState(qt.Qt.Unchecked)
    press_when_ready(a_panel)
    assert not a_panel.logic.isRunning
    assert f"The lung mask {given.GetName()} is empty." in a_panel.ui.errorLabel.text
    assert "Choose the segments that hold the lungs" in a_panel.ui.errorLabel.text
    assert a_panel.ui.segmentButton.text == "Segment infection"


@pytest.mark.parametrize("model", ["small.safetensors", "small"])
def test_a_model_is_a_file_as_seen_from_slicers_folder_or_a_name(
    a_panel, samples, tmp_path, monkeypatch, model
):
    if model == "small":
        (tmp_path / model).touch()  # a name is looked for among packages alone
    else:
        shutil.copy(samples / "models" / model, tmp_path)
    monkeypatch.chdir(tmp_path)
    ct = load(samples / "scan.nrrd")
    a_panel.logic.segment(ct, model=model, builtinLungs=True, device="cpu")
    assert resultNodes.reportOf(ct)["model"]["name"] == "small"


def test_closing_slicer_ends_what_the_console_waits_for(a_panel, samples):
    ct = load(samples / "scan.nrrd")
    before = ids_of_all_nodes()
    closing = bootstrap.start().lastWindowClosed
    for work in (lambda: a_panel.logic.segment(ct), sampleData.makePhantom):
        QTimer.singleShot(500, closing.emit)
        with pytest.raises(RuntimeError, match="Slicer was closed"):
            work()
        assert not a_panel.logic.isRunning
        assert ids_of_all_nodes() == before
        assert temporary_folders() == []


def test_while_a_run_from_the_console_goes_on_the_panel_says_so_and_is_ready_at_its_end(a_panel, samples):
    import COVIDSelfSeg  # the panel's own, which is another one after a reload

    ui = a_panel.ui
    ct = load(samples / "gray.nrrd")  # it is refused, so that no new node tells the panel of the end
    user.wait_until(lambda: ui.segmentButton.enabled, seconds=60)
    seen = []

    def look():
        seen.append((ui.segmentButton.enabled, ui.segmentButton.toolTip, ui.progressLabel.visible))

    for milliseconds in (300, 600):
        QTimer.singleShot(milliseconds, look)
    with pytest.raises(COVIDSelfSeg.UserError, match="8-bit"):
        a_panel.logic.segment(ct, builtinLungs=True)
    assert seen == [(False, "A run from the Python console is in progress.", True)] * 2
    assert ui.progressLabel.text == "A run from the Python console is in progress."
    user.wait_until(lambda: ui.segmentButton.enabled, seconds=1)
    assert "Find COVID-19 lesions" in ui.segmentButton.toolTip
    assert not ui.progressLabel.visible


def test_a_click_in_the_moment_in_which_the_console_starts_a_run_does_not_cancel_it(a_panel, samples):
    ui = a_panel.ui
    ct = load(samples / "scan.nrrd")
    user.wait_until(lambda: ui.segmentButton.enabled, seconds=60)
    a_panel._timer.stop()  # it has not told the panel yet
    seen = []

    def click():
        user.press(ui.segmentButton)
        seen.append((ui.segmentButton.enabled, ui.segmentButton.toolTip))

    QTimer.singleShot(300, click)
    model = str(samples / "models" / "small.safetensors")
    segmentation = a_panel.logic.segment(ct, model=model, builtinLungs=True)
    assert segmentation is resultNodes.findNode(ct, resultNodes.SEGMENTATION)
    assert seen == [(False, "A run from the Python console is in progress.")]
    a_panel._timer.start()
    user.wait_until(lambda: ui.segmentButton.enabled, seconds=1)


@pytest.mark.usefixtures("remembered_status")
def test_three_lines_in_the_console_do_the_whole_job(samples, monkeypatch, a_module_panel):
    monkeypatch.setenv("COVIDSELFSEG_MODELS", str(samples / "models"))
    panel = a_module_panel(MODULE)
    told = []
    ct = load(samples / "oblique.nrrd")
    logic = slicer.modules.covidselfseg.widgetRepresentation().self().logic
    assert logic is panel.logic
    segmentation = logic.segment(
        ct,
        model=str(samples / "models" / "small.safetensors"),
        builtinLungs=True,
        onProgress=lambda fraction, message: told.append((fraction, message)),
    )
    logic.showLesions3D(ct)
    assert segmentation is resultNodes.findNode(ct, resultNodes.SEGMENTATION)
    assert told[-1][0] == 1.0
    user.wait_until(lambda: panel.ui.overlayButton.enabled)
