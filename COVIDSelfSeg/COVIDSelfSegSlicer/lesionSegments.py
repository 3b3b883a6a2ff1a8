"""The segments right lung, left lung and lesion: written whole, with a surface fit for the screen.

Slicer's own conversion takes seconds for a full-size scan. Here labels and surfaces are made of the box that
holds something, and surfaces of voxels no finer than what a screen shows.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import slicer
import vtk
from COVIDSelfSegLib import colors, terms
from slicer.i18n import tr as _
from vtk.util import numpy_support

from .cutMask import CutMask

RIGHT_LUNG, LEFT_LUNG, LESION = "COVIDSelfSeg_right_lung", "COVIDSelfSeg_left_lung", "COVIDSelfSeg_lesion"
"""IDs of our segments."""
_TERMINOLOGY = Path(__file__).resolve().parents[1] / "Resources" / "Terminologies" / "COVIDSelfSeg.term.json"
_FINGERPRINT = "COVIDSelfSeg.fingerprint"
_SURFACE_MM = {RIGHT_LUNG: 3.0, LEFT_LUNG: 3.0, LESION: 1.5}
"""Voxels that a surface is made of; lungs are large and smooth."""
_SAME_PLACE = 0.01
"""Voxels by which grids may differ and still be the same; files round a little."""
_writtenAt: dict[tuple[str, str], int] = {}
"""What :func:`_changedAt` said after writing, so that fingerprints, which take longer, are rarely taken."""
_editedAt: dict[tuple[str, str], tuple[int, bytes]] = {}
"""The same of segments that were found to be edited, and where the grids lay that they were looked at on."""


def prepare(segmentationNode: slicer.vtkMRMLSegmentationNode, ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Give a segmentation node its display, its reference geometry and the three empty segments."""
    segmentationNode.CreateDefaultDisplayNodes()
    # First the transform: the geometry is taken as it looks from under that of the segmentation.
    segmentationNode.SetAndObserveTransformNodeID(ctNode.GetTransformNodeID())
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(ctNode)
    for segmentID in (RIGHT_LUNG, LEFT_LUNG, LESION):
        _segmentOf(segmentationNode, segmentID)


def loadTerminology() -> None:
    """Make our terms known to Slicer, once."""
    logic = slicer.modules.terminologies.logic()
    names: list[str] = []
    logic.GetLoadedTerminologyNames(names)
    if terms.LESION_CONTEXT not in names:
        logic.LoadTerminologyFromFile(str(_TERMINOLOGY))


def write(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentID: str,
    mask: CutMask,
    gridNode: slicer.vtkMRMLScalarVolumeNode,
) -> None:
    """Replace a segment by a mask on the grid of a volume, and make its surface.

    One that the user deleted is made anew. Other segments, also a user's own, stay as they are.

    Args:
        segmentationNode: prepared.
        segmentID: one of ours.
        mask: what the segment shall hold.
        gridNode: the volume whose voxels those of the mask are; the segment comes to lie where that is seen.
    """
    toSegments = _ijkToSegments(gridNode, segmentationNode)
    labels = _orientedImage(mask, toSegments)
    segment = _segmentOf(segmentationNode, segmentID)
    surfaceName = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    surface = _surface(mask, toSegments, gridNode.GetSpacing(), _SURFACE_MM[segmentID])
    wasModifying = segmentationNode.StartModify()  # views that looked in between would make a surface too
    try:
        # One that is there would be made anew by Slicer, at full resolution, as soon as labels change.
        segment.RemoveRepresentation(surfaceName)
        slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
            labels, segmentationNode, segmentID, slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE
        )
        segment.AddRepresentation(surfaceName, surface)
        segment.SetTag(_FINGERPRINT, _fingerprint(mask))
        _writtenAt[segmentationNode.GetID(), segmentID] = _changedAt(segment)
    finally:
        segmentationNode.EndModify(wasModifying)
    segmentationNode.Modified()


def ensureSurfaces(
    segmentationNode: slicer.vtkMRMLSegmentationNode, gridNode: slicer.vtkMRMLScalarVolumeNode
) -> None:
    """Make the surfaces that are missing; without one of them Slicer draws no segment in 3D.

    They go when *Show 3D* of Segment Editor is switched off, and when labels are written from Python.

    Args:
        segmentationNode: holds our segments, and perhaps a user's own.
        gridNode: the volume whose voxels those of our segments are.
    """
    segmentation = segmentationNode.GetSegmentation()
    surfaceName = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    toSegments = _ijkToSegments(gridNode, segmentationNode)
    wasModifying = segmentationNode.StartModify()
    try:
        for segmentID, voxelMm in _SURFACE_MM.items():
            segment = segmentation.GetSegment(segmentID)
            if segment is None or segment.GetRepresentation(surfaceName) is not None:
                continue
            mask = maskOf(segmentationNode, segmentID, gridNode)
            segment.AddRepresentation(surfaceName, _surface(mask, toSegments, gridNode.GetSpacing(), voxelMm))
        segmentation.CreateRepresentation(surfaceName)  # of a user's own segments, by Slicer
    finally:
        segmentationNode.EndModify(wasModifying)


def isEdited(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentID: str,
    *gridNodes: slicer.vtkMRMLScalarVolumeNode,
) -> bool:
    """Whether someone changed a segment since :func:`write` wrote it on the grid of a volume.

    See :func:`maskOf` for more than one.
    """
    segment = segmentationNode.GetSegmentation().GetSegment(segmentID)
    if segment is None:
        return False
    key, changedAt = (segmentationNode.GetID(), segmentID), _changedAt(segment)
    if _writtenAt.get(key) == changedAt:
        return False
    grids = [slicer.util.arrayFromVTKMatrix(_ijkToSegments(node, segmentationNode)) for node in gridNodes]
    seen = changedAt, np.stack(grids).tobytes()
    if _editedAt.get(key) == seen:
        return True
    written = vtk.mutable("")
    if not segment.GetTag(_FINGERPRINT, written):
        return False
    edited = str(written) != _fingerprint(maskOf(segmentationNode, segmentID, *gridNodes))
    if edited:
        _editedAt[key] = seen
    else:  # as in a scene that was just opened
        _writtenAt[key] = changedAt
    return edited


def _segmentOf(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentID: str) -> slicer.vtkSegment:
    """The segment of ours with an ID, made empty if there is none."""
    segmentation = segmentationNode.GetSegmentation()
    if segmentation.GetSegment(segmentID) is None:
        name, color, term = {
            RIGHT_LUNG: (_("right lung"), colors.LUNG, terms.RIGHT_LUNG),
            LEFT_LUNG: (_("left lung"), colors.LUNG, terms.LEFT_LUNG),
            LESION: (_("COVID lesion"), colors.LESION, terms.LESION),
        }[segmentID]
        segmentation.AddEmptySegment(segmentID, name, [channel / 255 for channel in color])
        segment = segmentation.GetSegment(segmentID)
        segment.SetTag(segment.GetTerminologyEntryTagName(), term)
    return segmentation.GetSegment(segmentID)


def _changedAt(segment: slicer.vtkSegment) -> int:
    """When the labels that a segment may share with others changed last, as VTK counts in a process."""
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    labels = segment.GetRepresentation(name)
    return labels.GetMTime() if labels is not None else 0


def maskOf(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentID: str,
    *gridNodes: slicer.vtkMRMLScalarVolumeNode,
) -> CutMask:
    """What a segment covers of the grid of a volume, whatever grid Segment Editor keeps it on.

    Args:
        segmentationNode: holds the segment.
        segmentID: which.
        gridNodes: volumes with the same voxels, of which some may have been moved since. A segment that is on
            the grid of one of them is taken voxel by voxel, any other by where it lies in the first.
    """
    labels = slicer.vtkOrientedImageData()
    segmentationNode.GetBinaryLabelmapRepresentation(segmentID, labels)
    if _arrayOf(labels) is None:
        return CutMask.of(np.zeros((0, 0, 0), bool))
    grids = [_ijkToSegments(gridNode, segmentationNode) for gridNode in gridNodes]
    if not any(_isOnGrid(labels, grid) for grid in grids):
        labels = _resampled(labels, grids[0])
    values = _arrayOf(labels)
    assert values is not None
    i, _i, j, _j, k, _k = labels.GetExtent()
    return CutMask.of(values > 0).moved((k, j, i))


def _isOnGrid(labels: slicer.vtkOrientedImageData, toSegments: vtk.vtkMatrix4x4) -> bool:
    """Whether the voxels of labels are those of a grid, which is a matrix as of :func:`_ijkToSegments`."""
    matrix = vtk.vtkMatrix4x4()
    labels.GetImageToWorldMatrix(matrix)
    own, grid = slicer.util.arrayFromVTKMatrix(matrix), slicer.util.arrayFromVTKMatrix(toSegments)
    low, high = np.reshape(labels.GetExtent(), (3, 2)).T
    corners = np.array([[*low, 1.0], [*high, 1.0]]).T
    # In voxels, at both ends: what is off by a little in each voxel may be far off in the last one.
    return bool(np.abs(np.linalg.solve(grid, own @ corners) - corners).max() < _SAME_PLACE)


def _resampled(
    labels: slicer.vtkOrientedImageData, toSegments: vtk.vtkMatrix4x4
) -> slicer.vtkOrientedImageData:
    """Labels on another grid, each voxel as the one of the labels in which its middle lies."""
    grid, moved = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
    grid.SetImageToWorldMatrix(toSegments)
    grid.SetExtent(0, 0, 0, 0, 0, 0)  # resampling lets it grow to what the labels reach
    grid.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        labels, grid, moved, False, True
    )
    return moved


def largestSliceCenter(segmentationNode: slicer.vtkMRMLSegmentationNode) -> list[float] | None:
    """Where the lesion covers most of a slice of the CT (RAS, mm, in the world), None if there is none."""
    labels = slicer.vtkOrientedImageData()
    segmentationNode.GetBinaryLabelmapRepresentation(LESION, labels)
    values = _arrayOf(labels)
    if values is None or not values.any():
        return None
    deep = int(np.argmax(np.count_nonzero(values, axis=(1, 2))))
    rows, columns = np.nonzero(values[deep])
    extent = labels.GetExtent()
    ijk = (extent[0] + columns.mean(), extent[2] + rows.mean(), extent[4] + deep, 1.0)
    matrix = vtk.vtkMatrix4x4()
    labels.GetImageToWorldMatrix(matrix)
    place = list(matrix.MultiplyPoint(ijk)[:3])
    transform = segmentationNode.GetParentTransformNode()
    if transform is None:
        return place
    toWorld = vtk.vtkGeneralTransform()
    transform.GetTransformToWorld(toWorld)
    return list(toWorld.TransformPoint(place))


def _arrayOf(labels: slicer.vtkOrientedImageData) -> np.ndarray | None:
    """Voxels (k, j, i) of an oriented image, None where it has none."""
    scalars = labels.GetPointData().GetScalars()
    if scalars is None or labels.GetNumberOfPoints() == 0:
        return None
    return numpy_support.vtk_to_numpy(scalars).reshape(labels.GetDimensions()[::-1])


def _fingerprint(mask: CutMask) -> str:
    """Checksum of the voxels of a segment and of where they lie."""
    if mask.isEmpty:
        return "empty"
    return f"{list(mask.corner)} {mask.inside.shape} {zlib.crc32(np.packbits(mask.inside).data)}"


def _ijkToSegments(
    gridNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode
) -> vtk.vtkMatrix4x4:
    """Matrix from a volume's voxels to a segmentation's own coordinates (RAS).

    The two lie under different transforms where one of them was hardened.
    """
    matrix, between = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    gridNode.GetIJKToRASMatrix(matrix)
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(
        gridNode.GetParentTransformNode(), segmentationNode.GetParentTransformNode(), between
    )
    vtk.vtkMatrix4x4.Multiply4x4(between, matrix, matrix)
    return matrix


def _orientedImage(mask: CutMask, toSegments: vtk.vtkMatrix4x4) -> slicer.vtkOrientedImageData:
    """A mask as VTK keeps labels: with its extent in the grid that it is of."""
    image = slicer.vtkOrientedImageData()
    image.SetImageToWorldMatrix(toSegments)
    if mask.isEmpty:
        image.SetExtent(0, -1, 0, -1, 0, -1)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        return image
    deep, rows, columns = mask.box
    image.SetExtent(columns.start, columns.stop - 1, rows.start, rows.stop - 1, deep.start, deep.stop - 1)
    voxels = mask.inside.view(np.uint8).reshape(-1)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(voxels, deep=1))
    return image


def _surface(
    mask: CutMask, toSegments: vtk.vtkMatrix4x4, spacing: Sequence[float], voxelMm: float
) -> vtk.vtkPolyData:
    """Smooth closed surface of a mask, in the segmentation's coordinates (RAS)."""
    if mask.isEmpty:
        return vtk.vtkPolyData()
    steps = [max(1, int(voxelMm / mm)) for mm in spacing[::-1]]
    coarse = np.pad(_pooled(mask.inside, steps), 1)
    image = vtk.vtkImageData()
    image.SetDimensions(coarse.shape[::-1])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(coarse.reshape(-1), deep=1))
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, 0.498 * math.prod(steps))  # a block that is half full is inside
    contour.ComputeNormalsOff()
    contour.ComputeGradientsOff()
    smooth = vtk.vtkWindowedSincPolyDataFilter()
    smooth.SetInputConnection(contour.GetOutputPort())
    smooth.SetNumberOfIterations(25)
    smooth.SetPassBand(0.03)
    smooth.BoundarySmoothingOff()
    smooth.NormalizeCoordinatesOn()
    # From the padded coarse grid to the mask's voxels, and on to RAS.
    toRas = vtk.vtkTransform()
    toRas.SetMatrix(toSegments)
    sizes = steps[::-1]
    toRas.Translate(*(first + (size - 1) / 2 - size for first, size in zip(mask.corner[::-1], sizes)))
    toRas.Scale(*sizes)
    placed = vtk.vtkTransformPolyDataFilter()
    placed.SetInputConnection(smooth.GetOutputPort())
    placed.SetTransform(toRas)
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(placed.GetOutputPort())
    normals.SplittingOff()
    # Contours are oriented already, to the outside; making sure of it would take longer than all the rest.
    normals.ConsistencyOff()
    if toSegments.Determinant() < 0:  # a mirrored triangle looks to the inside
        reverse = vtk.vtkReverseSense()
        reverse.SetInputConnection(placed.GetOutputPort())
        normals.SetInputConnection(reverse.GetOutputPort())
    normals.Update()
    return normals.GetOutput()


def _pooled(mask: np.ndarray, steps: list[int]) -> np.ndarray:
    """How many voxels of each block of ``steps`` voxels lie inside."""
    # The blocks of a very fine CT hold more than one byte can count.
    counts: np.ndarray = mask.view(np.uint8) if math.prod(steps) < 256 else mask.astype(np.uint16)
    for axis, step in enumerate(steps):
        if step > 1:
            pads = [(0, -size % step if number == axis else 0) for number, size in enumerate(counts.shape)]
            counts = np.moveaxis(np.pad(counts, pads), axis, 0)
            counts = np.moveaxis(reduce(np.add, (counts[first::step] for first in range(step))), 0, axis)
    return counts
