"""From a run's arrays to the scene, and from a threshold to the lesion segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
from COVIDSelfSegLib import colors
from COVIDSelfSegLib.components import large_parts
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.lung_labels import LEFT, RIGHT
from COVIDSelfSegLib.severity import severity_of
from COVIDSelfSegLib.threshold_curve import ThresholdCurve, level_of
from slicer.i18n import tr as _

from . import display, lesionSegments, resultNodes
from .cutMask import CutMask
from .lungSides import lesionBySide
from .runFiles import RunFiles


def checkFit(ctNode: slicer.vtkMRMLScalarVolumeNode, files: RunFiles) -> None:
    """Make sure that a CT is still what was segmented.

    Raises:
        UserError: it was removed from the scene or changed its size during the run.
    """
    fix = _("Run again on the volume as it is now.")
    if slicer.mrmlScene.GetNodeByID(ctNode.GetID() or "") is not ctNode:
        raise UserError(
            _("The CT was removed during the run."),
            why=_("There is nothing to attach its results to."),
            fix=fix,
        )
    if ctNode.GetImageData().GetDimensions()[::-1] != files.probability.shape:
        raise UserError(
            _("The CT was changed during the run."), why=_("The results no longer fit its voxels."), fix=fix
        )


def setResults(
    ctNode: slicer.vtkMRMLScalarVolumeNode, files: RunFiles, *, overwriteEdits: bool = False
) -> None:
    """Make or update the nodes of a run.

    One action for undo. Writing the segments takes a moment; see :func:`writeLesion`.

    Args:
        ctNode: the CT that was segmented.
        files: what the worker made.
        overwriteEdits: segments that were edited by hand are otherwise kept as copies.
    """
    saveStateForUndo(ctNode)
    if not overwriteEdits:
        _keepEdits(ctNode, editsAtStake(ctNode, files))
    for role, array in (
        (resultNodes.PSEUDO_HEALTHY, files.pseudoHealthy),
        (resultNodes.HEATMAP, files.heatmap),
        (resultNodes.PROBABILITY, files.probability),
    ):
        resultNodes.setVolume(resultNodes.getNode(ctNode, role), array, ctNode)
    resultNodes.setCurve(resultNodes.nodeOf(ctNode, resultNodes.PROBABILITY), files.report)
    display.prepareVolumes(ctNode)
    isFirst = resultNodes.findNode(ctNode, resultNodes.SEGMENTATION) is None
    segmentationNode = resultNodes.getNode(ctNode, resultNodes.SEGMENTATION)
    lesionSegments.loadTerminology()
    lesionSegments.prepare(segmentationNode, ctNode)
    if isFirst:  # later the user may have chosen otherwise
        display.prepareSegments(segmentationNode)
    for segmentID, mask in _masksOf(files).items():
        lesionSegments.write(segmentationNode, segmentID, mask, ctNode)
    table = resultNodes.getNode(ctNode, resultNodes.TABLE)
    resultNodes.setTable(table, files.report["numbers"], files.report["threshold"])
    enableUndo(ctNode)


def checkThreshold(threshold: float) -> None:
    """Refuse what is no threshold: 30 for 30 % would find no lesion in any scan.

    Raises:
        UserError: it does not lie in 0 .. 1.
    """
    if not 0 <= threshold <= 1:
        raise UserError(
            _("The threshold {threshold} is not in 0 .. 1.").format(threshold=threshold),
            why=_("It is applied to the lesion probability, which goes from 0 to 1."),
            fix=_("Give 0.3 for 30 %, for example."),
        )


def writeLesion(
    ctNode: slicer.vtkMRMLScalarVolumeNode, threshold: float, *, overwriteEdits: bool = False
) -> None:
    """Write the lesion segment, its surface and the table for a threshold of 0 .. 1; one action for undo.

    The marked step: it takes up to two seconds on a scan of 512 x 512 x 300.

    Raises:
        UserError: the CT has no results, or the threshold is none.
    """
    curve, report = _lastRunOn(ctNode)
    checkThreshold(threshold)
    saveStateForUndo(ctNode)
    if not overwriteEdits:
        _keepEdits(ctNode, editsAtStake(ctNode))
    probabilityNode = resultNodes.nodeOf(ctNode, resultNodes.PROBABILITY)
    probability = slicer.util.arrayFromVolume(probabilityNode)
    # As the worker measured it: under a transform that scales, a voxel is not what the CT's spacing says.
    voxelMl = curve.voxel_ml
    found = CutMask.of(probability, level_of(threshold))
    mask = _withoutSpecks(found, report["least_lesion_ml"] / voxelMl)
    segmentationNode = resultNodes.nodeOf(ctNode, resultNodes.SEGMENTATION)
    # Not the grid of the CT, which may have been hardened or centered since and is elsewhere then.
    lesionSegments.write(segmentationNode, lesionSegments.LESION, mask, probabilityNode)
    numbers = _numbers(ctNode, mask, voxelMl, report["numbers"])
    resultNodes.setTable(resultNodes.getNode(ctNode, resultNodes.TABLE), numbers, threshold)


def _lastRunOn(ctNode: slicer.vtkMRMLScalarVolumeNode) -> tuple[ThresholdCurve, dict[str, Any]]:
    """Curve and report of the last run on a CT.

    Raises:
        UserError: there was none, or its segmentation or probability was deleted.
    """
    curve, report = resultNodes.curveOf(ctNode), resultNodes.reportOf(ctNode)
    if not resultNodes.hasResults(ctNode) or curve is None or report is None:
        raise UserError(
            _("The threshold cannot be changed: there are no results."),
            why=_("It is applied to the lesion probability, which only a run gives."),
            fix=_("Segment the infection of this CT, then change the threshold."),
        )
    return curve, report


def editsAtStake(ctNode: slicer.vtkMRMLScalarVolumeNode, files: RunFiles | None = None) -> list[str]:
    """IDs of the segments that were edited by hand and are about to change.

    Lungs that were corrected and then handed over as lung mask come back as they are: nothing is lost.

    Args:
        ctNode: a CT, perhaps with results.
        files: of a run, which writes all segments; None for a threshold, which writes the lesion alone.
    """
    segmentationNode = resultNodes.findNode(ctNode, resultNodes.SEGMENTATION)
    if segmentationNode is None:
        return []
    grids = _gridNodesOf(ctNode)
    if files is None:
        edited = lesionSegments.isEdited(segmentationNode, lesionSegments.LESION, *grids)
        return [lesionSegments.LESION] * edited
    return [
        segmentID
        for segmentID, mask in _masksOf(files).items()
        if lesionSegments.isEdited(segmentationNode, segmentID, *grids)
        and not lesionSegments.maskOf(segmentationNode, segmentID, ctNode).equals(mask)
    ]


def editedSegments(ctNode: slicer.vtkMRMLScalarVolumeNode) -> list[str]:
    """Names of the segments of ours that differ from what the numbers in the table are of."""
    segmentationNode = resultNodes.findNode(ctNode, resultNodes.SEGMENTATION)
    if segmentationNode is None:
        return []
    grids = _gridNodesOf(ctNode)
    return [
        segmentationNode.GetSegmentation().GetSegment(segmentID).GetName()
        for segmentID in (lesionSegments.RIGHT_LUNG, lesionSegments.LEFT_LUNG, lesionSegments.LESION)
        if lesionSegments.isEdited(segmentationNode, segmentID, *grids)
    ]


def saveStateForUndo(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Remember the results as they are, once for an action; does nothing where Slicer's undo is off."""
    if any(resultNodes.findNode(ctNode, role) is not None for role in resultNodes.ROLES):
        slicer.mrmlScene.SaveStateForUndo()


def enableUndo(ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Let undo bring back the segmentation and the table."""
    for role in (resultNodes.SEGMENTATION, resultNodes.TABLE):
        resultNodes.nodeOf(ctNode, role).SetUndoEnabled(True)


def _gridNodesOf(ctNode: slicer.vtkMRMLScalarVolumeNode) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """The volumes whose voxels those of a run are, its probability first; any may have been moved since."""
    roles = (resultNodes.PROBABILITY, resultNodes.HEATMAP, resultNodes.PSEUDO_HEALTHY)
    made = (resultNodes.findNode(ctNode, role) for role in roles)
    return [*(node for node in made if node is not None), ctNode]


def _masksOf(files: RunFiles) -> dict[str, CutMask]:
    """What a run found for each of our segments."""
    return {
        lesionSegments.RIGHT_LUNG: CutMask.of(files.lungs == RIGHT),
        lesionSegments.LEFT_LUNG: CutMask.of(files.lungs == LEFT),
        lesionSegments.LESION: CutMask.of(files.lesions),
    }


def _keepEdits(ctNode: slicer.vtkMRMLScalarVolumeNode, segmentIDs: Sequence[str]) -> None:
    """Copy segments to segments of their own, as opaque as they are."""
    for segmentID in segmentIDs:
        segmentationNode = resultNodes.nodeOf(ctNode, resultNodes.SEGMENTATION)
        segmentation, display = segmentationNode.GetSegmentation(), segmentationNode.GetDisplayNode()
        copy = slicer.vtkSegment()
        copy.DeepCopy(segmentation.GetSegment(segmentID))
        copy.SetName(_nameOfCopy(segmentation, copy.GetName()))
        # In the color of the lesion it would hide from view that another one was written.
        copy.SetColor([channel / 255 for channel in colors.EDITED])
        copyID = segmentation.GenerateUniqueSegmentID("COVIDSelfSeg_edited")
        segmentation.AddSegment(copy, copyID)
        # An opaque lung would hide the lesions in 3D.
        display.SetSegmentOpacity3D(copyID, display.GetSegmentOpacity3D(segmentID))
        display.SetSegmentOpacity2DFill(copyID, display.GetSegmentOpacity2DFill(segmentID))
        display.SetSegmentOpacity2DOutline(copyID, display.GetSegmentOpacity2DOutline(segmentID))


def _nameOfCopy(segmentation: slicer.vtkSegmentation, edited: str) -> str:
    name, number = _("{name} (edited by hand)").format(name=edited), 2
    names = {segmentation.GetSegment(segmentID).GetName() for segmentID in segmentation.GetSegmentIDs()}
    while name in names:
        name = _("{name} (edited by hand {number})").format(name=edited, number=number)
        number += 1
    return name


def _withoutSpecks(mask: CutMask, leastVoxels: float) -> CutMask:
    """A mask without components of fewer voxels, as the worker drops them."""
    return CutMask.of(large_parts(mask.inside, leastVoxels)).moved(mask.corner)


def _numbers(
    ctNode: slicer.vtkMRMLScalarVolumeNode, mask: CutMask, voxelMl: float, before: dict[str, Any]
) -> dict[str, Any]:
    """The numbers of the table for another lesion; lung volumes stay those of the run.

    None of a lung whose segment is gone.
    """
    segmentationNode = resultNodes.nodeOf(ctNode, resultNodes.SEGMENTATION)
    hu = slicer.util.arrayFromVolume(ctNode)[mask.box][mask.inside]
    sides = lesionBySide(segmentationNode, mask, _gridNodesOf(ctNode), ctNode.GetSpacing())
    numbers: dict[str, Any] = {}
    for side, chosen in (*sides.items(), ("both", np.ones(len(hu), bool))):
        if chosen is None:
            numbers[side] = dict.fromkeys(before[side])
            continue
        count = int(np.count_nonzero(chosen))
        volume = before[side]["volume_ml"]
        numbers[side] = {
            "volume_ml": volume,
            "infected_ml": count * voxelMl,
            "infected_share": count * voxelMl / volume if volume else 0.0,
            "lesion_hu": float(hu[chosen].mean()) if count else None,
        }
    numbers["severity"] = severity_of(numbers["both"]["infected_share"])
    return numbers
