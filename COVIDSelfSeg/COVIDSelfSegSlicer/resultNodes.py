"""The nodes that a run leaves in the scene, beside its CT: found again, updated, never anyone else's.

Each carries its role as an attribute and refers to its CT, so that a second run, a saved scene or a reloaded
module finds the same nodes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
import vtk
from COVIDSelfSegLib.threshold_curve import ThresholdCurve
from slicer.i18n import tr as _
from vtk.util import numpy_support

ROLE = "COVIDSelfSeg.role"
CT_REFERENCE = "COVIDSelfSeg.ct"
_CURVE, _REPORT, _THRESHOLD = "COVIDSelfSeg.curve", "COVIDSelfSeg.report", "COVIDSelfSeg.threshold"
_INFECTED_ML, _INFECTED_SHARE = "COVIDSelfSeg.infectedMl", "COVIDSelfSeg.infectedShare"

SEGMENTATION, PSEUDO_HEALTHY, HEATMAP, PROBABILITY, TABLE = (
    "segmentation",
    "pseudoHealthy",
    "heatmap",
    "probability",
    "table",
)
_CLASSES = {
    SEGMENTATION: "vtkMRMLSegmentationNode",
    PSEUDO_HEALTHY: "vtkMRMLScalarVolumeNode",
    HEATMAP: "vtkMRMLScalarVolumeNode",
    PROBABILITY: "vtkMRMLScalarVolumeNode",
    TABLE: "vtkMRMLTableNode",
}

ROLES = tuple(_CLASSES)


def findNode(ctNode: slicer.vtkMRMLScalarVolumeNode | None, role: str) -> slicer.vtkMRMLNode | None:
    """The node of this role that belongs to a CT, or None."""
    if ctNode is None:
        return None
    return next((node for node in allNodes(role) if belongsTo(node, ctNode)), None)


def nodeOf(ctNode: slicer.vtkMRMLScalarVolumeNode, role: str) -> slicer.vtkMRMLNode:
    """The node of this role that belongs to a CT.

    Raises:
        LookupError: there is none; to be asked first is :func:`hasResults` or ``display.whyNotShown``.
    """
    node = findNode(ctNode, role)
    if node is None:
        raise LookupError(f"{ctNode.GetName()} has no {role}.")
    return node


def allNodes(role: str) -> list[slicer.vtkMRMLNode]:
    """The nodes of this role of all CTs."""
    return [node for node in slicer.util.getNodesByClass(_CLASSES[role]) if node.GetAttribute(ROLE) == role]


def belongsTo(node: slicer.vtkMRMLNode, ctNode: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether a result is that of a CT."""
    return node.GetNodeReferenceID(CT_REFERENCE) == ctNode.GetID()


def hasResults(ctNode: slicer.vtkMRMLScalarVolumeNode | None) -> bool:
    """Whether there is what the slider and the displays need."""
    return all(findNode(ctNode, role) is not None for role in (SEGMENTATION, PROBABILITY))


def whyNoResults(ctNode: slicer.vtkMRMLScalarVolumeNode | None) -> str:
    """Why there is nothing to show for a CT; empty where there is."""
    return "" if hasResults(ctNode) else _("There are no results yet: press Segment infection.")


def getNode(ctNode: slicer.vtkMRMLScalarVolumeNode, role: str) -> slicer.vtkMRMLNode:
    """The node of this role that belongs to a CT, made beside it if there is none."""
    node = findNode(ctNode, role)
    if node is not None:
        return node
    names = {
        SEGMENTATION: _("COVID lesions"),
        PSEUDO_HEALTHY: _("pseudo-healthy"),
        HEATMAP: _("HU above healthy"),
        PROBABILITY: _("lesion probability"),
        TABLE: _("COVID numbers"),
    }
    name = slicer.mrmlScene.GenerateUniqueName(f"{ctNode.GetName()} {names[role]}")
    node = slicer.mrmlScene.AddNewNodeByClass(_CLASSES[role], name)
    node.SetAttribute(ROLE, role)
    node.SetNodeReferenceID(CT_REFERENCE, ctNode.GetID())
    _placeBeside(node, ctNode)
    return node


def setVolume(
    node: slicer.vtkMRMLScalarVolumeNode, array: np.ndarray, ctNode: slicer.vtkMRMLScalarVolumeNode
) -> None:
    """Give a volume node new voxels (k, j, i) on the grid of its CT; the array is kept, not copied."""
    image = vtk.vtkImageData()
    image.SetDimensions(array.shape[::-1])
    scalars = numpy_support.numpy_to_vtk(np.ascontiguousarray(array).reshape(-1), deep=0)
    image.GetPointData().SetScalars(scalars)
    with slicer.util.NodeModify(node):
        node.CopyOrientation(ctNode)
        node.SetAndObserveImageData(image)
        node.SetAndObserveTransformNodeID(ctNode.GetTransformNodeID())


def setCurve(probabilityNode: slicer.vtkMRMLScalarVolumeNode, report: Mapping[str, Any]) -> None:
    """Keep a run's curve with the probability, so that the slider works in a scene loaded again."""
    probabilityNode.SetAttribute(_CURVE, json.dumps(report["threshold_curve"]))
    kept = {key: value for key, value in report.items() if key not in ("threshold_curve", "scan")}
    probabilityNode.SetAttribute(_REPORT, json.dumps(kept))


def curveOf(ctNode: slicer.vtkMRMLScalarVolumeNode | None) -> ThresholdCurve | None:
    """Infected volume against threshold of the last run on a CT."""
    node = findNode(ctNode, PROBABILITY)
    text = node.GetAttribute(_CURVE) if node is not None else None
    return ThresholdCurve.from_report(json.loads(text)) if text else None


def reportOf(ctNode: slicer.vtkMRMLScalarVolumeNode | None) -> dict[str, Any] | None:
    """What the worker reported of the last run on a CT."""
    node = findNode(ctNode, PROBABILITY)
    text = node.GetAttribute(_REPORT) if node is not None else None
    return json.loads(text) if text else None


def thresholdOf(ctNode: slicer.vtkMRMLScalarVolumeNode | None) -> float | None:
    """The threshold that the lesion segment of a CT was last written at."""
    node = findNode(ctNode, TABLE)
    text = node.GetAttribute(_THRESHOLD) if node is not None else None
    return float(text) if text else None


def infectedOf(ctNode: slicer.vtkMRMLScalarVolumeNode | None) -> tuple[float, float] | None:
    """Infected volume (ml) and share of both lungs (0 .. 1) of the lesion that was last written."""
    node = findNode(ctNode, TABLE)
    texts = [node.GetAttribute(name) for name in (_INFECTED_ML, _INFECTED_SHARE)] if node is not None else []
    return (float(texts[0]), float(texts[1])) if texts and all(texts) else None


def setTable(tableNode: slicer.vtkMRMLTableNode, numbers: Mapping[str, Any], threshold: float) -> None:
    """Write the numbers of both lungs at a threshold into a table node; for an observer it is one change."""
    with slicer.util.NodeModify(tableNode):
        tableNode.SetAttribute(_THRESHOLD, repr(threshold))
        tableNode.SetAttribute(_INFECTED_ML, repr(numbers["both"]["infected_ml"]))
        tableNode.SetAttribute(_INFECTED_SHARE, repr(numbers["both"]["infected_share"]))
        tableNode.SetAndObserveTable(_tableOf(numbers, threshold))
        tableNode.SetLocked(True)  # else who types into a cell changes the numbers
        tableNode.SetUseFirstColumnAsRowHeader(True)
        if hasattr(tableNode, "SetUseColumnTitleAsColumnHeader"):  # Slicer 5.11 and later
            tableNode.SetUseColumnTitleAsColumnHeader(True)
        else:
            tableNode.SetUseColumnNameAsColumnHeader(True)


def _tableOf(numbers: Mapping[str, Any], threshold: float) -> vtk.vtkTable:
    rows = (
        (_("lung volume (ml)"), "volume_ml", 0),
        (_("infected (ml)"), "infected_ml", 1),
        (_("infected (% of lung)"), "infected_share", 1),
        (_("mean HU of lesions"), "lesion_hu", 0),
    )
    table = vtk.vtkTable()
    # The first one needs a title, too: a table that is read from a file loses a column without one.
    for title in (_("quantity"), _("right"), _("left"), _("both")):
        column = vtk.vtkStringArray()
        column.SetName(title)
        table.AddColumn(column)
    for title, key, decimals in rows:
        cells = [title]
        for side in ("right", "left", "both"):
            value = numbers[side][key]
            scale = 100 if key == "infected_share" else 1
            cells.append("-" if value is None else f"{scale * value:.{decimals}f}")
        _addRow(table, cells)
    _addRow(table, [_("severity (MosMed)"), "", "", numbers["severity"]])
    _addRow(table, [_("threshold"), "", "", f"{threshold:.2f}"])
    return table


def _addRow(table: vtk.vtkTable, cells: list[str]) -> None:
    row = table.InsertNextBlankRow()
    for column, text in enumerate(cells):
        table.SetValue(row, column, vtk.vtkVariant(text))


def _placeBeside(node: slicer.vtkMRMLNode, ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item, ctItem = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(ctNode)
    if item and ctItem:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(ctItem))
