"""What must be decided before Qt or VTK is imported."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path


def prepare() -> None:
    """Choose a Qt platform and an OpenGL window that work without a screen.

    A user's own choice (``QT_QPA_PLATFORM``, ``VTK_DEFAULT_OPENGL_WINDOW``) is respected. VTK renders into
    memory with OSMesa (Debian package libosmesa6) because views are grabbed, never shown as native windows.

    Raises:
        RuntimeError: Qt or VTK was imported earlier, so the choice would come too late.
    """
    if "QT_QPA_PLATFORM" not in os.environ and not _has_display():
        _refuse_if_imported("PySide6.QtGui", "QT_QPA_PLATFORM")
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    if "VTK_DEFAULT_OPENGL_WINDOW" not in os.environ and sys.platform == "linux":
        _refuse_if_imported("vtkmodules.vtkRenderingOpenGL2", "VTK_DEFAULT_OPENGL_WINDOW")
        os.environ["VTK_DEFAULT_OPENGL_WINDOW"] = "vtkOSOpenGLRenderWindow"


def scratch_folder() -> Path:
    """A new folder for settings, cache and temporary files, so that no test touches the user's own.

    It is removed at the end of the process.
    """
    folder = Path(tempfile.mkdtemp(prefix="slicer-host-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _has_display() -> bool:
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _refuse_if_imported(module: str, variable: str) -> None:
    if module in sys.modules:
        raise RuntimeError(f"{module} was imported before the host could set {variable}")
