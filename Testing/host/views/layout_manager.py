"""``slicer.app.layoutManager()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import slicer
import vtk
from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QVBoxLayout, QWidget

from host.properties import declared
from host.views.layout_description import arrange
from host.views.qMRMLPlotWidget import qMRMLPlotWidget
from host.views.qMRMLSliceWidget import qMRMLSliceWidget
from host.views.qMRMLTableWidget import qMRMLTableWidget
from host.views.qMRMLThreeDWidget import qMRMLThreeDWidget
from host.views.render_target import DEFAULT_SIZE

ViewWidget = qMRMLSliceWidget | qMRMLThreeDWidget | qMRMLTableWidget | qMRMLPlotWidget


class qSlicerLayoutManager(QObject):
    """Stands for qSlicerLayoutManager: makes a widget for every view node and arranges those of the layout.

    Layout node, layout logic, view nodes and slice and view logics are Slicer's own. A view that was enlarged
    over the others (by a double click in Slicer, which the layout node keeps) is shown alone until
    another layout is set.
    """

    vtk_signatures: ClassVar[tuple[str, ...]] = ("setMRMLScene(vtkMRMLScene*)",)

    layoutChanged = Signal(int)

    def __init__(
        self, application_logic: slicer.vtkSlicerApplicationLogic, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._logic = application_logic
        self._scene = application_logic.GetMRMLScene()
        self._widgets: dict[str, ViewWidget] = {}
        self._viewport = QWidget()
        self._viewport_layout = QVBoxLayout(self._viewport)
        self._viewport_layout.setContentsMargins(0, 0, 0, 0)
        self._arranged: QWidget | None = None
        self._shown = ""
        self._layout_logic = slicer.vtkMRMLLayoutLogic()
        self._layout_logic.SetMRMLApplicationLogic(application_logic)
        self._layout_logic.SetMRMLScene(self._scene)
        self._node = self._layout_logic.GetLayoutNode()
        application_logic.AddObserver(application_logic.PauseRenderEvent, lambda *_: self._pause(True))
        application_logic.AddObserver(application_logic.ResumeRenderEvent, lambda *_: self._pause(False))
        self._scene.AddObserver(self._scene.NodeAddedEvent, self._on_node_added)
        self._node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update())
        self._node.SetViewArrangement(self._node.SlicerLayoutFourUpView)

    layout = declared(
        int,
        lambda self: self._node.GetViewArrangement(),
        lambda self, layout: self.setLayout(layout),
        notify=layoutChanged,
    )
    threeDViewCount = declared(int, lambda self: len(self._of_kind(qMRMLThreeDWidget)))
    tableViewCount = declared(int, lambda self: len(self._of_kind(qMRMLTableWidget)))
    plotViewCount = declared(int, lambda self: len(self._of_kind(qMRMLPlotWidget)))

    @Slot(int)
    def setLayout(self, layout: int) -> None:
        """Show another layout; the one that is there stays as it is, be a view enlarged in it or not."""
        if layout == self._node.GetViewArrangement():
            return
        if not self._node.IsLayoutDescription(layout):
            layout = self._node.SlicerLayoutConventionalView
        self._node.RemoveAllMaximizedViewNodes()
        self._node.SetViewArrangement(layout)

    @Slot(result=QObject)
    def viewport(self) -> QWidget:
        """The widget that holds all views of the layout."""
        return self._viewport

    @Slot(result=object)
    def layoutLogic(self) -> slicer.vtkMRMLLayoutLogic:
        return self._layout_logic

    @Slot(result=object)
    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return self._scene

    @Slot(result=list)
    def sliceViewNames(self) -> list[str]:
        """The names of all slice views, also of those that the layout does not show."""
        return [widget.mrmlSliceNode().GetLayoutName() for widget in self._of_kind(qMRMLSliceWidget)]

    @Slot(str, result=QObject)
    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        widgets = self._of_kind(qMRMLSliceWidget)
        return next((w for w in widgets if w.mrmlSliceNode().GetLayoutName() == name), None)

    @Slot(int, result=QObject)
    @Slot(str, result=QObject)
    def threeDWidget(self, index_or_name: int | str) -> qMRMLThreeDWidget | None:
        """A 3D view, be it shown or not. Slicer's numbers follow no order; here the newest is first."""
        widgets = self._of_kind(qMRMLThreeDWidget)
        if isinstance(index_or_name, int):
            return widgets[-1 - index_or_name] if index_or_name < len(widgets) else None
        return next((w for w in widgets if w.mrmlViewNode().GetLayoutName() == index_or_name), None)

    @Slot(int, result=QObject)
    def tableWidget(self, index: int) -> qMRMLTableWidget | None:
        widgets = self._of_kind(qMRMLTableWidget)
        return widgets[index] if index < len(widgets) else None

    @Slot(int, result=QObject)
    def plotWidget(self, index: int) -> qMRMLPlotWidget | None:
        widgets = self._of_kind(qMRMLPlotWidget)
        return widgets[index] if index < len(widgets) else None

    @Slot(object, result=QObject)
    def viewWidget(self, node: slicer.vtkMRMLNode) -> ViewWidget | None:
        return self._widgets.get(node.GetID())

    @Slot(result=object)
    def mrmlSliceLogics(self) -> vtk.vtkCollection:
        return self._logic.GetSliceLogics()

    @Slot(result=object)
    def mrmlViewLogics(self) -> vtk.vtkCollection:
        return self._logic.GetViewLogics()

    @Slot(result=object)
    def activeMRMLThreeDViewNode(self) -> slicer.vtkMRMLViewNode | None:
        widget = self.threeDWidget(0)
        return widget.mrmlViewNode() if widget else None

    @Slot()
    def resetThreeDViews(self) -> None:
        """Center every 3D view on what it shows."""
        for widget in self._of_kind(qMRMLThreeDWidget):
            widget.threeDView().resetFocalPoint()
            widget.threeDView().resetCamera()

    @Slot()
    def resetSliceViews(self) -> None:
        """Fit every slice view to its background volume."""
        for widget in self._of_kind(qMRMLSliceWidget):
            widget.fitSliceToBackground()

    @Slot()
    def pauseRender(self) -> None:
        self._pause(True)

    @Slot()
    def resumeRender(self) -> None:
        self._pause(False)

    @Slot(bool)
    def setRenderPaused(self, pause: bool) -> None:
        self._pause(pause)

    def reset_view_sizes(self) -> None:
        """Give all views the same size again, whatever a window made of them: zoom depends on it."""
        for widget in self._of_kind(qMRMLSliceWidget):
            widget.sliceView().set_view_size(*DEFAULT_SIZE)
        for widget in self._of_kind(qMRMLThreeDWidget):
            widget.threeDView().set_view_size(*DEFAULT_SIZE)

    def _of_kind(self, kind: type[ViewWidget]) -> list[ViewWidget]:
        return [widget for widget in self._widgets.values() if isinstance(widget, kind)]

    def _pause(self, pause: bool) -> None:
        for widget in self._of_kind(qMRMLSliceWidget):
            widget.sliceView().setRenderPaused(pause)
        for widget in self._of_kind(qMRMLThreeDWidget):
            widget.threeDView().setRenderPaused(pause)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_added(self, _scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode) -> None:
        self._create_widget(node)

    def _create_widget(self, node: slicer.vtkMRMLNode) -> None:
        make = _WIDGET_MAKERS.get(node.GetClassName())
        if make is not None and node.GetID() not in self._widgets:
            self._widgets[node.GetID()] = make(node, self._logic)

    def _update(self) -> None:
        description = self._node.GetCurrentLayoutDescription()
        if self._node.GetNumberOfMaximizedViewNodes():
            enlarged = self._node.GetMaximizedViewNode(0)
            description = self._layout_logic.GetMaximizedViewLayoutDescription(enlarged, description)
        if not description or description == self._shown:
            return
        self._shown = description
        nodes = self._layout_logic.GetViewNodes()
        for index in range(nodes.GetNumberOfItems()):
            self._create_widget(nodes.GetItemAsObject(index))
        self._rearrange(description)
        self.layoutChanged.emit(self._node.GetViewArrangement())

    def _rearrange(self, description: str) -> None:
        for node in slicer.util.getNodesByClass("vtkMRMLAbstractViewNode"):
            node.SetMappedInLayout(False)
        for widget in self._widgets.values():
            widget.hide()
            widget.setParent(None)
        if self._arranged is not None:
            # It is deleted later, when the event loop runs; until then it must not take any room.
            self._viewport_layout.removeWidget(self._arranged)
            self._arranged.hide()
            self._arranged.setParent(None)
            self._arranged.deleteLater()
        self._arranged = arrange(description, self._view_of)
        self._viewport_layout.addWidget(self._arranged)
        self._arranged.show()

    def _view_of(self, class_name: str, singleton_tag: str) -> QWidget:
        node = self._scene.GetSingletonNode(singleton_tag, class_name)
        if node is None or node.GetID() not in self._widgets:
            raise ValueError(f"the host has no view for {class_name} '{singleton_tag}'")
        node.SetMappedInLayout(True)
        return self._widgets[node.GetID()]


def _slice_widget(
    node: slicer.vtkMRMLSliceNode, application_logic: slicer.vtkSlicerApplicationLogic
) -> ViewWidget:
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(application_logic)
    logic.SetMRMLScene(node.GetScene())
    logic.SetSliceNode(node)
    application_logic.GetSliceLogics().AddItem(logic)
    widget = qMRMLSliceWidget(logic)
    widget.setMRMLScene(node.GetScene())
    return widget


def _three_d_widget(
    node: slicer.vtkMRMLViewNode, application_logic: slicer.vtkSlicerApplicationLogic
) -> ViewWidget:
    logic = slicer.vtkMRMLViewLogic()
    logic.SetMRMLApplicationLogic(application_logic)
    logic.SetName(node.GetLayoutName())  # by which the logic finds its node
    logic.SetMRMLScene(node.GetScene())
    application_logic.GetViewLogics().AddItem(logic)
    widget = qMRMLThreeDWidget(logic)
    widget.setMRMLScene(node.GetScene())
    return widget


_WIDGET_MAKERS: dict[str, Callable[[slicer.vtkMRMLNode, slicer.vtkSlicerApplicationLogic], ViewWidget]] = {
    "vtkMRMLSliceNode": _slice_widget,
    "vtkMRMLViewNode": _three_d_widget,
    "vtkMRMLTableViewNode": lambda node, _logic: qMRMLTableWidget(node),
    "vtkMRMLPlotViewNode": lambda node, _logic: qMRMLPlotWidget(node),
}
