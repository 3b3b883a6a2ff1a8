"""``slicer.app``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import ClassVar

import slicer
from PySide6.QtCore import QObject, QProcessEnvironment, QSettings, Signal, Slot
from PySide6.QtWidgets import QApplication, QWidget

from host.application import python_slicer, settings
from host.application.io_manager import qSlicerCoreIOManager
from host.application.module_manager import qSlicerModuleManager
from host.core.logics import create_logics
from host.core.remote_io import connect_remote_io
from host.core.scene import SHARE_PATH, create_application_logic
from host.core.subject_hierarchy import SubjectHierarchyUpdater
from host.properties import declared
from host.views.layout_manager import qSlicerLayoutManager


class ctkPythonConsole(QWidget):
    """Stands for the Python console: a widget that can be shown and hidden."""


class qSlicerExtensionsManagerModel(QObject):
    """Stands for the extensions manager; a test says which extensions there are."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.installed: set[str] = set()

    @Slot(str, result=bool)
    def isExtensionInstalled(self, name: str) -> bool:
        return name in self.installed


class qSlicerApplication(QApplication):
    """Stands for qSlicerApplication: the scene, the application logic and the managers."""

    vtk_signatures: ClassVar[tuple[str, ...]] = ("mrmlSceneChanged(vtkMRMLScene*)",)

    startupCompleted = Signal()
    mrmlSceneChanged = Signal(object)

    def __init__(self, home: Path) -> None:
        super().__init__(sys.argv[:1])
        settings.isolate(home / "settings")
        self._startup_environment = QProcessEnvironment.systemEnvironment()
        python_slicer.install(home)
        self._home = home
        self._temporary_path = tempfile.mkdtemp(prefix="temporary-", dir=home)
        self._testing = True
        self._logic = create_application_logic(home)
        self._logic.SetTemporaryPath(self._temporary_path)
        self._logics = create_logics(self._logic)
        self._remote_io = connect_remote_io(self._logic, home)
        self._subject_hierarchy = SubjectHierarchyUpdater(self._logic.GetMRMLScene())
        self._user_settings = QSettings(parent=self)
        self._io_manager = qSlicerCoreIOManager(self._logic, self)
        self._extensions = qSlicerExtensionsManagerModel(self)
        self._console = ctkPythonConsole()

    def create_managers(self) -> None:
        """Make what needs ``slicer.app`` and ``slicer.modules`` to exist; nothing works before."""
        self._module_manager = qSlicerModuleManager(self._logics, self)
        self._layout_manager = qSlicerLayoutManager(self._logic, self)

    def set_testing_enabled(self, testing: bool) -> None:
        """Choose whether ``slicer.util`` skips dialogs, as Slicer does when started with ``--testing``."""
        self._testing = testing

    applicationName = declared(str, lambda _self: "Slicer", constant=True)
    applicationVersion = declared(str, lambda _self: "5.12.4-2026-01-01", constant=True)
    mainApplicationName = declared(str, lambda _self: "Slicer", constant=True)
    majorVersion = declared(int, lambda _self: 5, constant=True)
    minorVersion = declared(int, lambda _self: 12, constant=True)
    revision = declared(str, lambda _self: "34045", constant=True)
    repositoryRevision = declared(str, lambda _self: "0000000", constant=True)
    releaseType = declared(str, lambda _self: "Stable", constant=True)
    os = declared(
        str, lambda _self: {"linux": "linux", "darwin": "macosx"}.get(sys.platform, "win"), constant=True
    )
    platform = declared(str, lambda self: f"{self.os}-amd64", constant=True)
    arch = declared(str, lambda _self: "amd64", constant=True)
    isInstalled = declared(bool, lambda _self: True, constant=True)
    slicerHome = declared(str, lambda self: str(self._home), constant=True)
    slicerSharePath = declared(str, lambda _self: SHARE_PATH, constant=True)
    startupWorkingPath = declared(str, lambda _self: str(Path.cwd()), constant=True)
    slicerUserSettingsFilePath = declared(str, lambda self: self._user_settings.fileName(), constant=True)
    extensionsInstallPath = declared(str, lambda self: str(self._home / "Extensions"), constant=True)
    defaultScenePath = declared(str, lambda self: str(self._home), constant=True)
    documentationBaseUrl = declared(
        str, lambda _self: "https://slicer.readthedocs.io/en/5.12/", constant=True
    )
    cachePath = declared(str, lambda self: str(self._home / "RemoteIO"), constant=True)

    def _get_temporary_path(self) -> str:
        return self._temporary_path

    def _set_temporary_path(self, path: str) -> None:
        self._temporary_path = path
        self._logic.SetTemporaryPath(path)

    temporaryPath = declared(str, _get_temporary_path, _set_temporary_path)

    @Slot(result=object)
    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return self._logic.GetMRMLScene()

    @Slot(result=object)
    def applicationLogic(self) -> slicer.vtkSlicerApplicationLogic:
        return self._logic

    @Slot(str, result=object)
    def moduleLogic(self, name: str) -> slicer.vtkMRMLAbstractLogic | None:
        return self._logic.GetModuleLogic(name)

    @Slot(result=QObject)
    def layoutManager(self) -> qSlicerLayoutManager:
        return self._layout_manager

    @Slot(result=QObject)
    def moduleManager(self) -> qSlicerModuleManager:
        return self._module_manager

    @Slot(result=QObject)
    def coreIOManager(self) -> qSlicerCoreIOManager:
        return self._io_manager

    @Slot(result=QObject)
    def ioManager(self) -> qSlicerCoreIOManager:
        return self._io_manager

    @Slot(result=QObject)
    def extensionsManagerModel(self) -> qSlicerExtensionsManagerModel:
        return self._extensions

    @Slot(result=QObject)
    def pythonConsole(self) -> ctkPythonConsole:
        return self._console

    @Slot(result=QObject)
    def userSettings(self) -> QSettings:
        return self._user_settings

    @Slot(result=QObject)
    def settings(self) -> QSettings:
        return self._user_settings

    @Slot(result=QObject)
    def revisionUserSettings(self) -> QSettings:
        return self._user_settings

    @Slot(result=bool)
    def testingEnabled(self) -> bool:
        return self._testing

    @Slot(result=object)
    def startupEnvironment(self) -> QProcessEnvironment:
        """The environment before the application added its own, such as ``PythonSlicer`` on the PATH."""
        return self._startup_environment

    @Slot(result=object)
    def environment(self) -> QProcessEnvironment:
        return QProcessEnvironment.systemEnvironment()

    @Slot(str, str)
    def setEnvironmentVariable(self, key: str, value: str) -> None:
        os.environ[key] = value

    @Slot()
    def pauseRender(self) -> None:
        self._logic.PauseRender()

    @Slot()
    def resumeRender(self) -> None:
        self._logic.ResumeRender()

    @Slot(str, str, result=str)
    def translate(self, context: str, text: str) -> str:  # noqa: ARG002 - Slicer's signature
        return text

    @Slot(str, result=str)
    def moduleDocumentationUrl(self, module_name: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{module_name.lower()}.html"
