"""What is shown of several CTs, and what a scene shows that is opened again."""

import itertools

import numpy as np
import pytest
import slicer
from COVIDSelfSegSlicer import display, layouts, lesionSegments, resultNodes, results, selfTestData
from COVIDSelfSegSlicer.runFiles import RunFiles
from host import bootstrap, user

from Testing.slicer_samples import show_truth

LESION = lesionSegments.LESION
_numbers = itertools.count(layouts.COMPARE_ID + 1)


@pytest.fixture
def two_scans(a_panel, samples):
    """Two CTs with results, the first of them chosen in the panel."""
    scans = []
    for name in ("first", "second"):
        ct = slicer.util.loadVolume(str(samples / "scan.nrrd"))
        ct.SetName(name)
        scans.append(show_truth(ct, samples / "truth"))
    user.wait_until(lambda: a_panel.ui.overlayButton.enabled)
    assert a_panel.ctNode is scans[0]
    display.showOverlay(scans[0])
    return scans


def segments_of(ct):
    return resultNodes.findNode(ct, resultNodes.SEGMENTATION).GetDisplayNode()


def legend_of(ct):
    heatmap = resultNodes.findNode(ct, resultNodes.HEATMAP)
    return slicer.modules.colors.logic().GetColorLegendDisplayNode(heatmap)


def cloud_of(ct):
    heatmap = resultNodes.findNode(ct, resultNodes.HEATMAP)
    return slicer.modules.volumerendering.logic().GetFirstVolumeRenderingDisplayNode(heatmap)


def backgrounds():
    return {node.GetBackgroundVolumeID() for node in layouts.sliceCompositeNodes().values()}


def whose_lesions_are_seen(scans):
    return [ct.GetName() for ct in scans if segments_of(ct).GetVisibility()]


@pytest.mark.parametrize(
    "show",
    [display.showOverlay, display.showHeatmap, display.showCompare, display.show3D, display.showFirstTime],
)
def test_only_the_results_of_the_ct_that_is_shown_are_seen(two_scans, show):
    first, second = two_scans
    show(second)
    assert whose_lesions_are_seen(two_scans) == ["second"]
    show(first)
    assert whose_lesions_are_seen(two_scans) == ["first"]
    assert segments_of(first).GetVisibility2D()
    assert segments_of(first).GetVisibility3D()


def test_the_color_bar_of_another_ct_goes_and_comes_back(two_scans):
    first, second = two_scans
    display.showHeatmap(first)
    display.showHeatmap(second)
    assert (legend_of(first).GetVisibility(), legend_of(second).GetVisibility()) == (False, True)
    display.showHeatmap(first)
    assert (legend_of(first).GetVisibility(), legend_of(second).GetVisibility()) == (True, False)


def test_the_cloud_of_another_ct_goes_and_its_lesions_are_back_later(two_scans):
    first, second = two_scans
    display.show3D(first, volumeRendering=True)
    assert not segments_of(first).GetSegmentVisibility3D(LESION)
    display.show3D(second, volumeRendering=True)
    assert (cloud_of(first).GetVisibility(), cloud_of(second).GetVisibility()) == (False, True)
    display.showOverlay(first)
    assert not cloud_of(second).GetVisibility()
    assert segments_of(first).GetSegmentVisibility3D(LESION), "there is no cloud in its place"


def test_the_cloud_comes_and_goes_with_its_tick(two_scans, a_panel):
    tick, layout = a_panel.ui.volumeRenderingCheckBox, slicer.app.layoutManager().layout
    user.press(tick)
    assert cloud_of(two_scans[0]).GetVisibility()
    assert not segments_of(two_scans[0]).GetSegmentVisibility3D(LESION)
    user.press(tick)
    assert not cloud_of(two_scans[0]).GetVisibility()
    assert segments_of(two_scans[0]).GetSegmentVisibility3D(LESION)
    assert slicer.app.layoutManager().layout == layout


def test_3d_draws_surfaces_that_had_gone(two_scans, a_panel):
    """As with Segment Editor's Show 3D switched off, and with labels written from the console."""
    segmentation = resultNodes.findNode(two_scans[0], resultNodes.SEGMENTATION)
    segments = segmentation.GetSegmentation()
    segments.AddEmptySegment("own")
    labels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, LESION, two_scans[0])
    slicer.util.updateSegmentBinaryLabelmapFromArray(labels, segmentation, LESION, two_scans[0])
    results.writeLesion(two_scans[0], 0.9)
    surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    assert segments.GetSegment(lesionSegments.LEFT_LUNG).GetRepresentation(surface) is None
    user.press(a_panel.ui.show3DButton)
    assert segments.ContainsRepresentation(surface)
    for segment_id in (LESION, lesionSegments.LEFT_LUNG, lesionSegments.RIGHT_LUNG):
        assert segments.GetSegment(segment_id).GetRepresentation(surface).GetNumberOfPoints() > 1000


def camera_of(view_node):
    return slicer.modules.cameras.logic().GetViewActiveCameraNode(view_node)


def test_3d_looks_at_the_lungs_in_the_view_that_is_seen_whatever_others_there_are(two_scans, a_panel):
    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutDual3DView)
    views = [manager.threeDWidget(number).mrmlViewNode() for number in range(manager.threeDViewCount)]
    for view in views:
        camera_of(view).SetFocalPoint(0.0, 0.0, 0.0)
    user.press(a_panel.ui.show3DButton)
    bounds = [0.0] * 6
    resultNodes.findNode(two_scans[0], resultNodes.SEGMENTATION).GetRASBounds(bounds)
    middle = [(bounds[axis] + bounds[axis + 1]) / 2 for axis in (0, 2, 4)]
    assert [view.GetLayoutName() for view in views if view.IsMappedInLayout()] == ["1"]
    for view in views:
        aim = middle if view.IsMappedInLayout() else [0.0, 0.0, 0.0]
        assert camera_of(view).GetFocalPoint() == pytest.approx(aim)


@pytest.mark.usefixtures("two_scans")
@pytest.mark.parametrize(("way", "shown"), [("overlay", "Red"), ("compare", layouts.CT_VIEW)])
def test_slices_are_seen_also_where_the_3d_view_was_enlarged_over_them(a_panel, way, shown):
    manager = slicer.app.layoutManager()
    manager.layoutLogic().GetLayoutNode().AddMaximizedViewNode(manager.threeDWidget(0).mrmlViewNode())
    assert not manager.sliceWidget("Red").mrmlSliceNode().IsMappedInLayout()
    user.press(getattr(a_panel.ui, f"{way}Button"))
    assert manager.sliceWidget(shown).mrmlSliceNode().IsMappedInLayout()


@pytest.mark.usefixtures("two_scans")
def test_a_slice_that_was_enlarged_stays_so(a_panel):
    manager = slicer.app.layoutManager()
    red = manager.sliceWidget("Red").mrmlSliceNode()
    manager.layoutLogic().GetLayoutNode().AddMaximizedViewNode(red)
    user.press(a_panel.ui.heatmapButton)
    assert manager.layoutLogic().GetLayoutNode().IsMaximizedViewNode(red)


def test_segmentations_of_the_user_stay_as_they_are(two_scans):
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    own.CreateDefaultDisplayNodes()
    hidden = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    hidden.CreateDefaultDisplayNodes()
    hidden.GetDisplayNode().SetVisibility(False)
    for ct in reversed(two_scans):
        display.showHeatmap(ct)
        display.show3D(ct)
    assert own.GetDisplayNode().GetVisibility()
    assert not hidden.GetDisplayNode().GetVisibility()


@pytest.mark.parametrize("way", ["overlay", "heatmap", "compare", "show3D"])
def test_the_views_follow_the_chosen_ct_and_stay_in_their_way(two_scans, a_panel, way):
    first, second = two_scans
    user.press(getattr(a_panel.ui, f"{way}Button"))
    layout = slicer.app.layoutManager().layout
    user.choose(a_panel.ui.ctSelector, "second")
    assert whose_lesions_are_seen(two_scans) == ["second"]
    assert slicer.app.layoutManager().layout == layout
    assert (legend_of(second) is not None) == (way in ("heatmap", "compare"))
    if way != "show3D":
        assert second.GetID() in backgrounds()
        assert first.GetID() not in backgrounds() or way == "compare", "hidden views keep what they show"


def test_a_chosen_ct_without_results_is_shown_without_those_of_others(two_scans, a_panel, samples):
    plain = slicer.util.loadVolume(str(samples / "left_handed.nrrd"))
    user.wait_until(lambda: backgrounds() == {plain.GetID()})
    user.choose(a_panel.ui.ctSelector, plain.GetName())
    assert whose_lesions_are_seen(two_scans) == []
    user.choose(a_panel.ui.ctSelector, "first")
    assert whose_lesions_are_seen(two_scans) == ["first"]
    assert backgrounds() == {two_scans[0].GetID()}


@pytest.fixture
def a_layout_that_is_unknown(monkeypatch):
    """The compare layout under another number, since Slicer forgets none; gives the layout node."""
    monkeypatch.setattr(layouts, "COMPARE_ID", next(_numbers))
    yield slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)


def views_shown():
    nodes = slicer.app.layoutManager().layoutLogic().GetViewNodes()
    return {nodes.GetItemAsObject(index).GetLayoutName() for index in range(nodes.GetNumberOfItems())}


COMPARED = {layouts.CT_VIEW, layouts.HEALTHY_VIEW, layouts.DIFFERENCE_VIEW}


@pytest.mark.usefixtures("a_layout_that_is_unknown", "a_panel")
def test_a_scene_that_was_saved_in_compare_opens_with_its_views(a_layout_that_is_unknown):
    # Slicer has started and Compare was not pressed. All that a scene says of its layout is a number.
    a_layout_that_is_unknown.SetViewArrangement(layouts.COMPARE_ID)
    assert views_shown() >= COMPARED
    assert slicer.app.layoutManager().sliceWidget(layouts.CT_VIEW) is not None


def test_a_scene_that_was_opened_before_the_start_was_over_gets_its_views_then(a_layout_that_is_unknown):
    a_layout_that_is_unknown.SetViewArrangement(layouts.COMPARE_ID)
    assert not views_shown() & COMPARED
    layouts.register()
    assert views_shown() >= COMPARED


@pytest.mark.usefixtures("a_layout_that_is_unknown", "a_panel")
def test_the_layout_is_told_to_slicer_once(a_layout_that_is_unknown, monkeypatch):
    monkeypatch.setattr(layouts, "_description", lambda: pytest.fail("told again"))
    before = a_layout_that_is_unknown.GetLayoutIndices()
    bootstrap.start().startupCompleted.emit()
    layouts.register()
    assert a_layout_that_is_unknown.GetLayoutIndices() == before


@pytest.fixture
def no_views(a_panel, monkeypatch):  # noqa: ARG001 - opened before, closed after
    """As in a Slicer that was started without its main window."""
    monkeypatch.setattr(bootstrap.start(), "_layout_manager", None)
    assert slicer.app.layoutManager() is None


@pytest.mark.usefixtures("no_views")
def test_without_a_main_window_there_is_no_layout_to_be_told_of():
    layouts.register()


@pytest.mark.usefixtures("no_views")
def test_without_a_main_window_the_panel_shows_numbers_and_no_views(a_panel, samples):
    ct, ui = slicer.util.loadVolume(str(samples / "scan.nrrd")), a_panel.ui
    user.wait_until(lambda: ui.segmentButton.enabled)
    a_panel.logic.runningCT = ct
    a_panel.onFinished(RunFiles.read(samples / "truth", lambda: False))
    user.drag(ui.thresholdSlider, 0.6, 0.7)
    assert resultNodes.thresholdOf(ct) == pytest.approx(0.7)
    assert ui.resultsTable.visible
    for button in (ui.overlayButton, ui.heatmapButton, ui.compareButton, ui.show3DButton, ui.blinkButton):
        assert not button.enabled
        assert "main window" in button.toolTip


def a_made_up_scan(height=0.0):
    """A CT with results; ``height`` is where it begins, in mm."""
    ct, files = selfTestData.madeUpRun()
    ct.SetOrigin(0.0, 0.0, height)
    results.setResults(ct, files)
    return ct


def let_views_get_their_sizes():
    later = []
    layouts.afterLayout(lambda: later.append(True))
    user.wait_until(lambda: later)


def views_that_see(ct):
    """Names of the slice views whose middle lies in a CT."""
    bounds = [0.0] * 6
    ct.GetRASBounds(bounds)
    names = set()
    for name in slicer.app.layoutManager().sliceViewNames():
        view = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()
        width, height, _depth = view.GetDimensions()
        place = view.GetXYToRAS().MultiplyPoint([width / 2, height / 2, 0.0, 1.0])
        if all(bounds[2 * axis] <= place[axis] <= bounds[2 * axis + 1] for axis in range(3)):
            names.add(name)
    return names


@pytest.mark.usefixtures("a_scene")
@pytest.mark.parametrize("show", [display.showOverlay, display.showHeatmap, display.showCompare])
def test_a_ct_is_seen_wherever_it_lies_and_whatever_was_seen_before(show):
    first, second = a_made_up_scan(), a_made_up_scan(height=2000.0)
    lower = slicer.util.addVolumeFromArray(np.ones((4, 5, 6)), nodeClassName="vtkMRMLLabelMapVolumeNode")
    lower.SetOrigin(0.0, 0.0, -3000.0)
    slicer.util.setSliceViewerLayers(background=second, fit=True)
    slicer.util.setSliceViewerLayers(label=lower)
    for ct in (first, second):
        show(ct)
        let_views_get_their_sizes()
        assert views_that_see(ct) >= views_shown() - {"1"}, "all but the 3D view"
    display.follow(first)
    assert views_that_see(first) >= views_shown() - {"1"}


@pytest.mark.usefixtures("a_scene")
def test_views_in_which_a_ct_is_seen_stay_where_they_are():
    first, second = a_made_up_scan(), a_made_up_scan()
    display.showOverlay(first)
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    red.SetFieldOfView(90.0, 90.0, 1.0)
    red.JumpSliceByOffsetting(0.0, 0.0, 60.0)
    before = red.GetSliceOffset()
    display.follow(second)
    assert red.GetSliceOffset() == before
    assert red.GetFieldOfView()[:2] == (90.0, 90.0)


@pytest.mark.usefixtures("a_scene")
def test_the_three_views_are_linked_also_after_a_scene_was_closed_in_them():
    for _scene in range(2):
        slicer.mrmlScene.Clear(False)
        display.showCompare(a_made_up_scan())
        names = (layouts.CT_VIEW, layouts.HEALTHY_VIEW, layouts.DIFFERENCE_VIEW)
        composites = [layouts.sliceCompositeNodes()[name] for name in names]
        assert all(node.GetLinkedControl() and node.GetHotLinkedControl() for node in composites)


@pytest.mark.usefixtures("a_scene")
@pytest.mark.parametrize("show", ["showOverlay", "showHeatmap", "showCompare", "showLesions3D"])
def test_what_was_not_segmented_is_not_shown_from_the_console_and_no_view_changes(show):
    from COVIDSelfSegLib.errors import UserError  # another one after a reload

    from COVIDSelfSeg import COVIDSelfSegLogic

    ct, _files = selfTestData.madeUpRun()
    layout = slicer.app.layoutManager().layout
    with pytest.raises(UserError, match="no results yet") as refused:
        getattr(COVIDSelfSegLogic(), show)(ct)
    assert "Segment the infection" in refused.value.fix
    assert slicer.app.layoutManager().layout == layout
