"""Where torch keeps R231's weights, whether they are whole, and whether lungmask is there to run them.

Known without importing torch or lungmask.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from pathlib import Path

from .file_names import is_there

R231_FILE = "unet_r231-d5d2fc3d.pth"
"""Published weights of lungmask's R231; the name ends in the beginning of their SHA-256."""


def checkpoint_file(name: str) -> Path:
    """Where ``torch.hub`` puts and looks for a file of weights.

    A user without a home, as in a container, has none there; pathlib would raise.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch")))  # noqa: PTH111, PTH118
    return Path(home) / "hub" / "checkpoints" / name


def lungmask_version() -> str | None:
    """Version of the installed lungmask; None where there is none.

    A folder of that name, as an uninstallation on Windows leaves, is none.
    """
    try:
        return importlib.metadata.version("lungmask")
    except importlib.metadata.PackageNotFoundError:
        return None


def r231_problem(path: Path) -> str:
    """Why a file of R231's weights cannot be used, in words that follow its name; empty where it can be.

    A file of another name than the published one may hold other weights. Reads the whole file: 0.1 s.
    """
    if not is_there(path):
        return "it does not exist"
    if not os.access(path, os.R_OK):
        return "you may not read it"
    if path.name == R231_FILE and not file_sha256(path).startswith(R231_FILE[-12:-4]):
        return "its SHA-256 is not that of the published file, so it is cut short or changed"
    return ""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
