"""One view's render window: never shown, its pixels are read back."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

DEFAULT_SIZE = (400, 400)


class RenderTarget:
    """A render window with a renderer, an interactor and the displayable managers of one view.

    Args:
        factory: makes the displayable managers.
        overlay: add a second layer above the first, as slice views have.
    """

    def __init__(self, factory: slicer.vtkMRMLDisplayableManagerFactory, *, overlay: bool) -> None:
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(True)
        self.window.SetShowWindow(False)
        self.window.SetMultiSamples(0)  # with multi-sampling translucent surfaces vanish
        self.window.SetSize(*DEFAULT_SIZE)
        self.renderer = vtk.vtkRenderer()
        self.window.AddRenderer(self.renderer)
        self.overlay_renderer = self._add_overlay() if overlay else self.renderer
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())  # displayable managers act on events
        self.interactor.Initialize()
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.Initialize(factory, self.renderer)

    def manager(self, class_name: str) -> slicer.vtkMRMLAbstractDisplayableManager | None:
        """The displayable manager of a class."""
        return self.managers.GetDisplayableManagerByClassName(class_name)

    def render(self) -> None:
        self.window.Render()

    def pixels(self) -> np.ndarray:
        """What was rendered last, RGB, shape (height, width, 3), top row first."""
        reader = vtk.vtkWindowToImageFilter()
        reader.SetInput(self.window)
        reader.ReadFrontBufferOff()
        reader.ShouldRerenderOff()
        reader.Update()
        image = reader.GetOutput()
        width, height, _ = image.GetDimensions()
        scalars = vtk_to_numpy(image.GetPointData().GetScalars())
        return np.ascontiguousarray(scalars.reshape(height, width, -1)[::-1, :, :3])

    def _add_overlay(self) -> vtk.vtkRenderer:
        overlay = vtk.vtkRenderer()
        overlay.SetLayer(1)
        self.window.SetNumberOfLayers(2)
        self.window.AddRenderer(overlay)
        for renderer in (self.renderer, overlay):
            renderer.GetActiveCamera().ParallelProjectionOn()
        return overlay
