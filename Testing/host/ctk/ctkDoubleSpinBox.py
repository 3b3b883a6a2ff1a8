"""``ctkDoubleSpinBox``: a spin box for floating point values, around a ``QDoubleSpinBox``."""

from __future__ import annotations

import enum

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QWidget

from host.properties import attribute, declared, of_qt_child, overloaded_signal


class ctkDoubleSpinBox(QWidget):
    """Range, decimals, prefix and suffix are those of the inner spin box."""

    class SetMode(enum.IntEnum):
        SetAlways = 0
        SetIfDifferent = 1

    class DecimalsOption(enum.IntFlag):
        FixedDecimals = 0
        DecimalsByShortcuts = 1
        DecimalsByKey = 2
        DecimalsByValue = 4
        InsertDecimals = 8
        ReplaceDecimals = 16
        DecimalsAsMax = 32
        DecimalsAsMin = 64
        DecimalPointAlwaysVisible = 128

    class SizeHintPolicy(enum.IntEnum):
        SizeHintByMinMax = 0
        SizeHintByValue = 1

    valueChanged = overloaded_signal((float,), (str,))
    editingFinished = Signal()
    decimalsChanged = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._spin_box = QDoubleSpinBox(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._spin_box)
        self._set_mode = self.SetMode.SetIfDifferent
        self._decimals_option = self.DecimalsOption.DecimalsByShortcuts | self.DecimalsOption.InsertDecimals
        self._size_hint_policy = self.SizeHintPolicy.SizeHintByMinMax
        self._inverted_controls = False
        self._spin_box.valueChanged.connect(self._on_value_changed)
        self._spin_box.editingFinished.connect(self.editingFinished)
        self.setFocusProxy(self._spin_box)

    @Slot(float)
    def setValue(self, value: float) -> None:
        if self._set_mode == self.SetMode.SetAlways:
            self.setValueAlways(value)
        else:
            self.setValueIfDifferent(value)

    @Slot(float)
    def setValueIfDifferent(self, value: float) -> None:
        """Set another value; the same one would replace half-typed text."""
        if round(value, self._spin_box.decimals()) != self._spin_box.value():
            self._spin_box.setValue(value)

    @Slot(float)
    def setValueAlways(self, value: float) -> None:
        self._spin_box.setValue(value)

    @Slot()
    def stepUp(self) -> None:
        self._spin_box.stepUp()

    @Slot()
    def stepDown(self) -> None:
        self._spin_box.stepDown()

    @Slot(int)
    def setDecimals(self, decimals: int) -> None:
        if decimals != self._spin_box.decimals():
            self._spin_box.setDecimals(decimals)
            self.decimalsChanged.emit(decimals)

    @Slot(bool)
    def setReadOnly(self, read_only: bool) -> None:
        self._spin_box.setReadOnly(read_only)

    value = declared(float, lambda self: self._spin_box.value(), setValue)
    decimals = declared(int, lambda self: self._spin_box.decimals(), setDecimals, notify=decimalsChanged)
    minimum = of_qt_child(float, "_spin_box", "minimum", "setMinimum")
    maximum = of_qt_child(float, "_spin_box", "maximum", "setMaximum")
    singleStep = of_qt_child(float, "_spin_box", "singleStep", "setSingleStep")
    prefix = of_qt_child(str, "_spin_box", "prefix", "setPrefix")
    suffix = of_qt_child(str, "_spin_box", "suffix", "setSuffix")
    frame = of_qt_child(bool, "_spin_box", "hasFrame", "setFrame")
    readOnly = of_qt_child(bool, "_spin_box", "isReadOnly", "setReadOnly")
    alignment = of_qt_child(Qt.AlignmentFlag, "_spin_box", "alignment", "setAlignment")
    cleanText = declared(str, lambda self: self._spin_box.cleanText())
    setMode = attribute(int, "_set_mode")
    decimalsOption = attribute(int, "_decimals_option")
    sizeHintPolicy = attribute(int, "_size_hint_policy")
    invertedControls = attribute(bool, "_inverted_controls")

    def _on_value_changed(self, value: float) -> None:
        self.valueChanged[float].emit(value)
        self.valueChanged[str].emit(self._spin_box.text())
