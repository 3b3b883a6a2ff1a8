"""Which lung each voxel of a lesion belongs to, also where a lung was edited by hand or deleted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer

from . import lesionSegments
from .cutMask import CutMask
from .lesionSegments import LEFT_LUNG, RIGHT_LUNG


def lesionBySide(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    lesion: CutMask,
    gridNodes: Sequence[slicer.vtkMRMLScalarVolumeNode],
    spacing: Sequence[float],
) -> dict[str, np.ndarray | None]:
    """Tell the voxels of a lesion in the right lung from those in the left one.

    Args:
        segmentationNode: holds the lungs.
        lesion: of a run, or of its probability at another threshold.
        gridNodes: volumes whose voxels those of the lesion are; see :func:`lesionSegments.maskOf`.
        spacing: of the grid (i, j, k) in mm.

    Returns:
        For ``right`` and ``left``, bool for each voxel that the lesion holds; None where the segment of that
        lung is gone or empty. Where both are there, each voxel belongs to one of them.
    """
    right, left = (_lungOf(segmentationNode, segmentID, gridNodes) for segmentID in (RIGHT_LUNG, LEFT_LUNG))
    if right is None or left is None:
        lungs = {"right": right, "left": left}
        return {side: None if lung is None else _covered(lung, lesion) for side, lung in lungs.items()}
    inRight, inLeft = _covered(right, lesion), _covered(left, lesion)
    undecided = inRight == inLeft
    if undecided.any():
        # A run finds lesions in its lungs alone: what lies outside one that is as the run wrote it, it found
        # in the other.
        if not lesionSegments.isEdited(segmentationNode, LEFT_LUNG, *gridNodes):
            inRight[undecided] = ~inLeft[undecided]
        elif lesionSegments.isEdited(segmentationNode, RIGHT_LUNG, *gridNodes):
            inRight[undecided] = _isNearer(right, left, _placesOf(lesion, undecided), spacing)
    return {"right": inRight, "left": ~inRight}


def _lungOf(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentID: str,
    gridNodes: Sequence[slicer.vtkMRMLScalarVolumeNode],
) -> CutMask | None:
    if segmentationNode.GetSegmentation().GetSegment(segmentID) is None:
        return None
    lung = lesionSegments.maskOf(segmentationNode, segmentID, *gridNodes)
    return None if lung.isEmpty else lung


def _covered(lung: CutMask, lesion: CutMask) -> np.ndarray:
    """Bool for each voxel that a lesion holds."""
    return lung.over(lesion)[lesion.inside]


def _placesOf(lesion: CutMask, chosen: np.ndarray) -> np.ndarray:
    """Indices (k, j, i) on the grid of some of the voxels that a lesion holds."""
    inside = lesion.inside.copy()
    inside[lesion.inside] = chosen
    return np.argwhere(inside) + lesion.corner


def _isNearer(lung: CutMask, other: CutMask, places: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Whether places are nearer to the middle of one lung's box than to that of the other's.

    A surface would not do: where the base of a lung was erased, the other lung's may be nearer.
    """
    middles = [np.add(mask.corner, np.divide(mask.inside.shape, 2)) for mask in (lung, other)]
    # The side of the plane halfway between the two, in voxels: one product where two distances take long.
    towards = (middles[0] - middles[1]) * np.square(spacing[::-1])
    return places @ towards > np.mean(middles, axis=0) @ towards
