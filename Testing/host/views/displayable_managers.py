"""Which displayable managers a slice view and a 3D view have in Slicer."""

from __future__ import annotations

import slicer

SLICE_VIEW = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLTransformsDisplayableManager2D",
)

THREE_D_VIEW = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLTransformsDisplayableManager3D",
    "vtkMRMLLinearTransformsDisplayableManager",
    "vtkMRMLVolumeRenderingDisplayableManager",
)


def slice_factory() -> slicer.vtkMRMLDisplayableManagerFactory:
    """The factory of slice views, with all managers registered."""
    return _registered(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), SLICE_VIEW)


def three_d_factory() -> slicer.vtkMRMLDisplayableManagerFactory:
    """The factory of 3D views, with all managers registered."""
    return _registered(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), THREE_D_VIEW)


def _registered(
    factory: slicer.vtkMRMLDisplayableManagerFactory, names: tuple[str, ...]
) -> slicer.vtkMRMLDisplayableManagerFactory:
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    return factory
