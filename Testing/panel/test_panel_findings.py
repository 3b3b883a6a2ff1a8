"""What the doctor found, which lung mask was used and where it ran: said beside the numbers, else nothing."""

import pytest
import slicer
from COVIDSelfSegSlicer import resultNodes, results
from COVIDSelfSegSlicer.runFiles import RunFiles
from host import user
from host.pythonqt import registry
from PySide6.QtCore import Qt
from PySide6.QtGui import QTextDocument

from Testing.slicer_samples import show_truth

UPSIDE_DOWN = {
    "severity": "warning",
    "what": "The scan lies upside down, contrary to its header.",
    "why": "Right and left may be exchanged.",
    "fix": "Correct the direction in the header, and check the side labels.",
}
METAL = {
    "severity": "warning",
    "what": "There is <metal> in the scan.",
    "why": "Its streaks can look like lesions, or hide them.",
    "fix": "Check the result near the metal by eye.",
}


@pytest.fixture
def a_ct_with_findings(a_panel, samples):
    ct = slicer.util.loadVolume(str(samples / "scan.nrrd"))
    files = RunFiles.read(samples / "truth", lambda: False)
    files.report["findings"] = [UPSIDE_DOWN, METAL]
    results.setResults(ct, files)
    user.wait_until(lambda: a_panel.ui.thresholdSlider.enabled)
    return ct


def plain_text(label):
    """What a user reads of a label."""
    document = QTextDocument()
    document.setHtml(registry.object_of(label).text())
    return document.toPlainText().replace("\u2028", "\n")


def test_long_messages_do_not_widen_the_panel(a_panel, a_ct_with_findings):  # noqa: ARG001
    from COVIDSelfSegLib.errors import UserError  # that of the panel, which is another one after a reload

    ui = a_panel.ui
    ui.setupSection.collapsed = False
    labels = (ui.setupSummaryLabel, ui.torchStatusLabel, ui.modelsStatusLabel, ui.progressLabel, ui.runLabel)
    widths = []
    for words in (1, 60):
        text = " ".join(["word"] * words)
        a_panel.runSection.showError(UserError(text, why=text, fix=text))
        for label in (*labels, ui.findingsLabel, ui.editedLabel):
            label.text, label.visible = text, True
        user.let_run(0.1)
        widths.append(registry.object_of(a_panel.parent).minimumSizeHint().width())
    assert widths[0] == widths[1]


def test_a_run_says_what_the_doctor_found_whose_lungs_it_used_and_where_it_ran(a_panel, samples):
    ct = slicer.util.loadVolume(str(samples / "scan.nrrd"))
    lungs = slicer.util.loadLabelVolume(str(samples / "lungs.nrrd"))
    dense = slicer.util.arrayFromVolume(ct).copy()
    dense[slicer.util.arrayFromVolume(lungs) == 2] = 40
    slicer.util.updateVolumeFromArray(ct, dense)
    assert not a_panel.ui.findingsLabel.visible
    user.wait_until(lambda: a_panel.ui.segmentButton.enabled, seconds=60)
    user.press(a_panel.ui.segmentButton)
    user.wait_until(lambda: not a_panel.logic.isRunning, seconds=300)
    report = resultNodes.reportOf(ct)
    findings = report["findings"]
    assert any("left lung" in finding["what"] for finding in findings)
    assert a_panel.ui.findingsLabel.visible
    for finding in findings:
        for key in ("what", "why", "fix"):
            assert finding[key] in plain_text(a_panel.ui.findingsLabel)
    assert "CPU" in report["device"]
    made_by = f"Model: {report['model']['name']}. Lung mask: by the built-in method. "
    assert a_panel.ui.runLabel.text == f"{made_by}Device: {report['device']}."


@pytest.mark.usefixtures("a_ct_with_findings")
def test_findings_are_text_that_wraps_and_can_be_copied(a_panel):
    text = plain_text(a_panel.ui.findingsLabel)
    assert text.splitlines()[0] == UPSIDE_DOWN["what"]
    assert METAL["what"] in text
    for label in (a_panel.ui.findingsLabel, a_panel.ui.runLabel):
        shown = registry.object_of(label)
        assert shown.wordWrap()
        assert shown.textInteractionFlags() & Qt.TextInteractionFlag.TextSelectableByMouse


def test_a_run_without_findings_takes_no_room_for_them(a_panel, samples):
    show_truth(slicer.util.loadVolume(str(samples / "scan.nrrd")), samples / "truth")
    user.wait_until(lambda: a_panel.ui.thresholdSlider.enabled)
    assert not a_panel.ui.findingsLabel.visible
    assert a_panel.ui.runLabel.text == "Model: truth. Lung mask: your own. Device: none."


@pytest.mark.usefixtures("a_ct_with_findings")
def test_findings_come_back_with_a_saved_scene(a_panel, tmp_path):
    ui = a_panel.ui
    shown = ui.findingsLabel.text
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    user.wait_until(lambda: not ui.findingsLabel.visible and not ui.runLabel.visible)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    user.wait_until(lambda: ui.findingsLabel.visible)
    assert ui.findingsLabel.text == shown


def test_findings_are_those_of_the_chosen_ct(a_panel, a_ct_with_findings, samples):
    other = slicer.util.loadVolume(str(samples / "left_handed.nrrd"))
    user.choose(a_panel.ui.ctSelector, other.GetName())
    assert not a_panel.ui.findingsLabel.visible
    user.choose(a_panel.ui.ctSelector, a_ct_with_findings.GetName())
    assert a_panel.ui.findingsLabel.visible
