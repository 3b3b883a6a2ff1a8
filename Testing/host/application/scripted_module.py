"""Scripted modules as the application holds them: the module object and the widget around its panel."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QVBoxLayout

from host.properties import attribute, declared
from host.pythonqt import conversion
from host.pythonqt.signals import guarded_call
from host.qmrml.qMRMLWidget import qMRMLWidget


class ModuleLoadError(RuntimeError):
    """A Python file in a module folder is no scripted module; Slicer reports that when it starts."""


def import_source(path: Path) -> ModuleType:
    """Run a module's file as the Python module of the same name, as the application does.

    Raises:
        ModuleLoadError: the file cannot be run; the cause tells why.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ModuleLoadError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[path.stem]
        raise ModuleLoadError(f"{path} cannot be loaded: {error!r}") from error
    return module


class qSlicerScriptedLoadableModule(QObject):
    """Stands for the module object, ``slicer.modules.<name in lower case>``.

    The Python class that describes the module gets it as ``parent`` and fills in its properties.
    """

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = path
        self._widget: qSlicerScriptedLoadableModuleWidget | None = None
        self._logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
        self.python_self: Any = None

    name = declared(str, lambda self: self._path.stem, constant=True)
    path = declared(str, lambda self: str(self._path), constant=True)
    title = attribute(str, "_title", "")
    categories = attribute("QStringList", "_categories", [])
    contributors = attribute("QStringList", "_contributors", [])
    dependencies = attribute("QStringList", "_dependencies", [])
    associatedNodeTypes = attribute("QStringList", "_associated_node_types", [])
    helpText = attribute(str, "_help_text", "")
    acknowledgementText = attribute(str, "_acknowledgement_text", "")
    extensions = attribute("QVariantMap", "_extensions", {})
    icon = attribute(QIcon, "_icon", QIcon())
    hidden = attribute(bool, "_hidden", False)
    index = attribute(int, "_index", -1)
    widgetRepresentationCreationEnabled = attribute(bool, "_widget_representation_creation_enabled", True)
    defaultDocumentationLink = declared(str, lambda self: f"<p>{self._path.stem}</p>", constant=True)
    isInstalled = declared(bool, lambda _self: False, constant=True)
    isBuiltIn = declared(bool, lambda _self: False, constant=True)

    def instantiate(self) -> None:
        """Run the file, make the describing class and the attribute ``slicer.modules.<Name>Instance``.

        Raises:
            ModuleLoadError: the class with the file's name is missing or cannot be made.
        """
        name = self._path.stem
        module = import_source(self._path)
        if not hasattr(module, name):
            raise ModuleLoadError(f"class {name} was not found in {self._path}")
        try:
            self.python_self = getattr(module, name)(conversion.wrap(self))
        except Exception as error:
            raise ModuleLoadError(f"{name}(parent) failed: {error!r}") from error
        setattr(slicer.modules, f"{name}Instance", self.python_self)
        if not hasattr(module, f"{name}Widget"):
            self.widgetRepresentationCreationEnabled = False

    def call_setup(self) -> None:
        """Call the describing class's ``setup``, if it has one, after all modules are there."""
        setup = getattr(self.python_self, "setup", None)
        if setup is not None:
            guarded_call(setup)

    @Slot(result=object)
    def logic(self) -> slicer.vtkSlicerScriptedLoadableModuleLogic:
        """The C++ logic, which knows nothing of the module; the Python one is ``panel.logic``."""
        return self._logic

    @Slot(result=object)
    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return slicer.mrmlScene

    @Slot(result=QObject)
    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget | None:
        """The widget around the panel; the panel is made and set up at the first call."""
        if self._widget is None and self.widgetRepresentationCreationEnabled:
            self._widget = self._create_widget()
        return self._widget

    @Slot(result=QObject)
    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget | None:
        return self._create_widget()

    def discard_widget(self) -> None:
        """Delete the panel, after its selectors let go of the scene."""
        if self._widget is None:
            return
        for child in self._widget.findChildren(QObject):
            if hasattr(child, "setMRMLScene"):
                child.setMRMLScene(None)
        self._widget.deleteLater()
        self._widget = None

    def _create_widget(self) -> qSlicerScriptedLoadableModuleWidget:
        widget = qSlicerScriptedLoadableModuleWidget(self._path)
        widget.instantiate()
        widget.setMRMLScene(slicer.mrmlScene)
        widget.setup()
        return widget


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """Stands for the widget around a panel; it calls the panel's ``setup``, ``enter``, ``exit`` ..."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._python_self: Any = None
        QVBoxLayout(self)

    def instantiate(self) -> None:
        """Make the panel and the attribute ``slicer.modules.<Name>Widget``.

        Raises:
            ModuleLoadError: there is no panel class, or making it fails.
        """
        class_name = f"{self._path.stem}Widget"
        module = sys.modules.get(self._path.stem) or import_source(self._path)
        if not hasattr(module, class_name):
            raise ModuleLoadError(f"class {class_name} was not found in {self._path}")
        try:
            self._python_self = getattr(module, class_name)(conversion.wrap(self))
        except Exception as error:
            raise ModuleLoadError(f"{class_name}(parent) failed: {error!r}") from error
        setattr(slicer.modules, class_name, self._python_self)

    @Slot(result=object)
    def self(self) -> Any:
        """The Python panel."""
        return self._python_self

    @Slot()
    def setup(self) -> None:
        self._call("setup")

    @Slot()
    def enter(self) -> None:
        self._call("enter")

    @Slot()
    def exit(self) -> None:
        self._call("exit")

    @Slot()
    def reload(self) -> None:
        """Make the panel anew from the module as it is in ``sys.modules`` now."""
        self.instantiate()
        self.setup()

    @Slot(object, str, str, result=bool)
    @Slot(object, result=bool)
    def setEditedNode(self, node: slicer.vtkMRMLNode, role: str = "", context: str = "") -> bool:
        """Whether the panel accepts to edit a node; a panel that does not say so does not."""
        method = getattr(self._python_self, "setEditedNode", None)
        return bool(method(node, role, context)) if method else False

    @Slot(object, result=float)
    def nodeEditable(self, node: slicer.vtkMRMLNode) -> float:
        """How well the panel can edit a node, 0 to 1."""
        method = getattr(self._python_self, "nodeEditable", None)
        return float(method(node)) if method else 0.5

    def _call(self, name: str) -> None:
        method = getattr(self._python_self, name, None)
        if method is not None:
            guarded_call(method)
