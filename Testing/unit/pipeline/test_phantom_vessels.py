"""Tubes of a phantom, held against distances computed voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest
from COVIDSelfSegLib.phantom_parts import vessels
from COVIDSelfSegLib.phantom_parts.vessels import Tubes, rasterise
from scipy.spatial.distance import cdist

SHAPE = (9, 20, 24)
ORIGIN = np.array([-10.0, 5.0, -3.0])
VOXEL_MM = np.array([2.5, 0.8, 0.8])


def random_tubes(count: int) -> Tubes:
    """Of many lengths and directions; some reach out of the grid, some lie outside."""
    rng = np.random.default_rng(3)
    low, high = ORIGIN - 6, ORIGIN + np.array(SHAPE) * VOXEL_MM + 6
    starts = rng.uniform(low, high, (count, 3))
    return Tubes(starts, starts + rng.normal(0, 5, (count, 3)), rng.uniform(0.2, 2.5, count))


def distances_mm(tubes: Tubes) -> np.ndarray:
    """(tubes, z, y, x): from each voxel to the nearest of 2,001 points of a tube's axis."""
    voxels = ORIGIN + np.stack(np.indices(SHAPE), -1).reshape(-1, 3) * VOXEL_MM
    along = np.linspace(0, 1, 2001)[:, None]
    axes = (start + along * (end - start) for start, end in zip(tubes.starts, tubes.ends, strict=True))
    return np.stack([cdist(voxels, points).min(1).reshape(SHAPE) for points in axes])


@pytest.mark.parametrize("at_once", [1 << 17, 64])
def test_each_voxel_holds_the_largest_share_that_a_tube_covers(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(vessels, "_VOXELS_AT_ONCE", at_once)
    tubes = random_tubes(60)
    pixel_mm = VOXEL_MM[1]
    radii = tubes.radii[:, None, None, None]
    # A border is as soft as a pixel is wide, and a tube thinner than a pixel never fills one.
    shares = np.clip(0.5 + (radii - distances_mm(tubes)) / pixel_mm, 0, 1) * np.minimum(
        1, 2 * radii / pixel_mm
    )
    found = rasterise(tubes, SHAPE, ORIGIN, VOXEL_MM)
    assert found.dtype == np.uint8
    assert 0.05 < (found > 0).mean() < 0.95
    assert np.abs(found - 255 * shares.max(0)).max() < 2


def test_tubes_outside_the_grid_leave_it_empty() -> None:
    far = random_tubes(5).moved(np.array([1e4, 0.0, 0.0]), 1.0)
    assert not rasterise(far, SHAPE, ORIGIN, VOXEL_MM).any()
    assert not rasterise(far.thicker_than(1e3), SHAPE, ORIGIN, VOXEL_MM).any()
