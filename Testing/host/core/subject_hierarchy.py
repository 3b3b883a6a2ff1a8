"""Subject hierarchy items: made for new data nodes and removed with them."""

from __future__ import annotations

import slicer
import vtk

PLUGIN_OF_CLASS: dict[str, str] = {
    "vtkMRMLLabelMapVolumeNode": "LabelMaps",
    "vtkMRMLVolumeNode": "Volumes",
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLModelNode": "Models",
    "vtkMRMLMarkupsNode": "Markups",
    "vtkMRMLTransformNode": "Transforms",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLTextNode": "Texts",
    "vtkMRMLPlotChartNode": "Plots",
    "vtkMRMLPlotSeriesNode": "Plots",
}
"""Which plugin claims a node, the more special class first. Other nodes are not shown in the tree."""


class SubjectHierarchyUpdater:
    """Observes a scene and keeps its subject hierarchy up to date, segments included."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self._segmentation_observers: dict[str, tuple[vtk.vtkObject, list[int]]] = {}
        scene.AddObserver(scene.NodeAddedEvent, self._on_node_added)
        scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._on_node_about_to_be_removed)
        for event in (scene.EndImportEvent, scene.EndBatchProcessEvent):
            scene.AddObserver(event, self._on_many_nodes_changed, 10.0)
        scene.AddObserver(scene.EndCloseEvent, self._on_scene_closed)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_added(self, scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode) -> None:
        if isinstance(node, slicer.vtkMRMLSubjectHierarchyNode):
            slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)
        elif not scene.IsImporting():
            self._add(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_about_to_be_removed(
        self, scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode
    ) -> None:
        segmentation, tags = self._segmentation_observers.pop(node.GetID(), (None, []))
        for tag in tags:
            segmentation.RemoveObserver(tag)
        if scene.IsClosing() or isinstance(node, slicer.vtkMRMLSubjectHierarchyNode):
            return
        hierarchy = scene.GetSubjectHierarchyNode()
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)

    def _on_many_nodes_changed(self, scene: slicer.vtkMRMLScene, _event: str) -> None:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)
        for item in _descendants(hierarchy, hierarchy.GetSceneItemID()):
            if _is_orphan(hierarchy, item):
                hierarchy.RemoveItem(item, False, False)
        for index in range(scene.GetNumberOfNodes()):
            self._add(scene.GetNthNode(index))

    def _on_scene_closed(self, scene: slicer.vtkMRMLScene, _event: str) -> None:
        self._segmentation_observers.clear()
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)

    def _add(self, node: slicer.vtkMRMLNode) -> None:
        plugin = _plugin_of(node)
        hierarchy = self._scene.GetSubjectHierarchyNode()
        if plugin is None or hierarchy is None:
            return
        item = hierarchy.GetItemByDataNode(node)
        if not item:
            item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node, "")
            hierarchy.SetItemOwnerPluginName(item, plugin)
        if isinstance(node, slicer.vtkMRMLSegmentationNode):
            self._observe_segments(node)
            self._update_segment_items(node)

    def _observe_segments(self, node: slicer.vtkMRMLSegmentationNode) -> None:
        if node.GetID() in self._segmentation_observers:
            return
        segmentation = node.GetSegmentation()
        events = (segmentation.SegmentAdded, segmentation.SegmentRemoved, segmentation.SegmentModified)
        tags = [
            segmentation.AddObserver(event, lambda *_: self._update_segment_items(node)) for event in events
        ]
        self._segmentation_observers[node.GetID()] = (segmentation, tags)

    def _update_segment_items(self, node: slicer.vtkMRMLSegmentationNode) -> None:
        """One item for each segment under the item of its segmentation, marked as a virtual branch."""
        hierarchy = self._scene.GetSubjectHierarchyNode()
        parent = hierarchy.GetItemByDataNode(node) if hierarchy else 0
        if not parent:
            return
        segment_id_attribute = slicer.vtkMRMLSegmentationNode.GetSegmentIDAttributeName()
        shown = {
            hierarchy.GetItemAttribute(i, segment_id_attribute): i for i in _descendants(hierarchy, parent)
        }
        segmentation = node.GetSegmentation()
        for segment_id in segmentation.GetSegmentIDs():
            name = segmentation.GetSegment(segment_id).GetName()
            if segment_id in shown:
                hierarchy.SetItemName(shown.pop(segment_id), name)
                continue
            item = hierarchy.CreateHierarchyItem(parent, name, _virtual_branch())
            hierarchy.SetItemAttribute(item, segment_id_attribute, segment_id)
            hierarchy.SetItemOwnerPluginName(item, "Segments")
        for item in shown.values():
            hierarchy.RemoveItem(item, False, False)
        hierarchy.SetItemAttribute(parent, _virtual_branch(), "1")


def _plugin_of(node: slicer.vtkMRMLNode) -> str | None:
    if node.GetHideFromEditors() or node.GetAttribute(_exclude_attribute()) is not None:
        return None
    return next((plugin for class_name, plugin in PLUGIN_OF_CLASS.items() if node.IsA(class_name)), None)


def _is_orphan(hierarchy: slicer.vtkMRMLSubjectHierarchyNode, item: int) -> bool:
    """An item that is neither a folder nor a segment and whose node has gone."""
    in_virtual_branch = hierarchy.GetItemOwnerPluginName(item) == "Segments"
    return (
        not hierarchy.GetItemLevel(item) and not in_virtual_branch and hierarchy.GetItemDataNode(item) is None
    )


def _descendants(hierarchy: slicer.vtkMRMLSubjectHierarchyNode, item: int) -> list[int]:
    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(item, children, True)
    return [children.GetId(index) for index in range(children.GetNumberOfIds())]


def _virtual_branch() -> str:
    return slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyVirtualBranchAttributeName()


def _exclude_attribute() -> str:
    return slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyExcludeFromTreeAttributeName()
