"""Which segments of a lung mask that the user gives are lungs: a list with ticks."""

from __future__ import annotations

from typing import Any

import qt
import slicer


class LungSegments:
    """The list below the selector of the lung mask; hidden where no segmentation is chosen there.

    Args:
        ui: the widgets of the panel.
    """

    def __init__(self, ui: Any) -> None:
        self._list = ui.lungSegmentsList
        self._label = ui.inputsLayoutLabel2
        # The list owns its items, but older PythonQt may delete one with the last reference in Python.
        self._items: list[qt.QListWidgetItem] = []
        self._listed: tuple[slicer.vtkMRMLNode | None, list[str], list[str]] = (None, [], [])

    @property
    def chosenIDs(self) -> list[str]:
        """IDs of the segments that are ticked."""
        return [item.data(qt.Qt.UserRole) for item in self._items if item.checkState() == qt.Qt.Checked]

    def show(self, maskNode: slicer.vtkMRMLNode | None) -> None:
        """List the segments of a mask; those named lung are ticked at first, else all."""
        segmentIDs: list[str] = []
        names: list[str] = []
        isSegmentation = maskNode is not None and maskNode.IsA("vtkMRMLSegmentationNode")
        self._list.visible = self._label.visible = isSegmentation
        if maskNode is not None and isSegmentation:
            segmentation = maskNode.GetSegmentation()
            segmentIDs = list(segmentation.GetSegmentIDs())
            names = [segmentation.GetSegment(segmentID).GetName() for segmentID in segmentIDs]
        # The segments of another mask may have the same IDs: Slicer calls the first one of each Segment_1.
        before, self._listed = self._listed, (maskNode, segmentIDs, names)
        if self._listed == before:
            return
        ticks = {}
        if maskNode is before[0]:  # what the user chose stays where segments were added or renamed
            ticks = {item.data(qt.Qt.UserRole): item.checkState() for item in self._items}
        self._list.clear()
        self._items = []
        anyLung = any("lung" in name.lower() for name in names)
        for segmentID, name in zip(segmentIDs, names, strict=True):
            item = qt.QListWidgetItem(name)
            item.setData(qt.Qt.UserRole, segmentID)
            isLung = "lung" in name.lower() or not anyLung
            item.setCheckState(ticks.get(segmentID, qt.Qt.Checked if isLung else qt.Qt.Unchecked))
            self._list.addItem(item)
            self._items.append(item)
