"""What a run leaves in the scene: whose it is, what it says, and what it never touches."""

import numpy as np
import pytest
import slicer
import vtk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegSlicer import lesionSegments, resultNodes, results, scanExport
from COVIDSelfSegSlicer.runFiles import RunFiles

from COVIDSelfSeg import COVIDSelfSegLogic
from Testing.slicer_samples import show_truth

RIGHT, LEFT, LESION = lesionSegments.RIGHT_LUNG, lesionSegments.LEFT_LUNG, lesionSegments.LESION


def node_of(ct, role=resultNodes.SEGMENTATION):
    return resultNodes.findNode(ct, role)


def voxels(ct, segment_id, segmentation=None):
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation or node_of(ct), segment_id, ct) > 0


def edit(ct, segment_id):
    """Paint a block into a segment, as the Segment Editor does; returns what it holds then."""
    labels = voxels(ct, segment_id).astype(np.uint8)
    labels[20:24, 60:70, 50:60] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(labels, node_of(ct), segment_id, ct)
    return labels > 0


def ids_of_all_nodes():
    scene = slicer.mrmlScene
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def cell(ct, title, side="both"):
    table = node_of(ct, resultNodes.TABLE)
    rows = {table.GetCellText(row, 0): row for row in range(table.GetNumberOfRows())}
    columns = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    return table.GetCellText(rows[title], columns.index(side))


def test_every_result_stands_beside_the_ct_in_the_subject_hierarchy(a_segmented_ct):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(a_segmented_ct))
    for role in resultNodes.ROLES:
        node = node_of(a_segmented_ct, role)
        assert node.GetName().startswith("scan ")
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == parent


def test_results_follow_the_ct_into_its_study(a_ct, samples):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(a_ct), study)
    show_truth(a_ct, samples / "truth")
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node_of(a_ct))) == study


def test_segments_have_names_colors_and_standard_terms(a_segmented_ct):
    segmentation = node_of(a_segmented_ct).GetSegmentation()
    named = {name: segmentation.GetSegment(name) for name in (RIGHT, LEFT, LESION)}
    assert [segment.GetName() for segment in named.values()] == ["right lung", "left lung", "COVID lesion"]
    red, green, blue = named[LESION].GetColor()
    assert red > 2 * max(green, blue)
    assert named[RIGHT].GetColor()[2] == max(named[RIGHT].GetColor())
    terms = {}
    for name, segment in named.items():
        text = vtk.reference("")
        assert segment.GetTag(segment.GetTerminologyEntryTagName(), text)
        terms[name] = str(text)
    assert "39607008^Lung~SCT^24028007^Right" in terms[RIGHT]
    assert "39607008^Lung~SCT^7771000^Left" in terms[LEFT]
    assert terms[LESION].startswith("COVID-19 findings in chest CT~")


def test_the_terms_are_known_to_slicer(a_segmented_ct):
    logic = slicer.modules.terminologies.logic()
    names = []
    logic.GetLoadedTerminologyNames(names)
    assert "COVID-19 findings in chest CT" in names
    entry = slicer.vtkSlicerTerminologyEntry()
    text = vtk.reference("")
    segment = node_of(a_segmented_ct).GetSegmentation().GetSegment(LESION)
    segment.GetTag(segment.GetTerminologyEntryTagName(), text)
    assert logic.DeserializeTerminologyEntry(str(text), entry)
    assert entry.GetTypeObject().GetCodeMeaning() == "Pneumonia caused by SARS-CoV-2"


def test_the_segmentation_refers_to_the_geometry_of_the_ct(a_segmented_ct):
    # The export to DICOM SEG fails without it.
    reference = node_of(a_segmented_ct).GetNodeReference("referenceImageGeometryRef")
    assert reference is a_segmented_ct


def test_the_written_segments_are_those_of_the_run(a_segmented_ct, samples):
    files = RunFiles.read(samples / "truth", lambda: False)
    assert np.array_equal(voxels(a_segmented_ct, LESION), files.lesions > 0)
    assert np.array_equal(voxels(a_segmented_ct, RIGHT), files.lungs == 1)
    assert np.array_equal(voxels(a_segmented_ct, LEFT), files.lungs == 2)


def test_the_file_of_lesions_that_a_run_writes_is_the_segment_that_the_panel_shows(a_segmented_ct, samples):
    read = slicer.util.loadSegmentation(str(samples / "truth" / "lesions.seg.nrrd"))
    (segment_id,) = read.GetSegmentation().GetSegmentIDs()
    segment = read.GetSegmentation().GetSegment(segment_id)
    shown = node_of(a_segmented_ct).GetSegmentation().GetSegment(LESION)
    assert segment.GetName() == shown.GetName()
    assert segment.GetColor() == pytest.approx(shown.GetColor(), abs=1 / 255)
    terms = [vtk.reference(""), vtk.reference("")]
    for one, text in zip((segment, shown), terms, strict=True):
        one.GetTag(one.GetTerminologyEntryTagName(), text)
    assert str(terms[0]) == str(terms[1]) != ""
    assert np.array_equal(voxels(a_segmented_ct, segment_id, read), voxels(a_segmented_ct, LESION))


def test_the_pseudo_healthy_volume_and_the_heatmap_add_up_to_the_ct(a_segmented_ct):
    healthy, heat = (
        slicer.util.arrayFromVolume(node_of(a_segmented_ct, role))
        for role in (resultNodes.PSEUDO_HEALTHY, resultNodes.HEATMAP)
    )
    assert np.array_equal(healthy + heat, slicer.util.arrayFromVolume(a_segmented_ct))


def test_the_probability_is_kept_in_eight_bits(a_segmented_ct):
    array = slicer.util.arrayFromVolume(node_of(a_segmented_ct, resultNodes.PROBABILITY))
    assert array.dtype == np.uint8


def test_a_threshold_writes_lesion_and_table_and_nothing_else(a_segmented_ct):
    ct = a_segmented_ct
    lungs = voxels(ct, RIGHT), voxels(ct, LEFT)
    nodes = ids_of_all_nodes()
    COVIDSelfSegLogic().setThreshold(ct, 0.8)
    assert ids_of_all_nodes() == nodes
    probability = slicer.util.arrayFromVolume(node_of(ct, resultNodes.PROBABILITY))
    assert np.array_equal(voxels(ct, LESION), probability >= 0.8 * 255)
    assert np.array_equal(voxels(ct, RIGHT), lungs[0])
    assert np.array_equal(voxels(ct, LEFT), lungs[1])
    assert resultNodes.thresholdOf(ct) == 0.8
    assert cell(ct, "threshold") == "0.80"


def test_table_curve_and_segment_tell_the_same_volume(a_segmented_ct):
    ct = a_segmented_ct
    for threshold in (0.2, 0.5, 0.9):
        COVIDSelfSegLogic().setThreshold(ct, threshold)
        ml = voxels(ct, LESION).sum() * np.prod(ct.GetSpacing()) / 1000
        assert float(cell(ct, "infected (ml)")) == pytest.approx(ml, abs=0.06)
        assert resultNodes.curveOf(ct).infected_ml(threshold) == pytest.approx(ml, rel=1e-6)
        sides = [float(cell(ct, "infected (ml)", side)) for side in ("right", "left")]
        assert sum(sides) == pytest.approx(ml, abs=0.11)


def test_a_threshold_that_finds_nothing_leaves_an_empty_segment(a_segmented_ct):
    probability = node_of(a_segmented_ct, resultNodes.PROBABILITY)
    slicer.util.arrayFromVolume(probability)[:] = 0
    COVIDSelfSegLogic().setThreshold(a_segmented_ct, 0.5)
    assert not voxels(a_segmented_ct, LESION).any()
    assert cell(a_segmented_ct, "infected (ml)") == "0.0"
    assert cell(a_segmented_ct, "mean HU of lesions") == "-"
    assert cell(a_segmented_ct, "severity (MosMed)") == "CT-0"


def test_specks_are_dropped_as_the_worker_drops_them(a_ct, samples):
    files = RunFiles.read(samples / "truth", lambda: False)
    files.report["least_lesion_ml"] = 0.3
    files.probability[2, 2, 2] = 255
    results.setResults(a_ct, files)
    COVIDSelfSegLogic().setThreshold(a_ct, 0.5)
    assert not voxels(a_ct, LESION)[2, 2, 2]
    assert voxels(a_ct, LESION).any()


def test_under_a_transform_that_scales_a_voxel_is_what_the_worker_measured(a_ct, samples):
    files, larger = RunFiles.read(samples / "truth", lambda: False), 1.1**3
    files.report["threshold_curve"]["voxel_ml"] *= larger
    for side in ("right", "left", "both"):
        for key in ("volume_ml", "infected_ml"):
            files.report["numbers"][side][key] *= larger
    scaling = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    scaling.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1.1, 1.1, 1.1, 1.0])))
    a_ct.SetAndObserveTransformNodeID(scaling.GetID())
    results.setResults(a_ct, files)
    titles = ("infected (ml)", "infected (% of lung)")
    told = {(title, side): cell(a_ct, title, side) for title in titles for side in ("right", "left", "both")}
    COVIDSelfSegLogic().setThreshold(a_ct, 0.5)
    assert {key: cell(a_ct, *key) for key in told} == told
    assert float(told["infected (ml)", "both"]) > 0


def test_specks_are_as_large_as_the_worker_measured_them(a_ct, samples):
    files = RunFiles.read(samples / "truth", lambda: False)
    files.probability[2, 2, 2:8] = 255
    files.report["threshold_curve"]["voxel_ml"] *= 1.1**3
    files.report["least_lesion_ml"] = 5.9 * files.report["threshold_curve"]["voxel_ml"]
    results.setResults(a_ct, files)
    COVIDSelfSegLogic().setThreshold(a_ct, 0.5)
    assert voxels(a_ct, LESION)[2, 2, 2:8].all()


def test_a_second_run_updates_the_same_nodes(a_segmented_ct, samples):
    nodes = ids_of_all_nodes()
    files = RunFiles.read(samples / "truth", lambda: False)
    files.lesions[:] = 0
    files.heatmap[:] = 7
    results.setResults(a_segmented_ct, files)
    assert ids_of_all_nodes() == nodes
    assert not voxels(a_segmented_ct, LESION).any()
    assert (slicer.util.arrayFromVolume(node_of(a_segmented_ct, resultNodes.HEATMAP)) == 7).all()


def test_two_cts_have_results_of_their_own(a_segmented_ct, samples):
    other = slicer.util.loadVolume(str(samples / "left_handed.nrrd"))
    assert not resultNodes.hasResults(other)
    show_truth(other, samples / "truth")
    assert node_of(other) is not node_of(a_segmented_ct)


def test_segments_of_the_user_stay_as_they_are(a_segmented_ct, samples):
    ct, segmentation = a_segmented_ct, node_of(a_segmented_ct)
    mine = np.zeros(slicer.util.arrayFromVolume(ct).shape, np.uint8)
    mine[20:40, 40:100, 40:100] = 1
    segment_id = segmentation.GetSegmentation().AddEmptySegment("", "mine")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mine, segmentation, segment_id, ct)
    COVIDSelfSegLogic().setThreshold(ct, 0.3)
    show_truth(ct, samples / "truth")
    assert np.array_equal(voxels(ct, segment_id), mine > 0)


def test_segments_that_nobody_touched_are_not_taken_for_edited(a_segmented_ct):
    ct, segmentation = a_segmented_ct, node_of(a_segmented_ct)
    assert not any(lesionSegments.isEdited(segmentation, name, ct) for name in (RIGHT, LEFT, LESION))
    COVIDSelfSegLogic().setThreshold(ct, 0.7)
    assert not any(lesionSegments.isEdited(segmentation, name, ct) for name in (RIGHT, LEFT, LESION))


def test_a_segment_that_was_edited_is_looked_at_again_only_where_it_or_its_grid_changed(
    a_segmented_ct, monkeypatch
):
    def edited_now():
        looked.clear()
        return results.editedSegments(a_segmented_ct)

    looked, take = [], lesionSegments._fingerprint
    edit(a_segmented_ct, lesionSegments.LESION)
    monkeypatch.setattr(lesionSegments, "_fingerprint", lambda mask: looked.append(mask) or take(mask))
    for is_new in (True, False):
        assert edited_now() == ["COVID lesion"]
        assert bool(looked) == is_new
    node_of(a_segmented_ct, resultNodes.PROBABILITY).SetOrigin(1.0, 2.0, 3.0)
    edited_now()
    assert looked
    results.writeLesion(a_segmented_ct, 0.5)
    assert edited_now() == []


def test_hand_edits_are_kept_beside_a_new_lesion(a_segmented_ct, samples):
    ct = a_segmented_ct
    edited = edit(ct, LESION)
    assert lesionSegments.isEdited(node_of(ct), LESION, ct)
    COVIDSelfSegLogic().setThreshold(ct, 0.9)
    names = [
        node_of(ct).GetSegmentation().GetSegment(segment_id).GetName()
        for segment_id in node_of(ct).GetSegmentation().GetSegmentIDs()
    ]
    assert names == ["right lung", "left lung", "COVID lesion", "COVID lesion (edited by hand)"]
    kept = node_of(ct).GetSegmentation().GetSegmentIdBySegmentName("COVID lesion (edited by hand)")
    assert np.array_equal(voxels(ct, kept), edited)
    color_of = node_of(ct).GetSegmentation().GetSegment
    assert color_of(kept).GetColor() != color_of(LESION).GetColor(), "the new lesion is seen beneath it"
    edit(ct, LESION)
    show_truth(ct, samples / "truth")
    assert node_of(ct).GetSegmentation().GetNumberOfSegments() == 5
    assert np.array_equal(voxels(ct, kept), edited)


@pytest.mark.parametrize(("segment_id", "name"), [(RIGHT, "right lung"), (LEFT, "left lung")])
def test_hand_edits_of_a_lung_are_kept_beside_those_of_a_new_run(a_segmented_ct, samples, segment_id, name):
    ct, segmentation = a_segmented_ct, node_of(a_segmented_ct)
    found = voxels(ct, segment_id)
    edited = edit(ct, segment_id)
    assert not np.array_equal(edited, found)
    COVIDSelfSegLogic().setThreshold(ct, 0.9)
    assert np.array_equal(voxels(ct, segment_id), edited), "a threshold writes no lung"
    show_truth(ct, samples / "truth")
    kept = segmentation.GetSegmentation().GetSegmentIdBySegmentName(f"{name} (edited by hand)")
    assert np.array_equal(voxels(ct, kept), edited)
    assert np.array_equal(voxels(ct, segment_id), found)
    display = segmentation.GetDisplayNode()
    assert display.GetSegmentOpacity3D(kept) == display.GetSegmentOpacity3D(segment_id) < 1


def test_corrected_lungs_that_a_run_took_as_its_mask_are_not_copied(a_segmented_ct, samples):
    files = RunFiles.read(samples / "truth", lambda: False)
    files.lungs[edit(a_segmented_ct, LEFT)] = 2
    assert results.editsAtStake(a_segmented_ct, RunFiles.read(samples / "truth", lambda: False)) == [LEFT]
    assert results.editsAtStake(a_segmented_ct, files) == []
    results.setResults(a_segmented_ct, files)
    assert node_of(a_segmented_ct).GetSegmentation().GetNumberOfSegments() == 3


def test_hand_edits_go_where_the_user_says_so(a_segmented_ct):
    edit(a_segmented_ct, LESION)
    COVIDSelfSegLogic().setThreshold(a_segmented_ct, 0.9, overwriteEdits=True)
    assert node_of(a_segmented_ct).GetSegmentation().GetNumberOfSegments() == 3


SIDES = ("right", "left", "both")


def infected(ct):
    return {side: cell(ct, "infected (ml)", side) for side in SIDES}


def erase(ct, segment_id, where):
    labels = (voxels(ct, segment_id) & ~where).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(labels, node_of(ct), segment_id, ct)


@pytest.mark.parametrize("edited", [(RIGHT,), (LEFT,), (RIGHT, LEFT)])
def test_lesions_stay_in_their_lung_where_lungs_were_edited(a_segmented_ct, edited):
    ct = a_segmented_ct
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    before, lesion = infected(ct), voxels(ct, LESION)
    assert "0.0" not in before.values()
    for segment_id in edited:
        assert (voxels(ct, segment_id) & lesion).any()
        erase(ct, segment_id, lesion)
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    assert infected(ct) == before


@pytest.mark.parametrize("edited", [RIGHT, LEFT])
def test_beside_a_lung_that_nobody_touched_lies_the_other_however_little_is_left_of_it(
    a_segmented_ct, edited
):
    ct = a_segmented_ct
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    before, lung = infected(ct), voxels(ct, edited)
    apex = np.flatnonzero(lung.any(axis=(1, 2)))[-1]
    lung[apex] = False
    erase(ct, edited, lung)
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    assert infected(ct) == before


def test_a_lesion_that_was_moved_to_the_other_lung_by_hand_is_counted_there(a_segmented_ct):
    ct = a_segmented_ct
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    moved = voxels(ct, LESION) & voxels(ct, LEFT)
    erase(ct, LEFT, moved)
    labels = (voxels(ct, RIGHT) | moved).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(labels, node_of(ct), RIGHT, ct)
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    assert infected(ct)["left"] == "0.0"
    assert infected(ct)["right"] == infected(ct)["both"]


def test_what_of_a_lesion_was_erased_from_both_lungs_belongs_to_the_nearer_one(a_segmented_ct):
    # Each lung keeps its upper half, which for a base may be farther than the other lung's base.
    ct = a_segmented_ct
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    before = infected(ct)
    lower = np.zeros(slicer.util.arrayFromVolume(ct).shape, bool)
    lower[: len(lower) // 2] = True
    for segment_id in (RIGHT, LEFT):
        erase(ct, segment_id, lower)
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    assert infected(ct) == before


def specify_geometry(ct, factor):
    """Keep the segments on a finer or a coarser grid, as Segment Editor does on the button of that name."""
    segmentation, grid = node_of(ct).GetSegmentation(), slicer.vtkOrientedImageData()
    matrix = vtk.vtkMatrix4x4()
    ct.GetIJKToRASMatrix(matrix)
    grid.SetImageToWorldMatrix(matrix)
    grid.SetExtent(ct.GetImageData().GetExtent())
    slicer.vtkCalculateOversamplingFactor.ApplyOversamplingOnImageGeometry(grid, factor)
    converter, logic = slicer.vtkSegmentationConverter, slicer.vtkSlicerSegmentationsModuleLogic
    name = converter.GetReferenceImageGeometryParameterName()
    segmentation.SetConversionParameter(name, converter.SerializeImageGeometry(grid))
    for segment_id in segmentation.GetSegmentIDs():
        labels, moved = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
        node_of(ct).GetBinaryLabelmapRepresentation(segment_id, labels)
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
            labels, grid, moved, False, True
        )
        logic.SetBinaryLabelmapToSegment(moved, node_of(ct), segment_id, logic.MODE_REPLACE)
    grid_of_labels = segmentation.GetSegment(LESION).GetRepresentation("Binary labelmap")
    assert not np.allclose(grid_of_labels.GetSpacing(), ct.GetSpacing())


@pytest.mark.parametrize("turned", [False, True])
def test_lesions_stay_in_their_lung_where_segments_were_given_a_finer_grid(a_ct, samples, turned):
    if turned:
        turn(a_ct)
    ct = show_truth(a_ct, samples / "truth")
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    before, lesion = infected(ct), voxels(ct, LESION)
    assert "0.0" not in before.values()
    specify_geometry(ct, 2.0)
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    assert infected(ct) == before
    assert np.array_equal(voxels(ct, LESION), lesion)


def turn(ct):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    turned = vtk.vtkTransform()
    turned.RotateZ(25)
    turned.Translate(30, -20, 10)
    transform.SetMatrixTransformToParent(turned.GetMatrix())
    ct.SetAndObserveTransformNodeID(transform.GetID())


def test_segments_that_were_only_given_a_finer_grid_are_not_taken_for_edited(a_segmented_ct, samples):
    ct, files = a_segmented_ct, RunFiles.read(samples / "truth", lambda: False)
    specify_geometry(ct, 2.0)
    assert results.editsAtStake(ct) == results.editsAtStake(ct, files) == []
    edit(ct, LESION)
    files.lesions[:] = 0
    assert results.editsAtStake(ct) == results.editsAtStake(ct, files) == [LESION]


@pytest.mark.parametrize("moved", [resultNodes.SEGMENTATION, resultNodes.PROBABILITY, None])
def test_lesions_stay_in_their_lung_where_the_ct_was_moved_with_some_of_its_results(a_segmented_ct, moved):
    ct = a_segmented_ct
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    before = infected(ct)
    turn(ct)
    if moved is not None:
        node_of(ct, moved).SetAndObserveTransformNodeID(ct.GetTransformNodeID())
        node_of(ct, moved).HardenTransform()
    ct.HardenTransform()
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    assert infected(ct) == before


@pytest.mark.parametrize(("gone", "side", "other"), [(RIGHT, "right", "left"), (LEFT, "left", "right")])
def test_of_a_lung_that_was_deleted_the_table_says_nothing(a_segmented_ct, capfd, gone, side, other):
    ct = a_segmented_ct
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    before = infected(ct)
    node_of(ct).GetSegmentation().RemoveSegment(gone)
    COVIDSelfSegLogic().setThreshold(ct, 0.4)
    assert infected(ct) == before | {side: "-"}
    for title in ("lung volume (ml)", "infected (% of lung)", "mean HU of lesions"):
        assert cell(ct, title, side) == "-"
        assert cell(ct, title, other) != "-"
    assert "ERR" not in capfd.readouterr().err, "VTK complains of nothing"


def test_undo_takes_one_step_for_one_action(a_segmented_ct):
    ct, scene = a_segmented_ct, slicer.mrmlScene
    scene.SetUndoOn()
    scene.ClearUndoStack()
    first = voxels(ct, LESION)
    COVIDSelfSegLogic().setThreshold(ct, 0.9)
    second = voxels(ct, LESION)
    COVIDSelfSegLogic().setThreshold(ct, 0.1)
    assert scene.GetNumberOfUndoLevels() == 2
    scene.Undo()
    assert np.array_equal(voxels(ct, LESION), second)
    assert cell(ct, "threshold") == "0.90"
    scene.Undo()
    assert np.array_equal(voxels(ct, LESION), first)
    assert not np.array_equal(first, second)
    assert cell(ct, "threshold") == "0.50"


def test_a_saved_scene_gives_the_results_back(a_segmented_ct, tmp_path):
    COVIDSelfSegLogic().setThreshold(a_segmented_ct, 0.7)
    lesion = voxels(a_segmented_ct, LESION)
    curve = resultNodes.curveOf(a_segmented_ct)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    ct = slicer.util.getNode("scan")
    assert all(node_of(ct, role) is not None for role in resultNodes.ROLES)
    assert np.array_equal(voxels(ct, LESION), lesion)
    assert not lesionSegments.isEdited(node_of(ct), LESION, ct)
    assert resultNodes.thresholdOf(ct) == 0.7
    assert resultNodes.curveOf(ct).infected_ml(0.4) == curve.infected_ml(0.4)
    COVIDSelfSegLogic().setThreshold(ct, 0.5)
    assert voxels(ct, LESION).sum() > lesion.sum()
    assert node_of(ct).GetSegmentation().GetNumberOfSegments() == 3


def test_results_of_a_ct_that_went_or_changed_are_refused(a_ct, samples):
    files = RunFiles.read(samples / "truth", lambda: False)
    results.checkFit(a_ct, files)
    slicer.util.updateVolumeFromArray(a_ct, np.zeros((4, 5, 6), np.int16))
    with pytest.raises(UserError, match="was changed"):
        results.checkFit(a_ct, files)
    slicer.mrmlScene.RemoveNode(a_ct)
    with pytest.raises(UserError, match="was removed"):
        results.checkFit(a_ct, files)


def test_segments_chosen_as_lungs_are_handed_over(a_segmented_ct, samples):
    lungs = RunFiles.read(samples / "truth", lambda: False).lungs
    both = scanExport.scanFiles(a_segmented_ct, node_of(a_segmented_ct), [RIGHT, LEFT])
    assert np.array_equal(both.lungs, lungs)
    one = scanExport.scanFiles(a_segmented_ct, node_of(a_segmented_ct), [LEFT])
    assert np.array_equal(one.lungs > 0, lungs == 2)
    with_all = scanExport.scanFiles(a_segmented_ct, node_of(a_segmented_ct))
    assert np.array_equal(with_all.lungs > 0, lungs > 0), "also the lesion, which lies in the lungs"


def test_a_label_map_is_handed_over_if_it_fits(a_ct, samples):
    labels = slicer.util.loadLabelVolume(str(samples / "lungs.nrrd"))
    files = scanExport.scanFiles(a_ct, labels)
    assert np.array_equal(files.lungs, slicer.util.arrayFromVolume(labels))
    odd = slicer.util.arrayFromVolume(labels).astype(np.int16) * -256
    slicer.util.updateVolumeFromArray(labels, odd)
    assert np.array_equal(scanExport.scanFiles(a_ct, labels).lungs > 0, odd != 0), "whatever the labels are"
    labels.SetSpacing(1.0, 1.0, 1.0)
    with pytest.raises(UserError, match="not on the grid"):
        scanExport.scanFiles(a_ct, labels)


def test_an_empty_lung_mask_is_refused(a_ct):
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nothing")
    with pytest.raises(UserError, match="is empty"):
        scanExport.scanFiles(a_ct, empty)


def test_a_lung_mask_of_which_no_segment_was_chosen_is_refused(a_segmented_ct):
    with pytest.raises(UserError, match="is empty"):
        scanExport.scanFiles(a_segmented_ct, node_of(a_segmented_ct), [])


def test_a_label_map_without_voxels_is_an_empty_lung_mask(a_ct):
    just_made = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "just made")
    with pytest.raises(UserError, match="just made is empty"):
        scanExport.scanFiles(a_ct, just_made)


def test_what_is_no_lung_mask_is_refused_by_its_name(a_ct):
    model = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "surface")
    with pytest.raises(UserError, match="surface is no lung mask"):
        scanExport.scanFiles(a_ct, model)


def test_segments_chosen_by_their_names_are_refused_with_the_ids_that_there_are(a_segmented_ct):
    with pytest.raises(UserError, match="no segment with the ID right lung, left lung") as refused:
        scanExport.scanFiles(a_segmented_ct, node_of(a_segmented_ct), ["right lung", "left lung", LESION])
    assert f"{RIGHT}, {LEFT}, {LESION}" in refused.value.fix


def labels_on_the_grid_of(ct):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    slicer.util.updateVolumeFromArray(node, np.ones(slicer.util.arrayFromVolume(ct).shape, np.uint8))
    return node


def a_colored_volume():
    pixels = np.zeros((4, 5, 6, 3), np.uint8)
    return slicer.util.addVolumeFromArray(pixels, nodeClassName="vtkMRMLVectorVolumeNode")


def one_time_of_a_sequence(ct):
    """A volume that shows the times of a sequence in turn, as that of a 4D CT does."""
    times = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode")
    for time in "01":
        times.SetDataNodeAtValue(ct, time)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(times.GetID())
    return browser.AddProxyNode(times.GetNthDataNode(0), times)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda _ct: None, "Choose a CT"),
        (one_time_of_a_sequence, "Clone it"),
        (lambda ct: node_of(ct, resultNodes.HEATMAP), "is a result"),
        (lambda _ct: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode"), "holds no image"),
        (labels_on_the_grid_of, "is not a CT"),
        (lambda _ct: a_colored_volume(), "is not a CT"),
        (node_of, "is no volume"),
    ],
)
def test_what_is_no_ct_is_refused_with_the_reason(a_segmented_ct, prepare, reason):
    ready, why = COVIDSelfSegLogic().isReady(prepare(a_segmented_ct))
    assert not ready
    assert reason in why


def test_a_ct_beside_a_sequence_is_ready(a_ct):
    one_time_of_a_sequence(a_ct)
    assert COVIDSelfSegLogic().isReady(a_ct) == (True, "")
