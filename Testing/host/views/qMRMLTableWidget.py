"""``qMRMLTableWidget``: a table view of the layout."""

from __future__ import annotations

import slicer
import vtk
from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QWidget

from host.qmrml.qMRMLTableView import qMRMLTableView
from host.qmrml.qMRMLWidget import qMRMLWidget
from host.views.qMRMLViewControllerBar import frame_view, qMRMLViewControllerBar


class qMRMLTableWidget(qMRMLWidget):
    """Shows the table of its table view node."""

    def __init__(self, view_node: slicer.vtkMRMLTableViewNode, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._node = view_node
        self._view = qMRMLTableView()
        self._controller = qMRMLViewControllerBar()
        self._controller.show_label(view_node.GetLayoutLabel(), view_node.GetLayoutColor())
        frame_view(self, self._controller, self._view)
        view_node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update())
        self._update()

    @Slot(result=QObject)
    def tableView(self) -> qMRMLTableView:
        return self._view

    @Slot(result=QObject)
    def tableController(self) -> qMRMLViewControllerBar:
        return self._controller

    @Slot(result=object)
    def mrmlTableViewNode(self) -> slicer.vtkMRMLTableViewNode:
        return self._node

    def _update(self) -> None:
        self._view.setMRMLTableNode(self._node.GetTableNode())
