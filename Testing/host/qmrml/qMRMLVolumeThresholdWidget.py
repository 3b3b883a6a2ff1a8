"""``qMRMLVolumeThresholdWidget``: the display threshold of a volume."""

from __future__ import annotations

import enum
from typing import ClassVar

import slicer
from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QVBoxLayout, QWidget

from host.ctk.ctkRangeWidget import ctkRangeWidget
from host.properties import declared
from host.qmrml.qMRMLWidget import qMRMLWidget


class qMRMLVolumeThresholdWidget(qMRMLWidget):
    """Changes the lower and upper threshold of a volume's display node."""

    class ControlMode(enum.IntEnum):
        Auto = 0
        Manual = 1
        Off = 2

    vtk_signatures: ClassVar[tuple[str, ...]] = (
        "setMRMLVolumeNode(vtkMRMLNode*)",
        "setMRMLScene(vtkMRMLScene*)",
    )

    thresholdValuesChanged = Signal(float, float)
    autoThresholdValueChanged = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._range = ctkRangeWidget(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._range)
        self._volume: slicer.vtkMRMLScalarVolumeNode | None = None
        self._range.valuesChanged.connect(self.setThreshold)

    @Slot(object)
    def setMRMLVolumeNode(self, node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        self._volume = node
        if node is not None and node.GetImageData() is not None:
            self._range.minimum, self._range.maximum = node.GetImageData().GetScalarRange()
            display = node.GetDisplayNode()
            self._range.setValues(display.GetLowerThreshold(), display.GetUpperThreshold())

    @Slot(result=object)
    def mrmlVolumeNode(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        return self._volume

    @Slot(float, float)
    def setThreshold(self, lower: float, upper: float) -> None:
        display = self._volume.GetDisplayNode() if self._volume else None
        if display is not None and (display.GetLowerThreshold(), display.GetUpperThreshold()) != (
            lower,
            upper,
        ):
            display.SetThreshold(lower, upper)
            self.thresholdValuesChanged.emit(lower, upper)

    @Slot(float)
    def setLowerThreshold(self, lower: float) -> None:
        self.setThreshold(lower, self._range.maximumValue)

    @Slot(float)
    def setUpperThreshold(self, upper: float) -> None:
        self.setThreshold(self._range.minimumValue, upper)

    @Slot(int)
    def setAutoThreshold(self, mode: int) -> None:
        display = self._volume.GetDisplayNode() if self._volume else None
        if display is not None:
            display.SetApplyThreshold(mode != self.ControlMode.Off)
            display.SetAutoThreshold(mode == self.ControlMode.Auto)
        self.autoThresholdValueChanged.emit(mode)

    def _mode(self) -> int:
        display = self._volume.GetDisplayNode() if self._volume else None
        if display is None or not display.GetApplyThreshold():
            return int(self.ControlMode.Off)
        return int(self.ControlMode.Auto if display.GetAutoThreshold() else self.ControlMode.Manual)

    autoThreshold = declared(int, _mode, setAutoThreshold)
    lowerThreshold = declared(float, lambda self: self._range.minimumValue, setLowerThreshold)
    upperThreshold = declared(float, lambda self: self._range.maximumValue, setUpperThreshold)
