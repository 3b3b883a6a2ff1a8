"""Set-up: what the worker has is shown, what it lacks is said, and nothing is installed without a click."""

import copy
import errno
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
import qt
import slicer
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.torch_hub import R231_FILE
from COVIDSelfSegSlicer import resultNodes, sampleData, setup, workerProcess
from host import bootstrap, dialogs, slot_errors, user
from host.slicerlib import packaging

from Testing import slicer_samples
from Testing.slicer_samples import MODULE, ROOT, temporary_files_in


@pytest.fixture
def remembered_status(remembered_status, monkeypatch):
    """What a panel asks when it is opened is remembered here; whatever it asks later, it asks anew."""
    from COVIDSelfSegSlicer import setup  # that of the panel, which is another one after a reload

    remembered = setup.StatusQuery

    def first(on_answer):
        monkeypatch.setattr(setup, "StatusQuery", remembered_status)
        return remembered(on_answer)

    monkeypatch.setattr(setup, "StatusQuery", first)


@pytest.fixture
def nothing_remembered():
    """The panel asks when it is opened, too."""
    slicer_samples.remembered_answers.clear()


def wait_for_the_answer(panel):
    user.wait_until(lambda: "Looking" not in panel.ui.setupSummaryLabel.text, seconds=120)


def last_message():
    """The text of the message box that was shown last."""
    what, (text,) = dialogs.asked[-1]
    assert what == "ctkMessageBox.exec"
    return text


def choose_python(panel, path):
    panel.ui.advancedSection.collapsed = False
    if path:
        user.type_text(panel.ui.workerPythonPath, str(path))
    else:
        panel.ui.workerPythonPath.currentPath = ""
    wait_for_the_answer(panel)


@pytest.fixture
def a_bare_python(tmp_path):
    """An interpreter without any of the packages that the worker needs."""
    program = tmp_path / "barepython"
    program.write_text(f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" -S "$@"\n')
    program.chmod(0o755)
    return program


@pytest.mark.usefixtures("nothing_remembered")
def test_the_status_row_tells_what_is_there(a_panel, samples):
    ui = a_panel.ui
    assert ui.setupSection.text == "Set-up: ready"
    assert ui.setupSection.collapsed
    assert ui.setupSummaryLabel.text.startswith("Python 3.")
    assert ui.torchStatusLabel.text[0].isdigit()
    assert ui.packagesStatusLabel.text == "present"
    assert f"small: present, 2 MB, {samples / 'models'}" in ui.modelsStatusLabel.text
    assert "lungmask" in ui.lungmaskTitleLabel.text
    assert not ui.installTorchButton.visible
    assert ui.modelSelector.currentText == "small"
    assert packaging.calls == []


def test_what_is_there_is_not_offered_for_installation(a_panel):
    a_panel.ui.setupSection.collapsed = False  # folding shows what was hidden while it was folded
    assert a_panel.ui.modelsStatusLabel.visible
    assert not a_panel.ui.installTorchButton.visible
    assert not a_panel.ui.installPackagesButton.visible


def test_a_choice_that_there_is_not_says_why(a_panel):
    ui = a_panel.ui
    if not ui.deviceSelector.enabled:
        assert "no GPU" in ui.deviceSelector.toolTip
    if not ui.lungSourceSelector.enabled:
        assert "see Set-up" in ui.lungSourceSelector.toolTip
    assert "Choose a CT first" in ui.segmentButton.toolTip
    assert not ui.segmentButton.enabled


def test_an_interpreter_without_torch_is_described_and_starts_nothing(a_panel, a_bare_python, samples):
    slicer.util.loadVolume(str(samples / "scan.nrrd"))
    choose_python(a_panel, a_bare_python)
    ui = a_panel.ui
    assert ui.torchStatusLabel.text == "missing"
    assert ui.installTorchButton.visible
    assert "SimpleITK" in ui.packagesStatusLabel.text
    assert not ui.setupSection.collapsed
    assert ui.setupSection.text == "Set-up: something is missing"
    assert not ui.segmentButton.enabled
    assert "PyTorch is not installed" in ui.segmentButton.toolTip
    assert not ui.installTorchButton.enabled
    assert "Slicer's own Python" in ui.installTorchButton.toolTip
    choose_python(a_panel, "")
    assert ui.segmentButton.enabled
    assert ui.installTorchButton.toolTip == "Install PyTorch through the PyTorch extension."


def test_a_torch_that_cannot_be_loaded_is_told_and_can_be_mended(a_panel, tmp_path, monkeypatch, samples):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text('raise OSError("libcudart.so.12 is not there")\n')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    slicer.util.loadVolume(str(samples / "scan.nrrd"))
    look_again(a_panel)
    ui = a_panel.ui
    assert "libcudart.so.12 is not there" in ui.torchStatusLabel.text
    assert "PyTorch Utils" in ui.torchStatusLabel.text
    assert ui.packagesStatusLabel.text == "present"
    assert not ui.setupSection.collapsed
    assert ui.installTorchButton.enabled
    assert ui.installTorchButton.visible
    assert not ui.segmentButton.enabled
    assert "PyTorch cannot be used" in ui.segmentButton.toolTip


def test_an_interpreter_that_is_none_is_told(a_panel, samples):
    slicer.util.loadVolume(str(samples / "scan.nrrd"))
    choose_python(a_panel, "/nowhere/python")
    assert "cannot be used" in a_panel.ui.setupSummaryLabel.text
    assert "No such file" in a_panel.ui.segmentButton.toolTip
    assert a_panel.ui.torchStatusLabel.text == "unknown"


def test_another_interpreter_is_remembered(a_panel):
    choose_python(a_panel, sys.executable)
    assert setup.workerPython() == sys.executable
    assert a_panel.ui.torchStatusLabel.text[0].isdigit()


def test_an_emptied_field_goes_back_to_slicers_own_python(a_panel):
    choose_python(a_panel, "/nowhere/python")
    choose_python(a_panel, "")
    assert setup.isSlicersPython()
    assert qt.QSettings().value(setup.PYTHON_SETTING, "") == ""
    assert not a_panel.setupSection.problem


def test_another_interpreter_gets_none_of_slicers_libraries(a_scene, monkeypatch):  # noqa: ARG001
    monkeypatch.setenv("PYTHONHOME", "/slicer/python")
    assert "PYTHONHOME" in workerProcess.environmentFor(workerProcess.slicersPython())
    assert "PYTHONHOME" not in workerProcess.environmentFor("/usr/bin/python3")


def test_a_model_is_added_used_and_deleted(a_panel, samples, tmp_path):
    own = tmp_path / "mine.safetensors"
    shutil.copyfile(samples / "models" / "small.safetensors", own)
    a_panel.ui.setupSection.collapsed = False
    bootstrap.start().set_testing_enabled(False)
    dialogs.answer(str(own))
    user.press(a_panel.ui.addModelButton)
    wait_for_the_answer(a_panel)
    copy = workerProcess.modelFolder() / "mine.safetensors"
    assert copy.is_file()
    assert str(copy.parent) in a_panel.ui.modelsStatusLabel.text
    a_panel.ui.modelSelector.setCurrentIndex(list(offered(a_panel).values()).index(str(copy)))
    dialogs.answer(qt.QMessageBox.Yes)
    user.press(a_panel.ui.deleteModelButton)
    assert last_message() == f"Delete {copy}?"
    wait_for_the_answer(a_panel)
    assert not copy.exists()
    assert not a_panel.ui.deleteModelButton.enabled
    assert "cannot be deleted" in a_panel.ui.deleteModelButton.toolTip


def offered(panel):
    """The paths of the models to choose from, by what the selector calls them."""
    selector = panel.ui.modelSelector
    return {selector.itemText(row): selector.itemData(row) for row in range(selector.count)}


def look_again(panel):
    panel.ui.advancedSection.collapsed = False
    user.press(panel.ui.checkPythonButton)
    wait_for_the_answer(panel)


def test_of_two_models_with_one_name_the_chosen_one_stays_chosen(a_panel, samples):
    shipped = MODULE / "Resources" / "Models" / "covidselfseg-default.safetensors"
    given = samples / "models" / "small.safetensors"
    own = [setup.addModel(path) for path in (shipped, given)]
    look_again(a_panel)
    assert offered(a_panel) == {
        "covidselfseg-default (your own, covidselfseg-default.safetensors)": str(own[0]),
        "covidselfseg-default (came with the extension)": str(shipped),
        "small (your own, small.safetensors)": str(own[1]),
        f"small ({given})": str(given),
    }
    for path in (*own, shipped, given):
        assert str(path) in a_panel.ui.modelsStatusLabel.text
    user.choose(a_panel.ui.modelSelector, "covidselfseg-default (came with the extension)")
    look_again(a_panel)
    assert a_panel.ui.modelSelector.currentData == str(shipped)


def test_the_default_model_is_chosen_where_nothing_else_was(a_panel):
    a_panel.ui.modelSelector.clear()
    look_again(a_panel)
    assert a_panel.ui.modelSelector.currentText == "covidselfseg-default"


@pytest.mark.usefixtures("a_panel")
def test_a_model_of_the_name_of_another_one_leaves_that_as_it_is(samples, tmp_path):
    first = setup.addModel(samples / "models" / "small.safetensors")
    content = first.read_bytes()
    other = tmp_path / "small.safetensors"
    other.write_bytes(b"another one")
    second = setup.addModel(other)
    assert (first.name, second.name) == ("small.safetensors", "small-2.safetensors")
    assert (first.read_bytes(), second.read_bytes()) == (content, b"another one")
    assert setup.addModel(other) == second
    assert setup.addModel(first) == first


@pytest.mark.usefixtures("a_panel")
def test_a_copy_that_breaks_off_leaves_nothing_and_takes_nothing(tmp_path, monkeypatch):
    def fill_the_disk(_source, target):
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    own, weights = tmp_path / "own.safetensors", tmp_path / "hub" / "unet_r231.pth"
    own.write_bytes(b"whole")
    setup.addLungWeights(own, weights)
    monkeypatch.setattr(shutil, "copyfile", fill_the_disk)
    with pytest.raises(UserError, match="No space left") as failed:
        setup.addModel(own)
    assert failed.value.fix
    assert list(workerProcess.modelFolder().iterdir()) == []
    with pytest.raises(OSError, match="No space left"):
        setup.addLungWeights(own, weights)
    assert [path.name for path in weights.parent.iterdir()] == ["unet_r231.pth"]
    assert weights.read_bytes() == b"whole"


def test_a_file_that_is_no_model_is_refused(a_panel, a_window, tmp_path):
    a_window()  # without one Slicer shows no error
    other = tmp_path / "weights.pth"
    other.write_text("x")
    a_panel.ui.setupSection.collapsed = False
    bootstrap.start().set_testing_enabled(False)
    dialogs.answer(str(other))
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(a_panel.ui.addModelButton)
    assert "weights.pth is not a model package" in last_message()
    assert not (workerProcess.modelFolder() / "weights.pth").exists()
    wait_for_the_answer(a_panel)


def test_a_damaged_model_is_shown_not_offered_and_can_be_deleted(a_panel, samples):
    folder = workerProcess.modelFolder()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(samples / "half.safetensors", folder / "half.safetensors")
    look_again(a_panel)
    assert "half: damaged." in a_panel.ui.modelsStatusLabel.text
    assert "half" not in offered(a_panel)
    a_panel.ui.setupSection.collapsed = False
    bootstrap.start().set_testing_enabled(False)
    dialogs.answer(qt.QMessageBox.Yes)
    user.press(a_panel.ui.deleteModelButton)
    wait_for_the_answer(a_panel)
    assert not (folder / "half.safetensors").exists()


def test_damaged_lung_weights_are_shown_not_offered_and_can_be_deleted(a_panel, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    half = tmp_path / "hub" / "checkpoints" / R231_FILE
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    look_again(a_panel)
    assert "weights damaged: its SHA-256 is not" in a_panel.ui.lungmaskStatusLabel.text
    assert not a_panel.ui.lungSourceSelector.enabled
    assert "damaged" in a_panel.ui.lungSourceSelector.toolTip
    a_panel.ui.setupSection.collapsed = False
    bootstrap.start().set_testing_enabled(False)
    dialogs.answer(qt.QMessageBox.Yes)
    user.press(a_panel.ui.deleteLungWeightsButton)
    wait_for_the_answer(a_panel)
    assert not half.exists()
    assert "weights missing" in a_panel.ui.lungmaskStatusLabel.text


def python_that_says(program, said):
    """An interpreter that says this of itself, at once."""
    program.write_text(f"#!/bin/sh\ncat <<'SAID'\n{json.dumps(said)}\nSAID\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def the_answer(a_panel):  # noqa: ARG001 - has asked
    """What the worker's own Python says of itself."""
    (answer, _reason), *_ = slicer_samples.remembered_answers
    return copy.deepcopy(answer)


@pytest.fixture
def a_python_without_models(tmp_path, the_answer):
    """An interpreter that knows no model package, not even the shipped one."""
    assert the_answer["models"]
    return python_that_says(tmp_path / "nomodels", the_answer | {"models": []})


@pytest.fixture
def a_python_with_a_gpu(tmp_path, the_answer):
    the_answer["torch"]["cuda"] = True
    return python_that_says(tmp_path / "gpu", the_answer)


def test_a_gpu_that_was_chosen_and_went_stops_no_run(a_panel, a_python_with_a_gpu, samples):
    ui = a_panel.ui
    slicer.util.loadVolume(str(samples / "scan.nrrd"))
    choose_python(a_panel, a_python_with_a_gpu)
    user.choose(ui.deviceSelector, "GPU")
    choose_python(a_panel, "")
    user.wait_until(lambda: ui.segmentButton.enabled)
    user.choose(ui.modelSelector, "small")
    user.press(ui.segmentButton)
    user.wait_until(lambda: not a_panel.logic.isRunning, seconds=300)
    assert not ui.errorLabel.visible, ui.errorLabel.text
    assert resultNodes.hasResults(a_panel.ctNode)
    choose_python(a_panel, a_python_with_a_gpu)
    assert ui.deviceSelector.currentText == "GPU", "as the user chose"


def test_without_any_model_the_button_says_so(a_panel, a_python_without_models, samples):
    slicer.util.loadVolume(str(samples / "scan.nrrd"))
    user.wait_until(lambda: a_panel.ui.segmentButton.enabled)
    choose_python(a_panel, a_python_without_models)
    assert a_panel.ui.modelsStatusLabel.text == "missing"
    assert not a_panel.ui.segmentButton.enabled
    assert "no usable model package" in a_panel.ui.segmentButton.toolTip


@pytest.fixture
def a_panel_to_install_from(a_panel, a_window, a_bare_python, monkeypatch):
    """The panel where Slicer's own Python has nothing and pip finds nothing; pip is the host's."""
    monkeypatch.setattr(setup, "slicersPython", lambda: str(a_bare_python))
    monkeypatch.setattr(packaging, "pip_check", lambda _requirement: False)
    a_window()  # without one Slicer shows no error
    a_panel.setupSection.refresh()
    wait_for_the_answer(a_panel)
    bootstrap.start().set_testing_enabled(False)
    return a_panel


@pytest.fixture
def the_pytorch_extension(monkeypatch):
    """What the extension PyTorch was asked for, and what it answers."""

    class PyTorchUtilsLogic:
        answer = object()
        asked: ClassVar[list[dict[str, object]]] = []

        def installTorch(self, **options):
            self.asked.append(options)
            return self.answer

    module = ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return PyTorchUtilsLogic


def test_torch_comes_from_the_pytorch_extension_only(a_panel_to_install_from, the_pytorch_extension):
    user.press(a_panel_to_install_from.ui.installTorchButton)
    assert the_pytorch_extension.asked == [{"askConfirmation": True}]
    assert dialogs.asked == []
    assert packaging.calls == []
    wait_for_the_answer(a_panel_to_install_from)


def test_torch_that_was_not_installed_is_told(a_panel_to_install_from, the_pytorch_extension):
    the_pytorch_extension.answer = None
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(a_panel_to_install_from.ui.installTorchButton)
    assert "PyTorch was not installed" in last_message()
    wait_for_the_answer(a_panel_to_install_from)


def test_torch_that_was_installed_and_cannot_be_loaded_is_told_with_what_to_do(
    a_panel_to_install_from, the_pytorch_extension, monkeypatch
):
    def install(_self, **_options):
        raise ImportError("DLL load failed")  # its last line is "import torch"

    panel = a_panel_to_install_from
    monkeypatch.setattr(the_pytorch_extension, "installTorch", install)
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(panel.ui.installTorchButton)
    assert "DLL load failed" in last_message()
    assert "PyTorch Utils, restart Slicer" in last_message()
    assert "Looking" in panel.ui.setupSummaryLabel.text, "it looks again"
    wait_for_the_answer(panel)


def test_torch_that_could_not_even_be_fetched_is_told_as_that(
    a_panel_to_install_from, the_pytorch_extension, monkeypatch
):
    def install(_self, **_options):
        raise ImportError("light-the-torch does not know this pip")

    monkeypatch.setattr(the_pytorch_extension, "installTorch", install)
    monkeypatch.setattr(setup, "find_spec", lambda _name: None)
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(a_panel_to_install_from.ui.installTorchButton)
    assert "could not be installed: light-the-torch does not know this pip" in last_message()
    assert "Uninstall" not in last_message()
    wait_for_the_answer(a_panel_to_install_from)


@pytest.mark.parametrize("button", ["installTorchButton", "installPackagesButton", "installLungmaskButton"])
def test_where_slicers_python_may_not_be_written_to_nothing_is_tried(
    a_panel_to_install_from, the_pytorch_extension, monkeypatch, tmp_path, button
):
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path / "of an administrator"))
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(getattr(a_panel_to_install_from.ui, button))
    assert "You may not write to Slicer's Python" in last_message()
    assert "as administrator" in last_message()
    assert the_pytorch_extension.asked == []
    assert packaging.calls == []
    wait_for_the_answer(a_panel_to_install_from)


def test_the_panel_looks_again_whatever_an_installation_met(a_panel_to_install_from, monkeypatch):
    panel, met = a_panel_to_install_from, [ImportError("half installed"), ValueError("an error of ours")]

    def fail():
        raise met[0]

    monkeypatch.setattr(setup, "installRequirements", fail)
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(panel.ui.installPackagesButton)
    assert "half installed" in last_message()
    assert "Looking" in panel.ui.setupSummaryLabel.text
    wait_for_the_answer(panel)
    met.pop(0)
    user.press(panel.ui.installPackagesButton)
    assert "Looking" in panel.ui.setupSummaryLabel.text
    assert slot_errors == met
    slot_errors.clear()
    wait_for_the_answer(panel)


def test_without_the_pytorch_extension_torch_is_not_installed(a_panel_to_install_from):
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(a_panel_to_install_from.ui.installTorchButton)
    assert "The extension PyTorch is not installed" in last_message()
    assert "Extensions Manager" in last_message()
    assert packaging.calls == []
    wait_for_the_answer(a_panel_to_install_from)


def test_small_packages_are_installed_on_a_click_without_touching_torch(a_panel_to_install_from):
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(a_panel_to_install_from.ui.installPackagesButton)
    assert "need to be installed" in last_message()
    wait_for_the_answer(a_panel_to_install_from)
    assert [call.function for call in packaging.calls] == ["pip_ensure", "pip_install"]
    for call in packaging.calls:
        wanted = " ".join(call.requirements)
        assert "safetensors" in wanted
        for untouchable in ("torch", "SimpleITK", "numpy"):
            assert untouchable not in wanted
            assert f"{untouchable}=={version(untouchable)}" in call.options["constraints"]


def test_lungmask_is_installed_without_what_it_depends_on(a_panel_to_install_from):
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(a_panel_to_install_from.ui.installLungmaskButton)
    wait_for_the_answer(a_panel_to_install_from)
    _, small, lungmask = packaging.calls
    assert {"scikit-image", "fill-voids"} <= set(small.requirements)
    assert f"numpy=={version('numpy')}" in small.options["constraints"]
    assert lungmask.requirements == ("lungmask>=0.2.20", "--no-deps")


def test_before_slicer_5_11_pip_is_kept_from_the_same_packages(a_panel_to_install_from, monkeypatch):
    asked = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(
        slicer.util, "pip_install", lambda given: asked.append((given, Path(given[-1]).read_text()))
    )
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(a_panel_to_install_from.ui.installPackagesButton)
    wait_for_the_answer(a_panel_to_install_from)
    [(given, constraints)] = asked
    assert given[:-2] == list(setup.REQUIREMENTS)
    assert given[-2] == "--constraint"
    assert f"numpy=={version('numpy')}" in constraints.splitlines()


def test_who_declines_before_slicer_5_11_gets_no_half_of_lungmask(a_panel_to_install_from, monkeypatch):
    asked = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", asked.append)
    dialogs.answer(qt.QMessageBox.Cancel)
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(a_panel_to_install_from.ui.installLungmaskButton)
    assert "declined" in last_message()
    assert asked == []
    wait_for_the_answer(a_panel_to_install_from)


def test_pip_that_fails_is_told(a_panel_to_install_from, monkeypatch):
    def fail(*_args, **_options):
        raise subprocess.CalledProcessError(1, ["pip"])

    monkeypatch.setattr(packaging, "pip_install", fail)
    dialogs.answer(qt.QMessageBox.Ok)
    dialogs.answer(qt.QMessageBox.Ok)
    user.press(a_panel_to_install_from.ui.installPackagesButton)
    assert "pip could not install" in last_message()
    wait_for_the_answer(a_panel_to_install_from)


def test_the_module_can_be_reloaded(a_panel, samples):
    slicer.util.loadVolume(str(samples / "scan.nrrd"))
    user.wait_until(lambda: a_panel.ui.segmentButton.enabled)
    old = sys.modules["COVIDSelfSegSlicer.results"]
    a_panel.onReload()
    panel = slicer.modules.covidselfseg.widgetRepresentation().self()
    assert panel is not a_panel
    wait_for_the_answer(panel)
    assert panel.ui.ctSelector.currentNode().GetName() == "scan"
    assert sys.modules["COVIDSelfSegSlicer.results"] is not old
    assert not a_panel._timer.active
    panel.logic.abandon()


def test_the_panel_imports_neither_torch_nor_lungmask_nor_simpleitk(samples, tmp_path):
    script = tmp_path / "panel.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from host import bootstrap, user\n"
        "application = bootstrap.start()\n"
        "import slicer\n"
        f"application.moduleManager().load_folder(Path({str(MODULE)!r}))\n"
        "panel = slicer.modules.covidselfseg.widgetRepresentation().self()\n"
        f"ct = slicer.util.loadVolume({str(samples / 'scan.nrrd')!r})\n"
        f"panel.logic.segment(ct, model={str(samples / 'models' / 'small.safetensors')!r})\n"
        "panel.logic.showHeatmap(ct)\n"
        "panel.logic.setThreshold(ct, 0.3)\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "Testing"), str(MODULE)])}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, encoding="utf-8", env=environment, check=True
    )
    imported = done.stdout.splitlines()[-1]
    assert "'numpy'" in imported
    for heavy in ("torch", "lungmask", "SimpleITK", "safetensors", "pydicom"):
        assert f"'{heavy}'" not in imported


@pytest.mark.usefixtures("a_panel")
def test_a_phantom_that_cannot_be_made_says_why_and_leaves_nothing(tmp_path):
    setup.setWorkerPython(str(tmp_path / "nowhere"))
    with temporary_files_in(tmp_path), pytest.raises(UserError, match="Python could not be started"):
        sampleData.makePhantom()
    assert list(tmp_path.iterdir()) == []
    with temporary_files_in(tmp_path / "gone"), pytest.raises(UserError, match="temporary files"):
        sampleData.makePhantom()
    assert slicer.util.getNodesByClass("vtkMRMLVolumeNode") == []


@pytest.mark.skipif(sys.platform == "win32", reason="there only the age of a folder tells")
def test_the_scan_that_a_slicer_which_crashed_left_is_deleted_and_that_of_another_one_stays(tmp_path):
    from COVIDSelfSegSlicer.temporaryFolder import makeTemporaryFolder

    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        ended.wait()
    crashed, mine, others, strange = (
        tmp_path / name
        for name in (f"COVIDSelfSeg-{ended.pid}-a", f"COVIDSelfSeg-{os.getpid()}-b",
                     f"COVIDSelfSeg-{os.getppid()}-c", "COVIDSelfSeg-notes-2024")
    )  # fmt: skip
    for folder in (crashed, mine, others, strange):
        folder.mkdir()
        (folder / "scan.nrrd").write_bytes(b"a patient's")
    with temporary_files_in(tmp_path):
        assert makeTemporaryFolder().is_dir()
    assert not crashed.exists()
    assert all((folder / "scan.nrrd").is_file() for folder in (mine, others, strange))


def test_the_phantom_is_offered_as_sample_data(a_panel):  # noqa: ARG001
    source = slicer.modules.sampleDataSources["COVIDSelfSeg"][-1]
    assert source.sampleName == "COVIDSelfSegPhantom"
    assert Path(source.thumbnailFileName).is_file()
    assert source.uris == [], "nothing is downloaded"


def test_its_button_shows_what_is_missing_before_set_up(a_panel, a_bare_python, caplog):
    from SampleData import pressButton

    choose_python(a_panel, a_bare_python)
    assert pressButton("COVIDSelfSeg", "COVIDSelfSegPhantom") is None
    shown = caplog.text[caplog.text.index("The phantom could not be made") :]
    assert "is missing from" in shown
    assert "look at Set-up" in shown
