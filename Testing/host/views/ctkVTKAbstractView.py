"""``ctkVTKAbstractView``: the base of slice and 3D views, a widget that shows what VTK rendered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import vtk
from PySide6.QtCore import QEvent, QPoint, Qt, QTimer, Slot
from PySide6.QtGui import (
    QColor,
    QImage,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QShowEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from host.properties import declared
from host.views.render_target import RenderTarget


class ctkVTKAbstractView(QWidget):
    """Renders when it is asked to or, if it is visible on a screen, soon after something changed.

    Mouse and wheel events go to VTK's interactor, so that slices scroll and the 3D view rotates in ``make
    app``.
    """

    def __init__(self, target: RenderTarget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.target = target
        self._annotation = vtk.vtkCornerAnnotation()
        target.overlay_renderer.AddViewProp(self._annotation)
        self._pauses = 0
        self._image: QImage | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.forceRender)
        target.managers.AddObserver(vtk.vtkCommand.UpdateEvent, lambda *_: self.scheduleRender())
        self.setMouseTracking(True)

    cornerAnnotationText = declared(
        str,
        lambda self: self._annotation.GetText(vtk.vtkCornerAnnotation.LowerLeft) or "",
        lambda self, text: self._annotation.SetText(vtk.vtkCornerAnnotation.LowerLeft, text),
    )
    backgroundColor = declared(
        QColor,
        lambda self: QColor.fromRgbF(*self.target.renderer.GetBackground()),
        lambda self, color: self.target.renderer.SetBackground(color.redF(), color.greenF(), color.blueF()),
    )

    @Slot(result=object)
    def renderWindow(self) -> vtk.vtkRenderWindow:
        return self.target.window

    @Slot(result=object)
    def interactor(self) -> vtk.vtkRenderWindowInteractor:
        return self.target.interactor

    @Slot(result=object)
    def cornerAnnotation(self) -> vtk.vtkCornerAnnotation:
        return self._annotation

    @Slot()
    def scheduleRender(self) -> None:
        """Render at the next turn of the event loop, if anybody can see it."""
        if self.isVisible() and not self._pauses:
            self._timer.start(0)

    @Slot()
    def forceRender(self) -> None:
        """Render now."""
        if self._pauses:
            return
        self.target.render()
        pixels = self.target.pixels()
        height, width, _ = pixels.shape
        self._image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        self.update()

    @Slot()
    def pauseRender(self) -> None:
        self._pauses += 1

    @Slot()
    def resumeRender(self) -> None:
        self._pauses = max(0, self._pauses - 1)
        self.scheduleRender()

    @Slot(bool)
    def setRenderPaused(self, pause: bool) -> None:
        if pause:
            self.pauseRender()
        else:
            self.resumeRender()

    def grab_pixels(self) -> np.ndarray:
        """Render and return the picture, RGB, shape (height, width, 3)."""
        self.forceRender()
        return self.target.pixels()

    def set_view_size(self, width: int, height: int) -> None:
        """Resize the render window; slice views also tell their node."""
        self.target.window.SetSize(width, height)
        self.target.interactor.SetSize(width, height)
        self.target.interactor.ConfigureEvent()
        self.scheduleRender()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.set_view_size(max(1, self.width()), max(1, self.height()))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.set_view_size(max(1, self.width()), max(1, self.height()))  # a picture may have had another

    def paintEvent(self, _event: QPaintEvent) -> None:
        if self._image is None or self._image.size() != self.size():
            self.forceRender()
        if self._image is not None:
            painter = QPainter(self)
            painter.drawImage(QPoint(0, 0), self._image)
            painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._mouse(event, _press_functions(self.target.interactor))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._mouse(event, _release_functions(self.target.interactor))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._place(event)
        self.target.interactor.MouseMoveEvent()

    def wheelEvent(self, event: QWheelEvent) -> None:
        self._place(event)
        forward = event.angleDelta().y() > 0
        interactor = self.target.interactor
        (interactor.MouseWheelForwardEvent if forward else interactor.MouseWheelBackwardEvent)()

    def enterEvent(self, _event: QEvent) -> None:
        self.target.interactor.EnterEvent()

    def leaveEvent(self, _event: QEvent) -> None:
        self.target.interactor.LeaveEvent()

    def _mouse(self, event: QMouseEvent, functions: dict[Qt.MouseButton, Callable[[], None]]) -> None:
        self._place(event)
        if event.button() in functions:
            functions[event.button()]()

    def _place(self, event: QMouseEvent | QWheelEvent) -> None:
        position, keys = event.position(), event.modifiers()
        control = bool(keys & Qt.KeyboardModifier.ControlModifier)
        shift = bool(keys & Qt.KeyboardModifier.ShiftModifier)
        x, y = int(position.x()), int(position.y())
        self.target.interactor.SetEventInformationFlipY(x, y, control, shift, "\0", 0, None)


def _press_functions(interactor: vtk.vtkRenderWindowInteractor) -> dict[Qt.MouseButton, Callable[[], None]]:
    return {
        Qt.MouseButton.LeftButton: interactor.LeftButtonPressEvent,
        Qt.MouseButton.MiddleButton: interactor.MiddleButtonPressEvent,
        Qt.MouseButton.RightButton: interactor.RightButtonPressEvent,
    }


def _release_functions(interactor: vtk.vtkRenderWindowInteractor) -> dict[Qt.MouseButton, Callable[[], None]]:
    return {
        Qt.MouseButton.LeftButton: interactor.LeftButtonReleaseEvent,
        Qt.MouseButton.MiddleButton: interactor.MiddleButtonReleaseEvent,
        Qt.MouseButton.RightButton: interactor.RightButtonReleaseEvent,
    }
