"""``qMRMLNodeComboBox``: choosing a node of the scene."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
import vtk
from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QInputDialog, QWidget

from host.ctk.ctkComboBox import ctkComboBox
from host.properties import attribute, declared, of_qt_child, overloaded_signal
from host.pythonqt.dialogs import dialogs
from host.qmrml.node_filter import NodeFilter
from host.qmrml.scene_observer import Observations


class qMRMLNodeComboBox(QWidget):
    """Follows the scene: nodes appear, are renamed and disappear. Disabled until it has a scene.

    As in Slicer, nothing is chosen by itself when the scene is set; a first node is chosen when it appears
    in an empty list without a "None" item and without menu items. When the chosen node is removed, the one
    that takes its place in the list is chosen.
    """

    vtk_signatures: ClassVar[tuple[str, ...]] = (
        "currentNodeChanged(vtkMRMLNode*)",
        "nodeActivated(vtkMRMLNode*)",
        "nodeAdded(vtkMRMLNode*)",
        "nodeAddedByUser(vtkMRMLNode*)",
        "nodeAboutToBeRemoved(vtkMRMLNode*)",
        "nodeAboutToBeEdited(vtkMRMLNode*)",
        "setMRMLScene(vtkMRMLScene*)",
        "setCurrentNode(vtkMRMLNode*)",
    )

    currentNodeChanged = overloaded_signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    nodeAboutToBeEdited = Signal(object)
    currentNodeRenamed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo_box = ctkComboBox(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo_box)
        self._combo_box.activated.connect(self._on_activated)
        self._scene: slicer.vtkMRMLScene | None = None
        self._observations = Observations(self)
        self._filter = NodeFilter()
        self._nodes: list[slicer.vtkMRMLNode] = []
        self._observed: set[slicer.vtkMRMLNode] = set()
        self._current: slicer.vtkMRMLNode | None = None
        self._has_index = False
        self._requested_id = ""
        self._base_names: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._none_enabled = False
        self._none_display = "None"
        self._menu = {"add": True, "remove": True, "edit": False, "rename": False}
        self._user_actions: list[QAction] = []
        self._select_upon_creation = True
        self.setEnabled(False)

    # What a module uses: the chosen node.

    @Slot(result=object)
    def currentNode(self) -> slicer.vtkMRMLNode | None:
        return self._current

    @Slot(object)
    @Slot(str)
    def setCurrentNode(self, node: slicer.vtkMRMLNode | str | None) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node else "")

    @Slot(str)
    def setCurrentNodeID(self, node_id: str | None) -> None:
        """Choose a node; one that is not in the list means "None", or nothing if there is no such item."""
        if self._scene is None:
            self._requested_id = node_id or ""
            return
        self._choose(next((node for node in self._nodes if node.GetID() == node_id), None))

    @Slot(int)
    def setCurrentNodeIndex(self, index: int) -> None:
        self._choose(self._nodes[index] if 0 <= index < len(self._nodes) else None)

    @Slot(result=object)
    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        """Offer the nodes of another scene, or none at all."""
        if scene is self._scene:
            return
        wanted = self._current.GetID() if self._current else self._requested_id
        self._observations.clear()
        self._observed.clear()
        self._scene, self._requested_id = scene, ""
        if scene is not None:
            self._observe(scene)
        self._nodes = self._offered()
        self.setEnabled(scene is not None)
        self._choose(next((node for node in self._nodes if node.GetID() == wanted), None))
        self._show()

    @Slot(str, result=object)
    @Slot(result=object)
    def addNode(self, node_type: str | None = None) -> slicer.vtkMRMLNode | None:
        """Make a node as the menu item "Create new ..." does; ``None`` if the class is not offered."""
        node_type = node_type or next(iter(self._filter.node_types), None)
        if self._scene is None or node_type not in self._filter.node_types:
            return None
        node = self._scene.CreateNodeByClass(node_type)
        node.UnRegister(None)
        name = self._base_names.get(node_type) or self._scene.GetTagByClassName(node_type)
        node.SetName(self._scene.GetUniqueNameByString(name))
        for key, value in self._filter.attributes.get(node_type, {}).items():
            node.SetAttribute(key, value or "")
        self._scene.AddNode(node)
        if self._select_upon_creation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    @Slot()
    def removeCurrentNode(self) -> None:
        if self._scene is not None and self._current is not None:
            self._scene.RemoveNode(self._current)

    @Slot()
    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self._current)

    @Slot()
    def renameCurrentNode(self) -> None:
        """Ask for a new name with a dialog."""
        if self._current is None:
            return
        args = ("New name:", self._current.GetName())
        name = dialogs.ask(
            "QInputDialog.getText", args, lambda: QInputDialog.getText(self, "Rename", *args)[0]
        )
        if name:
            self._current.SetName(name)
            self.currentNodeRenamed.emit(name)

    # Filters and labels.

    @Slot(str, str)
    @Slot(str, str, "QVariant")
    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        wanted = self._filter.attributes.setdefault(node_type, {})
        wanted[name] = None if value is None else str(value)
        self._refresh()

    @Slot(str, str)
    def removeAttribute(self, node_type: str, name: str) -> None:
        self._filter.attributes.get(node_type, {}).pop(name, None)
        self._refresh()

    @Slot(str, str)
    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._labels[node_type] = label
        self._show()

    @Slot(str, result=str)
    def nodeTypeLabel(self, node_type: str) -> str:
        tag = self._scene.GetTagByClassName(node_type) if self._scene and node_type else ""
        return (
            self._labels.get(node_type) or tag or ("Volume" if node_type == "vtkMRMLVolumeNode" else "node")
        )

    @Slot("QAction*")
    def addMenuAction(self, action: QAction) -> None:
        self._user_actions.append(action)
        self._show()

    def _set_filter(self, name: str, value: Any) -> None:
        setattr(self._filter, name, value)
        self._refresh()

    def _set_menu(self, name: str, enabled: bool) -> None:
        self._menu[name] = enabled
        self._show()

    def _set_none_enabled(self, enabled: bool) -> None:
        self._none_enabled = enabled
        self._has_index = self._current is not None or (enabled and self._scene is not None)
        self._show()

    def _set_none_display(self, text: str) -> None:
        self._none_display = text
        self._show()

    def _set_base_name(self, name: str) -> None:
        self._base_names.update(dict.fromkeys(self._filter.node_types, name))

    @staticmethod
    def _filter_property(kind: type | str, name: str) -> Any:
        return declared(
            kind,
            lambda self: getattr(self._filter, name),
            lambda self, value: self._set_filter(name, value),
        )

    @staticmethod
    def _menu_property(name: str) -> Any:
        return declared(
            bool, lambda self: self._menu[name], lambda self, enabled: self._set_menu(name, enabled)
        )

    currentNodeID = declared(
        str,
        lambda self: self._current.GetID() if self._current else "",
        setCurrentNodeID,
        notify=currentNodeIDChanged,
    )
    nodeTypes = declared(
        "QStringList",
        lambda self: self._filter.node_types,
        lambda self, types: self._set_filter("node_types", [name for name in types if name]),
    )
    showHidden = _filter_property(bool, "show_hidden")
    showChildNodeTypes = _filter_property(bool, "show_children")
    hideChildNodeTypes = _filter_property("QStringList", "hidden_child_types")
    addEnabled = _menu_property("add")
    removeEnabled = _menu_property("remove")
    editEnabled = _menu_property("edit")
    renameEnabled = _menu_property("rename")
    noneEnabled = declared(bool, lambda self: self._none_enabled, _set_none_enabled)
    noneDisplay = declared(str, lambda self: self._none_display, _set_none_display)
    baseName = declared(str, lambda self: next(iter(self._base_names.values()), ""), _set_base_name)
    selectNodeUponCreation = attribute(bool, "_select_upon_creation")
    sizeAdjustPolicy = of_qt_child(
        QComboBox.SizeAdjustPolicy, "_combo_box", "sizeAdjustPolicy", "setSizeAdjustPolicy"
    )

    # Following the scene.

    def _observe(self, scene: slicer.vtkMRMLScene) -> None:
        self._observations.add(scene, scene.NodeAddedEvent, self._on_node_added)
        self._observations.add(scene, scene.NodeAboutToBeRemovedEvent, self._on_node_about_to_be_removed)
        for event in (scene.EndBatchProcessEvent, scene.EndImportEvent, scene.EndCloseEvent):
            self._observations.add(scene, event, lambda *_: self._refresh())

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_added(self, scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode) -> None:
        if scene.IsBatchProcessing() or not self._filter.accepts_type(node):
            return
        self._refresh()
        if node in self._nodes:
            self.nodeAdded.emit(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_about_to_be_removed(
        self, _scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode
    ) -> None:
        if node in self._nodes:
            self.nodeAboutToBeRemoved.emit(node)
            self._refresh(without=node)

    def _offered(self, without: slicer.vtkMRMLNode | None = None) -> list[slicer.vtkMRMLNode]:
        if self._scene is None:
            return []
        nodes = [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]
        candidates = [node for node in nodes if node is not without and self._filter.accepts_type(node)]
        self._observe_nodes(set(candidates))
        return [node for node in candidates if self._filter.accepts(node)]

    def _observe_nodes(self, nodes: set[slicer.vtkMRMLNode]) -> None:
        """Notice renaming and hiding, also of nodes that are not offered now."""
        for node in self._observed - nodes:
            self._observations.remove(node)
        for node in nodes - self._observed:
            self._observations.add(node, vtk.vtkCommand.ModifiedEvent, lambda *_: self._refresh())
        self._observed = nodes

    def _refresh(self, without: slicer.vtkMRMLNode | None = None) -> None:
        """Offer what the scene has now and keep the choice, or choose the node that takes its place."""
        if self._scene is None or self._scene.IsBatchProcessing():
            return
        before, self._nodes = self._nodes, self._offered(without)
        if self._current is not None and self._current not in self._nodes:
            row = before.index(self._current)
            self._choose(self._nodes[min(row, len(self._nodes) - 1)] if self._nodes else None)
        elif not before and self._nodes and self._current is None and self._is_bare():
            self._choose(self._nodes[0])
        self._show()

    def _is_bare(self) -> bool:
        return not (self._none_enabled or any(self._menu.values()) or self._user_actions)

    def _choose(self, node: slicer.vtkMRMLNode | None) -> None:
        has_index = node is not None or (self._none_enabled and self._scene is not None)
        if node is self._current and has_index == self._has_index:
            return
        self._current, self._has_index = node, has_index
        self._show()
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node else "")

    # The drop-down list.

    def _menu_texts(self) -> dict[str, Any]:
        types = self._filter.node_types
        label = self.nodeTypeLabel(types[0] if len(types) == 1 else "")
        texts: dict[str, Any] = {}
        if self._menu["rename"]:
            texts[f"Rename current {label}"] = self.renameCurrentNode
        if self._menu["edit"]:
            texts[f"Edit current {label}"] = self.editCurrentNode
        if self._menu["add"]:
            for kind in types:
                texts[f"Create new {self.nodeTypeLabel(kind)}"] = lambda kind=kind: self.addNode(kind)
        if self._menu["remove"]:
            texts[f"Delete current {label}"] = self.removeCurrentNode
        return texts | {action.text(): action.trigger for action in self._user_actions}

    def _show(self) -> None:
        types = self._filter.node_types
        box = self._combo_box
        box.setPlaceholderText(f"Select a {self.nodeTypeLabel(types[0] if types else '')}")
        box.clear()
        if self._scene is None:
            return
        if self._none_enabled:
            box.addItem(self._none_display)
        for node in self._nodes:
            box.addItem(node.GetName(), node.GetID())
        if texts := self._menu_texts():
            box.insertSeparator(box.count())
            box.addItems(list(texts))
        none_row = 0 if self._none_enabled else -1
        box.setCurrentIndex(box.findData(self._current.GetID()) if self._current else none_row)

    def _on_activated(self, row: int) -> None:
        """The user picked a line: a node, "None" or a menu item, which is no choice."""
        texts, text, data = self._menu_texts(), self._combo_box.itemText(row), self._combo_box.itemData(row)
        if data is None and text in texts:
            self._show()
            texts[text]()
            return
        self.setCurrentNodeID(data)
        self.nodeActivated.emit(self._current)
