"""``qMRMLThreeDView``: the picture of one 3D view node."""

from __future__ import annotations

import slicer
import vtk
from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from host.views.ctkVTKAbstractView import ctkVTKAbstractView
from host.views.displayable_managers import three_d_factory
from host.views.render_target import RenderTarget


class qMRMLThreeDView(ctkVTKAbstractView):
    """Surfaces, volume rendering and markups; the camera is a node of the scene."""

    def __init__(self, logic: slicer.vtkMRMLViewLogic, parent: QWidget | None = None) -> None:
        super().__init__(RenderTarget(three_d_factory(), overlay=False), parent)
        self._logic = logic
        self._style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._style.SetInteractor(self.target.interactor)
        self._style.SetDisplayableManagers(self.target.managers)
        self.target.managers.SetMRMLDisplayableNode(logic.GetViewNode())
        logic.SetDisplayableManagerGroup(self.target.managers)

    @Slot(result=object)
    def mrmlViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._logic.GetViewNode()

    @Slot(result=object)
    def cameraNode(self) -> slicer.vtkMRMLCameraNode | None:
        manager = self.target.manager("vtkMRMLCameraDisplayableManager")
        return manager.GetCameraNode() if manager else None

    @Slot(result=object)
    def interactorObserver(self) -> slicer.vtkMRMLThreeDViewInteractorStyle:
        return self._style

    @Slot(object)
    def getDisplayableManagers(self, collection: vtk.vtkCollection) -> None:
        managers = self.target.managers
        for index in range(managers.GetDisplayableManagerCount()):
            collection.AddItem(managers.GetNthDisplayableManager(index))

    @Slot(str, result=object)
    def displayableManagerByClassName(self, name: str) -> slicer.vtkMRMLAbstractDisplayableManager | None:
        return self.target.manager(name)

    @Slot()
    def resetFocalPoint(self) -> None:
        """Turn the camera to the center of everything visible, the box and its labels not counted."""
        node = self.mrmlViewNode()
        box, labels = node.GetBoxVisible(), node.GetAxisLabelsVisible()
        self._show_box(False, False)
        bounds = [0.0] * 6
        self.target.renderer.ComputeVisiblePropBounds(bounds)
        self._show_box(box, labels)
        camera = self.cameraNode()
        if camera is not None and bounds[0] <= bounds[1]:
            camera.SetFocalPoint(*[(bounds[i] + bounds[i + 1]) / 2 for i in (0, 2, 4)])
        node.InvokeEvent(slicer.vtkMRMLViewNode.ResetFocalPointRequestedEvent)
        self.target.renderer.ResetCameraClippingRange()

    @Slot()
    @Slot(bool, bool, bool)
    def resetCamera(self, rotation: bool = True, translation: bool = True, distance: bool = True) -> None:
        """Look at everything visible from the front."""
        camera = self.cameraNode()
        if camera is not None:
            camera.Reset(rotation, translation, distance, self.target.renderer)

    @Slot(int)
    def rotateToViewAxis(self, axis: int) -> None:
        """Look along an axis: the number of a ``vtkMRMLCameraNode.Direction``."""
        camera = self.cameraNode()
        if camera is not None:
            directions = ("Right", "Left", "Anterior", "Posterior", "Superior", "Inferior")
            camera.RotateTo(getattr(camera, directions[axis]))

    @Slot()
    def zoomIn(self) -> None:
        self._zoom(1.05)

    @Slot()
    def zoomOut(self) -> None:
        self._zoom(1 / 1.05)

    def _zoom(self, factor: float) -> None:
        self.target.renderer.GetActiveCamera().Dolly(factor)
        self.target.renderer.ResetCameraClippingRange()
        self.scheduleRender()

    def _show_box(self, box: bool, labels: bool) -> None:
        node = self.mrmlViewNode()
        was_modifying = node.StartModify()
        node.SetBoxVisible(box)
        node.SetAxisLabelsVisible(labels)
        node.EndModify(was_modifying)
