"""``ctkRangeWidget``: a lower and an upper value."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QWidget

from host.ctk.ctkDoubleSpinBox import ctkDoubleSpinBox
from host.properties import attribute, declared


def _of_both(kind: type, name: str) -> Any:
    def set_both(self: ctkRangeWidget, value: object) -> None:
        setattr(self._low, name, value)
        setattr(self._high, name, value)

    return declared(kind, lambda self: getattr(self._low, name), set_both)


class ctkRangeWidget(QWidget):
    """Two spin boxes with minimum <= minimumValue <= maximumValue <= maximum, without the double slider."""

    minimumValueChanged = Signal(float)
    minimumValueIsChanging = Signal(float)
    maximumValueChanged = Signal(float)
    maximumValueIsChanging = Signal(float)
    valuesChanged = Signal(float, float)
    rangeChanged = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._low, self._high = ctkDoubleSpinBox(), ctkDoubleSpinBox()
        self._low.setObjectName("MinimumSpinBox")
        self._high.setObjectName("MaximumSpinBox")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._low)
        layout.addWidget(self._high)
        self._range = (0.0, 99.0)
        self._values = (0.0, 99.0)
        self._show()
        self._low.valueChanged[float].connect(
            lambda value: self.setValues(value, max(value, self._values[1]))
        )
        self._high.valueChanged[float].connect(
            lambda value: self.setValues(min(value, self._values[0]), value)
        )

    @Slot(float, float)
    def setValues(self, low: float, high: float) -> None:
        low, high = (min(max(value, self._range[0]), self._range[1]) for value in sorted((low, high)))
        before, self._values = self._values, (low, high)
        self._show()
        if low != before[0]:
            self.minimumValueChanged.emit(low)
        if high != before[1]:
            self.maximumValueChanged.emit(high)
        if (low, high) != before:
            self.valuesChanged.emit(low, high)

    @Slot(float)
    def setMinimumValue(self, value: float) -> None:
        self.setValues(value, max(value, self._values[1]))

    @Slot(float)
    def setMaximumValue(self, value: float) -> None:
        self.setValues(min(value, self._values[0]), value)

    @Slot()
    def reset(self) -> None:
        self.setValues(0.0, 0.0)

    def _set_range(self, minimum: float, maximum: float) -> None:
        self._range = (minimum, maximum)
        self.rangeChanged.emit(minimum, maximum)
        self.setValues(*self._values)

    minimum = declared(
        float,
        lambda self: self._range[0],
        lambda self, minimum: self._set_range(minimum, max(minimum, self._range[1])),
    )
    maximum = declared(
        float,
        lambda self: self._range[1],
        lambda self, maximum: self._set_range(min(self._range[0], maximum), maximum),
    )
    minimumValue = declared(float, lambda self: self._values[0], setMinimumValue)
    maximumValue = declared(float, lambda self: self._values[1], setMaximumValue)
    decimals = _of_both(int, "decimals")
    singleStep = _of_both(float, "singleStep")
    prefix = _of_both(str, "prefix")
    suffix = _of_both(str, "suffix")
    spinBoxTextAlignment = _of_both(Qt.AlignmentFlag, "alignment")
    spinBoxAlignment = attribute(Qt.AlignmentFlag, "_spin_box_alignment", Qt.AlignmentFlag.AlignVCenter)
    tickInterval = attribute(float, "_tick_interval", 0.0)
    autoSpinBoxWidth = attribute(bool, "_auto_spin_box_width", True)
    tracking = attribute(bool, "_tracking", True)
    symmetricMoves = attribute(bool, "_symmetric_moves", False)

    def _show(self) -> None:
        for spin_box, value in zip((self._low, self._high), self._values, strict=True):
            blocked = spin_box.blockSignals(True)
            spin_box.minimum, spin_box.maximum = self._range
            spin_box.value = value
            spin_box.blockSignals(blocked)
