"""The logics of Slicer's loadable modules, reachable as ``slicer.modules.<name>.logic()``."""

from __future__ import annotations

import slicer

from host.core.scene import SHARE

LOGIC_CLASSES: dict[str, type[slicer.vtkMRMLAbstractLogic]] = {
    "Cameras": slicer.vtkSlicerCamerasModuleLogic,
    "Colors": slicer.vtkSlicerColorLogic,
    "CropVolume": slicer.vtkSlicerCropVolumeLogic,
    "Markups": slicer.vtkSlicerMarkupsLogic,
    "Models": slicer.vtkSlicerModelsLogic,
    "Plots": slicer.vtkSlicerPlotsLogic,
    "Reformat": slicer.vtkSlicerReformatLogic,
    "SceneViews": slicer.vtkSlicerSceneViewsModuleLogic,
    "Segmentations": slicer.vtkSlicerSegmentationsModuleLogic,
    "Sequences": slicer.vtkSlicerSequencesLogic,
    "SubjectHierarchy": slicer.vtkSlicerSubjectHierarchyModuleLogic,
    "Tables": slicer.vtkSlicerTablesLogic,
    "Terminologies": slicer.vtkSlicerTerminologiesModuleLogic,
    "Texts": slicer.vtkSlicerTextsLogic,
    "Transforms": slicer.vtkSlicerTransformLogic,
    "Units": slicer.vtkSlicerUnitsLogic,
    "ViewControllers": slicer.vtkSlicerViewControllersLogic,
    "VolumeRendering": slicer.vtkSlicerVolumeRenderingLogic,
    "Volumes": slicer.vtkSlicerVolumesLogic,
}


def create_logics(
    application_logic: slicer.vtkSlicerApplicationLogic,
) -> dict[str, slicer.vtkMRMLAbstractLogic]:
    """Every logic of :data:`LOGIC_CLASSES`, on the application's scene and known to the application logic."""
    logics = {name: _create(name, application_logic) for name in LOGIC_CLASSES}
    application_logic.SetColorLogic(logics["Colors"])
    return logics


def _create(name: str, application_logic: slicer.vtkSlicerApplicationLogic) -> slicer.vtkMRMLAbstractLogic:
    logic = LOGIC_CLASSES[name]()
    logic.SetMRMLApplicationLogic(application_logic)
    if isinstance(logic, slicer.vtkSlicerModuleLogic):
        logic.SetModuleShareDirectory(str(SHARE))
    logic.SetMRMLScene(application_logic.GetMRMLScene())
    application_logic.SetModuleLogic(name, logic)
    return logic
