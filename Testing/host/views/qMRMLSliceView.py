"""``qMRMLSliceView``: the picture of one slice node."""

from __future__ import annotations

import slicer
import vtk
from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from host.views.ctkVTKAbstractView import ctkVTKAbstractView
from host.views.displayable_managers import slice_factory
from host.views.render_target import RenderTarget


class qMRMLSliceView(ctkVTKAbstractView):
    """Shows the blended volumes of a slice logic, and above them what the displayable managers draw."""

    def __init__(self, logic: slicer.vtkMRMLSliceLogic, parent: QWidget | None = None) -> None:
        super().__init__(RenderTarget(slice_factory(), overlay=True), parent)
        self._logic = logic
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)  # the slice logic already mapped voxel values to 0..255
        self._mapper.SetColorLevel(127.5)
        self._image_actor = vtk.vtkActor2D()
        self._image_actor.SetMapper(self._mapper)
        self._image_actor.GetProperty().SetDisplayLocationToBackground()
        self.target.renderer.AddViewProp(self._image_actor)
        self.target.managers.SetMRMLDisplayableNode(logic.GetSliceNode())
        logic.SetDisplayableManagerGroup(self.target.managers)
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetSliceLogic(logic)
        self._style.SetInteractor(self.target.interactor)
        self._style.SetDisplayableManagers(self.target.managers)
        logic.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update_image())
        self._update_image()
        self.set_view_size(*self.target.window.GetSize())

    @Slot(result=object)
    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._logic.GetSliceNode()

    @Slot(result=object)
    def sliceViewInteractorStyle(self) -> slicer.vtkMRMLSliceViewInteractorStyle:
        return self._style

    @Slot(object)
    def getDisplayableManagers(self, collection: vtk.vtkCollection) -> None:
        managers = self.target.managers
        for index in range(managers.GetDisplayableManagerCount()):
            collection.AddItem(managers.GetNthDisplayableManager(index))

    @Slot(str, result=object)
    def displayableManagerByClassName(self, name: str) -> slicer.vtkMRMLAbstractDisplayableManager | None:
        return self.target.manager(name)

    @Slot(list, result=list)
    def convertRASToXYZ(self, ras: list[float]) -> list[float]:
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.mrmlSliceNode().GetXYToRAS(), inverse)
        return list(inverse.MultiplyPoint([*ras, 1.0])[:3])

    @Slot(list, result=list)
    def convertXYZToRAS(self, xyz: list[float]) -> list[float]:
        return list(self.mrmlSliceNode().GetXYToRAS().MultiplyPoint([*xyz, 1.0])[:3])

    def set_view_size(self, width: int, height: int) -> None:
        super().set_view_size(width, height)
        self._logic.ResizeSliceNode(width, height)

    def _update_image(self) -> None:
        connection = self._logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        self._image_actor.SetVisibility(connection is not None)
        self.scheduleRender()
