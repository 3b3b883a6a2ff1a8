"""What a user does with a panel: press, drag, type, choose, wait. Widgets are given as Slicer gives them.

Every act waits for the application to finish what it is doing, and fails with an ``AssertionError`` if no
user could do it, because the widget is disabled or hidden.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QSlider, QWidget

from host import slot_errors
from host.pythonqt import registry


def press(button: Any) -> None:
    """Press a button."""
    pressed: QAbstractButton = _reach(button)
    pressed.click()


def drag(slider: Any, *values: float) -> None:
    """Drag a ``ctkSliderWidget`` or ``ctkDoubleSlider`` over some values and release it at the last one."""
    hold(slider, *values)
    inner_slider(slider).setSliderDown(False)


def hold(slider: Any, *values: float) -> None:
    """Drag a slider over some values and do not release it."""
    handle, owner = inner_slider(slider), _reach(slider)
    handle.setSliderDown(True)
    for value in values:
        handle.setSliderPosition(round(value / owner.singleStep))


def inner_slider(slider: Any) -> QSlider:
    """The QSlider inside a CTK slider."""
    return registry.object_of(slider).findChild(QSlider)


def type_text(line_edit: Any, text: str) -> None:
    """Replace the text of a line edit, or of the one inside a widget, and press Enter."""
    owner = _reach(line_edit)
    target = owner if isinstance(owner, QLineEdit) else owner.findChild(QLineEdit)
    target.selectAll()
    QTest.keyClicks(target, text)
    QTest.keyClick(target, Qt.Key.Key_Return)


def choose(combo_box: Any, text: str) -> None:
    """Pick a line of a combo box, or of the one inside a node selector."""
    owner = _reach(combo_box)
    target = owner if isinstance(owner, QComboBox) else owner.findChild(QComboBox)
    row = target.findText(text)
    assert row >= 0, f"'{text}' is not among {[target.itemText(index) for index in range(target.count())]}"
    target.setCurrentIndex(row)
    target.activated.emit(row)


def press_key(widget: Any, key: str) -> None:
    """Press a key or a combination, for example ``]`` or ``Ctrl+Z``, with the focus on a widget's window."""
    target: QWidget = registry.object_of(widget).window()
    target.show()
    target.activateWindow()
    QCoreApplication.processEvents()
    QTest.keySequence(target, QKeySequence(key))


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Let the application run until something is so; an exception in a slot ends the wait at once.

    Raises:
        TimeoutError: it did not become so in time.
        AssertionError: an exception was raised in a slot.
    """
    end = time.monotonic() + seconds
    while not condition():
        slot_errors.raise_first()
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        QCoreApplication.processEvents()
        time.sleep(0.005)


def let_run(seconds: float) -> None:
    """Let the application run for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QCoreApplication.processEvents()
        time.sleep(0.005)


def _reach(widget: Any) -> Any:
    QCoreApplication.processEvents()
    reached: QWidget = registry.object_of(widget)
    name = f"{type(reached).__name__} '{reached.objectName()}'"
    assert reached.isEnabled(), f"{name} is disabled: {reached.toolTip()}"
    assert reached.isWindow() or reached.isVisibleTo(reached.window()), f"{name} is hidden"
    return reached
