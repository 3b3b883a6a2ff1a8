"""The set-up section of the panel: what the worker has, and buttons that mend what it lacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import qt
import slicer
from COVIDSelfSegLib.errors import UserError
from slicer.i18n import tr as _

from . import setup
from .enabling import enable
from .runFailures import showInDialog
from .workerProcess import MODULE_FOLDER, modelFolder

DEFAULT_MODEL = "covidselfseg-default"
_TYPING_S = 0.6


class SetupSection:
    """Shows the status row and installs on request.

    Args:
        ui: the widgets of the panel.
        onChange: called when what can be run has changed.
    """

    def __init__(self, ui: Any, onChange: Callable[[], None]) -> None:
        self._ui, self._onChange = ui, onChange
        self._status: dict[str, Any] | None = None
        self._reason = _("The installation is still being checked.")
        self._query: setup.StatusQuery | None = None
        self._answered = False
        self._askAt: float | None = None
        ui.installTorchButton.connect("clicked(bool)", self._onInstallTorch)
        ui.installPackagesButton.connect("clicked(bool)", self._onInstallPackages)
        ui.installLungmaskButton.connect("clicked(bool)", self._onInstallLungmask)
        ui.addModelButton.connect("clicked(bool)", self._onAddModel)
        ui.modelSelector.connect("currentIndexChanged(int)", self._onModelChosen)
        ui.deleteModelButton.connect("clicked(bool)", self._onDeleteModel)
        ui.addLungWeightsButton.connect("clicked(bool)", self._onAddLungWeights)
        ui.deleteLungWeightsButton.connect("clicked(bool)", self._onDeleteLungWeights)
        ui.checkPythonButton.connect("clicked(bool)", self._onCheck)
        ui.workerPythonPath.currentPath = qt.QSettings().value(setup.PYTHON_SETTING, "") or ""
        ui.workerPythonPath.connect("currentPathChanged(QString)", self._onPythonChanged)
        ui.workerPythonPath.connect("validInputChanged(bool)", self._onPythonValid)

    @property
    def problem(self) -> str:
        """Why nothing can be run, empty where it can."""
        if self._status is None:
            return self._reason
        torch = self._status["torch"]
        if torch is None:
            return _("PyTorch is not installed; see Set-up.")
        if "error" in torch:
            return _("PyTorch cannot be used ({error}); see Set-up.").format(error=torch["error"])
        if self._status["missing"]:
            missing = ", ".join(self._status["missing"])
            return _("Python packages are missing ({missing}); see Set-up.").format(missing=missing)
        if not self._usableModels():
            return _("There is no usable model package; see Set-up.")
        return ""

    @property
    def hasGPU(self) -> bool:
        """Whether the worker can use a GPU."""
        torch = (self._status or {}).get("torch") or {}
        return bool(torch.get("cuda"))

    @property
    def hasLungmask(self) -> bool:
        """Whether lungmask and its weights are there and whole."""
        lungmask = (self._status or {}).get("lungmask") or {}
        return bool(lungmask.get("version") and lungmask.get("present") and not lungmask.get("damaged"))

    def refresh(self) -> None:
        """Ask the worker's interpreter anew."""
        self._forget()
        self._query = setup.StatusQuery(self._onAnswer)

    def poll(self) -> None:
        """Take the answer when it comes; ask when nobody types a path any more."""
        if self._askAt is not None and time.monotonic() > self._askAt:
            self.refresh()
        if self._query is not None:
            self._query.poll()

    def _forget(self) -> None:
        self.stop()
        self._askAt = None
        self._status, self._reason = None, _("The installation is still being checked.")
        self._ui.setupSummaryLabel.text = _("Looking at what is installed ...")
        self._enableButtons()
        self._onChange()

    def stop(self) -> None:
        """Stop asking; for when the panel goes."""
        if self._query is not None:
            self._query.kill()
            self._query = None

    def _onAnswer(self, status: dict[str, Any] | None, reason: str) -> None:
        self._status = status
        if status is None:
            self._reason = _("The worker's Python cannot be used: {reason}.").format(reason=reason)
        self._show()
        self._onChange()

    def _usableModels(self) -> list[dict[str, Any]]:
        return [model for model in (self._status or {}).get("models", []) if not model["damaged"]]

    def _show(self) -> None:
        ui, status = self._ui, self._status
        self._enableButtons()
        problem = self.problem
        if status is None:
            self._showUnknown(problem)
            return
        python = _("Python {version}, {path}").format(version=status["python"], path=status["executable"])
        ui.setupSummaryLabel.text = python
        ui.torchStatusLabel.text = _torchText(status["torch"])
        ui.packagesStatusLabel.text = (
            _("missing: {names}").format(names=", ".join(status["missing"]))
            if status["missing"]
            else _("present")
        )
        ui.modelsStatusLabel.text = "\n".join(map(_modelText, status["models"])) or _("missing")
        ui.lungmaskStatusLabel.text = _lungmaskText(status["lungmask"])
        ui.installTorchButton.visible = status["torch"] is None or "error" in status["torch"]
        ui.installPackagesButton.visible = bool(status["missing"])
        ui.installLungmaskButton.visible = status["lungmask"]["version"] is None
        ui.deleteLungWeightsButton.visible = status["lungmask"]["present"]
        ui.setupSection.text = _("Set-up: ready") if not problem else _("Set-up: something is missing")
        if problem or not self._answered:  # later it stays as the user left it
            ui.setupSection.collapsed = not problem
        self._answered = True
        self._fillModels()

    def _enableButtons(self) -> None:
        ui = self._ui
        unknown = self._reason if self._status is None else ""
        own = setup.isSlicersPython()
        foreign = "" if own else _("From here, packages can be installed into Slicer's own Python only.")
        for button in (ui.installTorchButton, ui.installPackagesButton, ui.installLungmaskButton):
            enable(button, unknown or foreign)
        for button in (ui.addLungWeightsButton, ui.deleteLungWeightsButton):
            enable(button, unknown)

    def _showUnknown(self, problem: str) -> None:
        ui = self._ui
        ui.setupSummaryLabel.text = problem
        for label in (
            ui.torchStatusLabel,
            ui.packagesStatusLabel,
            ui.modelsStatusLabel,
            ui.lungmaskStatusLabel,
        ):
            label.text = _("unknown")
        ui.setupSection.text = _("Set-up: something is missing")
        ui.setupSection.collapsed = False
        self._fillModels()

    def _fillModels(self) -> None:
        """Offer the usable models and keep the choice if it is still there."""
        selector, models = self._ui.modelSelector, self._usableModels()
        chosen = selector.currentData
        blocked = selector.blockSignals(True)
        selector.clear()
        for model, title in zip(models, _modelTitles(models)):
            selector.addItem(title, model["path"])
        names = [model["name"] for model in models]
        index = selector.findData(chosen) if chosen else -1  # by its path: two packages may have one name
        if index < 0 and DEFAULT_MODEL in names:
            index = names.index(DEFAULT_MODEL)
        selector.setCurrentIndex(max(index, 0) if selector.count else -1)
        selector.blockSignals(blocked)
        self._showDeletable()

    def _onModelChosen(self, _index: int) -> None:
        self._showDeletable()

    def _showDeletable(self) -> None:
        shipped = _("Model packages that came with the extension cannot be deleted.")
        enable(self._ui.deleteModelButton, "" if self._deletableModel() else shipped)

    def _onCheck(self) -> None:
        self.refresh()

    def _onPythonChanged(self, path: str) -> None:
        setup.setWorkerPython(path)
        self._forget()
        self._askAt = time.monotonic() + _TYPING_S  # each key changes the path

    def _onPythonValid(self, isValid: bool) -> None:
        if not isValid:  # it was emptied; to CTK that is no path, of which the other signal would tell
            self._onPythonChanged(self._ui.workerPythonPath.currentPath)

    def _onInstallTorch(self) -> None:
        self._do(setup.installTorch)

    def _onInstallPackages(self) -> None:
        self._do(setup.installRequirements)

    def _onInstallLungmask(self) -> None:
        self._do(setup.installLungmask)

    def _onAddModel(self) -> None:
        path = _askForFile(_("Choose a model package"), _("Model package (*.safetensors)"))
        if path is not None:
            self._do(lambda: setup.addModel(path))

    def _deletableModel(self) -> Path | None:
        """A damaged package that the user added, else the chosen one if the user added it."""
        models = (self._status or {}).get("models", [])
        damaged = [model["path"] for model in models if model["damaged"]]
        for path in map(Path, [*damaged, self._ui.modelSelector.currentData or ""]):
            if path.parent == modelFolder():
                return path
        return None

    def _onDeleteModel(self) -> None:
        path = self._deletableModel()
        if path is not None and slicer.util.confirmYesNoDisplay(_("Delete {path}?").format(path=path)):
            self._do(lambda: setup.deleteFile(path))

    def _onAddLungWeights(self) -> None:
        path = _askForFile(_("Choose the weights of lungmask R231"), _("Weights (*.pth)"))
        if path is not None:
            self._do(lambda: setup.addLungWeights(path, self._lungWeights()))

    def _onDeleteLungWeights(self) -> None:
        path = self._lungWeights()
        if slicer.util.confirmYesNoDisplay(_("Delete {path}?").format(path=path)):
            self._do(lambda: setup.deleteFile(path))

    def _lungWeights(self) -> Path:
        """Where the worker looks for the weights of R231."""
        assert self._status is not None  # the buttons are enabled once it is known
        return Path(self._status["lungmask"]["weights"])

    def _do(self, action: Callable[[], object]) -> None:
        """Do something that may fail, say so, and look again."""
        try:
            action()
        except UserError as error:
            showInDialog(error)
        except CalledProcessError as error:
            slicer.util.errorDisplay(
                _(
                    "pip could not install the packages (code {code}).\n\n"
                    "There may be no internet connection, or no version that works with Slicer's own torch, "
                    "numpy and SimpleITK, which stay as they are. Slicer's Python console shows pip's own "
                    "messages.\n\n"
                    "Try again with an internet connection, carry them over (docs/slicer.md, Behind a "
                    "firewall), or choose another Python under Advanced."
                ).format(code=error.returncode)
            )
        except (ImportError, OSError, RuntimeError) as error:  # the user declines, say
            slicer.util.errorDisplay(_("That did not work: {error}").format(error=error))
        finally:
            self.refresh()


def _torchText(torch: dict[str, Any] | None) -> str:
    if torch is None:
        return _("missing")
    if "error" in torch:
        return _("cannot be used: {error}. {fix}").format(error=torch["error"].rstrip("."), fix=torch["fix"])
    if torch["cuda"]:
        return f"{torch['version']}, {torch['device']}"
    one, more = _("1 thread"), _("{count} threads").format(count=torch["threads"])
    return f"{torch['version']}, {torch['device']}, {one if torch['threads'] == 1 else more}"


def _modelText(model: dict[str, Any]) -> str:
    megabytes = model["bytes"] / 1e6
    if model["damaged"]:
        return _("{name}: damaged. {reason}").format(name=model["name"], reason=model["damaged"])
    return _("{name}: present, {size} MB, {path}").format(
        name=model["name"], size=f"{megabytes:.0f}", path=model["path"]
    )


def _modelTitles(models: list[dict[str, Any]]) -> list[str]:
    """What the selector calls each model: its name, and which it is where another one has that name too."""
    names = [model["name"] for model in models]
    return [
        name if names.count(name) == 1 else f"{name} ({_placeOf(Path(model['path']))})"
        for name, model in zip(names, models)
    ]


def _placeOf(path: Path) -> str:
    if path.parent == modelFolder():
        return _("your own, {file}").format(file=path.name)
    if path.parent == MODULE_FOLDER / "Resources" / "Models":
        return _("came with the extension")
    return str(path)


def _lungmaskText(lungmask: dict[str, Any]) -> str:
    package = lungmask["version"] or _("not installed (optional)")
    if lungmask["damaged"]:
        weights = _("weights damaged: {reason} ({path})").format(
            reason=lungmask["damaged"], path=lungmask["weights"]
        )
    elif lungmask["present"]:
        weights = _("weights present, {size} MB").format(size=f"{lungmask['bytes'] / 1e6:.0f}")
    else:
        weights = _("weights missing; they belong to {path}").format(path=lungmask["weights"])
    return f"{package}; {weights}"


def _askForFile(title: str, pattern: str) -> Path | None:
    path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", pattern)
    return Path(path) if path else None
