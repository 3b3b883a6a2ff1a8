"""Selectors and tables of nodes follow the scene."""

import numpy as np
import pytest
import qt
import slicer
from host import dialogs, user

pytestmark = pytest.mark.usefixtures("a_scene")


@pytest.fixture
def a_selector(a_scene):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = True
    selector.setMRMLScene(a_scene)
    yield selector
    selector.setMRMLScene(None)


def a_volume(name, kind="vtkMRMLScalarVolumeNode"):
    return slicer.mrmlScene.AddNewNodeByClass(kind, name)


def texts_of(selector):
    box = selector.findChild("QComboBox")
    return [box.itemText(row) for row in range(box.count)]


def test_nodes_appear_are_renamed_and_disappear(a_selector):
    first, _second = a_volume("CT"), a_volume("Heatmap")
    assert texts_of(a_selector)[:3] == ["None", "CT", "Heatmap"]
    first.SetName("Scan")
    assert texts_of(a_selector)[1] == "Scan"
    slicer.mrmlScene.RemoveNode(first)
    assert texts_of(a_selector)[:2] == ["None", "Heatmap"]


def test_a_choice_is_told_by_node_by_validity_and_by_id(a_selector):
    heard = []
    a_selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    a_selector.connect("currentNodeChanged(bool)", heard.append)
    a_selector.connect("currentNodeIDChanged(QString)", heard.append)
    node = a_volume("CT")
    a_selector.setCurrentNode(node)
    assert heard == [node, True, node.GetID()]
    assert a_selector.currentNode() is node
    assert a_selector.currentNodeID == node.GetID()


def test_signatures_must_name_the_class_of_the_real_signal(a_selector):
    with pytest.raises(AttributeError, match="does not exist"):
        a_selector.connect("currentNodeChanged(vtkMRMLVolumeNode*)", print)
    with pytest.raises(AttributeError, match="PyObject"):
        a_selector.connect("currentNodeChanged(PyObject)", print)


def test_nothing_is_told_while_signals_are_blocked(a_selector):
    heard, node = [], a_volume("CT")
    a_selector.connect("currentNodeIDChanged(QString)", heard.append)
    was_blocked = a_selector.blockSignals(True)
    a_selector.setCurrentNode(node)
    a_selector.blockSignals(was_blocked)
    assert a_selector.currentNode() is node
    assert heard == []


def test_the_next_node_takes_the_place_of_a_removed_one(a_selector):
    first, second = a_volume("CT"), a_volume("Heatmap")
    a_selector.setCurrentNode(first)
    slicer.mrmlScene.RemoveNode(first)
    assert a_selector.currentNode() is second
    slicer.mrmlScene.RemoveNode(second)
    assert a_selector.currentNode() is None


def test_closing_the_scene_leaves_no_choice_and_later_nodes_are_seen(a_selector):
    a_selector.setCurrentNode(a_volume("CT"))
    slicer.mrmlScene.Clear(False)
    assert a_selector.currentNode() is None
    again = a_volume("CT again")
    again.SetName("Renamed")
    assert texts_of(a_selector)[:2] == ["None", "Renamed"]


def test_derived_classes_are_offered_unless_excluded(a_selector):
    label_map = a_volume("Labels", "vtkMRMLLabelMapVolumeNode")
    a_selector.setCurrentNode(label_map)
    assert a_selector.currentNode() is label_map
    a_selector.hideChildNodeTypes = ["vtkMRMLLabelMapVolumeNode"]
    assert a_selector.currentNode() is None
    assert "Labels" not in texts_of(a_selector)


def test_hidden_nodes_and_nodes_without_an_attribute_are_not_offered(a_selector):
    hidden, plain, marked = a_volume("Hidden"), a_volume("Plain"), a_volume("Marked")
    hidden.SetHideFromEditors(True)
    a_selector.addAttribute("vtkMRMLScalarVolumeNode", "COVIDSelfSeg.Role", "Probability")
    marked.SetAttribute("COVIDSelfSeg.Role", "Probability")
    assert texts_of(a_selector)[:2] == ["None", "Marked"]
    plain.SetAttribute("COVIDSelfSeg.Role", "Heatmap")
    assert "Plain" not in texts_of(a_selector)


def test_a_node_asked_for_before_the_scene_is_chosen_with_it(a_scene):
    node = a_volume("CT")
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setCurrentNode(node)
    assert selector.currentNode() is None
    selector.setMRMLScene(a_scene)
    assert selector.currentNode() is node
    selector.setMRMLScene(None)


def test_no_node_is_chosen_by_itself(a_selector):
    a_volume("CT")
    assert a_selector.currentNode() is None
    a_selector.currentNodeID = None
    assert a_selector.currentNodeID == ""


def test_the_menu_makes_renames_and_removes_nodes(a_selector):
    a_selector.renameEnabled = True
    a_selector.baseName = "Probability"
    user.choose(a_selector, "Create new Volume")
    assert a_selector.currentNode().GetName() == "Probability"
    dialogs.answer("Lesion probability")
    user.choose(a_selector, "Rename current Volume")
    assert a_selector.currentNode().GetName() == "Lesion probability"
    user.choose(a_selector, "Delete current Volume")
    assert a_selector.currentNode() is None


def test_a_table_follows_its_node(a_scene):
    node = a_scene.AddNewNodeByClass("vtkMRMLTableNode")
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(node)
    slicer.util.updateTableFromArray(node, [np.array([1.5, 2.5])], ["ml"])
    assert view.model().rowCount() == 2
    assert view.model().index(1, 0).data() == "2.5"
    view.setMRMLTableNode(None)


def test_a_table_that_was_given_by_hand_goes_with_a_batch_where_the_view_knows_the_scene(a_scene):
    node = a_scene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.util.updateTableFromArray(node, [np.array([1.5, 2.5])], ["ml"])
    for scene, kept in ((None, node), (a_scene, None)):
        view = slicer.qMRMLTableView()
        view.setMRMLScene(scene)
        view.setMRMLTableNode(node)
        a_scene.StartState(a_scene.BatchProcessState)
        a_scene.EndState(a_scene.BatchProcessState)
        assert view.mrmlTableNode() is kept
        view.setMRMLTableNode(None)
        view.setMRMLScene(None)


def test_a_cell_can_be_typed_into_unless_the_table_is_locked(a_scene):
    node = a_scene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.util.updateTableFromArray(node, [np.array([1.5, 2.5])], ["ml"])
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(node)
    cell = view.model().index(1, 0)
    assert view.model().flags(cell) & qt.Qt.ItemIsEditable
    view.model().setData(cell, "9.5")
    assert slicer.util.arrayFromTableColumn(node, "ml").tolist() == [1.5, 9.5]
    node.SetLocked(True)
    assert not view.model().flags(view.model().index(1, 0)) & qt.Qt.ItemIsEditable
    view.setMRMLTableNode(None)


def test_segments_are_listed_chosen_and_hidden(a_scene):
    segmentation = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Lungs")
    segmentation.CreateDefaultDisplayNodes()
    for name in ("right lung", "left lung"):
        segmentation.GetSegmentation().AddEmptySegment(name, name)
    view = slicer.qMRMLSegmentsTableView()
    view.setSegmentationNode(segmentation)
    assert view.displayedSegmentIDs() == ("right lung", "left lung")
    view.setSelectedSegmentIDs(["left lung"])
    assert view.selectedSegmentIDs() == ("left lung",)
    segmentation.GetSegmentation().RemoveSegment("right lung")
    assert view.displayedSegmentIDs() == ("left lung",)
    view.setSegmentationNode(None)


def test_a_segment_selector_offers_the_segments_of_its_segmentation(a_scene):
    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.setMRMLScene(a_scene)
    segmentation = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Lungs")
    heard = []
    selector.connect("currentSegmentChanged(QString)", heard.append)
    selector.setCurrentNode(segmentation)
    segmentation.GetSegmentation().AddEmptySegment("lesion", "lesion")
    assert selector.currentSegmentID() == "lesion"
    assert heard == ["lesion"]
    selector.setMRMLScene(None)


def test_a_display_threshold_reaches_the_display_node():
    volume = slicer.util.addVolumeFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    widget = slicer.qMRMLVolumeThresholdWidget()
    widget.setMRMLVolumeNode(volume)
    widget.lowerThreshold = 7.0
    assert volume.GetDisplayNode().GetLowerThreshold() == 7.0


def test_widgets_that_nobody_wrote_are_refused_loudly():
    with pytest.raises(AttributeError):
        slicer.qMRMLSegmentEditorWidget()
