"""Starting the stand-in: after :func:`start`, ``import slicer, qt, ctk`` works as inside Slicer."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from host import environment
from host.errors import slot_errors

if TYPE_CHECKING:
    from host.application.application import qSlicerApplication

_running: list[qSlicerApplication] = []


def start() -> qSlicerApplication:
    """Start the application, once in a process; later calls return the same one.

    Python modules see its wrapper ``slicer.app``. The object returned here is for the host's own business.

    Raises:
        RuntimeError: Qt or VTK was imported before, with settings that do not fit.
    """
    if not _running:
        environment.prepare()
        slot_errors.install()
        _running.append(_start())
    return _running[0]


def _start() -> qSlicerApplication:
    import slicer

    _remove_leaked_names(slicer)
    slicer.modules = _submodule("slicer.modules")
    slicer.moduleNames = _submodule("slicer.moduleNames")
    slicer.selfTests = {}

    from host.application.application import qSlicerApplication
    from host.pythonqt import conversion

    application = qSlicerApplication(environment.scratch_folder())
    slicer.app = conversion.wrap(application)
    slicer.mrmlScene = application.mrmlScene()
    _install_modules(slicer)
    application.create_managers()
    slot_errors.raise_first()
    return application


def _remove_leaked_names(slicer: ModuleType) -> None:
    """Undo what only slicer-core does: it offers ``slicer.loadVolume`` besides ``slicer.util.loadVolume``."""
    for name in list(vars(slicer)):
        if not name.startswith(("_", "vtk")) and name != "util":
            delattr(slicer, name)


def _install_modules(slicer: ModuleType) -> None:
    from host import stand_ins
    from host.pythonqt import registry
    from host.pythonqt.modules import QtModule, StandInModule

    sys.modules["qt"] = QtModule(stand_ins.QT_CLASSES)
    sys.modules["ctk"] = StandInModule("ctk", stand_ins.CTK_CLASSES)
    for name, stand_in in stand_ins.SLICER_CLASSES.items():
        setattr(slicer, name, registry.class_of(stand_in))

    from host.slicerlib import i18n, packaging, sample_data

    sys.modules["SampleData"] = sample_data
    _attach(slicer, "i18n", i18n)
    _attach(slicer, "packaging", packaging)

    from host.slicerlib import scripted_loadable_module

    _attach(slicer, "ScriptedLoadableModule", scripted_loadable_module)


def _attach(slicer: ModuleType, name: str, module: ModuleType) -> None:
    setattr(slicer, name, module)
    sys.modules[f"slicer.{name}"] = module


def _submodule(name: str) -> ModuleType:
    module = ModuleType(name)
    sys.modules[name] = module
    return module
