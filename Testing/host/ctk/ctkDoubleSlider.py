"""``ctkDoubleSlider``: a slider for floating point values."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QSlider, QWidget

from host.properties import declared, of_qt_child

_NEGLIGIBLE = 1e-9
_LARGEST_INTEGER = 2**31 - 1


class ctkDoubleSlider(QWidget):
    """A ``QSlider`` with positions at multiples of ``singleStep``; a program may set values between them."""

    valueChanged = Signal(float)
    sliderMoved = Signal(float)
    sliderPressed = Signal()
    sliderReleased = Signal()
    rangeChanged = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QSlider(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        self._minimum, self._maximum, self._value = 0.0, 99.0, 0.0
        self._single_step, self._page_step = 1.0, 10.0
        self._offset = 0.0
        self._slider.valueChanged.connect(self._on_value_changed)
        self._slider.sliderMoved.connect(lambda position: self.sliderMoved.emit(self._bounded(position)))
        self._slider.sliderPressed.connect(self.sliderPressed)
        self._slider.sliderReleased.connect(self.sliderReleased)
        self.setSizePolicy(self._slider.sizePolicy())

    def _get_value(self) -> float:
        return self._value

    @Slot(float)
    def setValue(self, value: float) -> None:
        value = min(max(value, self._minimum), self._maximum)
        self._update_offset(value)
        position = self._position(value)
        if position != self._slider.value():
            self._slider.setValue(position)
            return
        changed = abs(value - self._value) > self._single_step * _NEGLIGIBLE
        self._value = value
        if changed:
            self.valueChanged.emit(value)

    def set_range(self, minimum: float, maximum: float) -> None:
        """Change the range; the value follows into it."""
        self._minimum, self._maximum = minimum, max(minimum, maximum)
        if self._minimum >= self._value:
            self._update_offset(self._minimum)
        if self._maximum <= self._value:
            self._update_offset(self._maximum)
        self._slider.setRange(self._position(self._minimum), self._position(self._maximum))
        self.rangeChanged.emit(self._minimum, self._maximum)
        self.setValue(self._value)

    def _set_minimum(self, minimum: float) -> None:
        self.set_range(minimum, max(minimum, self._maximum))

    def _set_maximum(self, maximum: float) -> None:
        self.set_range(min(self._minimum, maximum), maximum)

    def _set_single_step(self, step: float) -> None:
        if not self.is_valid_step(step):
            return
        self._single_step = step
        self._update_offset(self._value)
        blocked = self._slider.blockSignals(True)
        self._slider.setRange(self._position(self._minimum), self._position(self._maximum))
        self._slider.setValue(self._position(self._value))
        self._slider.setPageStep(self._position(self._page_step))
        self._slider.blockSignals(blocked)

    def is_valid_step(self, step: float) -> bool:
        """Whether the range can be divided into steps without leaving the integers."""
        largest = max(abs(self._minimum), abs(self._maximum), abs(self._value))
        return step > 0 and largest / step <= _LARGEST_INTEGER

    def _set_page_step(self, step: float) -> None:
        self._page_step = step
        self._slider.setPageStep(self._position(step))

    @Slot(Qt.Orientation)
    def setOrientation(self, orientation: Qt.Orientation) -> None:
        self._slider.setOrientation(orientation)
        self.setSizePolicy(self._slider.sizePolicy())

    value = declared(float, _get_value, setValue, notify=valueChanged)
    minimum = declared(float, lambda self: self._minimum, _set_minimum)
    maximum = declared(float, lambda self: self._maximum, _set_maximum)
    singleStep = declared(float, lambda self: self._single_step, _set_single_step)
    pageStep = declared(float, lambda self: self._page_step, _set_page_step)
    sliderPosition = declared(
        float,
        lambda self: self._bounded(self._slider.sliderPosition()),
        lambda self, position: self._slider.setSliderPosition(self._position(position)),
    )
    tickInterval = declared(
        float,
        lambda self: self._single_step * self._slider.tickInterval(),
        lambda self, interval: self._slider.setTickInterval(self._position(interval)),
    )
    tickPosition = of_qt_child(QSlider.TickPosition, "_slider", "tickPosition", "setTickPosition")
    tracking = of_qt_child(bool, "_slider", "hasTracking", "setTracking")
    orientation = declared(Qt.Orientation, lambda self: self._slider.orientation(), setOrientation)
    invertedAppearance = of_qt_child(bool, "_slider", "invertedAppearance", "setInvertedAppearance")
    invertedControls = of_qt_child(bool, "_slider", "invertedControls", "setInvertedControls")

    def _on_value_changed(self, position: int) -> None:
        value = self._bounded(position)
        if value != self._value:
            self._value = value
            self.valueChanged.emit(value)

    def _position(self, value: float) -> int:
        steps = round(value / self._single_step)
        return min(max(steps, -_LARGEST_INTEGER), _LARGEST_INTEGER)

    def _bounded(self, position: int) -> float:
        return min(max(self._single_step * (self._offset + position), self._minimum), self._maximum)

    def _update_offset(self, value: float) -> None:
        self._offset = value / self._single_step - self._position(value)
