"""The scene of the stand-in behaves as in the application: real nodes, logics, files and ``slicer.util``."""

import shutil
import sys

import numpy as np
import pytest
import slicer
import vtk
from host import user

pytestmark = pytest.mark.usefixtures("a_scene")

OBLIQUE = np.array(
    [
        [-1.9, 0.3, 0.5, 12.0],
        [-0.35, -1.95, 0.4, -34.0],
        [0.45, 0.45, 2.9, 56.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def orthonormal(matrix):
    """The nearest matrix whose axes are at right angles, with the same spacing, as image files need."""
    u, _, v = np.linalg.svd(matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0))
    result = matrix.copy()
    result[:3, :3] = (u @ v) * np.linalg.norm(matrix[:3, :3], axis=0)
    return result


@pytest.fixture
def a_volume(a_scene):  # noqa: ARG001 - closes the scene first
    voxels = np.random.default_rng(0).integers(-1000, 400, (5, 6, 7), dtype=np.int16)
    return slicer.util.addVolumeFromArray(voxels, orthonormal(OBLIQUE), name="CT")


@pytest.fixture
def a_segmentation(a_volume):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "COVID lesions")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume)
    segment_id = node.GetSegmentation().AddEmptySegment("lesion", "lesion")
    slicer.util.updateSegmentBinaryLabelmapFromArray(a_lesion(), node, segment_id, a_volume)
    return node


def a_lesion():
    lesion = np.zeros((5, 6, 7), np.uint8)
    lesion[1:4, 2:5, 2:6] = 1
    return lesion


def ijk_to_ras(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def test_only_the_names_of_the_application_are_in_the_namespace():
    assert slicer.vtkMRMLScalarVolumeNode
    for leaked in ("loadVolume", "getNode", "array", "os"):
        assert not hasattr(slicer, leaked), f"slicer.{leaked} does not exist in Slicer"
    assert not hasattr(slicer, "parameterNodeWrapper")


def test_logics_are_reachable_through_their_modules(a_scene):
    assert slicer.modules.volumes.logic().IsA("vtkSlicerVolumesLogic")
    assert slicer.modules.segmentations.logic().GetMRMLScene() is a_scene
    assert slicer.app.applicationLogic().GetModuleLogic("Colors").IsA("vtkMRMLColorLogic")
    with pytest.raises(AttributeError):
        slicer.modules.nosuchmodule  # noqa: B018


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz", ".mha"])
def test_an_oblique_volume_survives_saving_and_loading(a_volume, tmp_path, extension):
    path = str(tmp_path / f"ct{extension}")
    assert slicer.util.saveNode(a_volume, path)
    loaded = slicer.util.loadVolume(path, {"show": False})
    assert loaded.GetName() == "ct"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), slicer.util.arrayFromVolume(a_volume))
    np.testing.assert_allclose(ijk_to_ras(loaded), ijk_to_ras(a_volume), atol=1e-4)


def test_a_left_handed_volume_is_turned_on_loading_and_keeps_its_place(tmp_path):
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    left_handed = slicer.util.addVolumeFromArray(voxels, np.diag([-1.0, 1.0, 1.0, 1.0]))
    path = str(tmp_path / "left_handed.nrrd")
    slicer.util.saveNode(left_handed, path)
    loaded = slicer.util.loadVolume(path)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), voxels[::-1])
    np.testing.assert_allclose(ijk_to_ras(loaded) @ [0, 0, 1, 1], ijk_to_ras(left_handed) @ [0, 0, 0, 1])


def test_a_loaded_volume_is_shown_in_the_slice_views(a_volume, tmp_path):
    path = str(tmp_path / "ct.nrrd")
    slicer.util.saveNode(a_volume, path)
    loaded = slicer.util.loadVolume(path)
    widget = slicer.app.layoutManager().sliceWidget("Red")
    assert widget.mrmlSliceCompositeNode().GetBackgroundVolumeID() == loaded.GetID()


def test_a_file_that_is_no_volume_raises_a_runtime_error(tmp_path):
    path = tmp_path / "broken.nrrd"
    path.write_text("this is no volume")
    with pytest.raises(RuntimeError, match="Failed to load node from file"):
        slicer.util.loadVolume(str(path))


def test_a_path_object_is_refused_where_qt_needs_text(a_volume, tmp_path):
    with pytest.raises(TypeError, match="must be a str"):
        slicer.util.saveNode(a_volume, tmp_path / "ct.nrrd")


def test_a_label_volume_is_loaded_as_one(a_volume, tmp_path):
    path = str(tmp_path / "ct.nrrd")
    slicer.util.saveNode(a_volume, path)
    assert slicer.util.loadLabelVolume(path).IsA("vtkMRMLLabelMapVolumeNode")


def test_voxels_are_changed_in_place_and_from_an_array(a_volume):
    slicer.util.arrayFromVolume(a_volume)[:] = 7
    slicer.util.arrayFromVolumeModified(a_volume)
    assert a_volume.GetImageData().GetScalarRange() == (7.0, 7.0)
    slicer.util.updateVolumeFromArray(a_volume, np.full((2, 3, 4), 1.5, np.float32))
    assert a_volume.GetImageData().GetDimensions() == (4, 3, 2)


def test_a_segment_keeps_its_voxels_on_an_oblique_grid(a_segmentation, a_volume):
    found = slicer.util.arrayFromSegmentBinaryLabelmap(a_segmentation, "lesion", a_volume)
    np.testing.assert_array_equal(found, a_lesion())


def test_a_closed_surface_lies_around_its_segment(a_segmentation, a_volume):
    a_segmentation.CreateClosedSurfaceRepresentation()
    surface = vtk.vtkPolyData()
    assert a_segmentation.GetClosedSurfaceRepresentation("lesion", surface)
    assert surface.GetNumberOfPoints() > 0
    indices = np.argwhere(a_lesion())[:, ::-1].mean(axis=0)
    center = (ijk_to_ras(a_volume) @ [*indices, 1.0])[:3]
    bounds = np.reshape(surface.GetBounds(), (3, 2))
    np.testing.assert_allclose(bounds.mean(axis=1), center, atol=0.5)


def test_a_segmentation_survives_saving_and_loading(a_segmentation, a_volume, tmp_path):
    path = str(tmp_path / "lesions.seg.nrrd")
    assert slicer.util.saveNode(a_segmentation, path)
    loaded = slicer.util.loadSegmentation(path)
    segment_id = loaded.GetSegmentation().GetSegmentIdBySegmentName("lesion")
    found = slicer.util.arrayFromSegmentBinaryLabelmap(loaded, segment_id, a_volume)
    np.testing.assert_array_equal(found, a_lesion())


def test_a_scene_survives_saving_and_loading_as_a_bundle(a_segmentation, a_volume, tmp_path):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Numbers")
    slicer.util.updateTableFromArray(table, [np.array([1.5, 2.5])], ["ml"])
    parameters = slicer.vtkMRMLScriptedModuleNode()
    parameters.SetSingletonTag("COVIDSelfSeg")
    parameters.SetAttribute("ModuleName", "COVIDSelfSeg")
    parameters = slicer.mrmlScene.AddNode(parameters)
    parameters.SetNodeReferenceID("CT", a_volume.GetID())
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "COVIDSelfSeg")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(a_segmentation), folder)
    voxels = slicer.util.arrayFromVolume(a_volume).copy()

    path = str(tmp_path / "case.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(False)
    assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    slicer.util.loadScene(path)

    volume = slicer.util.getNode("CT")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), voxels)
    segmentation = slicer.util.getNode("COVID lesions")
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "lesion", volume)
    np.testing.assert_array_equal(found, a_lesion())
    np.testing.assert_array_equal(
        slicer.util.arrayFromTableColumn(slicer.util.getNode("Numbers"), "ml"), [1.5, 2.5]
    )
    restored = slicer.mrmlScene.GetSingletonNode("COVIDSelfSeg", "vtkMRMLScriptedModuleNode")
    assert restored.GetNodeReference("CT") is volume
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(segmentation))
    assert hierarchy.GetItemName(parent) == "COVIDSelfSeg"


def test_a_parameter_node_survives_closing_the_scene_and_is_found_again():
    logic = slicer.ScriptedLoadableModule.ScriptedLoadableModuleLogic()
    logic.moduleName = "Sample"
    node = logic.getParameterNode()
    node.SetParameter("Threshold", "0.5")
    slicer.mrmlScene.Clear(False)
    assert logic.getParameterNode() is node
    assert not node.GetParameter("Threshold")


def test_parameter_nodes_of_other_tests_are_gone():
    assert not slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")


def test_a_linear_transform_is_hardened_and_a_warping_one_is_told_apart(a_volume):
    before = ijk_to_ras(a_volume)
    shift = np.eye(4)
    shift[:3, 3] = 10.0, -20.0, 30.0
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Shift")
    slicer.util.updateTransformMatrixFromArray(transform, shift)
    a_volume.SetAndObserveTransformNodeID(transform.GetID())
    assert transform.IsTransformToWorldLinear()
    a_volume.HardenTransform()
    np.testing.assert_allclose(ijk_to_ras(a_volume), shift @ before)
    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Warp")
    assert not warp.IsTransformToWorldLinear()


def test_data_nodes_get_subject_hierarchy_items_and_lose_them(a_volume):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(a_volume)
    assert hierarchy.GetItemName(item) == "CT"
    assert hierarchy.GetItemOwnerPluginName(item) == "Volumes"
    slicer.mrmlScene.RemoveNode(a_volume)
    assert "CT" not in names_in(hierarchy)


def test_segments_have_items_below_their_segmentation(a_segmentation):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    parent = hierarchy.GetItemByDataNode(a_segmentation)
    assert names_in(hierarchy, parent) == ["lesion"]
    a_segmentation.GetSegmentation().GetSegment("lesion").SetName("COVID lesion")
    assert names_in(hierarchy, parent) == ["COVID lesion"]
    a_segmentation.GetSegmentation().RemoveSegment("lesion")
    assert names_in(hierarchy, parent) == []


def test_hidden_nodes_have_no_item(a_scene):
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetHideFromEditors(True)
    a_scene.AddNode(node)
    assert not a_scene.GetSubjectHierarchyNode().GetItemByDataNode(node)


@pytest.mark.usefixtures("a_volume")
def test_nodes_have_items_again_after_the_scene_was_closed():
    slicer.mrmlScene.Clear(False)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Again")
    node.GetSegmentation().AddEmptySegment("lesion", "lesion")
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    assert names_in(hierarchy) == ["Again", "lesion"]


def names_in(hierarchy, item=None):
    return [
        hierarchy.GetItemName(i) for i in slicer.util.getSubjectHierarchyItemChildren(item, recursive=True)
    ]


def test_layers_of_the_slice_views_are_set(a_volume):
    slicer.util.setSliceViewerLayers(
        background=a_volume, foreground=a_volume, foregroundOpacity=0.3, fit=True
    )
    for name in slicer.app.layoutManager().sliceViewNames():
        composite = slicer.app.layoutManager().sliceWidget(name).mrmlSliceCompositeNode()
        assert composite.GetForegroundVolumeID() == a_volume.GetID()
        assert composite.GetForegroundOpacity() == 0.3


def test_adding_the_same_observer_twice_only_warns(a_volume):
    class Listener(slicer.util.VTKObservationMixin):
        def listen(self, caller, event):
            """Nothing to do."""

    listener = Listener()
    listener.addObserver(a_volume, "ModifiedEvent", listener.listen)
    with pytest.warns(UserWarning, match="already has observer"):
        listener.addObserver(a_volume, "ModifiedEvent", listener.listen)
    listener.removeObservers()


def test_a_console_process_tells_its_lines_and_its_end():
    lines, codes = [], []
    program = "import sys; print('lungs'); sys.exit(3)"
    slicer.util.launchConsoleProcess(
        [sys.executable, "-c", program],
        blocking=False,
        logCallback=lines.append,
        completedCallback=codes.append,
    )
    user.wait_until(lambda: codes)
    assert (lines, codes) == (["lungs"], [3])


def test_scripts_run_in_the_applications_python():
    process = slicer.util.launchConsoleProcess(
        [shutil.which("PythonSlicer"), "-c", "import slicer, sys; print(sys.prefix)"]
    )
    output, _ = process.communicate()
    assert output.strip() == sys.prefix


def test_a_process_in_the_startup_environment_does_not_find_the_applications_python():
    assert shutil.which("PythonSlicer")
    path = slicer.util.startupEnvironment()["PATH"]
    assert shutil.which("PythonSlicer", path=path) is None


def test_a_table_is_filled_and_plotted():
    chart = slicer.util.plot(
        np.array([[0.0, 1.0], [0.5, 3.0]]), 0, ["threshold", "ml"], "Infected", show=True
    )
    assert chart.GetNumberOfPlotSeriesNodes() == 1
    assert slicer.app.layoutManager().plotViewCount == 1


def test_temporary_folders_are_inside_the_hosts_own():
    assert slicer.util.tempDirectory().startswith(slicer.app.temporaryPath)
    assert slicer.app.temporaryPath.startswith(slicer.app.slicerHome)


def test_terminologies_know_lungs():
    entry = slicer.vtkSlicerTerminologyEntry()
    logic = slicer.modules.terminologies.logic()
    assert logic.DeserializeTerminologyEntry(
        "Segmentation category and type - 3D Slicer General Anatomy list"
        "~SCT^123037004^Anatomical Structure~SCT^39607008^Lung~SCT^24028007^Right~~^^~^^",
        entry,
    )
    assert entry.GetTypeModifierObject().GetCodeMeaning() == "Right"
