"""What the worker needs and whether it is there: asked of the interpreter that runs it, installed on request.

Nothing is installed at import or silently. PyTorch comes from the PyTorch extension, which knows the right
build; the rest is small, and pip is kept from touching torch, SimpleITK and numpy.
"""

from __future__ import annotations

import filecmp
import importlib
import json
import shutil
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import qt
import slicer
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.whole_files import appearing_whole
from slicer.i18n import tr as _

from .workerProcess import WorkerProcess, modelFolder, slicersPython

PYTHON_SETTING = "COVIDSelfSeg/WorkerPython"

REQUIREMENTS = ("scipy", "pillow>=10.1", "pydicom>=2.4", "safetensors>=0.4")
LUNGMASK_REQUIREMENTS = ("fill-voids", "more-itertools", "scikit-image", "tqdm")
"""What lungmask imports besides torch, numpy and SimpleITK, which must stay Slicer's own."""
KEPT = ("torch", "SimpleITK", "numpy", "requests")
"""What Slicer and its extensions were built with; pip must leave it in the version that is there."""


def workerPython() -> str:
    """The interpreter that runs the worker: the user's choice, or Slicer's own."""
    return qt.QSettings().value(PYTHON_SETTING, "") or slicersPython()


def setWorkerPython(path: str) -> None:
    """Choose another interpreter; an empty path goes back to Slicer's own."""
    qt.QSettings().setValue(PYTHON_SETTING, path)


def isSlicersPython() -> bool:
    """Whether the worker runs in Slicer's own Python, where this panel may install things."""
    return Path(workerPython()) == Path(slicersPython())


class StatusQuery:
    """Asks the worker's interpreter what it has; answers from :meth:`poll`.

    Args:
        onAnswer: called with the status (see ``COVIDSelfSegLib.status``), or with None and the reason.
    """

    def __init__(self, onAnswer: Callable[[dict[str, Any] | None, str], None]) -> None:
        self._onAnswer = onAnswer
        self._lines: list[str] = []
        self._process: WorkerProcess | None = None
        try:
            self._process = WorkerProcess(
                ["-m", "COVIDSelfSegLib.status"],
                python=workerPython(),
                onEvent=lambda _event: None,
                onLog=self._lines.append,
                onExit=self._onExit,
            )
        except OSError as error:
            onAnswer(None, error.strerror or str(error))

    @property
    def isRunning(self) -> bool:
        """Whether the answer is still to come."""
        return self._process is not None and self._process.isRunning

    def poll(self) -> None:
        """Hand over the answer if it is there."""
        if self._process is not None:
            self._process.poll()

    def kill(self) -> None:
        """Stop asking."""
        if self._process is not None:
            self._process.kill()

    def _onExit(self, code: int) -> None:
        for line in reversed(self._lines):
            if line.startswith("{"):
                self._onAnswer(json.loads(line), "")
                return
        last = self._lines[-1] if self._lines else ""
        self._onAnswer(None, _("it ended with code {code} {last}").format(code=code, last=last).strip())


def installTorch() -> None:
    """Install PyTorch through the PyTorch extension.

    Raises:
        UserError: the extension is not installed, its installation failed or was declined, or what it
            installed cannot be loaded.
    """
    _refuseReadOnly()
    try:
        import PyTorchUtils  # noqa: PLC0415 (a module of another extension)
    except ModuleNotFoundError as error:
        raise UserError(
            _("The extension PyTorch is not installed."),
            why=_("It installs the PyTorch build that fits this computer and Slicer."),
            fix=_("Install the extension PyTorch in the Extensions Manager, restart Slicer, and try again."),
        ) from error
    try:
        torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True)
    except ImportError as error:  # it imports what it installed; what is there, damaged or not, it leaves
        importlib.invalidate_caches()
        if find_spec("torch") is None:
            raise UserError(
                _("PyTorch could not be installed: {error}").format(error=error),
                why=_("The program with which the extension PyTorch installs it does not start."),
                fix=_(
                    "Update the extension PyTorch, carry PyTorch over (docs/slicer.md, Behind a firewall), "
                    "or choose another Python under Advanced."
                ),
            ) from error
        raise UserError(
            _("PyTorch is installed but cannot be loaded: {error}").format(error=error),
            why=_("The networks cannot run without it, and a damaged installation is not replaced."),
            fix=_(
                "Uninstall PyTorch in the module PyTorch Utils, restart Slicer, and install it again; or "
                "choose another Python under Advanced."
            ),
        ) from error
    if torch is None:
        raise UserError(
            _("PyTorch was not installed."),
            why=_("The networks cannot run without it."),
            fix=_(
                "Try again with an internet connection, carry it over (docs/slicer.md, Behind a "
                "firewall), or choose another Python under Advanced."
            ),
        )


def installRequirements() -> None:
    """Install the small packages that the worker needs besides torch into Slicer's Python."""
    _pipInstall(REQUIREMENTS, _("COVIDSelfSeg needs a few small Python packages."))


def installLungmask() -> None:
    """Install lungmask without what would replace torch, numpy or SimpleITK."""
    _pipInstall(LUNGMASK_REQUIREMENTS, _("lungmask needs a few small Python packages."))
    slicer.util.pip_install("lungmask>=0.2.20 --no-deps")


def _refuseReadOnly() -> None:
    """Refuse to install where pip would fail for want of rights, which it says in its log alone.

    Raises:
        UserError: Slicer's Python cannot be written to, as where an administrator installed Slicer.
    """
    folder = sysconfig.get_path("purelib")
    try:
        tempfile.TemporaryFile(dir=folder).close()  # on Windows os.access says yes to all of Program Files
    except OSError as error:
        raise UserError(
            _("You may not write to Slicer's Python ({folder}: {error}).").format(
                folder=folder, error=error.strerror or error
            ),
            why=_("The packages are installed there, and somebody else installed this Slicer."),
            fix=_(
                "Start Slicer once as administrator to install them, install a Slicer of your own, or choose "
                "another Python under Advanced."
            ),
        ) from error


def _pipInstall(requirements: tuple[str, ...], reason: str) -> None:
    _refuseReadOnly()
    with _keptVersions() as constraints:
        try:
            from slicer.packaging import pip_ensure  # noqa: PLC0415
        except ImportError:  # before Slicer 5.11
            if not slicer.util.confirmOkCancelDisplay(reason + "\n" + ", ".join(requirements)):
                raise RuntimeError(_("the installation was declined.")) from None
            slicer.util.pip_install([*requirements, "--constraint", str(constraints)])
            return
        from packaging.requirements import Requirement  # noqa: PLC0415

        wanted = [Requirement(text) for text in requirements]
        pip_ensure(wanted, constraints=constraints, requester="COVIDSelfSeg")


@contextmanager
def _keptVersions() -> Iterator[Path]:
    """A file that keeps pip from replacing a package of :data:`KEPT` that another one depends on."""
    pins = []
    for name in KEPT:
        with suppress(PackageNotFoundError):
            pins.append(f"{name}=={version(name)}\n")
    with tempfile.TemporaryDirectory(prefix="COVIDSelfSeg-", dir=slicer.app.temporaryPath) as folder:
        path = Path(folder) / "constraints.txt"
        path.write_text("".join(pins), encoding="utf-8")
        yield path


def addModel(path: Path) -> Path:
    """Copy a model package into the user's folder; returns the copy.

    Another package of the same file name stays as it is: the copy gets a number.

    Raises:
        UserError: it is no such file, or cannot be copied.
    """
    if path.suffix != ".safetensors":
        raise UserError(
            _("{name} is not a model package.").format(name=path.name),
            why=_("A model package is one .safetensors file with a COVIDSelfSeg card."),
            fix=_("Choose the file that 'covidselfseg train' wrote or that you downloaded."),
        )
    target, number = modelFolder() / path.name, 2
    try:
        while target.exists():
            if filecmp.cmp(path, target, shallow=False):
                return target
            target, number = target.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
        _copyWhole(path, target)
    except OSError as error:
        raise UserError(
            _("{name} could not be copied to {folder} ({error}).").format(
                name=path.name, folder=target.parent, error=error.strerror
            ),
            why=_("The worker looks for model packages there."),
            fix=_("Free some disk space, or copy the file there yourself."),
        ) from error
    return target


def addLungWeights(path: Path, target: Path) -> None:
    """Copy R231 weights to where the worker looks for them; it checks their hash before it uses them."""
    _copyWhole(path, target)


def _copyWhole(path: Path, target: Path) -> None:
    """Copy a file that appears whole or not at all, be there a crash or a full disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with appearing_whole(target) as temporary:
        shutil.copyfile(path, temporary)


def deleteFile(path: Path) -> None:
    """Delete a model package or weights that the user added."""
    path.unlink(missing_ok=True)
