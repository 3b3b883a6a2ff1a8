"""``slicer.util.loadUI`` reads what Slicer reads and refuses what Slicer would quietly do wrong."""

from pathlib import Path

import pytest
import slicer
from host.ui_loader import UiFileError

pytestmark = pytest.mark.usefixtures("a_scene")

SAMPLE_UI = Path(__file__).parent / "samples" / "Sample" / "Resources" / "UI" / "Sample.ui"


def a_ui_file(folder, old, new):
    path = folder / "Changed.ui"
    text = SAMPLE_UI.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return str(path)


def test_the_sample_is_loaded_with_its_properties():
    widget = slicer.util.loadUI(str(SAMPLE_UI))
    ui = slicer.util.childWidgetVariables(widget)
    assert widget.className() == "qMRMLWidget"
    assert ui.inputSelector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert (ui.thresholdSlider.minimum, ui.thresholdSlider.maximum) == (-10.0, 10.0)
    assert ui.advancedCollapsibleButton.collapsed
    assert ui.pathLineEdit.filters == 0x2 | 0x10 | 0x2000 | 0x4000
    assert ui.pathLineEdit.nameFilters == ("Models (*.safetensors)",)
    assert ui.resultLabel.alignment == 0x84


def test_the_scene_reaches_the_selectors_through_the_connections(a_scene):
    widget = slicer.util.loadUI(str(SAMPLE_UI))
    ui = slicer.util.childWidgetVariables(widget)
    assert not ui.inputSelector.enabled
    widget.setMRMLScene(a_scene)
    assert ui.inputSelector.enabled
    assert ui.inputSelector.mrmlScene() is a_scene
    widget.setMRMLScene(None)


def test_what_is_inside_a_collapsed_section_is_hidden():
    widget = slicer.util.loadUI(str(SAMPLE_UI))
    ui = slicer.util.childWidgetVariables(widget)
    widget.show()
    assert ui.inputSelector.visible
    assert not ui.pathLineEdit.visible
    ui.advancedCollapsibleButton.collapsed = False
    assert ui.pathLineEdit.visible
    widget.hide()


def test_a_missing_file_raises_a_runtime_error():
    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI("/nowhere/Missing.ui")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('class="QProgressBar"', 'class="qMRMLMagicBar"', "no widget class qMRMLMagicBar"),
        ('name="minimum"', 'name="lowest"', "ctkSliderWidget 'thresholdSlider' has no property 'lowest'"),
        ("mrmlSceneChanged(vtkMRMLScene*)", "sceneChanged(vtkMRMLScene*)", "does not exist on qMRMLWidget"),
        ("setMRMLScene(vtkMRMLScene*)", "setMRMLScene(vtkMRMLNode*)", "does not exist on qMRMLNodeComboBox"),
        ("<receiver>inputSelector", "<receiver>outputSelector", "no object named 'outputSelector'"),
    ],
)
def test_a_mistake_in_the_file_is_refused(tmp_path, old, new, message):
    with pytest.raises(UiFileError, match=message.replace("(", "\\(").replace(")", "\\)")):
        slicer.util.loadUI(a_ui_file(tmp_path, old, new))
