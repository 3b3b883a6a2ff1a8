"""``ctkSliderWidget``: a slider and a spin box that show the same value."""

from __future__ import annotations

import enum

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QSlider, QWidget

from host.ctk.ctkDoubleSlider import ctkDoubleSlider
from host.ctk.ctkDoubleSpinBox import ctkDoubleSpinBox
from host.properties import attribute, declared, of_child

_NEGLIGIBLE = 1e-9


class ctkSliderWidget(QWidget):
    """With ``tracking`` on (the default) ``valueChanged`` comes at every step and ``valueIsChanging`` never.

    With it off, during a drag ``valueIsChanging`` tells the value under the mouse, ``value`` still
    is the one before, and ``valueChanged`` comes once, on release.
    """

    class SynchronizeSibling(enum.IntFlag):
        NoSynchronize = 0
        SynchronizeWidth = 1
        SynchronizeDecimals = 2

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = ctkDoubleSlider()
        self._slider.setObjectName("Slider")
        self._slider.setOrientation(Qt.Orientation.Horizontal)
        self._spin_box = ctkDoubleSpinBox()
        self._spin_box.setObjectName("SpinBox")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin_box)
        self._tracking = True
        self._changing = False
        self._value_before = 0.0
        self._spin_box_leads = True
        self._synchronize = (
            self.SynchronizeSibling.SynchronizeWidth | self.SynchronizeSibling.SynchronizeDecimals
        )
        self._slider.set_range(self._spin_box.minimum, self._spin_box.maximum)
        self._spin_box.valueChanged[float].connect(self._on_spin_box_changed)
        self._slider.valueChanged.connect(self._on_slider_changed)
        self._slider.sliderPressed.connect(self._start_changing)
        self._slider.sliderReleased.connect(self._stop_changing)

    def _get_value(self) -> float:
        return self._value_before if self._changing else self._slider.value

    @Slot(float)
    def setValue(self, value: float) -> None:
        was_changing, self._changing = self._changing, False
        self._spin_box.setValue(value)
        self._changing = was_changing

    @Slot()
    def reset(self) -> None:
        self.setValue(0.0)

    @Slot(int)
    def setDecimals(self, decimals: int) -> None:
        self._spin_box.setDecimals(decimals)
        self._slider.set_range(self._spin_box.minimum, self._spin_box.maximum)
        self._on_slider_changed(self._slider.value)
        self.decimalsChanged.emit(decimals)

    @Slot(bool)
    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spin_box.setVisible(visible)

    def _set_minimum(self, minimum: float) -> None:
        self._with_quiet_spin_box("minimum", minimum)
        self._slider.minimum = self._spin_box.minimum

    def _set_maximum(self, maximum: float) -> None:
        self._with_quiet_spin_box("maximum", maximum)
        self._slider.maximum = self._spin_box.maximum

    def _set_single_step(self, step: float) -> None:
        if self._slider.is_valid_step(step):
            self._spin_box.singleStep = step
            self._slider.singleStep = self._spin_box.singleStep

    value = declared(float, _get_value, setValue)
    minimum = declared(float, lambda self: self._slider.minimum, _set_minimum)
    maximum = declared(float, lambda self: self._slider.maximum, _set_maximum)
    singleStep = declared(float, lambda self: self._slider.singleStep, _set_single_step)
    decimals = declared(int, lambda self: self._spin_box.decimals, setDecimals, notify=decimalsChanged)
    pageStep = of_child(float, "_slider", "pageStep")
    tickInterval = of_child(float, "_slider", "tickInterval")
    tickPosition = of_child(QSlider.TickPosition, "_slider", "tickPosition")
    invertedAppearance = of_child(bool, "_slider", "invertedAppearance")
    invertedControls = of_child(bool, "_slider", "invertedControls")
    prefix = of_child(str, "_spin_box", "prefix")
    suffix = of_child(str, "_spin_box", "suffix")
    spinBoxAlignment = of_child(Qt.AlignmentFlag, "_spin_box", "alignment")
    tracking = attribute(bool, "_tracking")
    spinBoxVisible = declared(bool, lambda self: self._spin_box.isVisibleTo(self), setSpinBoxVisible)
    popupSlider = declared(bool, lambda _self: False)
    synchronizeSiblings = attribute(int, "_synchronize")

    def _with_quiet_spin_box(self, name: str, value: float) -> None:
        self._spin_box_leads = False
        setattr(self._spin_box, name, value)
        self._spin_box_leads = True

    def _on_spin_box_changed(self, value: float) -> None:
        if self._spin_box_leads:
            self._slider.setValue(value)

    def _on_slider_changed(self, value: float) -> None:
        led, self._spin_box_leads = self._spin_box_leads, False
        self._spin_box.setValue(value)
        self._spin_box_leads = led
        if not self._tracking:
            self.valueIsChanging.emit(value)
        if not self._changing:
            self.valueChanged.emit(value)

    def _start_changing(self) -> None:
        if not self._tracking:
            self._value_before = self._get_value()
            self._changing = True

    def _stop_changing(self) -> None:
        if self._tracking:
            return
        self._changing = False
        if abs(self._get_value() - self._value_before) > self._slider.singleStep * _NEGLIGIBLE:
            self.valueChanged.emit(self._get_value())
