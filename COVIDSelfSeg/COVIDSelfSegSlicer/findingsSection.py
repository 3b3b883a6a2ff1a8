"""What a run says besides its numbers: findings about the scan, its model, lung mask and device."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from . import resultNodes
from .messageText import richText


class FindingsSection:
    """Shows what must be known before the numbers are believed.

    Args:
        ui: the widgets of the panel.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui

    def showResults(self, ctNode: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Follow a CT; where its run had nothing to say, no room is taken."""
        report = resultNodes.reportOf(ctNode) if resultNodes.hasResults(ctNode) else None
        findings = report["findings"] if report is not None else []
        ui = self._ui
        ui.findingsLabel.text = "<br><br>".join(
            richText(finding["what"], finding["why"], finding["fix"]) for finding in findings
        )
        ui.findingsLabel.visible = bool(findings)
        ui.runLabel.text = _runText(report) if report is not None else ""
        ui.runLabel.visible = report is not None


def _runText(report: dict[str, Any]) -> str:
    source = report["lung_mask"]["source"]
    names = {
        "given": _("your own"),
        "built-in": _("by the built-in method"),
    }
    return _("Model: {model}. Lung mask: {source}. Device: {device}.").format(
        model=report["model"]["name"], source=names.get(source, source), device=report["device"]
    )
