"""What the tests of the trainings share."""

from __future__ import annotations

import numpy as np
import pytest
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.lung_masks.network import LUNG_GRID_MM
from COVIDSelfSegLib.phantom import make_phantom
from COVIDSelfSegTrainingLib.cohorts import cutting
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.cohorts.sources import Source
from COVIDSelfSegTrainingLib.lung_networks.batches import Chest

from ..conftest import SMALL, cut_scans


@pytest.fixture(scope="session")
def a_chest() -> Chest:
    """Of a healthy phantom, on coarse voxels."""
    phantom = make_phantom(4, severity=0, acquisition=SMALL)
    frame = LungFrame.whole_scan(phantom.scan, 2 * LUNG_GRID_MM)
    lungs = frame.to_network(phantom.lungs, "nearest", fill=0).astype(np.uint8)
    hu = frame.to_network(phantom.scan).astype(np.int16)
    return Chest("a phantom", False, hu, lungs, np.zeros_like(lungs), frame.voxel_mm)


@pytest.fixture(scope="session")
def a_scan(tmp_path_factory: pytest.TempPathFactory) -> CohortScan:
    """A healthy phantom, cut for the small grids."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "draw_acquisition", lambda _rng: SMALL)
        source = Source("healthy", "healthy", "none needed", seed=1)
        return cut_scans([source], tmp_path_factory.mktemp("a scan"))[0]
