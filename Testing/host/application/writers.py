"""File writers: nodes through their own storage nodes, scenes as ``.mrml``, ``.mrb`` or a folder."""

from __future__ import annotations

from typing import Any

import slicer

Properties = dict[str, Any]

FILE_TYPE_OF_CLASS: dict[str, str] = {
    "vtkMRMLVolumeNode": "VolumeFile",
    "vtkMRMLSegmentationNode": "SegmentationFile",
    "vtkMRMLModelNode": "ModelFile",
    "vtkMRMLTransformNode": "TransformFile",
    "vtkMRMLTableNode": "TableFile",
    "vtkMRMLColorNode": "ColorTableFile",
    "vtkMRMLMarkupsNode": "MarkupsFile",
    "vtkMRMLTextNode": "TextFile",
}


def write_scene(
    logic: slicer.vtkSlicerApplicationLogic, properties: Properties, messages: slicer.vtkMRMLMessageCollection
) -> bool:
    """Save the scene: ``.mrml`` without its data, ``.mrb`` as one file, anything else as a folder."""
    scene, path = logic.GetMRMLScene(), properties["fileName"]
    if path.lower().endswith(".mrml"):
        scene.SetURL(path)
        return bool(scene.Commit("", messages))
    thumbnail = properties.get("screenShot")
    if path.lower().endswith(".mrb"):
        return bool(scene.WriteToMRB(path, thumbnail, messages))
    return bool(logic.SaveSceneToSlicerDataBundleDirectory(path, thumbnail, messages))


def write_node(
    node: slicer.vtkMRMLStorableNode, properties: Properties, messages: slicer.vtkMRMLMessageCollection
) -> bool:
    """Write a node to ``fileName`` and remember the file in the node's storage node."""
    if node.GetStorageNode() is None:
        node.AddDefaultStorageNode(properties["fileName"])
    storage = node.GetStorageNode()
    if storage is None:
        return False
    _configure(storage, properties["fileName"], properties)
    success = bool(storage.WriteData(node))
    messages.AddMessages(storage.GetUserMessages())
    return success


def export_node(
    node: slicer.vtkMRMLStorableNode,
    path: str,
    properties: Properties,
    messages: slicer.vtkMRMLMessageCollection,
) -> bool:
    """Write a node without touching the storage node that it uses when the scene is saved."""
    storage = node.CreateDefaultStorageNode()
    _configure(storage, path, properties)
    success = bool(storage.WriteData(node))
    messages.AddMessages(storage.GetUserMessages())
    return success


def _configure(storage: slicer.vtkMRMLStorageNode, path: str, properties: Properties) -> None:
    storage.SetFileName(path)
    storage.SetURI(None)
    if "useCompression" in properties:
        storage.SetUseCompression(properties["useCompression"])
    if "compressionParameter" in properties:
        storage.SetCompressionParameter(properties["compressionParameter"])
