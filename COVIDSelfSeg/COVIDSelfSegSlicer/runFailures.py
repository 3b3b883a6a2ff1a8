"""What can go wrong with the worker and its files, in words for the user."""

from __future__ import annotations

import logging

import slicer
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.events import Failure
from slicer.i18n import tr as _


def asError(failure: Failure) -> UserError:
    """A failure as an error to raise."""
    return UserError(failure.what, why=failure.why, fix=failure.fix)


def showInDialog(error: UserError) -> None:
    """Show what happened, why, and what to do, for actions that have no place for it in the panel."""
    slicer.util.errorDisplay(f"{error.what}\n\n{error.why}\n\n{error.fix}")


def diskFailure(error: BaseException) -> Failure:
    """Files of a run could not be written or read."""
    logging.debug("files of a run: %s", error)
    return Failure(
        int(ExitCode.OUTPUT_NOT_WRITABLE),
        _("The temporary files of this run could not be written or read ({error}).").format(error=error),
        _("The scan and the results are handed over as files in Slicer's temporary folder."),
        _("Free some disk space, or choose another temporary folder in the application settings."),
    )


def startFailure(python: str, error: OSError) -> Failure:
    """There is no such interpreter, or it may not be run."""
    return Failure(
        int(ExitCode.MODEL_UNUSABLE),
        _("The worker's Python could not be started: {python} ({error}).").format(
            python=python, error=error.strerror or error
        ),
        _("The networks run in a process of their own."),
        _("Choose another Python under Advanced, or clear the field to use Slicer's own."),
    )


def crash(code: int, log: list[str]) -> Failure:
    """The worker ended without saying why."""
    last = next((line for line in reversed(log) if line.strip()), "")
    end = _("Its log ends with: {last}").format(last=last) if last else ""
    return Failure(
        code,
        _("The worker ended unexpectedly (code {code}). {end}").format(code=code, end=end).strip(),
        _("It was ended from outside, ran out of memory, or met an error in this program."),
        _(
            "Tick Show the log and read its end; try again with other programs closed, or with the device "
            "set to CPU."
        ),
    )
