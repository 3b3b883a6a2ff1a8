"""Scripted modules are found, loaded, shown, reloaded and unloaded as the application does it."""

from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from host import slot_errors, user
from host.application.scripted_module import ModuleLoadError

pytestmark = pytest.mark.usefixtures("a_scene")

SAMPLE = Path(__file__).parent / "samples" / "Sample"


@pytest.fixture
def a_panel(a_module_panel):
    return a_module_panel(SAMPLE)


def a_volume(name="CT"):
    return slicer.util.addVolumeFromArray(np.arange(-30, 30, dtype=np.int16).reshape(3, 4, 5), name=name)


def test_a_panel_is_set_up_and_entered_and_knows_its_logic(a_panel):
    assert a_panel.calls == ["enter"]
    assert a_panel.ui.applyButton.visible
    assert slicer.util.getModuleLogic("Sample") is a_panel.logic
    assert slicer.modules.SampleWidget is a_panel
    assert slicer.modules.sample.title == "Sample"
    assert slicer.modules.sample.categories == ("Testing",)


def test_the_user_counts_voxels(a_panel):
    assert not a_panel.ui.applyButton.enabled
    a_volume()
    user.choose(a_panel.ui.inputSelector, "CT")
    user.drag(a_panel.ui.thresholdSlider, 0.5, 2.0)
    user.press(a_panel.ui.applyButton)
    assert a_panel.ui.resultLabel.text == "28 voxels"
    assert a_panel.ui.progressBar.value == 100
    assert a_panel.logic.getParameterNode().GetParameter("Threshold") == "2.0"


def test_a_disabled_button_cannot_be_pressed(a_panel):
    with pytest.raises(AssertionError, match="Choose a volume first"):
        user.press(a_panel.ui.applyButton)


def test_what_is_in_a_collapsed_section_is_out_of_reach(a_panel):
    with pytest.raises(AssertionError, match="'pathLineEdit' is hidden"):
        user.type_text(a_panel.ui.pathLineEdit, "model.safetensors")
    a_panel.ui.advancedCollapsibleButton.collapsed = False
    user.type_text(a_panel.ui.pathLineEdit, "model.safetensors")
    assert a_panel.ui.pathLineEdit.currentPath == "model.safetensors"


def test_closing_the_scene_empties_the_selector_and_keeps_the_panel_alive(a_panel):
    a_panel.ui.inputSelector.setCurrentNode(a_volume())
    slicer.mrmlScene.Clear(False)
    assert a_panel.ui.inputSelector.currentNode() is None
    assert not a_panel.ui.applyButton.enabled
    a_panel.ui.inputSelector.setCurrentNode(a_volume("Second"))
    assert a_panel.ui.applyButton.enabled


def test_reloading_makes_a_new_panel_from_the_file_and_cleans_the_old_one_up_once(a_panel):
    old_classes = type(a_panel), type(a_panel.logic)
    a_panel.onReload()
    new_panel = slicer.modules.SampleWidget
    assert new_panel is not a_panel
    assert type(new_panel) is not old_classes[0]
    assert a_panel.cleaned == 1
    assert slicer.util.getModuleWidget("Sample") is new_panel
    new_panel.enter()
    new_panel.ui.inputSelector.setCurrentNode(a_volume())
    user.press(new_panel.ui.applyButton)
    assert new_panel.ui.resultLabel.text == "30 voxels"


def test_the_widget_attribute_exists_only_after_the_first_display(a_module_panel):
    assert not hasattr(slicer.modules, "SampleWidget")
    a_module_panel(SAMPLE)
    assert hasattr(slicer.modules, "SampleWidget")


def test_unloading_cleans_up_and_removes_the_module():
    from host import bootstrap

    manager = bootstrap.start().moduleManager()
    manager.load_folder(SAMPLE)
    panel = slicer.util.getModuleWidget("Sample")
    manager.unload("Sample")
    assert panel.cleaned == 1
    assert not hasattr(slicer.modules, "sample")


@pytest.mark.usefixtures("a_panel")
def test_the_module_runs_its_own_test():
    slicer.selfTests["Sample"](msec=0)


@pytest.mark.usefixtures("a_panel")
def test_sample_data_is_registered_when_startup_is_completed():
    import SampleData

    assert SampleData.pressButton("Sample", "Zeros").GetName() == "Zeros"


def test_sample_data_without_a_list_of_addresses_is_refused_as_in_slicer():
    import SampleData

    with pytest.raises(TypeError, match="NoneType"):
        SampleData.SampleDataSource("Nothing", customDownloader=print)
    with pytest.raises(ValueError, match="same length"):
        SampleData.SampleDataSource("One", uris=["https://nowhere.invalid/1"], fileNames=[])


def test_a_file_beside_the_module_is_tried_as_a_module_and_refused(a_module_panel, tmp_path):
    (tmp_path / "Helpers.py").write_text("VALUE = 1\n")
    with pytest.raises(ModuleLoadError, match="class Helpers was not found"):
        a_module_panel(tmp_path)


def test_a_module_with_a_missing_dependency_is_refused(a_module_panel, tmp_path):
    (tmp_path / "Lonely.py").write_text(
        "from slicer.ScriptedLoadableModule import *\n"
        "class Lonely(ScriptedLoadableModule):\n"
        "    def __init__(self, parent):\n"
        "        ScriptedLoadableModule.__init__(self, parent)\n"
        "        parent.dependencies = ['Missing']\n"
    )
    with pytest.raises(ModuleLoadError, match="Missing"):
        a_module_panel(tmp_path)
    from host import bootstrap

    bootstrap.start().moduleManager().unload("Lonely")


def test_a_module_that_sets_an_unknown_property_is_refused(a_module_panel, tmp_path):
    (tmp_path / "Wrong.py").write_text(
        "from slicer.ScriptedLoadableModule import *\n"
        "class Wrong(ScriptedLoadableModule):\n"
        "    def __init__(self, parent):\n"
        "        ScriptedLoadableModule.__init__(self, parent)\n"
        "        parent.contributor = 'a string that no property takes'\n"
    )
    with pytest.raises(ModuleLoadError, match="contributor"):
        a_module_panel(tmp_path)


def test_an_error_in_setup_fails_at_once(a_module_panel, tmp_path):
    (tmp_path / "Failing.py").write_text(
        "from slicer.ScriptedLoadableModule import *\n"
        "class Failing(ScriptedLoadableModule): pass\n"
        "class FailingWidget(ScriptedLoadableModuleWidget):\n"
        "    def setup(self):\n"
        "        self.missing.thing = 1\n"
    )
    with pytest.raises(AssertionError, match="missing"):
        a_module_panel(tmp_path)
    assert not slot_errors


def test_timers_fire_while_a_scene_is_read_by_half(a_scene, tmp_path):
    for name in ("CT", "another CT"):
        a_volume(name)
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    a_scene.Clear(False)
    importing = []

    def look(*_):
        qt.QTimer.singleShot(0, lambda: importing.append(bool(a_scene.IsImporting())))

    tag = a_scene.AddObserver(a_scene.NodeAddedEvent, look)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    a_scene.RemoveObserver(tag)
    assert any(importing)
