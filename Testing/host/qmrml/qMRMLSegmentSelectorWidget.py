"""``qMRMLSegmentSelectorWidget``: choosing a segmentation and one of its segments."""

from __future__ import annotations

from typing import ClassVar

import slicer
from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QWidget

from host.ctk.ctkComboBox import ctkComboBox
from host.properties import declared
from host.qmrml.qMRMLNodeComboBox import qMRMLNodeComboBox
from host.qmrml.qMRMLWidget import qMRMLWidget
from host.qmrml.scene_observer import Observations


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """When a segmentation is chosen, so is its first segment; the list follows the segmentation."""

    vtk_signatures: ClassVar[tuple[str, ...]] = (
        "currentNodeChanged(vtkMRMLNode*)",
        "setCurrentNode(vtkMRMLNode*)",
        "setMRMLScene(vtkMRMLScene*)",
    )

    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._node_selector = qMRMLNodeComboBox(self)
        self._node_selector.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._node_selector.addEnabled = False
        self._node_selector.removeEnabled = False
        self._segment_selector = ctkComboBox(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._node_selector)
        layout.addWidget(self._segment_selector)
        self._observations = Observations(self)
        self._none_enabled = False
        self._node_selector.currentNodeChanged[object].connect(self._on_node_changed)
        self._segment_selector.currentIndexChanged.connect(self._on_segment_changed)

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        super().setMRMLScene(scene)
        self._node_selector.setMRMLScene(scene)

    @Slot(result=object)
    def currentNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        return self._node_selector.currentNode()

    @Slot(result=str)
    def currentNodeID(self) -> str:
        return self._node_selector.currentNodeID

    @Slot(result=str)
    def currentSegmentID(self) -> str:
        return self._segment_selector.currentData() or ""

    @Slot(object)
    def setCurrentNode(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        self._node_selector.setCurrentNode(node)

    @Slot(str)
    def setCurrentNodeID(self, node_id: str) -> None:
        self._node_selector.setCurrentNodeID(node_id)

    @Slot(str)
    def setCurrentSegmentID(self, segment_id: str) -> None:
        self._segment_selector.setCurrentIndex(self._segment_selector.findData(segment_id))

    def _set_none_enabled(self, enabled: bool) -> None:
        self._none_enabled = enabled
        self._node_selector.noneEnabled = enabled
        self._fill()

    noneEnabled = declared(bool, lambda self: self._none_enabled, _set_none_enabled)
    segmentationNodeSelectorVisible = declared(
        bool,
        lambda self: not self._node_selector.isHidden(),
        lambda self, visible: self._node_selector.setVisible(visible),
    )

    def _on_node_changed(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        self._observations.clear()
        if node is not None:
            segmentation = node.GetSegmentation()
            for event in (
                segmentation.SegmentAdded,
                segmentation.SegmentRemoved,
                segmentation.SegmentModified,
            ):
                self._observations.add(segmentation, event, lambda *_: self._fill())
        self._fill()
        self.currentNodeChanged.emit(node)

    def _on_segment_changed(self, _row: int) -> None:
        self.currentSegmentChanged.emit(self.currentSegmentID())

    def _fill(self) -> None:
        node, chosen = self.currentNode(), self.currentSegmentID()
        blocked = self._segment_selector.blockSignals(True)
        self._segment_selector.clear()
        if self._none_enabled:
            self._segment_selector.addItem("None", "")
        if node is not None:
            for segment_id in node.GetSegmentation().GetSegmentIDs():
                self._segment_selector.addItem(
                    node.GetSegmentation().GetSegment(segment_id).GetName(), segment_id
                )
        row = self._segment_selector.findData(chosen) if chosen else -1
        self._segment_selector.setCurrentIndex(
            row if row >= 0 else min(0, self._segment_selector.count() - 1)
        )
        self._segment_selector.blockSignals(blocked)
        if self.currentSegmentID() != chosen:
            self.currentSegmentChanged.emit(self.currentSegmentID())
