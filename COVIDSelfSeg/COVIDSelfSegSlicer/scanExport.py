"""From the scene to files that the worker reads: the CT as it lies in the world, and a lung mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.lung_labels import LEFT, RIGHT
from COVIDSelfSegLib.scan_files.nrrd import write_nrrd
from slicer.i18n import tr as _


@dataclass(frozen=True)
class ScanFiles:
    """What a thread is to write: arrays (k, j, i) of the CT and of a lung mask, and where they lie.

    The arrays are views of the nodes' own memory; the nodes must not be changed before they are written.
    """

    scan: np.ndarray
    lungs: np.ndarray | None
    ijkToLps: np.ndarray

    def write(self, folder: Path, stop: Callable[[], bool]) -> None:
        """Write ``scan.nrrd`` and, where there is a mask, ``lung_mask.nrrd``."""
        write_nrrd(folder / "scan.nrrd", self.scan, self.ijkToLps, stop)
        if self.lungs is not None:
            write_nrrd(folder / "lung_mask.nrrd", self.lungs, self.ijkToLps, stop)


def scanFiles(
    ctNode: slicer.vtkMRMLScalarVolumeNode,
    lungMaskNode: slicer.vtkMRMLNode | None = None,
    lungSegmentIDs: Sequence[str] | None = None,
) -> ScanFiles:
    """Collect what the worker needs of a CT node.

    Args:
        ctNode: a scalar volume, perhaps under a linear transform.
        lungMaskNode: a segmentation or a label map that tells where the lungs are, or None.
        lungSegmentIDs: which of its segments are lungs; all by default.

    Raises:
        UserError: the CT lies under a transform that bends it; or the mask is none, lacks a segment that was
            chosen, or is empty, perhaps because no segment was chosen.
    """
    lungs = None
    if isinstance(lungMaskNode, slicer.vtkMRMLSegmentationNode):
        lungs = _lungsOfSegments(lungMaskNode, lungSegmentIDs, ctNode)
    elif isinstance(lungMaskNode, slicer.vtkMRMLScalarVolumeNode):
        lungs = _lungsOfLabels(lungMaskNode, ctNode)
    elif lungMaskNode is not None:
        raise UserError(
            _("{mask} is no lung mask.").format(mask=lungMaskNode.GetName()),
            why=_("A lung mask is a segmentation or a label map."),
            fix=_("Choose one of these, or run without a lung mask."),
        )
    return ScanFiles(slicer.util.arrayFromVolume(ctNode), lungs, ijkToLpsOfWorld(ctNode))


def whyItCannotStay(ctNode: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Why results would not stay with what is seen of a CT; empty where they do."""
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    if any(browser.GetSequenceNode(ctNode) is not None for browser in browsers):
        return _(
            "The chosen volume is one time of a sequence: its results would be seen over other times, too. "
            "Clone it in the Data module and choose the clone."
        )
    transform = ctNode.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        return _("The CT lies under a transform that bends it; harden it first.")
    return ""


def ijkToLpsOfWorld(ctNode: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Matrix from voxel indices of a volume to positions in the world, with its transform applied.

    Raises:
        UserError: the transform is not linear.
    """
    matrix = vtk.vtkMatrix4x4()
    ctNode.GetIJKToRASMatrix(matrix)
    transform = ctNode.GetParentTransformNode()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise UserError(
                _("{ct} lies under a transform that bends it ({transform}).").format(
                    ct=ctNode.GetName(), transform=transform.GetName()
                ),
                why=_("The result would not lie where the lesions are."),
                fix=_("Harden the transform (Transforms module), then run again on the hardened volume."),
            )
        toWorld = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(toWorld)
        vtk.vtkMatrix4x4.Multiply4x4(toWorld, matrix, matrix)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ slicer.util.arrayFromVTKMatrix(matrix)


def _lungsOfSegments(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentIDs: Sequence[str] | None,
    ctNode: slicer.vtkMRMLScalarVolumeNode,
) -> np.ndarray:
    """Labels of the chosen segments on the CT's grid: sides where their names tell them, else all right."""
    segmentation = segmentationNode.GetSegmentation()
    chosen = list(segmentation.GetSegmentIDs() if segmentIDs is None else segmentIDs)
    unknown = [segmentID for segmentID in chosen if segmentation.GetSegment(segmentID) is None]
    if unknown:
        raise UserError(
            _("The lung mask {mask} has no segment with the ID {unknown}.").format(
                mask=segmentationNode.GetName(), unknown=", ".join(unknown)
            ),
            why=_("Segments are chosen by their IDs, which need not be their names."),
            fix=_("Choose among its IDs: {ids}.").format(ids=", ".join(segmentation.GetSegmentIDs())),
        )
    sides = [_sideOf(segmentation.GetSegment(segmentID)) for segmentID in chosen]
    told = set(sides) == {RIGHT, LEFT}
    lungs = np.zeros(slicer.util.arrayFromVolume(ctNode).shape, np.uint8)
    for segmentID, side in zip(chosen, sides):
        inside = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentID, ctNode)
        if inside is not None:
            lungs[inside > 0] = side if told else RIGHT
    if not lungs.any():
        raise _emptyMask(segmentationNode)
    return lungs


def _sideOf(segment: slicer.vtkSegment) -> int:
    """Right, left, or 0 where the name does not tell."""
    name = segment.GetName().lower()
    if "right" in name:
        return RIGHT
    return LEFT if "left" in name else 0


def _lungsOfLabels(
    labelNode: slicer.vtkMRMLLabelMapVolumeNode, ctNode: slicer.vtkMRMLScalarVolumeNode
) -> np.ndarray:
    image = labelNode.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:  # as of a node that was just made
        raise _emptyMask(labelNode)
    labels, scan = slicer.util.arrayFromVolume(labelNode), slicer.util.arrayFromVolume(ctNode)
    sameGrid = labels.shape == scan.shape and np.allclose(
        ijkToLpsOfWorld(labelNode), ijkToLpsOfWorld(ctNode), rtol=0, atol=1e-4
    )
    if not sameGrid:
        raise UserError(
            _("The lung mask {mask} is not on the grid of {ct}.").format(
                mask=labelNode.GetName(), ct=ctNode.GetName()
            ),
            why=_("Each voxel of the mask must lie where the same voxel of the CT lies."),
            fix=_("Resample the mask to the CT, or convert it to a segmentation and choose that."),
        )
    if not labels.any():
        raise _emptyMask(labelNode)
    return np.where((labels < 0) | (labels > 255), 255, labels).astype(np.uint8)


def _emptyMask(node: slicer.vtkMRMLNode) -> UserError:
    return UserError(
        _("The lung mask {name} is empty.").format(name=node.GetName()),
        why=_("Lesions are looked for inside the lungs only."),
        fix=_("Choose the segments that hold the lungs, or run without a lung mask."),
    )
