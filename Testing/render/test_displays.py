"""What a radiologist sees after each of the four buttons; the pictures are kept in ``build/pictures``.

Pictures are judged loosely, by where which colors are: a truth known from the phantom must be seen there.
"""

from pathlib import Path

import numpy as np
import pytest
import slicer
from COVIDSelfSegSlicer import display, layouts, lesionSegments, resultNodes
from host import user
from host.views.grab import grab, save_png

from Testing.slicer_samples import ROOT, samples_folder, show_truth

PICTURES = ROOT / "build" / "pictures"
SIZE = (500, 500)


@pytest.fixture(scope="module")
def fine() -> Path:
    return samples_folder("pictures")


@pytest.fixture
def a_view(a_panel, a_window, fine):
    """The panel of the finer phantom with the results of a perfect run, in the main window."""
    window = a_window((1100, 780))
    ct = slicer.util.loadVolume(str(fine / "fine.nrrd"))
    slicer.util.setSliceViewerLayers(background=ct, fit=True)
    show_truth(ct, fine / "fine_truth")
    user.wait_until(lambda: a_panel.ui.overlayButton.enabled)
    segmentation = resultNodes.findNode(ct, resultNodes.SEGMENTATION)
    layouts.jumpTo(lesionSegments.largestSliceCenter(segmentation))
    PICTURES.mkdir(parents=True, exist_ok=True)

    def picture(name):
        user.let_run(0.2)
        slicer.util.forceRenderAllViews()
        user.let_run(0.1)
        image = window.grab()
        assert image.save(str(PICTURES / f"{name}.png"))

    a_panel.picture = picture
    return a_panel


def share(mask):
    return float(np.count_nonzero(mask)) / mask.size


def red(pixels):
    values = pixels.astype(int)
    return values[..., 0] > values[..., 1:].max(-1) + 60


def blue(pixels):
    values = pixels.astype(int)
    return values[..., 2] > values[..., 0] + 30


def colorful(pixels):
    return np.ptp(pixels, axis=-1) > 60


def middle_of(mask):
    """Row and column of the middle of a mask, as shares of the picture."""
    return np.argwhere(mask).mean(0) / mask.shape


def show_slices(ct):
    layout = slicer.app.layoutManager()
    for name in ("Red", "Green", "Yellow"):
        layout.sliceWidget(name).sliceLogic().FitSliceToAll()
    layouts.jumpTo(lesionSegments.largestSliceCenter(resultNodes.findNode(ct, resultNodes.SEGMENTATION)))


def test_overlay_shows_lesions_in_red_over_the_ct(a_view):
    user.press(a_view.ui.overlayButton)
    a_view.picture("overlay")
    show_slices(a_view.ctNode)
    shown = grab("Red", size=SIZE)
    slicer.util.setSliceViewerLayers(background=a_view.ctNode)
    resultNodes.findNode(a_view.ctNode, resultNodes.SEGMENTATION).GetDisplayNode().SetVisibility(False)
    bare = grab("Red", size=SIZE)
    assert share(red(shown)) > 0.002
    assert share(red(bare)) == 0
    inside = red(shown)
    assert 40 < bare[inside].mean() < 240, "the CT is seen through the lesion"


def test_the_patients_right_is_on_the_left_of_slices(a_view):
    ct = a_view.ctNode
    segments = resultNodes.findNode(ct, resultNodes.SEGMENTATION).GetDisplayNode()
    user.press(a_view.ui.overlayButton)
    show_slices(ct)
    segments.SetSegmentVisibility(lesionSegments.LEFT_LUNG, False)
    segments.SetSegmentVisibility(lesionSegments.LESION, False)
    segments.SetSegmentOpacity2DFill(lesionSegments.RIGHT_LUNG, 1.0)
    assert middle_of(blue(grab("Red", size=SIZE)))[1] < 0.45


def test_the_heatmap_has_a_bar_with_numbers_that_hides_no_lung(a_view):
    user.press(a_view.ui.overlayButton)
    show_slices(a_view.ctNode)
    without = grab("Red", size=SIZE).astype(int)
    user.press(a_view.ui.heatmapButton)
    a_view.picture("heatmap")
    show_slices(a_view.ctNode)
    shown = grab("Red", size=SIZE).astype(int)
    changed = np.abs(shown - without).max(-1) > 40
    text = changed & (shown.min(-1) > 200) & (np.ptp(shown, axis=-1) < 30)
    assert share(text[:, int(0.78 * SIZE[0]) :]) > 0.001
    assert share(text[:, : int(0.75 * SIZE[0])]) < 0.001
    hot = changed & colorful(shown)
    assert share(hot[:, int(0.9 * SIZE[0]) :]) > 0.02, "the bar"
    assert share(hot[:, : int(0.75 * SIZE[0])]) > 0.005, "the heat"


def test_compare_shows_three_views_of_one_size_at_one_place(a_view):
    user.press(a_view.ui.overlayButton)
    offset = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetSliceOffset()
    user.press(a_view.ui.compareButton)
    a_view.picture("compare")
    names = (layouts.CT_VIEW, layouts.HEALTHY_VIEW, layouts.DIFFERENCE_VIEW)
    widgets = [slicer.app.layoutManager().sliceWidget(name) for name in names]
    widths = [widget.width for widget in widgets]
    assert max(widths) - min(widths) <= 2
    for widget in widgets:
        assert widget.mrmlSliceNode().GetSliceOffset() == pytest.approx(offset, abs=1.5)
    ct, healthy = (grab(name, size=SIZE) for name in names[:2])
    assert share(np.abs(healthy.astype(int) - ct).max(-1) > 25) > 0.001, "the lesions are gone in the twin"


@pytest.mark.parametrize("before", ["", "overlay", "overlay heatmap", "compare", "compare show3D"])
def test_the_bar_is_drawn_whatever_was_shown_before(a_view, before):
    for display_of, view in (("heatmap", "Red"), ("compare", layouts.DIFFERENCE_VIEW)):
        for name in (*before.split(), display_of):
            user.press(getattr(a_view.ui, f"{name}Button"))
        user.let_run(0.1)
        margin = grab(view, size=SIZE)[:, int(0.9 * SIZE[0]) :]
        assert share(colorful(margin)) > 0.02, display_of
    assert share(colorful(grab(layouts.CT_VIEW, size=SIZE)[:, int(0.9 * SIZE[0]) :])) == 0


def test_linked_views_scroll_together(a_view):
    user.press(a_view.ui.compareButton)
    user.let_run(0.1)
    layout = slicer.app.layoutManager()
    controller = layout.sliceWidget(layouts.CT_VIEW).sliceController()
    offset = layout.sliceWidget(layouts.CT_VIEW).mrmlSliceNode().GetSliceOffset() + 9.0
    controller.setSliceOffsetValue(offset)
    for name in (layouts.HEALTHY_VIEW, layouts.DIFFERENCE_VIEW):
        assert layout.sliceWidget(name).mrmlSliceNode().GetSliceOffset() == pytest.approx(offset)


def test_3d_shows_the_lungs_from_the_front_and_fills_the_view(a_view):
    user.press(a_view.ui.show3DButton)
    a_view.picture("3d")
    segments = resultNodes.findNode(a_view.ctNode, resultNodes.SEGMENTATION).GetDisplayNode()
    view = slicer.app.layoutManager().threeDWidget("1").threeDView()
    viewer = view.mrmlViewNode()
    viewer.SetOrientationMarkerType(viewer.OrientationMarkerTypeNone)
    size = (view.width, view.height)
    whole = grab("1", size=size)
    assert share(red(whole)) > 0.02, "lesions shine through the lungs"
    # The lungs alone, opaque, each by itself.
    segments.SetSegmentVisibility3D(lesionSegments.LESION, False)
    masks = {}
    for shown, hidden in (
        (lesionSegments.RIGHT_LUNG, lesionSegments.LEFT_LUNG),
        (lesionSegments.LEFT_LUNG, lesionSegments.RIGHT_LUNG),
    ):
        segments.SetSegmentVisibility3D(hidden, False)
        segments.SetSegmentVisibility3D(shown, False)
        background = grab("1", size=size).astype(int)
        segments.SetSegmentVisibility3D(shown, True)
        segments.SetSegmentOpacity3D(shown, 1.0)
        masks[shown] = np.abs(grab("1", size=size) - background).max(-1) > 12
    assert middle_of(masks[lesionSegments.RIGHT_LUNG])[1] < 0.45
    assert middle_of(masks[lesionSegments.LEFT_LUNG])[1] > 0.55
    lungs = masks[lesionSegments.RIGHT_LUNG] | masks[lesionSegments.LEFT_LUNG]
    rows, columns = (np.flatnonzero(lungs.any(axis)) for axis in (1, 0))
    filled = max(np.ptp(rows) / size[1], np.ptp(columns) / size[0])
    assert 0.7 < filled < 0.99
    # Lungs are narrow at the top: the head is up.
    widths = masks[lesionSegments.RIGHT_LUNG].sum(1)
    assert widths[rows[0] : rows[0] + 40].mean() < 0.8 * widths.max()
    camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(viewer)
    assert camera.GetPosition()[1] > camera.GetFocalPoint()[1], "the camera stands before the chest"


def test_3d_shows_the_heat_as_a_cloud_where_asked(a_segmented_ct):
    # Small and once: casting rays in software takes long.
    display.show3D(a_segmented_ct, volumeRendering=True)
    assert (
        share((grab("1", size=(120, 120)).astype(int) - _without_cloud(a_segmented_ct) != 0).any(-1)) > 0.005
    )


def _without_cloud(ct):
    heatmap = resultNodes.findNode(ct, resultNodes.HEATMAP)
    slicer.modules.volumerendering.logic().GetFirstVolumeRenderingDisplayNode(heatmap).SetVisibility(False)
    return grab("1", size=(120, 120))


def test_blinking_shows_the_lung_without_its_lesions(a_view):
    user.press(a_view.ui.overlayButton)
    show_slices(a_view.ctNode)
    resultNodes.findNode(a_view.ctNode, resultNodes.SEGMENTATION).GetDisplayNode().SetVisibility(False)
    first = grab("Red", size=SIZE)
    user.press(a_view.ui.blinkButton)
    second = grab("Red", size=SIZE)
    user.press(a_view.ui.blinkButton)
    assert share((np.abs(second.astype(int) - first) > 20).any(-1)) > 0.002
    assert np.array_equal(grab("Red", size=SIZE), first)


def test_dragging_previews_in_red_what_will_be_written(a_view):
    user.press(a_view.ui.overlayButton)
    show_slices(a_view.ctNode)
    user.hold(a_view.ui.thresholdSlider, 0.2)
    low = share(red(grab("Red", size=SIZE)))
    user.hold(a_view.ui.thresholdSlider, 0.95)
    high = share(red(grab("Red", size=SIZE)))
    user.inner_slider(a_view.ui.thresholdSlider).setSliderDown(False)
    assert low > high > 0


def test_a_view_is_kept_as_a_picture(a_view):
    save_png(grab("Red", size=SIZE), PICTURES / "red.png")
    assert (PICTURES / "red.png").stat().st_size > 0
    a_view.picture("panel")


def test_nothing_in_the_panel_is_cut_off(a_view):
    """At the width that Slicer gives a panel, and at the least, no text is narrower than it needs to be."""
    from host.pythonqt import registry
    from PySide6.QtCore import Qt
    from PySide6.QtWidgets import QDockWidget, QLabel, QPushButton, QScrollArea

    window = registry.object_of(slicer.util.mainWindow())
    dock = window.findChild(QDockWidget)
    area = dock.findChild(QScrollArea)
    table = registry.object_of(a_view.ui.resultsTable)
    user.let_run(0.2)
    widths = []
    for width in (area.width(), 100):
        window.resizeDocks([dock], [width], Qt.Orientation.Horizontal)
        user.let_run(0.2)
        widths.append(area.width())
        assert not area.horizontalScrollBar().isVisible()
        for widget in area.findChildren(QPushButton) + area.findChildren(QLabel):
            if widget.isVisible() and not getattr(widget, "wordWrap", lambda: False)():
                assert widget.width() >= widget.minimumSizeHint().width(), widget.objectName()
        assert table.verticalHeader().length() <= table.viewport().height()
        assert not table.horizontalScrollBar().isVisible()
    assert widths[1] < widths[0]
