"""``slicer.app.moduleManager()``: which modules there are, and loading scripted ones from a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import slicer
from PySide6.QtCore import QObject, Signal, Slot

from host.application.modules import qSlicerLoadableModule
from host.application.scripted_module import ModuleLoadError, qSlicerScriptedLoadableModule
from host.pythonqt import conversion

Module = qSlicerLoadableModule | qSlicerScriptedLoadableModule


class qSlicerModuleFactoryManager(QObject):
    """Stands for the factory manager: the names of the loaded modules."""

    def __init__(self, modules: dict[str, Module], parent: QObject) -> None:
        super().__init__(parent)
        self._modules = modules

    @Slot(result=list)
    def loadedModuleNames(self) -> list[str]:
        return list(self._modules)

    @Slot(str, result=bool)
    def isLoaded(self, name: str) -> bool:
        return name in self._modules


class qSlicerModuleManager(QObject):
    """Stands for the module manager."""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)
    moduleUnloaded = Signal(str)

    def __init__(self, logics: dict[str, slicer.vtkMRMLAbstractLogic], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._modules: dict[str, Module] = {}
        self._factory_manager = qSlicerModuleFactoryManager(self._modules, self)
        for name, logic in logics.items():
            self._add(name, qSlicerLoadableModule(name, logic, self))

    @Slot(str, result=QObject)
    def module(self, name: str) -> Module | None:
        return self._modules.get(name)

    def scripted_module(self, name: str) -> qSlicerScriptedLoadableModule:
        """A loaded scripted module.

        Raises:
            LookupError: there is none of that name.
        """
        module = self._modules.get(name)
        if not isinstance(module, qSlicerScriptedLoadableModule):
            raise LookupError(f"there is no scripted module {name}")
        return module

    @Slot(result=QObject)
    def factoryManager(self) -> qSlicerModuleFactoryManager:
        return self._factory_manager

    @Slot(result=list)
    def modulesNames(self) -> list[str]:
        return list(self._modules)

    def load_folder(self, folder: Path) -> list[qSlicerScriptedLoadableModule]:
        """Load a module folder as the application does: every ``.py`` file directly in it must be a module.

        The folder is put on ``sys.path``. Modules are set up after all of them were made.

        Raises:
            ModuleLoadError: a file is no module, a dependency is missing, or the folder has no module at all.
        """
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        loaded = [self._load(path) for path in sorted(folder.glob("*.py"))]
        if not loaded:
            raise ModuleLoadError(f"{folder} has no scripted module")
        for module in loaded:
            missing = [name for name in module.dependencies if name not in self._modules]
            if missing:
                raise ModuleLoadError(f"{module.name} depends on modules that are not loaded: {missing}")
        for module in loaded:
            module.call_setup()
            self.moduleLoaded.emit(module.name)
        return loaded

    def unload(self, name: str) -> None:
        """Unload a scripted module as at application exit: its panel cleans up and is deleted."""
        module = self.scripted_module(name)
        self.moduleAboutToBeUnloaded.emit(name)
        module.discard_widget()
        del self._modules[name]
        for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
            if hasattr(slicer.modules, attribute):
                delattr(slicer.modules, attribute)
        slicer.selfTests.pop(name, None)
        sys.modules.pop(name, None)
        self.moduleUnloaded.emit(name)

    def _load(self, path: Path) -> qSlicerScriptedLoadableModule:
        if path.stem in self._modules:
            raise ModuleLoadError(f"a module named {path.stem} is already loaded")
        module = qSlicerScriptedLoadableModule(path, self)
        module.instantiate()
        self._add(path.stem, module)
        return module

    def _add(self, name: str, module: Module) -> None:
        self._modules[name] = module
        setattr(slicer.modules, name.lower(), conversion.wrap(module))
        setattr(slicer.moduleNames, name, name)
