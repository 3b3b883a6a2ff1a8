"""The scene and the application logic, with the nodes that every fresh Slicer scene has."""

from __future__ import annotations

import shutil
from pathlib import Path

import slicer
import vtk

SHARE = Path(__file__).parent.parent / "share"
"""The host's few share files; slicer-core has none."""

SHARE_PATH = "share/Slicer-5.12"
"""Where share files lie below Slicer's home."""


def create_application_logic(home: Path) -> slicer.vtkSlicerApplicationLogic:
    """A new scene under a new application logic; ``logic.GetMRMLScene()`` is the scene."""
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetHomeDirectory(str(home))
    logic.SetShareDirectory(SHARE_PATH)
    shutil.copytree(SHARE / "ColorFiles", home / SHARE_PATH / "ColorFiles")
    logic.SetTemporaryPath(str(home))
    logic.SetMRMLScene(scene)
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    patient_right_is_screen_left = True
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, patient_right_is_screen_left)
    _add_crosshair(scene)
    slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(logic)
    slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(logic)
    return logic


def _add_crosshair(scene: slicer.vtkMRMLScene) -> None:
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
