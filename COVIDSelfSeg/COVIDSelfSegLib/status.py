"""What a Python interpreter has of what the worker needs: ``python -m COVIDSelfSegLib.status``.

Prints one JSON object. Importing this module imports none of the packages it asks about, so it also tells
about an interpreter that lacks them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import platform
import sys
from importlib.util import find_spec
from typing import Any

from .file_names import is_there
from .torch_hub import R231_FILE, checkpoint_file, lungmask_version, r231_problem

REQUIRED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "SimpleITK": "SimpleITK",
    "PIL": "pillow",
    "pydicom": "pydicom",
    "safetensors": "safetensors",
}
"""Modules that the worker imports besides torch, and the distributions that bring them."""
_OLDEST_PYTHON = (3, 11)


def status() -> dict[str, Any]:
    """Versions of what is there, what is missing, the device, lungmask and its weights, the models."""
    if sys.version_info < _OLDEST_PYTHON:
        return _too_old()
    missing = [package for module, package in REQUIRED.items() if find_spec(module) is None]
    torch = torch_status()
    # Looking at the models imports torch too, which ends this process where it cannot be loaded.
    can_look = not missing and torch is not None and "error" not in torch
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "missing": missing,
        "torch": torch,
        "lungmask": _lungmask(),
        "models": _models() if can_look else [],
    }


def _too_old() -> dict[str, Any]:
    """The status of a Python in which the rest of this package cannot be imported, whatever is installed."""
    found, least = platform.python_version(), ".".join(map(str, _OLDEST_PYTHON))
    return {
        "python": found,
        "executable": sys.executable,
        "missing": [],
        "torch": {
            "error": f"Python {found} is too old",
            "fix": f"Choose another Python under Advanced, {least} or later.",
        },
        "lungmask": _lungmask(look=False),
        "models": [],
    }


def torch_status() -> dict[str, Any] | None:
    """Version and device; None where there is none, ``error`` and ``fix`` where it cannot be used."""
    if find_spec("torch") is None:
        return None
    try:
        torch = importlib.import_module("torch")
        cuda = torch.cuda.is_available()
        problem = _numpy_problem(torch)
        if problem:
            return {
                "error": problem,
                "fix": "Choose another Python under Advanced that has versions that work together, for "
                "example PyTorch 2.2.2 and numpy 1.26.",
            }
        return {
            "version": torch.__version__,
            "device": torch.cuda.get_device_name() if cuda else "CPU",
            "cuda": cuda,
            "threads": torch.get_num_threads(),
        }
    except Exception as error:  # a library that is not there, files that are gone: it is damaged somehow
        return {
            "error": str(error),
            "fix": "Uninstall it (in Slicer: in the module PyTorch Utils, then restart Slicer) and install "
            "it again.",
        }


def _numpy_problem(torch: Any) -> str:
    """Why torch and numpy cannot share arrays; empty where they can, or where there is no numpy.

    The last torch for Intel Macs, 2.2.2, loads beside numpy 2 and fails at the first array.
    """
    if find_spec("numpy") is None:
        return ""
    try:
        torch.zeros(1).numpy()
    except RuntimeError as error:
        numpy = importlib.metadata.version("numpy")
        return f"PyTorch {torch.__version__} does not work with numpy {numpy} ({error})"
    return ""


def _lungmask(*, look: bool = True) -> dict[str, Any]:
    weights = checkpoint_file(R231_FILE)
    present = look and is_there(weights)
    return {
        "version": lungmask_version() if look else None,
        "weights": str(weights),
        "present": present,
        "damaged": r231_problem(weights) if present else "",
        "bytes": weights.stat().st_size if present else 0,
    }


def _models() -> list[dict[str, Any]]:
    models = importlib.import_module("COVIDSelfSegLib.models")
    errors = importlib.import_module("COVIDSelfSegLib.errors")
    rows = []
    for path in (file for folder in models.model_folders() for file in models.weight_files(folder)):
        row: dict[str, Any] = {"path": str(path), "bytes": path.stat().st_size, "damaged": ""}
        try:
            card = models.open_package(path).card
            row |= {"name": card.name, "threshold": card.inference.threshold, "preset": card.preset}
            row["licences"] = sorted({scan.licence for scan in card.trained_on})
        except errors.UserError as error:
            row |= {"name": path.stem, "damaged": error.what}
        rows.append(row)
    return rows


if __name__ == "__main__":
    sys.stdout.write(json.dumps(status()) + "\n")
