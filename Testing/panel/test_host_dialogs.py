"""Dialogs: skipped in testing mode where Slicer skips them, and never waiting for a person."""

import pytest
import qt
import slicer
from host import bootstrap, dialogs
from host.pythonqt.dialogs import UnexpectedDialogError
from host.slicerlib import packaging
from packaging.requirements import Requirement

pytestmark = pytest.mark.usefixtures("an_application")

MISSING = Requirement("a-package-that-nobody-has>=1")


@pytest.fixture
def an_application_outside_testing_mode(an_application):
    bootstrap.start().set_testing_enabled(False)
    return an_application


def test_messages_are_logged_and_not_shown_in_testing_mode(caplog):
    slicer.util.errorDisplay("The scan has no lungs.")
    slicer.util.infoDisplay("Done.")
    slicer.util.delayDisplay("Wait.", 100)
    assert "The scan has no lungs." in caplog.text
    assert dialogs.asked == []


def test_a_dialog_that_nobody_answers_fails_the_test():
    with pytest.raises(UnexpectedDialogError, match=r"QMessageBox\.exec"):
        qt.QMessageBox().exec_()
    with pytest.raises(UnexpectedDialogError, match=r"QFileDialog\.getOpenFileName"):
        qt.QFileDialog.getOpenFileName(None, "Choose a model")


def test_timers_go_on_while_a_dialog_waits():
    fired = []
    qt.QTimer.singleShot(10, lambda: fired.append(True))
    dialogs.answer("/models/lung.pth")
    qt.QFileDialog.getOpenFileName(None, "Choose a model")
    assert fired


def test_a_file_dialog_returns_the_path_alone():
    dialogs.answer("/models/lung.pth")
    assert qt.QFileDialog.getOpenFileName(None, "Choose a model") == "/models/lung.pth"
    assert dialogs.asked == [("QFileDialog.getOpenFileName", (None, "Choose a model"))]


def test_an_answer_that_nothing_asked_for_fails_the_test():
    dialogs.answer("/models/lung.pth")
    with pytest.raises(AssertionError, match=r"/models/lung\.pth"):
        dialogs.raise_unused()
    dialogs.raise_unused()


@pytest.mark.usefixtures("an_application_outside_testing_mode")
def test_outside_testing_mode_a_question_is_asked():
    dialogs.answer(qt.QMessageBox.Yes)
    assert slicer.util.confirmYesNoDisplay("Overwrite your edits?")
    assert dialogs.asked == [("ctkMessageBox.exec", ("Overwrite your edits?",))]
    dialogs.answer(qt.QMessageBox.No)
    assert not slicer.util.confirmYesNoDisplay("Overwrite your edits?")


def test_an_error_is_shown_and_raised_again():
    with (
        pytest.raises(ZeroDivisionError),
        slicer.util.tryWithErrorDisplay("Segmentation failed.", waitCursor=True),
    ):
        1 / 0  # noqa: B018


def test_urls_are_not_opened():
    assert qt.QDesktopServices.openUrl(qt.QUrl("https://www.slicer.org"))
    assert dialogs.opened_urls == ["https://www.slicer.org"]


def test_nothing_is_installed_in_testing_mode_but_the_wish_is_recorded():
    slicer.packaging.pip_ensure([MISSING], requester="COVIDSelfSeg")
    assert [(call.function, call.requirements) for call in packaging.calls] == [
        ("pip_ensure", (str(MISSING),))
    ]


def test_what_is_installed_is_not_asked_for():
    slicer.packaging.pip_ensure([Requirement("numpy>=1")])
    assert packaging.calls == []


@pytest.mark.usefixtures("an_application_outside_testing_mode")
def test_a_user_who_declines_gets_a_runtime_error():
    dialogs.answer(qt.QMessageBox.Cancel)
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure([MISSING])


@pytest.mark.usefixtures("an_application_outside_testing_mode")
def test_a_user_who_agrees_installs_nothing_really():
    dialogs.answer(qt.QMessageBox.Ok)
    slicer.packaging.pip_ensure([MISSING])
    assert [call.function for call in packaging.calls] == ["pip_ensure", "pip_install"]


def test_requirements_must_be_requirement_objects():
    with pytest.raises(TypeError, match="load_requirements"):
        slicer.packaging.pip_ensure(["lungmask"])


def test_requirement_files_are_read(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("# models\nlungmask>=0.2.20\n\n--no-deps\n")
    assert [str(requirement) for requirement in slicer.packaging.load_requirements(path)] == [
        "lungmask>=0.2.20"
    ]
