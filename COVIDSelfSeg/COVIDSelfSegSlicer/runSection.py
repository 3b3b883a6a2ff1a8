"""The segmentation section of the panel: one button, honest progress, errors that say what to do."""

from __future__ import annotations

from typing import Any

from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.events import Failure
from slicer.i18n import tr as _

from .messageText import richText
from .segmentationRun import Progress


class RunSection:
    """Shows how a run goes.

    Args:
        ui: the widgets of the panel.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self.isRunning = False
        """Whether a run that this section started is going on."""
        self.isWaiting = False
        """Whether it shows that another run, from the Python console, has to end first."""
        ui.progressBar.visible = False
        ui.progressLabel.visible = False
        ui.errorLabel.visible = False
        ui.logText.visible = False
        ui.logCheckBox.connect("toggled(bool)", self._onLogToggled)

    def showReady(self, problem: str, isConsoleRunning: bool) -> None:
        """Show whether a run can start, and why not."""
        if self.isRunning:
            return
        self.isWaiting = isConsoleRunning
        self._ui.progressLabel.visible = isConsoleRunning
        if isConsoleRunning:
            problem = self._ui.progressLabel.text = _("A run from the Python console is in progress.")
        button = self._ui.segmentButton
        button.text = _("Segment infection")
        button.enabled = not problem
        button.toolTip = problem or _("Find COVID-19 lesions in the CT. Nothing leaves this computer.")

    def showStarted(self) -> None:
        """Show a run that begins."""
        self.isRunning = True
        ui = self._ui
        ui.segmentButton.text = _("Cancel")
        ui.segmentButton.enabled = True
        ui.segmentButton.toolTip = _("End the run; the scene stays as it was before.")
        self.forgetError()
        ui.logText.clear()
        ui.progressBar.value = 0
        ui.progressBar.visible = True
        ui.progressLabel.visible = True

    def showProgress(self, progress: Progress) -> None:
        """Show how far the run is."""
        self._ui.progressBar.value = round(1000 * progress.fraction)
        percent = round(100 * progress.fraction)
        text = _("{message}: {percent} %").format(message=progress.message, percent=percent)
        if progress.secondsLeft is not None:
            text += _(", about {time} left").format(time=_asTime(progress.secondsLeft))
        self._ui.progressLabel.text = text

    def showCancelling(self) -> None:
        """Show that the run is about to end."""
        self._ui.segmentButton.enabled = False
        self._ui.segmentButton.toolTip = _("The worker is being ended.")
        self._ui.progressLabel.text = _("Cancelling ...")

    def showEnded(self) -> None:
        """Show that no run is going on."""
        self.isRunning = False
        self._ui.progressBar.visible = False
        self._ui.progressLabel.visible = False

    def forgetError(self) -> None:
        """Hide what went wrong; for when it is no longer about the chosen CT."""
        self._ui.errorLabel.visible = False

    def showError(self, error: Failure | UserError, ofAnother: str = "") -> None:
        """Show what happened, why it matters and what to do.

        Args:
            error: what happened.
            ofAnother: the name of the CT that it happened to, where that is not the chosen one.
        """
        what = f"{ofAnother}: {error.what}" if ofAnother else error.what
        self._ui.errorLabel.text = richText(what, error.why, error.fix)
        self._ui.errorLabel.visible = True

    def log(self, line: str) -> None:
        """Add a line to the log, which is there whether it is shown or not."""
        self._ui.logText.appendPlainText(line)

    def _onLogToggled(self, shown: bool) -> None:
        self._ui.logText.visible = shown


def _asTime(seconds: float) -> str:
    if seconds < 90:
        return _("{count} s").format(count=max(1, round(seconds)))
    return _("{count} min").format(count=round(seconds / 60))
