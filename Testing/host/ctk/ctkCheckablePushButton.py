"""``ctkCheckablePushButton``: a push button with a check box in it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal

from host.ctk.ctkPushButton import ctkPushButton
from host.properties import attribute, declared


class ctkCheckablePushButton(ctkPushButton):
    """By default the check box decides whether the button is checkable (``checkBoxControlsButton``)."""

    checkBoxToggled = Signal(bool)
    checkStateChanged = Signal(Qt.CheckState)

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._state = Qt.CheckState.Unchecked
        self._indicator_alignment = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        self._controls_button = True
        self._controls_toggle_state = False
        self._user_checkable = True

    def _set_state(self, state: Qt.CheckState) -> None:
        if state == self._state:
            return
        self._state = state
        checked = state != Qt.CheckState.Unchecked
        if self._controls_button:
            self.setCheckable(checked)
            if self._controls_toggle_state:
                self.setChecked(checked)
        self.checkStateChanged.emit(state)
        self.checkBoxToggled.emit(checked)

    checkState = declared(Qt.CheckState, lambda self: self._state, _set_state, notify=checkStateChanged)
    indicatorAlignment = attribute(Qt.AlignmentFlag, "_indicator_alignment")
    checkBoxControlsButton = attribute(bool, "_controls_button")
    checkBoxControlsButtonToggleState = attribute(bool, "_controls_toggle_state")
    checkBoxUserCheckable = attribute(bool, "_user_checkable")
