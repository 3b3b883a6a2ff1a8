"""``qMRMLSegmentsTableView``: the segments of a segmentation as a table."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
from PySide6.QtCore import QItemSelection, QObject, Qt, Signal, Slot
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from host.properties import attribute, declared
from host.qmrml.qMRMLWidget import qMRMLWidget
from host.qmrml.scene_observer import Observations

_COLUMNS = ("visibility", "color", "opacity", "name")


class qMRMLSegmentsTableView(qMRMLWidget):
    """Shows visibility, color, opacity and name of each segment; the user can select, show and hide them."""

    vtk_signatures: ClassVar[tuple[str, ...]] = (
        "setSegmentationNode(vtkMRMLNode*)",
        "setMRMLScene(vtkMRMLScene*)",
    )

    selectionChanged = Signal(QItemSelection, QItemSelection)
    segmentAboutToBeModified = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table = QTableWidget(0, len(_COLUMNS), self)
        self._table.setHorizontalHeaderLabels([""] * (len(_COLUMNS) - 1) + ["Name"])
        self._table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self._table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._node: slicer.vtkMRMLSegmentationNode | None = None
        self._observations = Observations(self)
        self._hidden: list[str] = []
        self._table.itemSelectionChanged.connect(self._on_selection_changed)
        self._table.itemChanged.connect(self._on_item_changed)

    @Slot(object)
    def setSegmentationNode(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        self._observations.clear()
        self._node = node
        if node is not None:
            segmentation = node.GetSegmentation()
            for event in (
                segmentation.SegmentAdded,
                segmentation.SegmentRemoved,
                segmentation.SegmentModified,
            ):
                self._observations.add(segmentation, event, lambda *_: self._fill())
            self._observations.add(node, node.DisplayModifiedEvent, lambda *_: self._fill())
        self._fill()

    @Slot(result=object)
    def segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        return self._node

    @Slot(result=QObject)
    def tableWidget(self) -> QTableWidget:
        return self._table

    @Slot(result="QStringList")
    def selectedSegmentIDs(self) -> list[str]:
        rows = sorted({index.row() for index in self._table.selectedIndexes()})
        return [self._segment_id(row) for row in rows]

    @Slot("QStringList")
    def setSelectedSegmentIDs(self, segment_ids: list[str]) -> None:
        self._table.clearSelection()
        for row in range(self._table.rowCount()):
            if self._segment_id(row) in segment_ids:
                self._table.selectRow(row)

    @Slot()
    def clearSelection(self) -> None:
        self._table.clearSelection()

    @Slot("QStringList")
    def setHideSegments(self, segment_ids: list[str]) -> None:
        self._hidden = list(segment_ids)
        self._fill()

    @Slot(result="QStringList")
    def hideSegments(self) -> list[str]:
        return self._hidden

    @Slot(result="QStringList")
    def displayedSegmentIDs(self) -> list[str]:
        return [self._segment_id(row) for row in range(self._table.rowCount())]

    @staticmethod
    def _column_property(column: str) -> Any:
        index = _COLUMNS.index(column)
        return declared(
            bool,
            lambda self: not self._table.isColumnHidden(index),
            lambda self, visible: self._table.setColumnHidden(index, not visible),
        )

    visibilityColumnVisible = _column_property("visibility")
    colorColumnVisible = _column_property("color")
    opacityColumnVisible = _column_property("opacity")
    statusColumnVisible = attribute(bool, "_status_column_visible", False)
    layerColumnVisible = attribute(bool, "_layer_column_visible", False)
    readOnly = attribute(bool, "_read_only", False)
    filterBarVisible = attribute(bool, "_filter_bar_visible", False)
    textFilter = attribute(str, "_text_filter", "")
    jumpToSelectedSegmentEnabled = attribute(bool, "_jump_to_selected_segment_enabled", False)
    selectionMode = declared(
        int,
        lambda self: self._table.selectionMode().value,
        lambda self, mode: self._table.setSelectionMode(QAbstractItemView.SelectionMode(mode)),
    )
    headerVisible = declared(
        bool,
        lambda self: not self._table.horizontalHeader().isHidden(),
        lambda self, visible: self._table.horizontalHeader().setVisible(visible),
    )

    def _fill(self) -> None:
        selected = self.selectedSegmentIDs()
        blocked = self._table.blockSignals(True)
        self._table.setRowCount(0)
        if self._node is not None:
            for segment_id in self._node.GetSegmentation().GetSegmentIDs():
                if segment_id not in self._hidden:
                    self._add_row(self._node, segment_id)
        self.setSelectedSegmentIDs(selected)
        self._table.blockSignals(blocked)

    def _add_row(self, node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> None:
        display, segment = node.GetDisplayNode(), node.GetSegmentation().GetSegment(segment_id)
        row = self._table.rowCount()
        self._table.insertRow(row)
        visible = QTableWidgetItem()
        shown = display is None or display.GetSegmentVisibility(segment_id)
        visible.setCheckState(Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked)
        visible.setData(Qt.ItemDataRole.UserRole, segment_id)
        color = QTableWidgetItem()
        color.setBackground(QColor.fromRgbF(*segment.GetColor()))
        opacity = display.GetSegmentOpacity3D(segment_id) if display else 1.0
        items = (visible, color, QTableWidgetItem(f"{opacity:.2f}"), QTableWidgetItem(segment.GetName()))
        for column, item in enumerate(items):
            self._table.setItem(row, column, item)

    def _segment_id(self, row: int) -> str:
        return self._table.model().index(row, 0).data(Qt.ItemDataRole.UserRole)

    def _on_item_changed(self, item: QTableWidgetItem) -> None:
        if item.column() == 0 and self._node is not None and self._node.GetDisplayNode() is not None:
            visible = item.checkState() == Qt.CheckState.Checked
            self._node.GetDisplayNode().SetSegmentVisibility(self._segment_id(item.row()), visible)

    def _on_selection_changed(self) -> None:
        self.selectionChanged.emit(self._table.selectionModel().selection(), QItemSelection())
