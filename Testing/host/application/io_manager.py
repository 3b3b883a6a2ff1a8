"""``slicer.app.coreIOManager()``: what ``slicer.util.loadVolume``, ``saveNode``, ``saveScene`` ... end in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import slicer
import vtk
from PySide6.QtCore import QCoreApplication, QObject, Signal, Slot

from host.application import readers, writers


class qSlicerCoreIOManager(QObject):
    """Stands for qSlicerCoreIOManager and qSlicerIOManager: chooses the reader or writer of a file type.

    Paths must be ``str``: Qt does not convert ``pathlib.Path`` to ``QString``.
    """

    newFileLoaded = Signal(dict)
    fileSaved = Signal(dict)

    def __init__(
        self, application_logic: slicer.vtkSlicerApplicationLogic, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._logic = application_logic

    @Slot(str, result=str)
    def fileType(self, file_name: str) -> str:
        extension = self._known_extension(file_name)
        return readers.EXTENSIONS.get(extension, "NoFile")

    @Slot(str, result=int)
    def registeredFileReaderCount(self, file_type: str) -> int:
        return int(file_type in readers.READERS)

    @Slot(str, dict, object, object, result=bool)
    @Slot(str, dict, object, result=bool)
    def loadNodes(
        self,
        file_type: str,
        properties: dict[str, Any],
        loaded: vtk.vtkCollection,
        messages: slicer.vtkMRMLMessageCollection | None = None,
    ) -> bool:
        """Read a file into the scene. False if it could not be read; ``messages`` then say why.

        Raises:
            NotImplementedError: the host has no reader for the file type.
        """
        if file_type not in readers.READERS:
            raise NotImplementedError(f"the host has no reader for {file_type}")
        _check_path(properties)
        messages = messages or slicer.vtkMRMLMessageCollection()
        with _progress_dialog(self._logic.GetMRMLScene()):
            nodes = readers.READERS[file_type](self._logic, properties, messages)
        if nodes is None:
            return False
        for node in nodes:
            loaded.AddItem(node)
        self.newFileLoaded.emit({**properties, "fileType": file_type})
        return True

    @Slot(str, dict, object, result=bool)
    @Slot(str, dict, result=bool)
    def saveNodes(
        self,
        file_type: str,
        properties: dict[str, Any],
        messages: slicer.vtkMRMLMessageCollection | None = None,
    ) -> bool:
        """Write a node (``nodeID``) or the scene to ``fileName``. False if that failed."""
        _check_path(properties)
        messages = messages or slicer.vtkMRMLMessageCollection()
        if file_type == "SceneFile":
            success = writers.write_scene(self._logic, properties, messages)
        else:
            node = self._logic.GetMRMLScene().GetNodeByID(properties["nodeID"])
            success = writers.write_node(node, properties, messages)
        if success:
            self.fileSaved.emit({**properties, "fileType": file_type})
        return success

    @Slot(list, list, dict, bool, object, result=bool)
    def exportNodes(
        self,
        node_ids: list[str],
        file_names: list[str],
        properties: dict[str, Any],
        harden_transform: bool,
        messages: slicer.vtkMRMLMessageCollection,
    ) -> bool:
        """Write nodes without changing them or their storage.

        Raises:
            NotImplementedError: exporting in world coordinates.
        """
        if harden_transform:
            raise NotImplementedError("the host does not export in world coordinates")
        scene = self._logic.GetMRMLScene()
        pairs = zip(node_ids, file_names, strict=True)
        return all(writers.export_node(scene.GetNodeByID(i), name, properties, messages) for i, name in pairs)

    @Slot(object, result=str)
    def fileWriterFileType(self, node: slicer.vtkMRMLNode) -> str:
        types = writers.FILE_TYPE_OF_CLASS.items()
        return next((file_type for class_name, file_type in types if node.IsA(class_name)), "NoFile")

    @Slot(object, result=list)
    def fileWriterExtensions(self, node: slicer.vtkMRMLStorableNode) -> list[str]:
        """What the node can be written as, for example ``NRRD (.nrrd)``."""
        types = node.CreateDefaultStorageNode().GetSupportedWriteFileTypes()
        return [types.GetValue(index) for index in range(types.GetNumberOfValues())]

    @Slot(str, object, result=str)
    def extractKnownExtension(self, file_name: str, node: slicer.vtkMRMLStorableNode) -> str:
        helper = slicer.vtkDataFileFormatHelper
        known = [helper.GetFileExtensionFromFormatString(text) for text in self.fileWriterExtensions(node)]
        return max((e for e in known if file_name.lower().endswith(e)), key=len, default="")

    def _known_extension(self, file_name: str) -> str:
        return max((e for e in readers.EXTENSIONS if file_name.lower().endswith(e)), key=len, default="")


@contextmanager
def _progress_dialog(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """What Slicer's progress dialog does while a file is read: at each node that is added, it runs events.

    Slicer shows it after a second, the host at once. So timers fire while a scene is read by half.
    """
    tag = scene.AddObserver(scene.NodeAddedEvent, lambda *_: QCoreApplication.processEvents())
    try:
        yield
    finally:
        scene.RemoveObserver(tag)


def _check_path(properties: dict[str, Any]) -> None:
    path = properties.get("fileName")
    if not isinstance(path, str):
        raise TypeError(f"fileName must be a str, Qt does not convert {path!r}")
