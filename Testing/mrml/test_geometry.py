"""The lesion segment lies exactly where the command line's result lies, however the scan is stored."""

import numpy as np
import pytest
import slicer
import vtk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegSlicer import lesionSegments, resultNodes, results, scanExport
from COVIDSelfSegSlicer.cutMask import CutMask
from COVIDSelfSegSlicer.runFiles import RunFiles
from vtk.util.numpy_support import vtk_to_numpy

from COVIDSelfSeg import COVIDSelfSegLogic
from Testing.mrml.sparse_lesions import sparse_lesions
from Testing.sample_names import TRANSFORM
from Testing.slicer_samples import show_truth

pytestmark = pytest.mark.usefixtures("a_scene")


def transform_of(lps_rows):
    """The transform node (RAS) of a matrix in LPS."""
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    matrix = flip @ np.array(lps_rows).reshape(4, 4) @ flip
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def assert_lesions_lie_as_in_the_result_files(samples, name, ct):
    """Segment a CT, and hold the segment against the command line's results where these lie in the world."""
    threshold, sparse = sparse_lesions(samples, name)
    model = str(samples / "models" / "small.safetensors")
    logic = COVIDSelfSegLogic()
    segmentation = logic.segment(ct, model=model, builtinLungs=True, device="cpu", threshold=threshold)
    assert_covers(segmentation, sparse)
    logic.setThreshold(ct, resultNodes.reportOf(ct)["model"]["calibrated_threshold"])
    assert_covers(segmentation, slicer.util.loadLabelVolume(str(samples / f"{name}_lesions.nii.gz")))


def assert_covers(segmentation, expected):
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, lesionSegments.LESION, expected) > 0
    assert found.any()
    assert np.array_equal(found, slicer.util.arrayFromVolume(expected) > 0)


@pytest.mark.parametrize("name", ["oblique", "left_handed"])
def test_the_segment_overlaps_the_result_files_exactly(expected, name):
    ct = slicer.util.loadVolume(str(expected / f"{name}.nrrd"))
    assert_lesions_lie_as_in_the_result_files(expected, name, ct)


def test_a_ct_under_a_linear_transform_is_segmented_where_it_is_seen(expected):
    ct = slicer.util.loadVolume(str(expected / "scan.nrrd"))
    ct.SetAndObserveTransformNodeID(transform_of(TRANSFORM).GetID())
    assert_lesions_lie_as_in_the_result_files(expected, "moved", ct)
    for role in (resultNodes.SEGMENTATION, resultNodes.HEATMAP, resultNodes.PSEUDO_HEALTHY):
        assert resultNodes.findNode(ct, role).GetTransformNodeID() == ct.GetTransformNodeID()


def test_the_worker_is_told_where_a_ct_under_a_linear_transform_is_seen(a_ct, samples):
    """A run cannot tell: it turns its scan to the nearest axes, and finds the same after a small turn."""
    a_ct.SetAndObserveTransformNodeID(transform_of(TRANSFORM).GetID())
    hardened = slicer.util.loadVolume(str(samples / "moved.nrrd"))
    told, expected = (scanExport.scanFiles(ct).ijkToLps for ct in (a_ct, hardened))
    assert np.allclose(told, expected, atol=1e-3)


@pytest.mark.parametrize(
    "rows",
    [(1, 0, 0, 250, 0, 1, 0, -40, 0, 0, 1, 70, 0, 0, 0, 1), TRANSFORM],
    ids=["shifted", "turned"],
)
def test_of_a_ct_under_a_transform_the_segments_are_exported_whole(a_ct, samples, rows):
    """On the CT's own grid, as the export and the Segment Editor take it; after one run and after two."""
    a_ct.SetAndObserveTransformNodeID(transform_of(rows).GetID())
    files = RunFiles.read(samples / "truth", lambda: False)
    for _run in range(2):
        results.setResults(a_ct, files)
        segmentation = resultNodes.findNode(a_ct, resultNodes.SEGMENTATION)
        assert np.allclose(reference_of(segmentation), ijk_to_ras(a_ct))
        labels = exported(segmentation)
        assert labels.shape == files.lungs.shape
        assert np.array_equal(labels == 3, files.lesions > 0)
        assert np.array_equal(labels > 0, (files.lungs > 0) | (files.lesions > 0))


def reference_of(segmentation):
    """Matrix from the voxels of a segmentation's reference geometry to its own coordinates."""
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    text = segmentation.GetSegmentation().GetConversionParameter(name)
    matrix = vtk.vtkMatrix4x4()
    assert slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, matrix, np.zeros(6, int).tolist())
    return slicer.util.arrayFromVTKMatrix(matrix)


def exported(segmentation):
    """Numbers of the segments in the voxels of the reference geometry, as Slicer exports them."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    segment_ids = vtk.vtkStringArray()
    for segment_id in segmentation.GetSegmentation().GetSegmentIDs():
        segment_ids.InsertNextValue(segment_id)
    slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(
        segmentation, segment_ids, node, None, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    )
    return slicer.util.arrayFromVolume(node)


def test_a_ct_under_a_transform_that_bends_it_is_refused(a_ct):
    bending = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "bent")
    bending.SetAndObserveTransformFromParent(slicer.vtkOrientedBSplineTransform())
    a_ct.SetAndObserveTransformNodeID(bending.GetID())
    before = slicer.mrmlScene.GetNumberOfNodes()
    ready, reason = COVIDSelfSegLogic().isReady(a_ct)
    assert not ready
    assert "bends" in reason
    with pytest.raises(UserError, match="bends"):
        COVIDSelfSegLogic().segment(a_ct)
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_volumes_of_a_run_lie_on_the_grid_of_the_ct(a_segmented_ct):
    shape = slicer.util.arrayFromVolume(a_segmented_ct).shape
    wanted = ijk_to_ras(a_segmented_ct)
    for role in (resultNodes.PSEUDO_HEALTHY, resultNodes.HEATMAP, resultNodes.PROBABILITY):
        node = resultNodes.findNode(a_segmented_ct, role)
        assert slicer.util.arrayFromVolume(node).shape == shape
        assert np.allclose(ijk_to_ras(node), wanted)


def center(ct):
    """Move a volume as the button Center Volume does."""
    middle = [*((np.array(ct.GetImageData().GetDimensions()) - 1) / 2), 1.0]
    ct.SetOrigin((ct.GetOrigin() - ijk_to_ras(ct)[:3] @ middle).tolist())


def harden(ct, *roles):
    """Move a CT and some of its results by 50 mm and harden that, as the Transforms module does."""
    transform = transform_of((1, 0, 0, 50, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1))
    for node in (ct, *(resultNodes.findNode(ct, role) for role in roles)):
        node.SetAndObserveTransformNodeID(transform.GetID())
        node.HardenTransform()


@pytest.mark.parametrize(
    "move",
    [
        center,
        harden,
        lambda ct: harden(ct, resultNodes.PROBABILITY),
        lambda ct: harden(ct, resultNodes.SEGMENTATION),
        lambda ct: harden(ct, resultNodes.PROBABILITY, resultNodes.SEGMENTATION),
    ],
    ids=["centered", "hardened", "with its probability", "with its segmentation", "with both"],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_threshold_writes_the_lesion_where_its_probability_lies(a_ct, samples, move, turned):
    if turned:
        a_ct.SetAndObserveTransformNodeID(transform_of(TRANSFORM).GetID())
    show_truth(a_ct, samples / "truth")
    move(a_ct)
    COVIDSelfSegLogic().setThreshold(a_ct, 0.4)
    probability = resultNodes.findNode(a_ct, resultNodes.PROBABILITY)
    expected = slicer.util.arrayFromVolume(probability) >= 0.4 * 255
    segmentation = resultNodes.findNode(a_ct, resultNodes.SEGMENTATION)
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, lesionSegments.LESION, probability)
    assert np.array_equal(found > 0, expected)
    surface = segmentation.GetClosedSurfaceInternalRepresentation(lesionSegments.LESION)
    drawn = in_world(segmentation, vtk_to_numpy(surface.GetPoints().GetData()))
    places = np.argwhere(expected)[:, ::-1]
    placed = in_world(
        probability, places @ ijk_to_ras(probability)[:3, :3].T + ijk_to_ras(probability)[:3, 3]
    )
    for end in (np.min, np.max):
        assert np.allclose(end(drawn, axis=0), end(placed, axis=0), atol=1.5 * max(a_ct.GetSpacing()))


def in_world(node, points):
    """Points in the coordinates of a node, with the transform that it lies under."""
    matrix = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(node.GetParentTransformNode(), None, matrix)
    to_world = slicer.util.arrayFromVTKMatrix(matrix)
    return points @ to_world[:3, :3].T + to_world[:3, 3]


def test_surfaces_lie_around_their_segments(a_segmented_ct):
    segmentation = resultNodes.findNode(a_segmented_ct, resultNodes.SEGMENTATION)
    spacing = max(a_segmented_ct.GetSpacing())
    for segment_id in (lesionSegments.RIGHT_LUNG, lesionSegments.LEFT_LUNG, lesionSegments.LESION):
        labels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, a_segmented_ct)
        places = np.argwhere(labels > 0)[:, ::-1]
        ras = places @ ijk_to_ras(a_segmented_ct)[:3, :3].T + ijk_to_ras(a_segmented_ct)[:3, 3]
        bounds = np.zeros(6)
        surface = segmentation.GetClosedSurfaceInternalRepresentation(segment_id)
        surface.GetBounds(bounds)
        assert np.allclose(bounds[0::2], ras.min(0), atol=1.5 * spacing)
        assert np.allclose(bounds[1::2], ras.max(0), atol=1.5 * spacing)


@pytest.mark.parametrize(("sign", "mm", "size"), [(1.0, 1.0, 40), (-1.0, 1.0, 40), (1.0, 0.2, 150)])
def test_surfaces_look_outward_and_hold_what_their_segment_holds(a_scene, sign, mm, size):  # noqa: ARG001
    """Also those of a CT so fine that a voxel of the surface holds hundreds of its own."""
    z, y, x = (axis - size / 2 for axis in np.ogrid[:size, :size, :size])
    ball = x**2 + y**2 + z**2 < (0.3 * size) ** 2
    handed = np.diag([mm, mm, sign * mm, 1.0])
    ct = slicer.util.addVolumeFromArray(np.zeros(ball.shape, np.int16), handed)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    lesionSegments.prepare(segmentation, ct)
    lesionSegments.write(segmentation, lesionSegments.LESION, CutMask.of(ball), ct)
    surface = segmentation.GetClosedSurfaceInternalRepresentation(lesionSegments.LESION)
    points = vtk_to_numpy(surface.GetPoints().GetData()).astype(float)
    points -= points.mean(0)
    a, b, c = points[vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)].swapaxes(0, 1)
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(ball.sum() * mm**3, rel=0.05)
    assert ((vtk_to_numpy(surface.GetPointData().GetNormals()) * points).sum(1) > 0).all()


def ijk_to_ras(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
