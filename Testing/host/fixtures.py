"""Fixtures for tests of scripted modules. Importing this module starts the application.

A ``conftest.py`` makes them available with ``from host.fixtures import *``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from host import bootstrap, dialogs, slot_errors

_application = bootstrap.start()

import slicer  # noqa: E402 - the application must run before its modules can be imported
from PySide6.QtCore import QCoreApplication, QEvent, Qt  # noqa: E402

from host.application import settings  # noqa: E402
from host.application.scripted_module import qSlicerScriptedLoadableModuleWidget  # noqa: E402
from host.slicerlib import packaging  # noqa: E402

__all__ = ["a_module_panel", "a_scene", "an_application", "no_slot_errors"]

OpenPanel = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_slot_errors() -> Iterator[None]:
    """Fails a test during which an exception was raised in a slot, a timer or an observer."""
    slot_errors.clear()
    yield
    slot_errors.raise_first()


@pytest.fixture
def an_application() -> Iterator[Any]:
    """``slicer.app`` in testing mode, without settings, queued answers or recorded installations.

    Fails a test that queued an answer for a dialog that was never asked for.
    """
    _reset()
    yield slicer.app
    try:
        dialogs.raise_unused()
    finally:
        _reset()


@pytest.fixture
def a_scene(an_application: Any) -> Iterator[slicer.vtkMRMLScene]:
    """The scene, as after starting Slicer: closed, four views."""
    _close_scene()
    yield an_application.mrmlScene()
    _close_scene()
    flush()


@pytest.fixture
def a_module_panel(a_scene: slicer.vtkMRMLScene) -> Iterator[OpenPanel]:  # noqa: ARG001 - closed around it
    """Opens panels: ``a_module_panel(folder)`` loads a module folder and returns its Python panel, entered.

    Folders of modules that it depends on follow: ``a_module_panel(folder, other_folder)``. Afterwards
    everything is taken down in the order of the application's exit.
    """
    manager = _application.moduleManager()
    loaded: list[str] = []

    def open_panel(folder: Path, *dependencies: Path) -> Any:
        for needed in (*dependencies, folder):
            modules = manager.load_folder(needed)
            loaded.extend(module.name for module in modules)
        _application.startupCompleted.emit()
        panels = [widget for module in modules if (widget := module.widgetRepresentation())]
        assert panels, f"no module in {folder} has a panel"
        panels[0].setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
        panels[0].show()
        panels[0].enter()
        slot_errors.raise_first()
        return panels[0].self()

    yield open_panel
    for name in reversed(loaded):
        _leave(manager.scripted_module(name).widgetRepresentation())
        manager.unload(name)
    flush()


def flush() -> None:
    """Let the application finish: pending events, then deletions, then what these caused."""
    QCoreApplication.processEvents()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QCoreApplication.processEvents()


def _leave(widget: qSlicerScriptedLoadableModuleWidget | None) -> None:
    """Leave a panel and take its parameter node off; unloading does the rest."""
    if widget is None:
        return
    widget.exit()
    widget.hide()
    panel = widget.self()
    if hasattr(panel, "setParameterNode"):
        panel.setParameterNode(None)


def _reset() -> None:
    settings.clear()
    dialogs.clear()
    packaging.calls.clear()
    _application.set_testing_enabled(True)
    _application.extensionsManagerModel().installed.clear()


def _close_scene() -> None:
    scene = _application.mrmlScene()
    scene.Clear(False)
    for parameter_node in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode"):
        scene.RemoveNode(parameter_node)  # singletons outlive a closed scene, though not the application
    scene.SetUndoOff()
    layout_manager = _application.layoutManager()
    layout_manager.layoutLogic().GetLayoutNode().RemoveAllMaximizedViewNodes()
    layout_manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    layout_manager.reset_view_sizes()
