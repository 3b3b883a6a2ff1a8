"""The threshold slider: moving changes a display threshold and a read-out, releasing writes the lesion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from COVIDSelfSegLib.threshold_curve import ThresholdCurve
from slicer.i18n import tr as _

from . import lesionSegments, resultNodes
from .display import ThresholdPreview
from .thresholdPlot import drawCurve

STEP = 0.02
"""What a press of [ or ] moves the threshold by."""


class ThresholdSection:
    """Slider, read-out and curve for the chosen CT.

    Args:
        ui: the widgets of the panel.
        onThreshold: called with the threshold when the slider is released.
    """

    def __init__(self, ui: Any, onThreshold: Callable[[float], None]) -> None:
        self._ui, self._onThreshold = ui, onThreshold
        self._ctNode = None
        self._curve: ThresholdCurve | None = None
        self._calibrated = 0.5
        self._preview: ThresholdPreview | None = None
        ui.thresholdSlider.connect("valueIsChanging(double)", self._onMoving)
        ui.thresholdSlider.connect("valueChanged(double)", self._onReleased)
        ui.calibratedButton.connect("clicked(bool)", self._onCalibrated)

    def showResults(self, ctNode) -> None:
        """Follow a CT: its curve, its threshold, its table; without results all is disabled."""
        self._endPreview()
        self._ctNode = ctNode
        has = resultNodes.hasResults(ctNode)
        self._curve = resultNodes.curveOf(ctNode) if has else None
        report = resultNodes.reportOf(ctNode) if has else None
        ui = self._ui
        for widget in (ui.thresholdSlider, ui.calibratedButton):
            widget.enabled = has
        ui.thresholdSlider.toolTip = (
            _("Lesion probability from which on a voxel is lesion. Keys: [ and ]")
            if has
            else _("There are no results yet: press Segment infection.")
        )
        ui.resultsTable.setMRMLTableNode(resultNodes.findNode(ctNode, resultNodes.TABLE))
        if report is not None:
            self._calibrated = report["model"]["calibrated_threshold"]
            self._setSlider(resultNodes.thresholdOf(ctNode) or report["threshold"])
        self._show(ui.thresholdSlider.value)

    def move(self, step: float) -> None:
        """Move the threshold by a step, as a key does."""
        if self._curve is not None:
            self._ui.thresholdSlider.setValue(self._ui.thresholdSlider.value + step)

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
        self._endPreview()
        if self._curve is None:
            return
        self._show(threshold)
        self._onThreshold(threshold)

    def _onCalibrated(self) -> None:
        self._ui.thresholdSlider.setValue(self._calibrated)

    def _endPreview(self) -> None:
        if self._preview is not None:
            self._preview.end()
            self._preview = None

    def _show(self, threshold: float) -> None:
        ui = self._ui
        if self._curve is None:
            ui.readoutLabel.text = ""
        else:
            ui.readoutLabel.text = _("{ml} ml, {percent} % of the lung").format(
                ml=f"{self._curve.infected_ml(threshold):.1f}",
                percent=f"{100 * self._curve.infected_share(threshold):.1f}",
            )
        width, height = max(ui.curveLabel.width, 200), 90
        ui.curveLabel.setPixmap(drawCurve(self._curve, threshold, self._calibrated, width, height))


def mayOverwrite(ctNode) -> bool:
    """Ask before hand edits of the lesion segment go; they are kept as a copy unless the user says so."""
    segmentationNode = resultNodes.findNode(ctNode, resultNodes.SEGMENTATION)
    if segmentationNode is None or not lesionSegments.isEdited(segmentationNode, lesionSegments.LESION):
        return True
    return slicer.util.confirmYesNoDisplay(
        _(
            "The lesion segment was edited by hand. Overwrite the edits?\n\n"
            "No keeps them as a segment of their own."
        ),
        windowTitle=_("Edited lesion"),
    )
