"""The slider: honest numbers while it moves, the lesion rewritten when it is let go, edits never lost."""

import numpy as np
import pytest
import qt
import slicer
from COVIDSelfSegSlicer import display, layouts, lesionSegments, resultNodes, results, thresholdSection
from COVIDSelfSegSlicer.runFiles import RunFiles
from host import bootstrap, dialogs, user
from host.pythonqt import registry
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDoubleSpinBox

from Testing.slicer_samples import show_truth

LESION = lesionSegments.LESION


@pytest.fixture
def a_panel_with_results(a_panel, samples):
    ct = slicer.util.loadVolume(str(samples / "scan.nrrd"))
    show_truth(ct, samples / "truth")
    user.wait_until(lambda: a_panel.ui.thresholdSlider.enabled)
    return a_panel


def lesion(panel):
    segmentation = resultNodes.findNode(panel.ctNode, resultNodes.SEGMENTATION)
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, LESION, panel.ctNode) > 0


def foregrounds():
    return {name: node.GetForegroundVolumeID() for name, node in layouts.sliceCompositeNodes().items()}


def edit(panel, segment_id):
    segmentation = resultNodes.findNode(panel.ctNode, resultNodes.SEGMENTATION)
    labels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, panel.ctNode)
    labels[20:24, 60:70, 50:60] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(labels, segmentation, segment_id, panel.ctNode)
    return labels > 0


def curve_picture(panel):
    return registry.object_of(panel.ui.curveLabel).pixmap().toImage()


def test_without_results_everything_is_disabled_and_says_why(a_panel, samples):
    slicer.util.loadVolume(str(samples / "scan.nrrd"))
    user.wait_until(lambda: a_panel.ctNode is not None)
    ui = a_panel.ui
    for widget in (
        ui.thresholdSlider,
        ui.calibratedButton,
        ui.overlayButton,
        ui.heatmapButton,
        ui.compareButton,
        ui.show3DButton,
        ui.blinkButton,
    ):
        assert not widget.enabled
        assert widget.toolTip == "There are no results yet: press Segment infection."
    assert not ui.resultsTable.visible
    assert not ui.curveLabel.visible


def test_a_threshold_cannot_be_set_from_the_console_where_nothing_was_segmented(a_panel, samples):
    from COVIDSelfSegLib.errors import UserError  # that of the panel, which is another one after a reload

    ct = slicer.util.loadVolume(str(samples / "scan.nrrd"))
    with pytest.raises(UserError, match="there are no results") as refused:
        a_panel.logic.setThreshold(ct, 0.3)
    assert refused.value.why
    assert "Segment the infection" in refused.value.fix
    assert not any(resultNodes.allNodes(role) for role in resultNodes.ROLES)


@pytest.mark.parametrize("threshold", [-0.1, 30, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused_and_changes_nothing(a_panel_with_results, threshold):
    from COVIDSelfSegLib.errors import UserError  # that of the panel, which is another one after a reload

    panel = a_panel_with_results
    before, told = lesion(panel), resultNodes.thresholdOf(panel.ctNode)
    assert before.any()
    with pytest.raises(UserError, match="is not in 0"):
        panel.logic.setThreshold(panel.ctNode, threshold)
    with pytest.raises(UserError, match="is not in 0"):
        panel.logic.segment(panel.ctNode, threshold=threshold)
    assert np.array_equal(lesion(panel), before)
    assert resultNodes.thresholdOf(panel.ctNode) == told


@pytest.mark.parametrize("gone", [resultNodes.SEGMENTATION, resultNodes.PROBABILITY])
def test_a_threshold_cannot_be_set_where_what_it_needs_was_deleted(a_panel_with_results, gone):
    from COVIDSelfSegLib.errors import UserError  # that of the panel, which is another one after a reload

    panel = a_panel_with_results
    slicer.mrmlScene.RemoveNode(resultNodes.findNode(panel.ctNode, gone))
    before = resultNodes.thresholdOf(panel.ctNode)
    with pytest.raises(UserError, match="there are no results"):
        panel.logic.setThreshold(panel.ctNode, 0.3)
    assert resultNodes.thresholdOf(panel.ctNode) == before


def test_the_slider_starts_at_the_calibrated_threshold(a_panel_with_results):
    assert a_panel_with_results.ui.thresholdSlider.value == 0.5
    assert "Keys" in a_panel_with_results.ui.thresholdSlider.toolTip


def test_dragging_moves_read_out_and_preview_and_writes_nothing(a_panel_with_results):
    panel, ui = a_panel_with_results, a_panel_with_results.ui
    written, shown = lesion(panel), foregrounds()
    probability = resultNodes.findNode(panel.ctNode, resultNodes.PROBABILITY)
    curve = resultNodes.curveOf(panel.ctNode)
    user.hold(ui.thresholdSlider, 0.4, 0.3)
    assert ui.readoutLabel.text.startswith(f"{curve.infected_ml(0.3):.1f} ml, ")
    assert f"{100 * curve.infected_share(0.3):.1f} % of the lung" in ui.readoutLabel.text
    assert foregrounds()["Red"] == probability.GetID()
    assert probability.GetDisplayNode().GetLowerThreshold() == np.ceil(0.3 * 255)
    assert np.array_equal(lesion(panel), written)
    assert resultNodes.thresholdOf(panel.ctNode) == 0.5
    user.inner_slider(ui.thresholdSlider).setSliderDown(False)
    assert foregrounds() == shown


@pytest.mark.parametrize("way", ["overlay", "compare"])
def test_the_twin_that_blink_shows_has_a_preview_too(a_panel_with_results, way):
    panel = a_panel_with_results
    probability = resultNodes.findNode(panel.ctNode, resultNodes.PROBABILITY)
    user.press(getattr(panel.ui, f"{way}Button"))
    user.press(panel.ui.blinkButton)
    shown = foregrounds()
    user.hold(panel.ui.thresholdSlider, 0.4, 0.3)
    views = [layouts.CT_VIEW, layouts.HEALTHY_VIEW, layouts.DIFFERENCE_VIEW] if way == "compare" else ["Red"]
    assert {foregrounds()[name] for name in views} == {probability.GetID()}
    user.inner_slider(panel.ui.thresholdSlider).setSliderDown(False)
    assert foregrounds() == shown


def test_let_go_the_read_out_says_what_the_table_says_without_the_specks(a_panel, samples):
    ct = slicer.util.loadVolume(str(samples / "scan.nrrd"))
    files = RunFiles.read(samples / "truth", lambda: False)
    files.report["least_lesion_ml"] = 1e6  # every part is a speck
    results.setResults(ct, files)
    user.wait_until(lambda: a_panel.ui.thresholdSlider.enabled)
    user.drag(a_panel.ui.thresholdSlider, 0.6, 0.7)
    assert a_panel.ui.readoutLabel.text == "0.0 ml, 0.0 % of the lung"
    user.hold(a_panel.ui.thresholdSlider, 0.7, 0.6)
    assert float(a_panel.ui.readoutLabel.text.split()[0]) > 0, "while it moves they are counted"


def test_letting_go_rewrites_lesion_surface_and_table(a_panel_with_results):
    panel = a_panel_with_results
    segmentation = resultNodes.findNode(panel.ctNode, resultNodes.SEGMENTATION)
    before = segmentation.GetClosedSurfaceInternalRepresentation(LESION)
    user.drag(panel.ui.thresholdSlider, 0.6, 0.9)
    values = slicer.util.arrayFromVolume(resultNodes.findNode(panel.ctNode, resultNodes.PROBABILITY))
    assert np.array_equal(lesion(panel), values >= 0.9 * 255)
    assert segmentation.GetClosedSurfaceInternalRepresentation(LESION) is not before
    assert resultNodes.thresholdOf(panel.ctNode) == 0.9
    table = registry.object_of(panel.ui.resultsTable).model()
    cells = {
        table.headerData(row, Qt.Orientation.Vertical): table.index(row, 2).data()
        for row in range(table.rowCount())
    }
    ml = values[values >= 0.9 * 255].size * np.prod(panel.ctNode.GetSpacing()) / 1000
    assert float(cells["infected (ml)"]) == pytest.approx(ml, abs=0.06)
    assert cells["threshold"] == "0.90"


def test_nobody_types_other_numbers_into_the_table(a_panel_with_results):
    panel = a_panel_with_results
    for moved in (False, True):
        if moved:
            user.drag(panel.ui.thresholdSlider, 0.6, 0.9)
        table = registry.object_of(panel.ui.resultsTable).model()
        cells = (table.index(row, column) for row in range(table.rowCount()) for column in range(3))
        assert not any(cell.flags() & Qt.ItemFlag.ItemIsEditable for cell in cells)


def test_the_table_stays_whatever_batch_of_changes_ends(a_panel_with_results):
    table = registry.object_of(a_panel_with_results.ui.resultsTable).model()
    before = table.rowCount()
    slicer.mrmlScene.StartState(slicer.mrmlScene.BatchProcessState)
    slicer.mrmlScene.EndState(slicer.mrmlScene.BatchProcessState)
    assert table.rowCount() == before > 0


def test_the_outline_stays_as_the_user_wanted_it(a_panel_with_results):
    panel = a_panel_with_results
    display = resultNodes.findNode(panel.ctNode, resultNodes.SEGMENTATION).GetDisplayNode()
    display.SetSegmentVisibility2DFill(LESION, False)
    user.drag(panel.ui.thresholdSlider, 0.6, 0.7)
    assert not display.GetSegmentVisibility2DFill(LESION)
    assert display.GetSegmentVisibility2DOutline(LESION)


def test_a_drag_that_ends_where_it_began_changes_nothing(a_panel_with_results):
    panel, ui = a_panel_with_results, a_panel_with_results.ui
    display.showOverlay(panel.ctNode)
    shown, written, read_out = foregrounds(), lesion(panel), ui.readoutLabel.text
    user.drag(ui.thresholdSlider, 0.6, 0.7, 0.5)
    user.wait_until(lambda: foregrounds() == shown)
    segments = resultNodes.findNode(panel.ctNode, resultNodes.SEGMENTATION).GetDisplayNode()
    assert segments.GetSegmentVisibility2DFill(LESION)
    assert segments.GetSegmentVisibility2DOutline(LESION)
    assert ui.readoutLabel.text == read_out
    assert np.array_equal(lesion(panel), written)


def test_a_slider_that_is_held_still_keeps_its_preview(a_panel_with_results):
    panel = a_panel_with_results
    probability = resultNodes.findNode(panel.ctNode, resultNodes.PROBABILITY)
    user.hold(panel.ui.thresholdSlider, 0.6, 0.5)
    user.let_run(0.3)
    assert foregrounds()["Red"] == probability.GetID()


def test_arrow_keys_on_the_slider_write_the_lesion(a_panel_with_results):
    panel = a_panel_with_results
    shown = foregrounds()
    QTest.keyClick(user.inner_slider(panel.ui.thresholdSlider), Qt.Key.Key_Right)
    assert panel.ui.thresholdSlider.value > 0.5
    assert resultNodes.thresholdOf(panel.ctNode) == pytest.approx(panel.ui.thresholdSlider.value)
    assert foregrounds() == shown


@pytest.mark.parametrize("show", [display.showOverlay, display.showHeatmap, display.showCompare])
def test_lesions_are_shown_whatever_a_preview_left(a_panel_with_results, show):
    ct = a_panel_with_results.ctNode
    display.ThresholdPreview(ct)
    show(ct)
    segments = resultNodes.findNode(ct, resultNodes.SEGMENTATION).GetDisplayNode()
    assert segments.GetSegmentVisibility2DFill(LESION)
    assert segments.GetSegmentVisibility2DOutline(LESION)


def note_what_is_written(monkeypatch):
    """Hands over the names of the CTs and the thresholds at which lesions are written from now on."""
    from COVIDSelfSegSlicer import results  # that of the panel, which is another one after a reload

    written, write = [], results.writeLesion

    def note(ct, threshold, **options):
        written.append((ct.GetName(), round(threshold, 6)))
        write(ct, threshold, **options)

    monkeypatch.setattr(results, "writeLesion", note)
    return written


def test_a_threshold_that_is_typed_asks_and_writes_once_it_is_whole(a_panel_with_results, monkeypatch):
    panel, ui = a_panel_with_results, a_panel_with_results.ui
    edit(panel, LESION)
    bootstrap.start().set_testing_enabled(False)
    written = note_what_is_written(monkeypatch)
    field = registry.object_of(ui.thresholdSlider).findChild(QDoubleSpinBox)
    field.selectAll()
    QTest.keyClicks(field, "0.75")
    user.let_run(0.1)
    assert written == []
    assert dialogs.asked == []
    dialogs.answer(qt.QMessageBox.No)
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert written == [("scan", 0.75)]
    assert len(dialogs.asked) == 1


def test_one_click_returns_to_the_calibrated_threshold(a_panel_with_results):
    ui = a_panel_with_results.ui
    user.drag(ui.thresholdSlider, 0.8)
    user.press(ui.calibratedButton)
    assert ui.thresholdSlider.value == 0.5
    assert resultNodes.thresholdOf(a_panel_with_results.ctNode) == 0.5


def test_the_curve_marks_the_threshold_and_fills_the_panel(a_panel_with_results):
    panel = a_panel_with_results
    before = curve_picture(panel)
    user.hold(panel.ui.thresholdSlider, 0.2)
    assert curve_picture(panel) != before
    user.inner_slider(panel.ui.thresholdSlider).setSliderDown(False)
    registry.object_of(panel.ui.curveLabel).window().resize(600, 900)
    user.wait_until(lambda: curve_picture(panel).width() == panel.ui.curveLabel.width)
    assert panel.ui.curveLabel.width > before.width()


def test_edits_are_kept_if_the_user_says_no(a_panel_with_results):
    panel = a_panel_with_results
    edited = edit(panel, LESION)
    bootstrap.start().set_testing_enabled(False)
    dialogs.answer(qt.QMessageBox.No)
    user.drag(panel.ui.thresholdSlider, 0.8)
    assert dialogs.asked[-1][1][0].startswith("Edited by hand: COVID lesion. ")
    segmentation = resultNodes.findNode(panel.ctNode, resultNodes.SEGMENTATION)
    kept = segmentation.GetSegmentation().GetSegmentIdBySegmentName("COVID lesion (edited by hand)")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, kept, panel.ctNode)
    assert np.array_equal(array > 0, edited)


def test_edits_go_if_the_user_says_yes(a_panel_with_results):
    panel = a_panel_with_results
    edit(panel, LESION)
    bootstrap.start().set_testing_enabled(False)
    dialogs.answer(qt.QMessageBox.Yes)
    user.drag(panel.ui.thresholdSlider, 0.8)
    segmentation = resultNodes.findNode(panel.ctNode, resultNodes.SEGMENTATION)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 3


@pytest.mark.parametrize(("answer", "segments"), [(qt.QMessageBox.No, 5), (qt.QMessageBox.Yes, 3)])
def test_a_new_run_asks_before_it_writes_over_any_edited_segment(
    a_panel_with_results, samples, answer, segments
):
    panel = a_panel_with_results
    for segment_id in (LESION, lesionSegments.RIGHT_LUNG):
        edit(panel, segment_id)
    bootstrap.start().set_testing_enabled(False)
    dialogs.answer(answer)
    panel.logic.runningCT = panel.ctNode
    panel.onFinished(RunFiles.read(samples / "truth", lambda: False))
    assert dialogs.asked[-1][1][0].startswith("Edited by hand: right lung, COVID lesion. ")
    segmentation = resultNodes.findNode(panel.ctNode, resultNodes.SEGMENTATION)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == segments


def test_the_panel_says_that_its_numbers_do_not_include_edits(a_panel_with_results):
    panel, ui = a_panel_with_results, a_panel_with_results.ui
    assert not ui.editedLabel.visible
    edit(panel, LESION)
    panel.enter()  # as when one comes back from Segment Editor
    assert ui.editedLabel.visible
    assert ui.editedLabel.text == "Edited by hand: COVID lesion. The numbers do not include the edits."
    panel.logic.setThreshold(panel.ctNode, 0.6)
    assert not ui.editedLabel.visible


def test_moving_the_threshold_asks_nothing_about_edited_lungs(a_panel_with_results):
    panel = a_panel_with_results
    edit(panel, lesionSegments.LEFT_LUNG)
    bootstrap.start().set_testing_enabled(False)
    user.drag(panel.ui.thresholdSlider, 0.8)
    assert dialogs.asked == []
    assert resultNodes.thresholdOf(panel.ctNode) == 0.8


def test_a_lesion_segment_that_was_deleted_comes_back(a_panel_with_results):
    panel = a_panel_with_results
    segmentation = resultNodes.findNode(panel.ctNode, resultNodes.SEGMENTATION)
    for gone in (LESION, lesionSegments.LEFT_LUNG):
        segmentation.GetSegmentation().RemoveSegment(gone)
    user.drag(panel.ui.thresholdSlider, 0.6, 0.8)
    values = slicer.util.arrayFromVolume(resultNodes.findNode(panel.ctNode, resultNodes.PROBABILITY))
    assert np.array_equal(lesion(panel), values >= 0.8 * 255)
    assert list(segmentation.GetSegmentation().GetSegmentIDs()) == [lesionSegments.RIGHT_LUNG, LESION]
    assert segmentation.GetSegmentation().GetSegment(LESION).GetName() == "COVID lesion"
    assert segmentation.GetDisplayNode().GetSegmentVisibility2DFill(LESION)
    assert segmentation.GetDisplayNode().GetSegmentVisibility2DOutline(LESION)


def test_keys_move_the_threshold_and_change_what_is_shown(a_panel_with_results, a_window):
    ct = a_panel_with_results.ctNode
    a_window()
    user.press_key(slicer.util.mainWindow(), "]")
    user.wait_until(lambda: resultNodes.thresholdOf(ct) == pytest.approx(0.52))
    for _ in range(2):
        user.press_key(slicer.util.mainWindow(), "[")
    user.wait_until(lambda: resultNodes.thresholdOf(ct) == pytest.approx(0.48))
    heatmap = resultNodes.findNode(ct, resultNodes.HEATMAP).GetID()
    healthy = resultNodes.findNode(ct, resultNodes.PSEUDO_HEALTHY).GetID()
    red = layouts.sliceCompositeNodes()["Red"]
    for wanted in (heatmap, None):
        user.press_key(slicer.util.mainWindow(), "H")
        assert red.GetForegroundVolumeID() == wanted
    for wanted in (healthy, ct.GetID()):
        user.press_key(slicer.util.mainWindow(), "B")
        assert red.GetBackgroundVolumeID() == wanted


def hold_key(monkeypatch, key="]", times=10):
    """Let a key come again and again; hands over the thresholds that are written from then on."""
    written = note_what_is_written(monkeypatch)
    for _ in range(times):
        user.press_key(slicer.util.mainWindow(), key)
    return written


def test_a_key_that_is_held_previews_and_writes_the_lesion_once(a_panel_with_results, a_window, monkeypatch):
    panel, ui = a_panel_with_results, a_panel_with_results.ui
    a_window()
    shown = foregrounds()
    probability = resultNodes.findNode(panel.ctNode, resultNodes.PROBABILITY)
    curve = resultNodes.curveOf(panel.ctNode)
    written = hold_key(monkeypatch)
    assert written == []
    assert ui.thresholdSlider.value == pytest.approx(0.7)
    assert foregrounds()["Red"] == probability.GetID()
    assert probability.GetDisplayNode().GetLowerThreshold() == np.ceil(0.7 * 255)
    assert ui.readoutLabel.text.startswith(f"{curve.infected_ml(0.7):.1f} ml, ")
    user.wait_until(lambda: written)
    user.let_run(thresholdSection._KEYS_S + 0.2)
    assert written == [("scan", 0.7)]
    assert foregrounds() == shown
    values = slicer.util.arrayFromVolume(probability)
    assert np.array_equal(lesion(panel), values >= 0.7 * 255)


@pytest.mark.usefixtures("a_panel_with_results")
def test_keys_that_come_back_to_where_they_began_write_nothing(a_window, monkeypatch):
    a_window()
    shown = foregrounds()
    written = hold_key(monkeypatch, times=2)
    hold_key(monkeypatch, key="[", times=2)
    user.wait_until(lambda: foregrounds() == shown)
    user.let_run(thresholdSection._KEYS_S + 0.2)
    assert written == []


def test_a_key_that_is_held_asks_about_edits_once_at_the_end(a_panel_with_results, a_window, monkeypatch):
    panel = a_panel_with_results
    a_window()
    edited = edit(panel, LESION)
    bootstrap.start().set_testing_enabled(False)
    dialogs.answer(qt.QMessageBox.No)
    written = hold_key(monkeypatch)
    assert dialogs.asked == []
    user.wait_until(lambda: written)
    user.let_run(thresholdSection._KEYS_S + 0.2)
    assert len(dialogs.asked) == 1
    segmentation = resultNodes.findNode(panel.ctNode, resultNodes.SEGMENTATION)
    kept = segmentation.GetSegmentation().GetSegmentIdBySegmentName("COVID lesion (edited by hand)")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, kept, panel.ctNode)
    assert np.array_equal(array > 0, edited)


def choose_another_ct(panel, samples):
    other = slicer.util.loadVolume(str(samples / "left_handed.nrrd"))
    user.choose(panel.ui.ctSelector, other.GetName())


WHAT_COMES_BETWEEN = {
    "another CT is chosen": choose_another_ct,
    "the module is left": lambda panel, _samples: panel.exit(),
    "the heatmap is shown": lambda _panel, _samples: user.press_key(slicer.util.mainWindow(), "H"),
    "3D is pressed": lambda panel, _samples: user.press(panel.ui.show3DButton),
}


@pytest.mark.parametrize("between", WHAT_COMES_BETWEEN)
def test_what_keys_chose_is_written_before(a_panel_with_results, a_window, samples, monkeypatch, between):
    from COVIDSelfSegSlicer import thresholdSection  # that of the panel, which is another one after a reload

    panel = a_panel_with_results
    a_window()
    monkeypatch.setattr(thresholdSection, "_KEYS_S", 1e6)
    written = hold_key(monkeypatch)
    WHAT_COMES_BETWEEN[between](panel, samples)
    assert written == [("scan", 0.7)]
    probability = resultNodes.findNode(panel.ctNode, resultNodes.PROBABILITY)
    assert probability is None or probability.GetID() not in foregrounds().values()


@pytest.mark.usefixtures("a_panel_with_results")
def test_what_keys_chose_goes_with_the_scene(a_window, monkeypatch):
    a_window()
    written = hold_key(monkeypatch)
    slicer.mrmlScene.Clear(False)
    user.let_run(thresholdSection._KEYS_S + 0.2)
    assert written == []


def test_a_drag_takes_over_from_the_keys(a_panel_with_results, a_window, monkeypatch):
    panel = a_panel_with_results
    a_window()
    written = hold_key(monkeypatch)
    user.hold(panel.ui.thresholdSlider, 0.8)
    user.let_run(thresholdSection._KEYS_S + 0.2)
    assert written == []
    user.inner_slider(panel.ui.thresholdSlider).setSliderDown(False)
    user.let_run(thresholdSection._KEYS_S + 0.2)
    assert written == [("scan", 0.8)]


def test_keys_at_the_end_of_the_slider_write_nothing(a_panel_with_results, a_window, monkeypatch):
    slider = a_panel_with_results.ui.thresholdSlider
    a_window()
    user.drag(slider, slider.maximum)
    shown = foregrounds()
    assert hold_key(monkeypatch) == []
    assert foregrounds() == shown


def enabled_displays(panel):
    ui = panel.ui
    widgets = {
        "overlay": ui.overlayButton,
        "heatmap": ui.heatmapButton,
        "compare": ui.compareButton,
        "3D": ui.show3DButton,
        "blink": ui.blinkButton,
        "cloud": ui.volumeRenderingCheckBox,
    }
    return {name for name, widget in widgets.items() if widget.enabled}


def test_what_needs_a_deleted_heatmap_is_disabled_and_the_rest_works(a_panel_with_results, a_window):
    panel, ui = a_panel_with_results, a_panel_with_results.ui
    a_window()
    user.press(ui.volumeRenderingCheckBox)
    user.press(ui.heatmapButton)
    slicer.mrmlScene.RemoveNode(resultNodes.findNode(panel.ctNode, resultNodes.HEATMAP))
    user.wait_until(lambda: enabled_displays(panel) == {"overlay", "3D", "blink"})
    assert ui.compareButton.toolTip == "The heatmap was deleted: segment again to get it back."
    user.press(ui.overlayButton)
    assert foregrounds()["Red"] is None
    user.press_key(slicer.util.mainWindow(), "H")
    assert foregrounds()["Red"] is None
    user.press(ui.show3DButton)
    segments = resultNodes.findNode(panel.ctNode, resultNodes.SEGMENTATION).GetDisplayNode()
    assert segments.GetSegmentVisibility3D(LESION), "there is no cloud in its place"


def test_what_needs_a_deleted_healthy_twin_is_disabled_and_the_rest_works(a_panel_with_results, a_window):
    panel, ui = a_panel_with_results, a_panel_with_results.ui
    a_window()
    slicer.mrmlScene.RemoveNode(resultNodes.findNode(panel.ctNode, resultNodes.PSEUDO_HEALTHY))
    user.wait_until(lambda: enabled_displays(panel) == {"overlay", "heatmap", "3D", "cloud"})
    assert ui.blinkButton.toolTip == "The pseudo-healthy volume was deleted: segment again to get it back."
    user.press(ui.heatmapButton)
    user.press(ui.overlayButton)
    user.press_key(slicer.util.mainWindow(), "B")
    assert layouts.sliceCompositeNodes()["Red"].GetBackgroundVolumeID() == panel.ctNode.GetID()


def test_keys_belong_to_the_module_only_while_it_is_shown(a_panel_with_results, a_window):
    a_window()
    a_panel_with_results.exit()
    user.press_key(slicer.util.mainWindow(), "]")
    assert resultNodes.thresholdOf(a_panel_with_results.ctNode) == 0.5


def test_the_tooltips_list_the_keys(a_panel_with_results):
    ui = a_panel_with_results.ui
    for widget, key in ((ui.thresholdSlider, "[ and ]"), (ui.blinkButton, "B"), (ui.heatmapButton, "H")):
        assert f"{key}" in widget.toolTip.split("Key")[1]


def test_blink_in_the_compare_view_changes_the_ct_alone(a_panel_with_results):
    panel, ct = a_panel_with_results, a_panel_with_results.ctNode
    user.press(panel.ui.compareButton)
    healthy = resultNodes.findNode(ct, resultNodes.PSEUDO_HEALTHY).GetID()
    views = layouts.sliceCompositeNodes()
    for wanted in (healthy, ct.GetID()):
        user.press(panel.ui.blinkButton)
        assert views[layouts.CT_VIEW].GetBackgroundVolumeID() == wanted
        assert views[layouts.HEALTHY_VIEW].GetBackgroundVolumeID() == healthy


def test_results_are_found_again_after_saving_and_loading(a_panel_with_results, tmp_path):
    panel, ui = a_panel_with_results, a_panel_with_results.ui
    user.drag(ui.thresholdSlider, 0.7)
    read_out = ui.readoutLabel.text
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    user.wait_until(lambda: not ui.thresholdSlider.enabled)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    user.wait_until(lambda: ui.thresholdSlider.enabled)
    assert panel.ctNode.GetName() == "scan"
    assert ui.thresholdSlider.value == pytest.approx(0.7)
    assert ui.readoutLabel.text == read_out
    user.drag(ui.thresholdSlider, 0.3)
    values = slicer.util.arrayFromVolume(resultNodes.findNode(panel.ctNode, resultNodes.PROBABILITY))
    assert np.array_equal(lesion(panel), values >= 0.3 * 255)


def cells(table):
    columns = range(table.GetNumberOfColumns())
    rows = range(table.GetNumberOfRows())
    titles = [table.GetColumnName(column) for column in columns]
    return [titles, *([table.GetValue(row, column).ToString() for column in columns] for row in rows)]


def test_the_table_of_a_saved_scene_has_each_number_under_its_side(a_panel_with_results, tmp_path):
    table = resultNodes.findNode(a_panel_with_results.ctNode, resultNodes.TABLE).GetTable()
    before = cells(table)
    assert before[0][1:] == ["right", "left", "both"]
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    user.wait_until(lambda: a_panel_with_results.ui.thresholdSlider.enabled)
    loaded = resultNodes.findNode(a_panel_with_results.ctNode, resultNodes.TABLE).GetTable()
    assert cells(loaded) == before
    shown = registry.object_of(a_panel_with_results.ui.resultsTable).model()
    titles = [shown.headerData(column, Qt.Orientation.Horizontal) for column in range(shown.columnCount())]
    assert titles == ["right", "left", "both"]


def test_slider_and_read_out_follow_a_lesion_that_is_written_otherwise(a_panel_with_results):
    panel, ui = a_panel_with_results, a_panel_with_results.ui
    slicer.mrmlScene.SetUndoOn()
    user.drag(ui.thresholdSlider, 0.7)
    read_out = ui.readoutLabel.text
    panel.logic.setThreshold(panel.ctNode, 0.3)
    assert ui.thresholdSlider.value == pytest.approx(0.3)
    assert ui.readoutLabel.text != read_out
    slicer.mrmlScene.Undo()
    user.wait_until(lambda: ui.thresholdSlider.value == pytest.approx(0.7))
    assert ui.readoutLabel.text == read_out
    assert resultNodes.thresholdOf(panel.ctNode) == pytest.approx(0.7)


def test_the_slider_stays_at_its_end_where_a_lesion_was_written_at_zero(a_panel_with_results):
    panel, slider = a_panel_with_results, a_panel_with_results.ui.thresholdSlider
    panel.logic.setThreshold(panel.ctNode, 0.0)
    assert slider.value == slider.minimum
    panel.updateGUIFromParameterNode()  # as after any node that is added
    assert slider.value == slider.minimum


def test_the_panel_follows_the_chosen_ct(a_panel_with_results, samples):
    panel = a_panel_with_results
    user.drag(panel.ui.thresholdSlider, 0.8)
    other = slicer.util.loadVolume(str(samples / "left_handed.nrrd"))
    user.choose(panel.ui.ctSelector, other.GetName())
    assert not panel.ui.thresholdSlider.enabled
    assert panel.ui.readoutLabel.text == ""
    user.choose(panel.ui.ctSelector, "scan")
    assert panel.ui.thresholdSlider.value == pytest.approx(0.8)
