"""Pictures of views, as files to look at and as pixels to judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer
from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QImage

from host.pythonqt import registry
from host.views.ctkVTKAbstractView import ctkVTKAbstractView


def grab(name: str, path: Path | None = None, *, size: tuple[int, int] = (512, 512)) -> np.ndarray:
    """Render one view of the layout.

    Args:
        name: a slice view's name (``Red``) or a 3D view's (``1``).
        path: where to save the picture as PNG.
        size: width and height in pixels.

    Returns:
        RGB, uint8, shape (height, width, 3), top row first.

    Raises:
        LookupError: there is no such view.
    """
    view = _view(name)
    before = view.target.window.GetSize()
    view.set_view_size(*size)
    pixels = view.grab_pixels()
    view.set_view_size(*before)
    if path is not None:
        save_png(pixels, path)
    return pixels


def grab_layout(path: Path | None = None, *, size: tuple[int, int] = (1200, 900)) -> np.ndarray:
    """Render all views of the present layout as one picture; arguments and result as in :func:`grab`.

    Inside a main window the views have the size that the window gives them.
    """
    viewport = registry.object_of(slicer.app.layoutManager().viewport())
    in_main_window = viewport.parent() is not None
    if not in_main_window:
        viewport.resize(*size)
        viewport.show()
    QCoreApplication.processEvents()
    slicer.util.forceRenderAllViews()
    image = viewport.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    if not in_main_window:
        viewport.hide()
    lines = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    pixels = lines[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()
    if path is not None:
        save_png(pixels, path)
    return pixels


def save_png(pixels: np.ndarray, path: Path) -> None:
    """Write RGB pixels, shape (height, width, 3), as a PNG file.

    Raises:
        OSError: the file cannot be written.
    """
    height, width, _ = pixels.shape
    image = QImage(
        np.ascontiguousarray(pixels).tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888
    )
    if not image.save(str(path)):
        raise OSError(f"cannot write {path}")


def _view(name: str) -> ctkVTKAbstractView:
    layout_manager = registry.object_of(slicer.app.layoutManager())
    slice_widget = layout_manager.sliceWidget(name)
    if slice_widget is not None:
        return slice_widget.sliceView()
    three_d_widget = layout_manager.threeDWidget(name)
    if three_d_widget is not None:
        return three_d_widget.threeDView()
    raise LookupError(f"the layout has no slice or 3D view named '{name}'")
