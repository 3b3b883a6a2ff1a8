"""How the results are shown: lesions over the CT, the heatmap, three views side by side, in 3D."""

from __future__ import annotations

import slicer
import vtk
from COVIDSelfSegLib import colors
from COVIDSelfSegLib.threshold_curve import level_of
from slicer.i18n import tr as _

from . import layouts, lesionSegments, resultNodes

OVERLAY, HEATMAP, COMPARE, THREE_D = "overlay", "heatmap", "compare", "3D"
BLINK, CLOUD = "blink", "cloud"
_NEEDED = {
    OVERLAY: (),
    HEATMAP: (resultNodes.HEATMAP,),
    COMPARE: (resultNodes.HEATMAP, resultNodes.PSEUDO_HEALTHY),
    THREE_D: (),
    BLINK: (resultNodes.PSEUDO_HEALTHY,),
    CLOUD: (resultNodes.HEATMAP,),
}
"""The volumes that each needs besides the segments."""

_LEAST_HEAT_HU = 25.0
"""Below this a difference is noise; it is not painted over the CT."""
_HEAT_OPACITY = 0.65
_LUNG_OPACITY_3D = 0.14
_LEGEND_SIZE, _LEGEND_PLACE = (0.06, 0.4), (0.97, 0.5)
"""Shares of a view."""


def whyNotShown(ctNode: slicer.vtkMRMLScalarVolumeNode | None, what: str) -> str:
    """Why the results of a CT cannot be shown in one of the ways; empty where they can."""
    missing = resultNodes.whyNoResults(ctNode)
    if missing:
        return missing
    if slicer.app.layoutManager() is None:
        return _("There are no views: Slicer was started without its main window.")
    gone = {
        resultNodes.HEATMAP: _("The heatmap was deleted: segment again to get it back."),
        resultNodes.PSEUDO_HEALTHY: _("The pseudo-healthy volume was deleted: segment again to get it back."),
    }
    return next((gone[role] for role in _NEEDED[what] if resultNodes.findNode(ctNode, role) is None), "")


def prepareVolumes(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Give CT and results the window, colors and thresholds that they are read with."""
    low, high = colors.LUNG_WINDOW_HU
    healthy = resultNodes.nodeOf(ctNode, resultNodes.PSEUDO_HEALTHY)
    healthy.CreateDefaultDisplayNodes()
    healthyDisplay = healthy.GetDisplayNode()
    healthyDisplay.AutoWindowLevelOff()
    healthyDisplay.SetWindowLevelMinMax(low, high)

    heatmap = resultNodes.nodeOf(ctNode, resultNodes.HEATMAP)
    heatmap.CreateDefaultDisplayNodes()
    heatDisplay = heatmap.GetDisplayNode()
    heatDisplay.SetAndObserveColorNodeID(_heatColors().GetID())
    heatDisplay.AutoWindowLevelOff()
    heatDisplay.SetWindowLevelMinMax(0, colors.HOTTEST_HU)
    heatDisplay.SetThreshold(_LEAST_HEAT_HU, 4000)
    heatDisplay.ApplyThresholdOn()

    probability = resultNodes.nodeOf(ctNode, resultNodes.PROBABILITY)
    probability.CreateDefaultDisplayNodes()
    display = probability.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeRed")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 1)
    display.ApplyThresholdOn()


def prepareSegments(segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
    """Let the lungs be translucent in 3D, so that lesions inside are seen."""
    display = segmentationNode.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName3D(
        slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    )
    for segmentID in (lesionSegments.RIGHT_LUNG, lesionSegments.LEFT_LUNG):
        display.SetSegmentOpacity3D(segmentID, _LUNG_OPACITY_3D)


def showLungWindow(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a CT in the lung window."""
    ctNode.CreateDefaultDisplayNodes()
    ctNode.GetDisplayNode().AutoWindowLevelOff()
    ctNode.GetDisplayNode().SetWindowLevelMinMax(*colors.LUNG_WINDOW_HU)


def follow(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show another CT than before: in the way in which the former one is shown, if it has results."""
    if whyNotShown(ctNode, OVERLAY):
        # It may lie beneath the lesions of another CT already: Slicer shows what was loaded last.
        shown = {composite.GetBackgroundVolumeID() for composite in layouts.sliceCompositeNodes().values()}
        if ctNode.GetID() in shown:
            _hideOthers(ctNode)
        return
    what = _shownNow()
    if what == THREE_D:
        show3D(ctNode, volumeRendering=any(map(_isCloudShown, _nodesOfOthers(ctNode, resultNodes.HEATMAP))))
    elif what == COMPARE and not whyNotShown(ctNode, COMPARE):
        showCompare(ctNode)
    elif what == HEATMAP and not whyNotShown(ctNode, HEATMAP):
        showHeatmap(ctNode)
    else:
        showOverlay(ctNode)


def showOverlay(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Lesions as an outline with a light fill over the CT."""
    layouts.showConventional()
    _hideOthers(ctNode)
    showLungWindow(ctNode)
    _setLayers(ctNode)
    _showSegments2D(ctNode, lesionFill=0.35)
    _showLegend(ctNode, visible=False)


def showHeatmap(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """HU above expected healthy over the CT, with a color bar; lesions as an outline."""
    layouts.showConventional()
    _hideOthers(ctNode)
    showLungWindow(ctNode)
    heatmap = resultNodes.nodeOf(ctNode, resultNodes.HEATMAP)
    _setLayers(ctNode, foreground=heatmap, opacity=_HEAT_OPACITY)
    _showSegments2D(ctNode, lesionFill=0.0)
    _showLegend(ctNode, visible=True)


def showCompare(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """CT, pseudo-healthy and difference in three views that move together."""
    layouts.showCompare(ctNode)
    _hideOthers(ctNode)
    showLungWindow(ctNode)
    heatmap = resultNodes.nodeOf(ctNode, resultNodes.HEATMAP)
    healthy = resultNodes.nodeOf(ctNode, resultNodes.PSEUDO_HEALTHY)
    nodes = layouts.sliceCompositeNodes()
    for name, background, foreground in (
        (layouts.CT_VIEW, ctNode, None),
        (layouts.HEALTHY_VIEW, healthy, None),
        (layouts.DIFFERENCE_VIEW, ctNode, heatmap),
    ):
        _layer(nodes[name], background, foreground, _HEAT_OPACITY)
    layouts.bringIntoView(ctNode)
    _showSegments2D(ctNode, lesionFill=0.0)
    _showLegend(ctNode, visible=True)


def show3D(ctNode: slicer.vtkMRMLScalarVolumeNode, volumeRendering: bool = False) -> None:
    """Translucent lungs and red lesions from the front; optionally the heatmap, if there, as a cloud."""
    volumeRendering = volumeRendering and not whyNotShown(ctNode, CLOUD)
    layouts.showOnly3D()
    _hideOthers(ctNode)
    segmentation = resultNodes.nodeOf(ctNode, resultNodes.SEGMENTATION)
    # Not the grid of the CT, which may have been moved since.
    lesionSegments.ensureSurfaces(segmentation, resultNodes.nodeOf(ctNode, resultNodes.PROBABILITY))
    display = segmentation.GetDisplayNode()
    display.SetVisibility(True)
    display.SetVisibility3D(True)
    for segmentID in (lesionSegments.RIGHT_LUNG, lesionSegments.LEFT_LUNG):
        display.SetSegmentVisibility3D(segmentID, True)
    showCloud(ctNode, visible=volumeRendering)
    layouts.frame3D(segmentation)
    layouts.afterLayout(lambda: layouts.frame3D(resultNodes.findNode(ctNode, resultNodes.SEGMENTATION)))


def showCloud(ctNode: slicer.vtkMRMLScalarVolumeNode, visible: bool) -> None:
    """Show the heatmap as a cloud in place of the lesions, or these again, wherever 3D is seen."""
    segmentation = resultNodes.nodeOf(ctNode, resultNodes.SEGMENTATION)
    segmentation.GetDisplayNode().SetSegmentVisibility3D(lesionSegments.LESION, not visible)
    _renderCloud(ctNode, visible)


def showFirstTime(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """After a run: lesions over the CT, at the slice with most of them, and lungs in the 3D view."""
    showOverlay(ctNode)
    segmentation = resultNodes.nodeOf(ctNode, resultNodes.SEGMENTATION)
    layouts.frame3D(segmentation)
    place = lesionSegments.largestSliceCenter(segmentation)
    if place is not None:
        layouts.jumpTo(place)


def blink(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Exchange the CT for its pseudo-healthy twin in the slice views, or back."""
    healthy = resultNodes.findNode(ctNode, resultNodes.PSEUDO_HEALTHY)
    if healthy is None:
        return
    for name, composite in layouts.sliceCompositeNodes().items():
        if layouts.isCompare() and name == layouts.HEALTHY_VIEW:
            continue
        shown = composite.GetBackgroundVolumeID()
        if shown == ctNode.GetID():
            composite.SetBackgroundVolumeID(healthy.GetID())
        elif shown == healthy.GetID():
            composite.SetBackgroundVolumeID(ctNode.GetID())


def toggleHeatmap(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show the heatmap where it is not shown, else the lesions alone."""
    heatmap = resultNodes.nodeOf(ctNode, resultNodes.HEATMAP)
    composites = layouts.sliceCompositeNodes().values()
    if any(composite.GetForegroundVolumeID() == heatmap.GetID() for composite in composites):
        showOverlay(ctNode)
    else:
        showHeatmap(ctNode)


class ThresholdPreview:
    """What is seen while the slider moves: the stored probability above the threshold, in red.

    Only a display threshold changes from step to step; the lesion segment is out of sight meanwhile.
    """

    def __init__(self, ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        self._probability = resultNodes.nodeOf(ctNode, resultNodes.PROBABILITY)
        segmentation = resultNodes.nodeOf(ctNode, resultNodes.SEGMENTATION)
        self._segmentDisplay = segmentation.GetDisplayNode()
        self._before = {}
        # Blink may show the twin in place of the CT.
        twins = [ctNode, resultNodes.findNode(ctNode, resultNodes.PSEUDO_HEALTHY)]
        shown = {node.GetID() for node in twins if node is not None}
        for composite in layouts.sliceCompositeNodes().values():
            if composite.GetBackgroundVolumeID() in shown:
                before = (composite.GetForegroundVolumeID(), composite.GetForegroundOpacity())
                self._before[composite.GetID()] = before
                composite.SetForegroundVolumeID(self._probability.GetID())
                composite.SetForegroundOpacity(0.45)
        display, lesion = self._segmentDisplay, lesionSegments.LESION
        self._visible = None
        if segmentation.GetSegmentation().GetSegment(lesion) is not None:  # else the user deleted it
            self._visible = (
                display.GetSegmentVisibility2DFill(lesion),
                display.GetSegmentVisibility2DOutline(lesion),
            )
            display.SetSegmentVisibility2DFill(lesion, False)
            display.SetSegmentVisibility2DOutline(lesion, False)

    def show(self, threshold: float) -> None:
        """Show what lies at or above a threshold of 0 .. 1."""
        self._probability.GetDisplayNode().SetThreshold(level_of(threshold), 255)

    def end(self) -> None:
        """Put the views back as they were."""
        for nodeID, (foregroundID, opacity) in self._before.items():
            composite = slicer.mrmlScene.GetNodeByID(nodeID)
            if composite is not None:
                composite.SetForegroundVolumeID(foregroundID)
                composite.SetForegroundOpacity(opacity)
        if self._visible is not None:
            filled, outlined = self._visible
            self._segmentDisplay.SetSegmentVisibility2DFill(lesionSegments.LESION, filled)
            self._segmentDisplay.SetSegmentVisibility2DOutline(lesionSegments.LESION, outlined)


def _shownNow() -> str:
    """Which of the ways of showing results the views are in."""
    if layouts.isCompare():
        return COMPARE
    if layouts.isOnly3D():
        return THREE_D
    shown = (
        slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID() or "")
        for composite in layouts.sliceCompositeNodes().values()
    )
    isHeat = any(
        node is not None and node.GetAttribute(resultNodes.ROLE) == resultNodes.HEATMAP for node in shown
    )
    return HEATMAP if isHeat else OVERLAY


def _hideOthers(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Hide the results of all other CTs: Slicer draws what is visible in every view, over any CT."""
    for segmentation in _nodesOfOthers(ctNode, resultNodes.SEGMENTATION):
        if segmentation.GetDisplayNode() is not None:
            segmentation.GetDisplayNode().SetVisibility(False)
    for heatmap in _nodesOfOthers(ctNode, resultNodes.HEATMAP):
        legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(heatmap)
        if legend is not None:
            legend.SetVisibility(False)
        cloud = _cloudOf(heatmap)
        if cloud is not None and cloud.GetVisibility():
            cloud.SetVisibility(False)
            segmentation = resultNodes.findNode(
                heatmap.GetNodeReference(resultNodes.CT_REFERENCE), resultNodes.SEGMENTATION
            )
            if segmentation is not None:  # the cloud stood for the lesions
                segmentation.GetDisplayNode().SetSegmentVisibility3D(lesionSegments.LESION, True)


def _nodesOfOthers(ctNode: slicer.vtkMRMLScalarVolumeNode, role: str) -> list[slicer.vtkMRMLNode]:
    """The nodes of this role that belong to other CTs."""
    return [node for node in resultNodes.allNodes(role) if not resultNodes.belongsTo(node, ctNode)]


def _setLayers(
    ctNode: slicer.vtkMRMLScalarVolumeNode,
    foreground: slicer.vtkMRMLScalarVolumeNode | None = None,
    opacity: float = 0.0,
) -> None:
    for composite in layouts.sliceCompositeNodes().values():
        _layer(composite, ctNode, foreground, opacity)
    layouts.bringIntoView(ctNode)


def _layer(
    composite: slicer.vtkMRMLSliceCompositeNode,
    background: slicer.vtkMRMLScalarVolumeNode,
    foreground: slicer.vtkMRMLScalarVolumeNode | None,
    opacity: float,
) -> None:
    composite.SetBackgroundVolumeID(background.GetID())
    composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
    composite.SetForegroundOpacity(opacity if foreground is not None else 0.0)


def _showSegments2D(ctNode: slicer.vtkMRMLScalarVolumeNode, lesionFill: float) -> None:
    segmentation = resultNodes.nodeOf(ctNode, resultNodes.SEGMENTATION)
    display = segmentation.GetDisplayNode()
    display.SetVisibility(True)
    display.SetVisibility2D(True)
    for segmentID in (lesionSegments.RIGHT_LUNG, lesionSegments.LEFT_LUNG):
        display.SetSegmentOpacity2DFill(segmentID, 0.0)
        display.SetSegmentOpacity2DOutline(segmentID, 0.5)
    # Both may be off, be it in a scene that was saved while the slider moved.
    display.SetSegmentVisibility2DFill(lesionSegments.LESION, True)
    display.SetSegmentVisibility2DOutline(lesionSegments.LESION, True)
    display.SetSegmentOpacity2DFill(lesionSegments.LESION, lesionFill)
    display.SetSegmentOpacity2DOutline(lesionSegments.LESION, 1.0)


def _showLegend(ctNode: slicer.vtkMRMLScalarVolumeNode, visible: bool) -> None:
    heatmap = resultNodes.findNode(ctNode, resultNodes.HEATMAP)
    if heatmap is None:
        return
    logic = slicer.modules.colors.logic()
    before = logic.GetColorLegendDisplayNode(heatmap)
    if not visible:
        if before is not None:
            before.SetVisibility(False)
        return
    # A view that was hidden, or not there yet, when a legend or the layers changed does not draw that legend
    # later on. A new one is drawn wherever it belongs; it looks as the user left the former one.
    if before is not None:
        slicer.mrmlScene.RemoveNode(before)
    legend = logic.AddDefaultColorLegendDisplayNode(heatmap)
    if before is not None:
        legend.CopyContent(before)
    else:
        legend.SetTitleText(_("HU above\nhealthy"))
        legend.SetLabelFormat("%.0f")
        legend.SetMaxNumberOfColors(256)
        legend.SetNumberOfLabels(5)
        # The text grows with the box, not with its font size alone; a large one would hide the lung.
        legend.SetSize(*_LEGEND_SIZE)
        legend.SetPosition(*_LEGEND_PLACE)
    legend.SetVisibility(True)


def _renderCloud(ctNode: slicer.vtkMRMLScalarVolumeNode, visible: bool) -> None:
    """Volume rendering of the heatmap."""
    heatmap = resultNodes.findNode(ctNode, resultNodes.HEATMAP)
    rendering = _cloudOf(heatmap)
    if rendering is None:
        if not visible:
            return
        rendering = slicer.modules.volumerendering.logic().CreateDefaultVolumeRenderingNodes(heatmap)
        ramp, color = vtk.vtkPiecewiseFunction(), vtk.vtkColorTransferFunction()
        for share in (0.0, 0.15, 0.3, 0.6, 1.0):
            hu = share * colors.HOTTEST_HU
            ramp.AddPoint(hu, max(0.0, share - 0.12) * 0.6)
            color.AddRGBPoint(hu, *(channel / 255 for channel in colors.heat_at(share)))
        volumeProperty = rendering.GetVolumePropertyNode().GetVolumeProperty()
        volumeProperty.SetScalarOpacity(ramp)
        volumeProperty.SetColor(color)
    rendering.SetVisibility(visible)


def _cloudOf(
    heatmap: slicer.vtkMRMLScalarVolumeNode | None,
) -> slicer.vtkMRMLVolumeRenderingDisplayNode | None:
    """What draws a heatmap, which may be gone, as a cloud; None if nothing did so far."""
    return slicer.modules.volumerendering.logic().GetFirstVolumeRenderingDisplayNode(heatmap)


def _isCloudShown(heatmap: slicer.vtkMRMLScalarVolumeNode) -> bool:
    cloud = _cloudOf(heatmap)
    return cloud is not None and bool(cloud.GetVisibility())


def _heatColors() -> slicer.vtkMRMLColorNode:
    """The color table of the heatmap, one for the whole scene."""
    role = "heatColors"
    for node in slicer.util.getNodesByClass("vtkMRMLColorTableNode"):
        if node.GetAttribute(resultNodes.ROLE) == role:
            return node
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "COVID heat")
    node.SetAttribute(resultNodes.ROLE, role)
    node.SetTypeToUser()
    node.SetNumberOfColors(256)
    for index in range(256):
        red, green, blue = (channel / 255 for channel in colors.heat_at(index / 255))
        node.SetColor(index, f"{index}", red, green, blue, 1.0)
    return node
