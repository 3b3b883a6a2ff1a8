"""What the tests of the lung networks' training share."""

from __future__ import annotations

import numpy as np
import pytest
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.lung_masks.network import LUNG_GRID_MM
from COVIDSelfSegLib.phantom import make_phantom
from COVIDSelfSegTrainingLib.lung_networks.batches import Chest

from ..conftest import SMALL


@pytest.fixture(scope="session")
def a_chest() -> Chest:
    """Of a healthy phantom, on coarse voxels."""
    phantom = make_phantom(4, severity=0, acquisition=SMALL)
    frame = LungFrame.whole_scan(phantom.scan, 2 * LUNG_GRID_MM)
    lungs = frame.to_network(phantom.lungs, "nearest", fill=0).astype(np.uint8)
    hu = frame.to_network(phantom.scan).astype(np.int16)
    return Chest("a phantom", False, hu, lungs, np.zeros_like(lungs), frame.voxel_mm)
