"""``qMRMLTableView``: a table node as a table."""

from __future__ import annotations

from typing import ClassVar

import slicer
import vtk
from PySide6.QtCore import Slot
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QTableView, QWidget

from host.properties import declared
from host.qmrml.scene_observer import Observations

_LEAST_COLUMN_WIDTH = 60


class qMRMLTableView(QTableView):
    """Shows the cells of a table node and follows its changes.

    As in Slicer, who types into a cell changes the table, unless the node is locked. A view that knows a
    scene belongs to a view node: each time a batch of changes ends, it shows the table of that node. One that
    was given its table by hand has no view node, and loses its table then.
    """

    vtk_signatures: ClassVar[tuple[str, ...]] = (
        "setMRMLScene(vtkMRMLScene*)",
        "setMRMLTableNode(vtkMRMLTableNode*)",
        "setMRMLTableNode(vtkMRMLNode*)",
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: slicer.vtkMRMLScene | None = None
        self._observations = Observations(self)
        self._node: slicer.vtkMRMLTableNode | None = None
        self._observer = 0
        self._model = QStandardItemModel(self)
        self._model.itemChanged.connect(self._on_item_changed)
        self.setModel(self._model)

    transposed = declared(bool, lambda _self: False, constant=True)
    firstRowLocked = declared(
        bool,
        lambda self: bool(self._node and self._node.GetUseColumnTitleAsColumnHeader()),
        lambda self, lock: self._node and self._node.SetUseColumnTitleAsColumnHeader(lock),
    )

    @Slot(result=object)
    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        self._observations.clear()
        self._scene = scene
        if scene is not None:
            self._observations.add(scene, scene.EndBatchProcessEvent, lambda *_: self.setMRMLTableNode(None))

    @Slot(result=object)
    def mrmlTableNode(self) -> slicer.vtkMRMLTableNode | None:
        return self._node

    @Slot(object)
    def setMRMLTableNode(self, node: slicer.vtkMRMLTableNode | None) -> None:
        if self._node is not None:
            self._node.RemoveObserver(self._observer)
        self._node = node
        if node is not None:
            self._observer = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update())
        self._update()
        self.horizontalHeader().setMinimumSectionSize(_LEAST_COLUMN_WIDTH)

    def _update(self) -> None:
        self._model.clear()
        if self._node is None:
            return
        titled = self._node.GetUseFirstColumnAsRowHeader()
        rows = range(self._node.GetNumberOfRows())
        columns = range(int(titled), self._node.GetNumberOfColumns())
        self._model.setHorizontalHeaderLabels([self._node.GetColumnName(column) for column in columns])
        for row in rows:
            self._model.appendRow([self._item(row, column) for column in columns])
        titles = [self._node.GetCellText(row, 0) if titled else str(row + 1) for row in rows]
        self._model.setVerticalHeaderLabels(titles)

    def _item(self, row: int, column: int) -> QStandardItem:
        assert self._node is not None
        item = QStandardItem(self._node.GetCellText(row, column))
        item.setEditable(not self._node.GetLocked())
        return item

    def _on_item_changed(self, item: QStandardItem) -> None:
        """Somebody typed into a cell: what a model is filled with is not told of."""
        if self._node is not None:
            column = item.column() + int(self._node.GetUseFirstColumnAsRowHeader())
            self._node.GetTable().SetValue(item.row(), column, vtk.vtkVariant(item.text()))
            self._node.GetTable().Modified()
