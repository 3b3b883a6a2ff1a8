"""Our own view layout: CT, pseudo-healthy and difference side by side, moved together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

COMPARE_ID = 5177
"""Any number that is neither Slicer's nor another extension's."""
CT_VIEW, HEALTHY_VIEW, DIFFERENCE_VIEW = "COVID-CT", "COVID-Healthy", "COVID-Difference"
_COMPARE_VIEWS = (CT_VIEW, HEALTHY_VIEW, DIFFERENCE_VIEW)
_MAIN_VIEW = "Red"
_ROOM = 1.06
"""What a 3D view shows, as a multiple of the lungs."""

_VIEW = """<item><view class="vtkMRMLSliceNode" singletontag="{tag}">
<property name="orientation" action="default">Axial</property>
<property name="viewlabel" action="default">{label}</property>
<property name="viewcolor" action="default">{color}</property>
</view></item>"""


def register() -> None:
    """Tell Slicer of the layout, once: a scene that was saved in it holds no more than its number."""
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:  # there is none without a main window
        return
    layoutNode = layoutManager.layoutLogic().GetLayoutNode()
    if not layoutNode.IsLayoutDescription(COMPARE_ID):
        layoutNode.AddLayoutDescription(COMPARE_ID, _description())
        if isCompare():  # in a scene that was opened before
            layoutNode.SetViewArrangement(COMPARE_ID)


def showCompare(volumeNode: slicer.vtkMRMLVolumeNode) -> None:
    """Switch to the layout for a volume; a module that was loaded after Slicer's start registers it here."""
    register()
    layoutManager = slicer.app.layoutManager()
    if not isCompare():
        place = _placeShown(_MAIN_VIEW)
        layoutManager.setLayout(COMPARE_ID)
        afterLayout(lambda: _fit(place, volumeNode))
    # Also where it is shown already: a scene that closes leaves the layout and takes the links.
    for name in _COMPARE_VIEWS:
        composite = layoutManager.sliceWidget(name).mrmlSliceCompositeNode()
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)


def isCompare() -> bool:
    """Whether the three views are shown."""
    return slicer.app.layoutManager().layout == COMPARE_ID


def isOnly3D() -> bool:
    """Whether a 3D view is all that is shown, be it one that a double click enlarged over the others."""
    enlarged = _enlargedView()
    if enlarged is not None:
        return enlarged.IsA("vtkMRMLViewNode")
    return slicer.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView


def showConventional() -> None:
    """Leave our own layout and any that shows no slices for Slicer's four views."""
    layoutManager = slicer.app.layoutManager()
    fourViews = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    if isOnly3D():
        layoutManager.layoutLogic().GetLayoutNode().RemoveAllMaximizedViewNodes()
    if isCompare():
        place = _placeShown(CT_VIEW)
        layoutManager.setLayout(fourViews)
        jumpTo(place)
    elif isOnly3D():
        layoutManager.setLayout(fourViews)


def showOnly3D() -> None:
    """One large 3D view."""
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView)


def afterLayout(function: Callable[[], object]) -> None:
    """Call a function as soon as the views of a new layout have their sizes."""
    qt.QTimer.singleShot(0, function)


def jumpTo(place: Sequence[float]) -> None:
    """Scroll all slice views to a position (RAS, mm)."""
    layoutManager = slicer.app.layoutManager()
    for name in layoutManager.sliceViewNames():
        layoutManager.sliceWidget(name).mrmlSliceNode().JumpSliceByOffsetting(*place)


def bringIntoView(volumeNode: slicer.vtkMRMLVolumeNode) -> None:
    """Show the whole scan in the slice views that look past it.

    They stay where they are when another volume is put into them, and scans of two patients seldom lie at the
    same height.
    """
    bounds = [0.0] * 6
    volumeNode.GetRASBounds(bounds)
    layoutManager = slicer.app.layoutManager()
    for name in layoutManager.sliceViewNames():
        if _looksPast(layoutManager.sliceWidget(name).mrmlSliceNode(), bounds):
            _fitTo(volumeNode, name)


def frame3D(segmentationNode: slicer.vtkMRMLSegmentationNode | None) -> None:
    """Look at a segmentation from the front, head up, as large as the 3D view allows.

    The camera is placed by hand: Slicer's reset counts the box around the scene, and turns the view. Does
    nothing for a segmentation that is gone by now.
    """
    if segmentationNode is None:
        return
    bounds = [0.0] * 6
    segmentationNode.GetRASBounds(bounds)
    for view in _threeDViews():
        viewNode = view.mrmlViewNode()
        viewNode.SetBoxVisible(False)
        viewNode.SetAxisLabelsVisible(False)
        viewNode.SetOrientationMarkerType(viewNode.OrientationMarkerTypeCube)
        viewNode.SetOrientationMarkerSize(viewNode.OrientationMarkerSizeSmall)
        if bounds[0] <= bounds[1]:
            _placeCamera(view, bounds)


def _placeCamera(view: slicer.qMRMLThreeDView, bounds: Sequence[float]) -> None:
    """Look at a box (RAS, mm) from the front."""
    center = [(bounds[axis] + bounds[axis + 1]) / 2 for axis in (0, 2, 4)]
    width, depth, height = (bounds[axis + 1] - bounds[axis] for axis in (0, 2, 4))
    camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(view.mrmlViewNode())
    half = max(height, width * view.height / max(view.width, 1)) / 2
    angle = np.radians(camera.GetCamera().GetViewAngle())
    distance = _ROOM * half / np.tan(angle / 2) + depth / 2
    camera.SetFocalPoint(center)
    camera.SetPosition([center[0], center[1] + distance, center[2]])  # in front of the patient
    camera.SetViewUp([0.0, 0.0, 1.0])
    camera.ResetClippingRange()


def _threeDViews() -> list[slicer.qMRMLThreeDView]:
    """The 3D views that are shown; where none is, all, one of which will be shown next.

    Slicer's numbers of views follow no order, and views of former layouts stay among them.
    """
    layoutManager = slicer.app.layoutManager()
    widgets = [layoutManager.threeDWidget(number) for number in range(layoutManager.threeDViewCount)]
    shown = [widget for widget in widgets if widget.mrmlViewNode().IsMappedInLayout()]
    return [widget.threeDView() for widget in shown or widgets]


def _enlargedView() -> slicer.vtkMRMLAbstractViewNode | None:
    """Node of the view that a double click enlarged over the others of the layout, None if there is none."""
    layoutNode = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    return layoutNode.GetMaximizedViewNode(0) if layoutNode.GetNumberOfMaximizedViewNodes() else None


def sliceCompositeNodes() -> dict[str, slicer.vtkMRMLSliceCompositeNode]:
    """Composite nodes of all slice views, also of those that the layout hides, by the name of the view."""
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:  # there is none without a main window
        return {}
    return {
        name: layoutManager.sliceWidget(name).mrmlSliceCompositeNode()
        for name in layoutManager.sliceViewNames()
    }


def _placeShown(name: str) -> list[float]:
    """The middle of what a slice view shows (RAS, mm)."""
    matrix = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode().GetSliceToRAS()
    return [matrix.GetElement(row, 3) for row in range(3)]


def _fit(place: Sequence[float], volumeNode: slicer.vtkMRMLVolumeNode) -> None:
    """Show the whole scan in the three views, at a position if it reaches there."""
    for name in _COMPARE_VIEWS:
        _fitTo(volumeNode, name)
    jumpTo(place)
    bringIntoView(volumeNode)


def _fitTo(volumeNode: slicer.vtkMRMLVolumeNode, name: str) -> None:
    """Show the whole of a volume in a slice view.

    Slicer's fit to all layers would show a label map of another patient, too, which may lie meters away.
    """
    logic = slicer.app.layoutManager().sliceWidget(name).sliceLogic()
    width, height, _depth = logic.GetSliceNode().GetDimensions()
    logic.FitSliceToVolume(volumeNode, width, height)


def _looksPast(sliceNode: slicer.vtkMRMLSliceNode, bounds: Sequence[float]) -> bool:
    """Whether a slice view shows nothing of a box (RAS, mm)."""
    fromRas = np.linalg.inv(slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS()))
    corners = np.array([[*corner, 1.0] for corner in itertools.product(bounds[:2], bounds[2:4], bounds[4:])])
    box = (corners @ fromRas.T)[:, :3]
    middle = np.array([*sliceNode.GetXYZOrigin()[:2], 0.0])
    reach = np.array([*sliceNode.GetFieldOfView()[:2], 0.0]) / 2
    return bool((box.min(axis=0) > middle + reach).any() or (box.max(axis=0) < middle - reach).any())


def _description() -> str:
    views = (
        (CT_VIEW, _("CT"), "#F34A33"),
        (HEALTHY_VIEW, _("pseudo-healthy"), "#6EB04B"),
        (DIFFERENCE_VIEW, _("difference"), "#EDD54C"),
    )
    items = "".join(_VIEW.format(tag=tag, label=label, color=color) for tag, label, color in views)
    return f'<layout type="horizontal" split="true">{items}</layout>'
