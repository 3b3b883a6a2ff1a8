"""Remote input and output: nothing is ever fetched, but without it the scene cannot read an .mrb file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import slicer


@dataclass(frozen=True)
class RemoteIO:
    """The two logics; the scene only keeps weak references, so somebody must hold this."""

    remote: slicer.vtkMRMLRemoteIOLogic
    manager: slicer.vtkDataIOManagerLogic


def connect_remote_io(application_logic: slicer.vtkSlicerApplicationLogic, cache: Path) -> RemoteIO:
    """Give the scene a cache manager, a data input and output manager and their handlers."""
    scene = application_logic.GetMRMLScene()
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLApplicationLogic(application_logic)
    remote.SetMRMLScene(scene)
    remote.GetCacheManager().SetRemoteCacheDirectory(str(cache / "RemoteIO"))
    manager = slicer.vtkDataIOManagerLogic()
    manager.SetMRMLApplicationLogic(application_logic)
    manager.SetMRMLScene(scene)
    manager.SetAndObserveDataIOManager(remote.GetDataIOManager())
    remote.AddDataIOToScene()
    return RemoteIO(remote, manager)
