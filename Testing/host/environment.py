"""What must be decided before Qt or VTK is imported."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_IN_MEMORY, _WITHOUT_SCREEN = "vtkOSOpenGLRenderWindow", "vtkEGLRenderWindow"
_IMPORTED = "slicer and vtk are imported"
_LIBRARIES = ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")


def prepare() -> None:
    """Choose a Qt platform and an OpenGL window that work without a screen.

    A user's own choice (``QT_QPA_PLATFORM``, ``VTK_DEFAULT_OPENGL_WINDOW``) is respected. VTK renders into
    memory with OSMesa (Debian package libosmesa6) because views are grabbed, never shown as native windows;
    where that is missing, with EGL.

    Raises:
        RuntimeError: Qt or VTK was imported earlier, so the choice would come too late; or VTK cannot draw.
    """
    problem = drawing_problem()
    if problem:
        raise RuntimeError(problem)
    if "QT_QPA_PLATFORM" not in os.environ and not _has_display():
        _refuse_if_imported("PySide6.QtGui", "QT_QPA_PLATFORM")
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    if "VTK_DEFAULT_OPENGL_WINDOW" not in os.environ and sys.platform == "linux":
        _refuse_if_imported("vtkmodules.vtkRenderingOpenGL2", "VTK_DEFAULT_OPENGL_WINDOW")
        os.environ["VTK_DEFAULT_OPENGL_WINDOW"] = _window_class()


def drawing_problem() -> str:
    """Why VTK cannot draw without a screen here; empty where it can.

    To be asked before the host is imported: VTK ends the process where it finds nothing to draw with.
    """
    if sys.platform != "linux" or "VTK_DEFAULT_OPENGL_WINDOW" in os.environ or _window_class():
        return ""
    return "VTK finds nothing to draw with; install libosmesa6 (Debian, Ubuntu) or mesa-libOSMesa (Fedora)"


@functools.cache
def _window_class() -> str:
    """VTK's render window that works here without a screen; empty where none does."""
    for library in _LIBRARIES:
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return _IN_MEMORY
    # Whether EGL finds a device is only known by drawing, and where it does not that ends the process.
    draw = f"import slicer, vtk; print({_IMPORTED!r}, flush=True); vtk.vtkRenderWindow().Render()"
    chosen = os.environ | {"VTK_DEFAULT_OPENGL_WINDOW": _WITHOUT_SCREEN}
    done = subprocess.run([sys.executable, "-c", draw], env=chosen, capture_output=True, check=False)
    # What cannot even be imported is broken, which is for the tests to say.
    return "" if done.returncode and _IMPORTED in done.stdout.decode() else _WITHOUT_SCREEN


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
