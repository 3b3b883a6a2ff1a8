"""File readers: which logic reads which file type, with the options of ``slicer.util.load...``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import vtk

Properties = dict[str, Any]
Nodes = list[slicer.vtkMRMLNode]
Reader = Callable[
    [slicer.vtkSlicerApplicationLogic, Properties, slicer.vtkMRMLMessageCollection], Nodes | None
]

_VOLUME_OPTION_BITS = {
    "labelmap": 0x1,
    "center": 0x2,
    "singleFile": 0x4,
    "autoWindowLevel": 0x8,
    "discardOrientation": 0x10,
}


def base_name(path: str) -> str:
    """The file name up to the first dot, as Qt's ``QFileInfo::baseName``: ``ct`` for ``ct.nii.gz``."""
    return Path(path).name.split(".", maxsplit=1)[0]


def read_volume(
    logic: slicer.vtkSlicerApplicationLogic, properties: Properties, messages: slicer.vtkMRMLMessageCollection
) -> Nodes | None:
    """Read a volume and show it in the slice views unless ``show`` is False."""
    path = properties["fileName"]
    options = sum(bit for option, bit in _VOLUME_OPTION_BITS.items() if properties.get(option))
    files = None
    if "fileNames" in properties:
        files = vtk.vtkStringArray()
        for name in properties["fileNames"]:
            files.InsertNextValue(name)
    volumes = logic.GetModuleLogic("Volumes")
    node = volumes.AddArchetypeVolume(path, properties.get("name", base_name(path)), options, files, messages)
    if node is None:
        return None
    if "colorNodeID" in properties and node.GetDisplayNode():
        node.GetDisplayNode().SetAndObserveColorNodeID(properties["colorNodeID"])
    if properties.get("show", True):
        _show_volume(logic, node)
    return [node]


def _show_volume(logic: slicer.vtkSlicerApplicationLogic, node: slicer.vtkMRMLVolumeNode) -> None:
    selection = logic.GetSelectionNode()
    if isinstance(node, slicer.vtkMRMLLabelMapVolumeNode):
        selection.SetActiveLabelVolumeID(node.GetID())
    else:
        selection.SetActiveVolumeID(node.GetID())
    logic.PropagateVolumeSelection()


def read_segmentation(
    logic: slicer.vtkSlicerApplicationLogic, properties: Properties, messages: slicer.vtkMRMLMessageCollection
) -> Nodes | None:
    """Read a segmentation from an image or a multi-block file."""
    colors = logic.GetMRMLScene().GetNodeByID(properties.get("colorNodeID", ""))
    node = logic.GetModuleLogic("Segmentations").LoadSegmentationFromFile(
        properties["fileName"],
        properties.get("autoOpacities", True),
        properties.get("name", ""),
        colors,
        messages,
    )
    return [node] if node else None


def read_scene(
    logic: slicer.vtkSlicerApplicationLogic, properties: Properties, messages: slicer.vtkMRMLMessageCollection
) -> Nodes | None:
    """Import a scene, ``.mrml`` or with its data ``.mrb``; it replaces the present one if ``clear``."""
    scene, path = logic.GetMRMLScene(), properties["fileName"]
    clear = bool(properties.get("clear", False))
    if path.lower().endswith(".mrb"):
        return [] if scene.ReadFromMRB(path, clear, messages) else None
    scene.SetURL(path)
    return [] if (scene.Connect(messages) if clear else scene.Import(messages)) else None


def read_model(
    logic: slicer.vtkSlicerApplicationLogic, properties: Properties, messages: slicer.vtkMRMLMessageCollection
) -> Nodes | None:
    coordinates = properties.get("coordinateSystem", slicer.vtkMRMLStorageNode.CoordinateSystemLPS)
    node = logic.GetModuleLogic("Models").AddModel(properties["fileName"], coordinates, messages)
    return [node] if node else None


def read_transform(
    logic: slicer.vtkSlicerApplicationLogic, properties: Properties, messages: slicer.vtkMRMLMessageCollection
) -> Nodes | None:
    transforms = logic.GetModuleLogic("Transforms")
    node = transforms.AddTransform(properties["fileName"], logic.GetMRMLScene(), messages)
    return [node] if node else None


def read_table(
    logic: slicer.vtkSlicerApplicationLogic, properties: Properties, messages: slicer.vtkMRMLMessageCollection
) -> Nodes | None:
    path = properties["fileName"]
    node = logic.GetModuleLogic("Tables").AddTable(
        path, properties.get("name", base_name(path)), True, "", messages
    )
    return [node] if node else None


def read_color_table(
    logic: slicer.vtkSlicerApplicationLogic, properties: Properties, messages: slicer.vtkMRMLMessageCollection
) -> Nodes | None:
    path = properties["fileName"]
    node = logic.GetModuleLogic("Colors").LoadColorFile(
        path, properties.get("name", base_name(path)), messages
    )
    return [node] if node else None


def read_markups(
    logic: slicer.vtkSlicerApplicationLogic, properties: Properties, messages: slicer.vtkMRMLMessageCollection
) -> Nodes | None:
    path = properties["fileName"]
    node_id = logic.GetModuleLogic("Markups").LoadMarkups(
        path, properties.get("name", base_name(path)), messages
    )
    return [logic.GetMRMLScene().GetNodeByID(node_id)] if node_id else None


READERS: dict[str, Reader] = {
    "VolumeFile": read_volume,
    "SegmentationFile": read_segmentation,
    "SceneFile": read_scene,
    "ModelFile": read_model,
    "TransformFile": read_transform,
    "TableFile": read_table,
    "ColorTableFile": read_color_table,
    "MarkupsFile": read_markups,
}

EXTENSIONS: dict[str, str] = {
    ".seg.nrrd": "SegmentationFile",
    ".seg.vtm": "SegmentationFile",
    ".mrk.json": "MarkupsFile",
    ".mrml": "SceneFile",
    ".mrb": "SceneFile",
    ".nrrd": "VolumeFile",
    ".nhdr": "VolumeFile",
    ".nii": "VolumeFile",
    ".nii.gz": "VolumeFile",
    ".mha": "VolumeFile",
    ".mhd": "VolumeFile",
    ".dcm": "VolumeFile",
    ".vtk": "ModelFile",
    ".vtp": "ModelFile",
    ".stl": "ModelFile",
    ".ply": "ModelFile",
    ".obj": "ModelFile",
    ".h5": "TransformFile",
    ".tfm": "TransformFile",
    ".csv": "TableFile",
    ".tsv": "TableFile",
    ".ctbl": "ColorTableFile",
}
"""File type by extension, the longest match first."""
