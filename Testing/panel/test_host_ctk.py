"""CTK's widgets have the properties, signals and slots of the real ones, and no others."""

import ctk
import pytest
import qt
import slicer
from host import dialogs, user

pytestmark = pytest.mark.usefixtures("an_application")


@pytest.fixture
def a_slider():
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.singleStep, slider.value = 0.0, 1.0, 0.01, 0.5
    return slider


def heard_from(slider):
    heard = []
    slider.connect("valueIsChanging(double)", lambda value: heard.append(("is changing", round(value, 2))))
    slider.connect("valueChanged(double)", lambda value: heard.append(("changed", round(value, 2))))
    return heard


def test_a_slider_with_tracking_tells_every_step(a_slider):
    heard = heard_from(a_slider)
    user.drag(a_slider, 0.6, 0.7)
    assert heard == [("changed", 0.6), ("changed", 0.7)]


def test_a_slider_without_tracking_tells_the_last_value_once(a_slider):
    a_slider.tracking = False
    heard = heard_from(a_slider)
    user.hold(a_slider, 0.6, 0.7)
    assert heard == [("is changing", 0.6), ("is changing", 0.7)]
    assert a_slider.value == 0.5, "while it is dragged the value is the one before"
    user.inner_slider(a_slider).setSliderDown(False)
    assert heard[2:] == [("changed", 0.7)]
    assert a_slider.value == pytest.approx(0.7)


def test_a_slider_keeps_values_between_its_steps(a_slider):
    a_slider.decimals = 4
    a_slider.value = 0.3333
    assert a_slider.value == pytest.approx(0.3333)


def test_a_slider_stays_in_its_range(a_slider):
    a_slider.value = 7
    assert a_slider.value == 1.0
    a_slider.maximum = 0.25
    assert a_slider.value == 0.25


def test_a_number_is_typed_into_the_spin_box(a_slider):
    heard = heard_from(a_slider)
    user.type_text(a_slider, "0.25")
    assert a_slider.value == 0.25
    assert ("changed", 0.25) in heard


@pytest.mark.parametrize(
    "method", ["setRange", "setMinimum", "setMaximum", "setSingleStep", "spinBox", "slider"]
)
def test_what_is_cpp_only_cannot_be_called(a_slider, method):
    with pytest.raises(AttributeError, match=f"has no attribute named '{method}'"):
        getattr(a_slider, method)


def test_a_slider_has_a_slider_and_a_spin_box_with_their_names(a_slider):
    variables = slicer.util.childWidgetVariables(a_slider)
    assert variables.SpinBox.value == 0.5
    assert variables.Slider.value == 0.5


def test_a_collapsed_section_hides_its_children_and_remembers_which_were_hidden():
    section = ctk.ctkCollapsibleButton()
    section.text = "Advanced"
    layout = qt.QFormLayout(section)
    shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden")
    layout.addRow(shown)
    layout.addRow(hidden)
    hidden.hide()
    section.show()
    folded = []
    section.contentsCollapsed.connect(folded.append)
    section.collapsed = True
    assert not shown.visible
    section.collapsed = False
    assert shown.visible
    assert not hidden.visible
    assert folded == [True, False]
    assert section.checked
    section.hide()


def test_an_open_section_has_room_for_its_children_and_a_collapsed_one_for_its_title_alone():
    section = ctk.ctkCollapsibleButton()
    section.text = "Advanced"
    title = section.sizeHint.height()
    child = qt.QLineEdit()
    qt.QVBoxLayout(section).addWidget(child)
    assert section.minimumSizeHint.height() >= title + child.minimumSizeHint.height()
    section.collapsed = True
    assert section.sizeHint.height() == title


def test_sections_are_folded_with_the_property_only():
    with pytest.raises(AttributeError):
        ctk.ctkCollapsibleButton().setCollapsed(True)


def test_a_path_is_chosen_by_browsing_and_remembered(tmp_path):
    line = ctk.ctkPathLineEdit()
    line.settingKey = "Models"
    line.filters = ctk.ctkPathLineEdit.Files | ctk.ctkPathLineEdit.Readable
    heard = []
    line.connect("currentPathChanged(QString)", heard.append)
    dialogs.answer(str(tmp_path / "model.safetensors"))
    line.browse()
    line.addCurrentPathToHistory()
    assert heard[0] == str(tmp_path / "model.safetensors")
    assert dialogs.asked[0][0] == "QFileDialog.getOpenFileName"
    other = ctk.ctkPathLineEdit()
    other.settingKey = "Models"
    other.retrieveHistory()
    assert other.currentPath == line.currentPath


def test_an_emptied_line_is_no_path():
    line, paths, valid = ctk.ctkPathLineEdit(), [], []
    line.connect("currentPathChanged(QString)", paths.append)
    line.connect("validInputChanged(bool)", valid.append)
    for path in ("/not/there", "/nor/this", "", ""):
        line.currentPath = path
    assert paths == ["/not/there", "/nor/this"]
    assert valid == [True, False]
    line.nameFilters = ["Model package (*.safetensors)"]
    line.currentPath = "/a/model.txt"
    line.currentPath = "/a/model.safetensors"
    assert paths[2:] == ["/a/model.safetensors"]


def test_a_folder_is_chosen(tmp_path):
    button, heard = ctk.ctkDirectoryButton(), []
    button.directoryChanged.connect(heard.append)
    dialogs.answer(str(tmp_path))
    button.browse()
    assert heard == [str(tmp_path)]
    assert button.directory == str(tmp_path)


def test_a_range_keeps_its_order():
    widget, heard = ctk.ctkRangeWidget(), []
    widget.minimum, widget.maximum = -1000.0, 400.0
    widget.connect("valuesChanged(double,double)", lambda low, high: heard.append((low, high)))
    widget.setValues(300.0, -600.0)
    assert (widget.minimumValue, widget.maximumValue) == (-600.0, 300.0)
    assert heard == [(-600.0, 300.0)]


def test_a_color_is_chosen():
    button = ctk.ctkColorPickerButton()
    dialogs.answer(qt.QColor(255, 0, 0))
    user.press(button)
    assert button.color.red() == 255
    assert button.text == "#ff0000"


def test_user_data_of_a_combo_box_is_read_as_text():
    box = ctk.ctkComboBox()
    box.addItem("CPU", "cpu")
    box.addItem("GPU", "cuda:0")
    box.currentUserDataAsString = "cuda:0"
    assert box.currentText == "GPU"
    assert box.currentUserDataAsString == "cuda:0"


def test_classes_that_nobody_wrote_are_refused_loudly():
    with pytest.raises(AttributeError, match="the host has no stand-in for 'ctkTreeComboBox'"):
        ctk.ctkTreeComboBox()


@pytest.mark.parametrize(
    "name",
    [
        "ctkCheckablePushButton",
        "ctkCollapsibleGroupBox",
        "ctkDoubleSpinBox",
        "ctkExpandButton",
        "ctkFittedTextBrowser",
        "ctkMenuButton",
        "ctkMessageBox",
        "ctkPushButton",
    ],
)
def test_every_stand_in_can_be_made_and_shows_its_properties(name):
    widget = getattr(ctk, name)()
    assert widget.className() == name
    assert isinstance(widget.toolTip, str)
