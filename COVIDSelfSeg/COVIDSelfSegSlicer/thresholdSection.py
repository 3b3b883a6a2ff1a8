"""The threshold slider: moving changes a display threshold and a read-out, releasing writes the lesion.

Keys move it too; for them the release is that no more of them come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import qt
import slicer
from COVIDSelfSegLib.threshold_curve import ThresholdCurve
from slicer.i18n import tr as _

from . import resultNodes, results
from .display import ThresholdPreview
from .enabling import enable
from .runFiles import RunFiles
from .thresholdPlot import drawCurve

STEP = 0.02
"""What a press of [ or ] moves the threshold by."""
_KEYS_S = 0.7
"""So long after the last key the lesion is written; a held one comes again after half a second or more."""

_LEAST_CURVE_WIDTH = 120
_LEAST_COLUMN_WIDTH = 48


class ThresholdSection:
    """Slider, read-out and curve for the chosen CT.

    Args:
        ui: the widgets of the panel.
        onThreshold: called with the CT and the threshold when the slider is released.
    """

    def __init__(self, ui: Any, onThreshold: Callable[[Any, float], None]) -> None:
        self._ui, self._onThreshold = ui, onThreshold
        self._ctNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self._curve: ThresholdCurve | None = None
        self._calibrated = 0.5
        self._preview: ThresholdPreview | None = None
        self._writeAt: float | None = None
        self._drawnWidth = 0
        ui.resultsTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        ui.resultsTable.setVerticalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
        field = ui.thresholdSlider.findChild("QDoubleSpinBox")
        if field is not None:  # else each key of a number would write a lesion, or ask about edits
            field.keyboardTracking = False
        ui.thresholdSlider.connect("valueIsChanging(double)", self._onMoving)
        ui.thresholdSlider.connect("valueChanged(double)", self._onReleased)
        ui.calibratedButton.connect("clicked(bool)", self._onCalibrated)

    def showResults(self, ctNode: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Follow a CT: its curve, its threshold, its table; without results all is disabled."""
        self.settle()
        self._endPreview()
        self._ctNode = ctNode
        has = resultNodes.hasResults(ctNode)
        self._curve = resultNodes.curveOf(ctNode) if has else None
        report = resultNodes.reportOf(ctNode) if has else None
        ui = self._ui
        for widget in (ui.thresholdSlider, ui.calibratedButton):
            enable(widget, resultNodes.whyNoResults(ctNode))
        table = resultNodes.findNode(ctNode, resultNodes.TABLE)
        ui.resultsTable.setMRMLTableNode(table)
        ui.resultsTable.visible = table is not None
        ui.curveLabel.visible = has
        self._fitTable()
        self._showEdits()
        if report is not None:
            self._calibrated = report["model"]["calibrated_threshold"]
            writtenAt = resultNodes.thresholdOf(ctNode)
            self._setSlider(report["threshold"] if writtenAt is None else writtenAt)
        self._show(ui.thresholdSlider.value)

    def follow(self) -> None:
        """Go to the threshold at which the lesion was last written, be it by undo or from the console."""
        threshold = resultNodes.thresholdOf(self._ctNode)
        if self._curve is None or self._preview is not None or threshold is None:
            return
        self._setSlider(threshold)
        self._show(threshold)
        self._showEdits()

    def poll(self) -> None:
        """Write what keys chose; notice what no signal tells.

        That is a drag that ended where it began, and another width of the panel.
        """
        if not self._isHeld():
            if self._writeAt is None:
                self._leavePreview()
            elif time.monotonic() > self._writeAt:
                self.settle()
        if self._curve is not None and self._ui.curveLabel.width != self._drawnWidth:
            self._drawCurve(self._ui.thresholdSlider.value)

    def move(self, step: float) -> None:
        """Move the threshold by a step, as a key does; the lesion is written when no more keys come."""
        slider = self._ui.thresholdSlider
        before = slider.value
        if self._curve is None or self._isHeld():
            return
        self._setSlider(before + step)
        if slider.value != before:
            self._onMoving(slider.value)
            self._writeAt = time.monotonic() + _KEYS_S

    def settle(self) -> None:
        """Write at once what keys chose and what is not written yet."""
        if self._writeAt is None:
            return
        threshold = self._ui.thresholdSlider.value
        if self._isWrittenAt(threshold) or not resultNodes.hasResults(self._ctNode):
            self.forget()
        else:
            self._onReleased(threshold)

    def forget(self) -> None:
        """Let go of what keys chose and what is not written yet; for when the scene goes."""
        self._writeAt = None
        self._leavePreview()

    def _isHeld(self) -> bool:
        """Whether the mouse holds the slider."""
        handle = self._ui.thresholdSlider.findChild("QSlider")
        return handle is not None and handle.sliderDown

    def _setSlider(self, threshold: float) -> None:
        blocked = self._ui.thresholdSlider.blockSignals(True)
        self._ui.thresholdSlider.setValue(threshold)
        self._ui.thresholdSlider.blockSignals(blocked)

    def _onMoving(self, threshold: float) -> None:
        if self._curve is None:
            return
        if self._preview is None:
            self._preview = ThresholdPreview(self._ctNode)
        self._preview.show(threshold)
        self._show(threshold)

    def _onReleased(self, threshold: float) -> None:
        self._writeAt = None
        self._endPreview()
        if self._curve is None:
            return
        self._onThreshold(self._ctNode, threshold)
        self._show(threshold)

    def _onCalibrated(self) -> None:
        self._ui.thresholdSlider.setValue(self._calibrated)

    def _leavePreview(self) -> None:
        if self._preview is not None:
            self._endPreview()
            self._show(self._ui.thresholdSlider.value)

    def _endPreview(self) -> None:
        if self._preview is not None:
            self._preview.end()
            self._preview = None

    def _show(self, threshold: float) -> None:
        ui = self._ui
        if self._curve is None:
            ui.readoutLabel.text = ""
        else:
            ml, share = self._infectedAt(self._curve, threshold)
            ui.readoutLabel.text = _("{ml} ml, {percent} % of the lung").format(
                ml=f"{ml:.1f}", percent=f"{100 * share:.1f}"
            )
        self._drawCurve(threshold)

    def _infectedAt(self, curve: ThresholdCurve, threshold: float) -> tuple[float, float]:
        """As in the table where its lesion was written at this threshold; the curve counts the specks too."""
        written = resultNodes.infectedOf(self._ctNode)
        if written is not None and self._isWrittenAt(threshold):
            return written
        return curve.infected_ml(threshold), curve.infected_share(threshold)

    def _isWrittenAt(self, threshold: float) -> bool:
        writtenAt = resultNodes.thresholdOf(self._ctNode)
        return writtenAt is not None and abs(writtenAt - threshold) < 1e-6  # the slider rounds

    def _drawCurve(self, threshold: float) -> None:
        label = self._ui.curveLabel
        self._drawnWidth = label.width
        size = (max(label.width, _LEAST_CURVE_WIDTH), label.height)
        label.setPixmap(drawCurve(self._curve, threshold, self._calibrated, *size))

    def _showEdits(self) -> None:
        """Say that the numbers are not those of what is seen, where segments were edited since."""
        edited = results.editedSegments(self._ctNode)
        self._ui.editedLabel.text = _(
            "Edited by hand: {names}. The numbers do not include the edits."
        ).format(names=", ".join(edited))
        self._ui.editedLabel.visible = bool(edited)

    def _fitTable(self) -> None:
        """Make the table as large as its rows and columns need, so that nothing has to be scrolled."""
        table = self._ui.resultsTable
        rows, header = table.verticalHeader(), table.horizontalHeader()
        header.minimumSectionSize = _LEAST_COLUMN_WIDTH  # Slicer sets a larger one with each node
        frame = 2 * table.frameWidth
        table.minimumWidth = rows.sizeHint.width() + header.count() * _LEAST_COLUMN_WIDTH + frame
        table.setFixedHeight(rows.length() + header.sizeHint.height() + frame)


def mayOverwrite(ctNode: slicer.vtkMRMLScalarVolumeNode, files: RunFiles | None = None) -> bool:
    """Ask before hand edits go; they are kept as copies unless the user says so.

    Args:
        ctNode: a CT, perhaps with results.
        files: of a run that is to be shown; None for a threshold.
    """
    edited = results.editsAtStake(ctNode, files)
    if not edited:
        return True
    segmentation = resultNodes.nodeOf(ctNode, resultNodes.SEGMENTATION).GetSegmentation()
    names = ", ".join(segmentation.GetSegment(segmentID).GetName() for segmentID in edited)
    return slicer.util.confirmYesNoDisplay(
        _(
            "Edited by hand: {names}. The new result will replace them. Overwrite the edits?\n\n"
            "No keeps your edits as separate segments."
        ).format(names=names),
        windowTitle=_("Edited segments"),
    )
