"""Views render real pixels, the layout manager follows the layout node, and pictures can be kept."""

import numpy as np
import pytest
import slicer
import vtk
from host import user
from host.pythonqt import registry
from host.views.grab import grab, grab_layout

pytestmark = pytest.mark.usefixtures("a_scene")

CUSTOM_LAYOUT = 5101
TWO_SLICES = """
<layout type="horizontal">
 <item><view class="vtkMRMLSliceNode" singletontag="CT">
  <property name="orientation" action="default">Coronal</property>
  <property name="viewlabel" action="default">CT</property>
  <property name="viewcolor" action="default">#0000FF</property>
 </view></item>
 <item><view class="vtkMRMLSliceNode" singletontag="Healthy">
  <property name="orientation" action="default">Coronal</property>
  <property name="viewlabel" action="default">H</property>
  <property name="viewcolor" action="default">#00FF00</property>
 </view></item>
</layout>
"""


@pytest.fixture
def a_bright_ball(a_scene):  # noqa: ARG001 - closes the scene first
    z, y, x = np.mgrid[:60, :60, :60]
    voxels = np.where((x - 30) ** 2 + (y - 30) ** 2 + (z - 30) ** 2 < 400, 1000, 0).astype(np.int16)
    return slicer.util.addVolumeFromArray(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), name="Ball")


@pytest.fixture
def a_red_sphere(a_bright_ball):
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(60.0, 60.0, 60.0)
    sphere.SetRadius(40.0)
    sphere.SetPhiResolution(40)
    sphere.SetThetaResolution(40)
    sphere.Update()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Sphere")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_bright_ball)
    node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "lesion", [1.0, 0.0, 0.0])
    return node


def redness(pixels):
    """The share of pixels that are clearly red."""
    red, others = pixels[..., 0].astype(int), pixels[..., 1:].astype(int).max(axis=-1)
    return float((red > others + 60).mean())


def test_a_slice_view_shows_the_volume(a_bright_ball, tmp_path):
    slicer.util.setSliceViewerLayers(background=a_bright_ball, fit=True)
    pixels = grab("Red", tmp_path / "red.png", size=(300, 300))
    assert pixels.shape == (300, 300, 3)
    assert pixels[150, 150].min() > 200, "the ball is in the middle"
    assert pixels[5, 150].max() < 40, "around it is background"
    assert (tmp_path / "red.png").stat().st_size > 0


def test_a_slice_view_follows_its_offset(a_bright_ball):
    slicer.util.setSliceViewerLayers(background=a_bright_ball, fit=True)
    inside = grab("Red", size=(200, 200)).mean()
    slicer.app.layoutManager().sliceWidget("Red").sliceLogic().SetSliceOffset(2.0)
    assert grab("Red", size=(200, 200)).mean() < inside / 2


def test_a_segment_is_red_in_slices_and_in_3d(a_red_sphere, tmp_path):
    slicer.util.resetSliceViews()
    slicer.util.resetThreeDViews()
    slicer.app.layoutManager().sliceWidget("Red").sliceLogic().SetSliceOffset(60.0)
    assert redness(grab("Red", size=(300, 300))) > 0.04
    assert redness(grab("1", tmp_path / "3d.png", size=(300, 300))) > 0.04
    a_red_sphere.GetDisplayNode().SetVisibility(False)
    assert redness(grab("1", size=(300, 300))) == 0.0


def test_a_translucent_surface_does_not_vanish(a_red_sphere):
    slicer.util.resetThreeDViews()
    a_red_sphere.GetDisplayNode().SetOpacity3D(0.4)
    assert redness(grab("1", size=(300, 300))) > 0.04


def test_a_volume_is_rendered_in_3d(a_bright_ball):
    empty = grab("1", size=(300, 300))
    logic = slicer.modules.volumerendering.logic()
    display = logic.CreateDefaultVolumeRenderingNodes(a_bright_ball)
    display.GetVolumePropertyNode().Copy(logic.GetPresetByName("CT-Bones"))
    display.SetVisibility(True)
    slicer.util.resetThreeDViews()
    assert (grab("1", size=(300, 300)) != empty).any(axis=-1).mean() > 0.1


def test_a_color_legend_is_drawn_beside_a_slice(a_bright_ball):
    slicer.util.setSliceViewerLayers(background=a_bright_ball, fit=True)
    without = grab("Red", size=(300, 300))
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(a_bright_ball)
    legend.SetVisibility(True)
    changed = (grab("Red", size=(300, 300)) != without).any(axis=-1)
    assert changed[:, 200:].any()
    assert not changed[:, :150].any()


@pytest.mark.usefixtures("a_red_sphere")
def test_every_view_of_the_layout_is_on_one_picture(tmp_path):
    slicer.util.setSliceViewerLayers(background=slicer.util.getNode("Ball"), fit=True)
    slicer.util.resetThreeDViews()
    pixels = grab_layout(tmp_path / "layout.png", size=(600, 500))
    assert pixels.shape == (500, 600, 3)
    quarters = [pixels[:250, :300], pixels[:250, 300:], pixels[250:, :300], pixels[250:, 300:]]
    assert all(redness(quarter) > 0.05 for quarter in quarters)


def test_a_custom_layout_makes_its_own_views():
    manager = slicer.app.layoutManager()
    node = manager.layoutLogic().GetLayoutNode()
    if not node.IsLayoutDescription(CUSTOM_LAYOUT):
        node.AddLayoutDescription(CUSTOM_LAYOUT, TWO_SLICES)
    heard = []
    manager.connect("layoutChanged(int)", heard.append)
    manager.setLayout(CUSTOM_LAYOUT)
    manager.disconnect("layoutChanged(int)", heard.append)
    assert manager.layout == CUSTOM_LAYOUT
    assert heard == [CUSTOM_LAYOUT]
    widget = manager.sliceWidget("CT")
    assert widget.sliceOrientation == "Coronal"
    assert registry.object_of(widget).isVisibleTo(registry.object_of(manager.viewport()))
    assert not registry.object_of(manager.sliceWidget("Red")).isVisibleTo(
        registry.object_of(manager.viewport())
    )


def test_linked_views_scroll_together(a_bright_ball):
    slicer.util.setSliceViewerLayers(background=a_bright_ball, fit=True)
    manager = slicer.app.layoutManager()
    red = manager.sliceWidget("Red")
    red.sliceController().setSliceLink(True)
    for name in ("Green", "Yellow"):
        manager.sliceWidget(name).sliceOrientation = "Axial"
    red.sliceController().setSliceOffsetValue(80.0)
    assert manager.sliceWidget("Green").mrmlSliceNode().GetSliceOffset() == pytest.approx(80.0)
    red.sliceController().setSliceLink(False)
    manager.sliceWidget("Green").sliceOrientation = "Coronal"
    manager.sliceWidget("Yellow").sliceOrientation = "Sagittal"


@pytest.mark.usefixtures("a_red_sphere")
def test_the_wheel_scrolls_a_slice_and_the_mouse_turns_the_3d_view():
    slicer.util.setSliceViewerLayers(background=slicer.util.getNode("Ball"), fit=True)
    slicer.util.resetThreeDViews()
    manager = slicer.app.layoutManager()
    red = manager.sliceWidget("Red")
    before = red.mrmlSliceNode().GetSliceOffset()
    interactor = red.sliceView().interactor()
    interactor.SetEventInformation(100, 100, 0, 0, "\0", 0, None)
    interactor.EnterEvent()
    interactor.MouseWheelForwardEvent()
    assert red.mrmlSliceNode().GetSliceOffset() != before
    camera = manager.threeDWidget(0).threeDView().cameraNode()
    position = camera.GetPosition()
    slicer.util.clickAndDrag(
        ViewInteraction(manager.threeDWidget(0).threeDView()), start=(50, 50), end=(200, 90)
    )
    assert camera.GetPosition() != position


class ViewInteraction:
    """What ``slicer.util.clickAndDrag`` needs to know of a view."""

    def __init__(self, view):
        self._view = view

    def interactorStyle(self):
        return self

    def GetInteractor(self):
        return self._view.interactor()


def test_nothing_is_rendered_while_rendering_is_paused(a_bright_ball):
    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    slicer.util.setSliceViewerLayers(background=a_bright_ball, fit=True)
    rendered = []
    tag = view.renderWindow().AddObserver("EndEvent", lambda *_: rendered.append(1))
    with slicer.util.RenderBlocker():
        view.forceRender()
    assert not rendered
    view.forceRender()
    assert rendered
    view.renderWindow().RemoveObserver(tag)


def test_a_view_that_is_on_screen_renders_after_a_change(a_bright_ball):
    slicer.util.setSliceViewerLayers(background=a_bright_ball, fit=True)
    manager = slicer.app.layoutManager()
    manager.viewport().resize(400, 400)
    manager.viewport().show()
    user.let_run(0.1)
    rendered = []
    window = manager.sliceWidget("Red").sliceView().renderWindow()
    tag = window.AddObserver("EndEvent", lambda *_: rendered.append(1))
    manager.sliceWidget("Red").sliceLogic().SetSliceOffset(20.0)
    user.wait_until(lambda: rendered)
    window.RemoveObserver(tag)
    manager.viewport().hide()


def test_charts_are_drawn():
    slicer.util.plot(np.array([[0.0, 1.0], [0.5, 3.0], [1.0, 2.0]]), 0, ["threshold", "ml"], "Infected")
    view = registry.object_of(slicer.app.layoutManager().plotWidget(0)).plotView()
    view.resize(300, 200)
    image = view.grab().toImage()
    colors = {image.pixelColor(x, y).rgb() for x in range(0, 300, 2) for y in range(0, 200, 2)}
    assert len(colors) > 2


def test_an_unknown_view_is_told():
    with pytest.raises(LookupError, match="Purple"):
        grab("Purple")
