"""The window in which a module is tried by hand."""

import subprocess
import sys
from pathlib import Path

import pytest
import qt
import slicer
from host import bootstrap
from host.application.main_window import qSlicerMainWindow
from host.pythonqt import conversion
from host.views.grab import grab_layout

SAMPLE = Path(__file__).parent / "samples" / "Sample"


@pytest.fixture
def a_window(a_module_panel):
    a_module_panel(SAMPLE)
    application = bootstrap.start()
    window = qSlicerMainWindow(application.moduleManager(), application.layoutManager().viewport())
    window.show()
    yield conversion.wrap(window)
    window.takeCentralWidget()
    window.close()
    window.deleteLater()


def test_there_is_no_main_window_until_one_is_made(a_scene):  # noqa: ARG001 - closed around it
    assert slicer.util.mainWindow() is None


def test_the_chosen_module_has_its_panel_in_the_main_window(a_window):
    slicer.util.selectModule("Sample")
    assert slicer.util.mainWindow() == a_window
    assert slicer.util.selectedModule() == "Sample"
    panel = slicer.modules.SampleWidget
    assert panel.ui.inputSelector.visible
    assert panel.calls[-1] == "enter"


def test_a_message_is_in_the_status_bar(a_window):
    slicer.util.showStatusMessage("Painting the lung healthy")
    assert a_window.statusBar().currentMessage() == "Painting the lung healthy"


def test_a_module_without_panel_cannot_be_chosen(a_window):
    with pytest.raises(LookupError, match="no scripted module"):
        slicer.util.moduleSelector().selectModule("Volumes")
    assert a_window.visible


def test_the_views_are_in_the_main_window_with_its_size(a_window):
    a_window.resize(1000, 700)
    pixels = grab_layout(size=(300, 300))
    assert 500 < pixels.shape[1] < 1000
    assert a_window.centralWidget().visible


def test_the_window_of_a_module_is_drawn_into_a_file(tmp_path):
    picture = tmp_path / "window.png"
    command = [sys.executable, "-m", "host", str(SAMPLE), "--picture", str(picture), "--size", "800", "600"]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1], timeout=60)
    assert qt.QImage(str(picture)).width() == 800
