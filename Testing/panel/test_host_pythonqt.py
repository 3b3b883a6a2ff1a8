"""``qt`` is as narrow as PythonQt: what fails in Slicer fails here, what works there works here."""

import functools
from pathlib import Path

import pytest
import qt
import slicer
from host import slot_errors, user

pytestmark = pytest.mark.usefixtures("an_application")


@pytest.fixture
def a_button():
    return qt.QPushButton("Segment")


def test_properties_are_attributes_and_not_methods(a_button):
    assert a_button.text == "Segment"
    with pytest.raises(TypeError, match="not callable"):
        a_button.text()
    a_button.text = "Cancel"
    a_button.enabled = False
    assert a_button.text == "Cancel"
    assert not a_button.enabled


def test_methods_stay_methods(a_button):
    a_button.setText("Stop")
    assert a_button.isEnabled()
    assert callable(slicer.app.mrmlScene)
    assert slicer.app.mrmlScene() is slicer.mrmlScene


def test_unknown_attributes_raise_on_reading_and_on_writing(a_button):
    with pytest.raises(AttributeError, match="has no attribute named 'caption'"):
        a_button.caption  # noqa: B018
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        a_button.caption = "x"


def test_methods_and_signals_cannot_be_overwritten(a_button):
    with pytest.raises(AttributeError, match="Slot 'click' can not be overwritten"):
        a_button.click = True
    with pytest.raises(AttributeError, match="Signal 'clicked' can not be overwritten"):
        a_button.clicked = print


def test_a_read_only_property_cannot_be_written():
    with pytest.raises(AttributeError, match="not writable"):
        slicer.app.slicerHome = "/elsewhere"


@pytest.mark.parametrize(
    ("name", "value"), [("text", 5), ("text", Path("model.safetensors")), ("enabled", "yes")]
)
def test_properties_take_values_of_their_type_only(a_button, name, value):
    with pytest.raises(AttributeError, match="does not accept an object of type"):
        setattr(a_button, name, value)


def test_a_numpy_number_is_no_number_for_qt():
    import numpy as np

    progress_bar = qt.QProgressBar()
    with pytest.raises(AttributeError, match="int64"):
        progress_bar.value = np.int64(3)


def test_object_names_can_be_called_name(a_button):
    a_button.name = "applyButton"
    assert a_button.objectName == "applyButton"


def test_dynamic_properties_become_attributes_once_they_are_set(a_button):
    a_button.setProperty("stage", "lungs")
    assert a_button.stage == "lungs"
    a_button.stage = "lesions"
    assert a_button.property("stage") == "lesions"


def test_wrong_arguments_and_keywords_raise_value_errors(a_button):
    with pytest.raises(ValueError, match="wrong arguments"):
        a_button.setText(5)
    with pytest.raises(ValueError, match="wrong arguments"):
        a_button.setText()
    with pytest.raises(ValueError, match="does not support kwargs"):
        qt.QPushButton(text="Segment")


def test_list_properties_come_back_as_tuples():
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    assert selector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert isinstance(slicer.app.layoutManager().sliceViewNames(), tuple)


def test_classes_are_told_by_name_and_not_by_isinstance(a_button):
    assert not isinstance(a_button, qt.QWidget)
    assert isinstance(a_button, qt.QPushButton)
    assert a_button.className() == "QPushButton"
    assert a_button.inherits("QAbstractButton")


def test_enum_values_are_integers_without_name_or_value():
    assert qt.Qt.AlignRight == 2
    assert qt.QMessageBox.Ok | qt.QMessageBox.Cancel == 0x400 | 0x400000
    for attribute in ("name", "value"):
        with pytest.raises(AttributeError):
            getattr(qt.Qt.AlignRight, attribute)
    with pytest.raises(AttributeError):
        qt.QMessageBox.StandardButton.Ok  # noqa: B018


def test_integers_are_taken_for_enums():
    label = qt.QLabel("x")
    label.setAlignment(qt.Qt.AlignRight | qt.Qt.AlignTop)
    assert label.alignment == qt.Qt.AlignRight | qt.Qt.AlignTop
    label.alignment = qt.Qt.AlignLeft
    assert label.alignment == 1
    box = qt.QMessageBox()
    box.setStandardButtons(qt.QMessageBox.Yes | qt.QMessageBox.No)
    assert box.standardButtons == qt.QMessageBox.Yes | qt.QMessageBox.No


def test_both_ways_of_connecting_call_back(a_button):
    heard = []
    a_button.connect("clicked(bool)", heard.append)
    a_button.clicked.connect(heard.append)
    a_button.click()
    assert heard == [False, False]


def test_surplus_arguments_are_dropped_for_functions_and_methods(a_button):
    heard = []

    class Listener:
        def on_click(self):
            heard.append("method")

    listener = Listener()
    a_button.clicked.connect(lambda: heard.append("function"))
    a_button.clicked.connect(listener.on_click)
    a_button.clicked.connect(lambda *args: heard.append(args))
    a_button.click()
    assert heard == ["function", "method", (False,)]


def test_an_argument_replaces_the_default_of_a_lambda(a_button):
    heard = []
    a_button.clicked.connect(lambda path="model.safetensors": heard.append(path))
    a_button.click()
    assert heard == [False]


def test_a_partial_gets_all_arguments(a_button):
    a_button.clicked.connect(functools.partial(lambda: None))
    a_button.click()
    assert [type(error) for error in slot_errors] == [TypeError]
    slot_errors.clear()


def test_an_overload_is_chosen_by_its_signature_only():
    box = qt.QComboBox()
    with pytest.raises(TypeError, match="not subscriptable"):
        box.currentIndexChanged[int].connect(print)
    box.connect("currentIndexChanged(int)", print)


def test_unknown_signals_raise(a_button):
    with pytest.raises(AttributeError, match="signal 'pressedTwice\\(\\)' does not exist on QPushButton"):
        a_button.connect("pressedTwice()", print)
    with pytest.raises(AttributeError, match="signal 'clicked\\(int\\)' does not exist"):
        a_button.connect("clicked(int)", print)
    with pytest.raises(AttributeError):
        a_button.pressedTwice.connect(print)


def test_disconnecting_ends_the_calls(a_button):
    heard = []

    def listen():
        heard.append(1)

    a_button.connect("clicked()", listen)
    assert a_button.disconnect("clicked()", listen)
    assert not a_button.disconnect("clicked()", listen)
    a_button.click()
    assert heard == []


def test_blocked_signals_do_not_call(a_button):
    heard = []
    a_button.clicked.connect(heard.append)
    was_blocked = a_button.blockSignals(True)
    a_button.click()
    a_button.blockSignals(was_blocked)
    assert heard == []


def test_an_exception_in_a_slot_is_collected(a_button):
    a_button.clicked.connect(lambda: 1 / 0)
    a_button.click()
    with pytest.raises(AssertionError, match="division by zero"):
        slot_errors.raise_first()
    assert not slot_errors


def test_an_exception_in_a_timer_is_collected():
    qt.QTimer.singleShot(0, lambda: 1 / 0)
    slicer.app.processEvents()
    assert [type(error) for error in slot_errors] == [ZeroDivisionError]
    slot_errors.clear()


def test_an_exception_in_an_observer_is_collected(a_scene):
    node = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    node.AddObserver("ModifiedEvent", lambda *_: 1 / 0)
    node.SetName("CT")
    assert [type(error) for error in slot_errors] == [ZeroDivisionError]
    slot_errors.clear()


def test_single_shot_is_a_function_of_timers_and_no_property():
    heard = []
    qt.QTimer.singleShot(0, lambda: heard.append("shot"))
    slicer.app.processEvents()
    assert heard == ["shot"]
    timer = qt.QTimer()
    with pytest.raises(AttributeError, match="can not be overwritten"):
        timer.singleShot = True
    timer.setSingleShot(True)
    assert timer.isSingleShot()


def test_events_are_processed_with_and_without_flags():
    slicer.app.processEvents()
    slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)


def test_wrappers_are_equal_if_their_objects_are(a_button):
    window = qt.QWidget()
    layout = qt.QVBoxLayout(window)
    layout.addWidget(a_button)
    assert a_button.parent() == window
    assert window.layout() == layout
    assert window.children()[1] == a_button
    assert window.findChild(qt.QPushButton) == a_button
    assert window.findChildren("QAbstractButton") == (a_button,)


def test_children_can_be_reached_by_their_name(a_button):
    window = qt.QWidget()
    qt.QVBoxLayout(window).addWidget(a_button)
    a_button.objectName = "applyButton"
    assert window.applyButton == a_button


def test_a_deleted_object_is_false_and_cannot_be_used(a_button):
    a_button.delete()
    assert not a_button
    assert a_button == None  # noqa: E711 - what is tested
    with pytest.raises(ValueError, match="destroyed"):
        a_button.text  # noqa: B018


def test_python_classes_can_override_virtual_functions_and_have_attributes():
    class Curve(qt.QWidget):
        def __init__(self):
            qt.QWidget.__init__(self)
            self.painted = 0

        def sizeHint(self):
            return qt.QSize(120, 60)

        def paintEvent(self, event):
            painter = qt.QPainter(self)
            painter.fillRect(event.rect(), qt.QColor("red"))
            painter.end()
            self.painted += 1

    curve = Curve()
    curve.resize(curve.sizeHint())
    image = curve.grab().toImage()
    assert curve.painted == 1
    assert (image.width(), image.height()) == (120, 60)
    assert image.pixelColor(60, 30).red() == 255


def test_pictures_can_be_painted():
    pixmap = qt.QPixmap(20, 10)
    pixmap.fill(qt.QColor(0, 0, 0))
    painter = qt.QPainter(pixmap)
    painter.setPen(qt.QPen(qt.QBrush(qt.QColor("white")), 2.0))
    painter.drawLine(qt.QPointF(0, 5), qt.QPointF(20, 5))
    painter.end()
    label = qt.QLabel()
    label.setPixmap(pixmap)
    assert label.pixmap.toImage().pixelColor(10, 5).green() == 255


def test_settings_are_those_of_the_test_alone():
    qt.QSettings().setValue("COVIDSelfSeg/python", "/usr/bin/python3")
    assert slicer.util.settingsValue("COVIDSelfSeg/python", "") == "/usr/bin/python3"
    assert slicer.app.userSettings().value("COVIDSelfSeg/python") == "/usr/bin/python3"
    assert str(slicer.app.slicerHome) in slicer.app.slicerUserSettingsFilePath


def test_settings_of_another_test_are_forgotten():
    assert slicer.util.settingsValue("COVIDSelfSeg/python", "nothing") == "nothing"


def test_custom_signals_are_not_offered():
    for name in ("Signal", "Slot", "Property"):
        with pytest.raises(AttributeError, match=f"module 'qt' has no attribute '{name}'"):
            getattr(qt, name)


def test_shortcuts_are_activated_by_keys():
    window, heard = qt.QWidget(), []
    shortcut = qt.QShortcut(qt.QKeySequence("]"), window)
    shortcut.connect("activated()", lambda: heard.append("]"))
    user.press_key(window, "]")
    assert heard == ["]"]
    window.hide()
