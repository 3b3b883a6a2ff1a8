"""A lesion is painted where it was drawn, in mm, on either grid, and drawn where there is lung."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.painting import LesionFoci, LungSites
from COVIDSelfSegTrainingLib import corruption
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.cohorts.slabs import Slab
from COVIDSelfSegTrainingLib.corruption import paint_slabs, paint_volumes
from scipy import ndimage

SOFT_MM = 15.0


def a_ball(centre_mm: np.ndarray, radius: float) -> LesionFoci:
    """Half full, with a soft border, and without texture."""
    one = torch.ones(1, 1)
    return LesionFoci(
        centres=torch.from_numpy(centre_mm.astype(np.float32))[None, None],
        shapes=(torch.eye(3) / radius)[None, None],
        radii=radius * one,
        hugging=0 * one,
        edges=SOFT_MM * one,
        fillings=0.5 * one,
        cores=0.5 * one,
        core_starts=radius * one,
        roughness=0 * one,
        paving=0 * one,
        patchiness=0 * one,
    )


@pytest.mark.parametrize("together", [1, 3])
def test_a_lesion_fills_the_pixels_of_a_slice_and_of_its_neighbours_that_it_lies_in(
    a_scan: CohortScan, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slab = Slab(a_scan, int(a_scan.holding[len(a_scan.holding) // 2]), together)
    mm, radius = np.array(a_scan.slice_mm), 45.0
    centre = np.array([slab.index, 12, 41])
    monkeypatch.setattr(corruption, "foci_of_slice", lambda *_: a_ball(centre * mm, radius))
    depths = torch.full((1, 3, *a_scan.slices.shape[1:]), 25.0)
    filling = paint_slabs([slab], depths - 875, depths, np.random.default_rng(0)).filling[0].numpy()
    for layer, off in zip(filling, (-1, 0, 1), strict=True):
        height = off * mm[0] * (together if together > 1 else a_scan.neighbour)
        assert ndimage.center_of_mass(layer) == pytest.approx(centre[1:], abs=0.2)
        area = np.pi * ((radius - SOFT_MM / 2) ** 2 - height**2)
        assert (layer > 0.25).sum() * mm[1] * mm[2] == pytest.approx(area, rel=0.1)


def test_a_lesion_fills_the_voxels_of_the_generators_grid_that_it_lies_in(
    a_scan: CohortScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    mm, centre, radius = np.array(a_scan.volume_mm), np.array([9, 12, 20]), 60.0
    monkeypatch.setattr(corruption, "draw_foci", lambda *_, **__: a_ball(centre * mm, radius))
    depths = torch.full((1, *a_scan.volume.shape), 25.0)
    filling = paint_volumes([a_scan], depths - 875, depths, np.random.default_rng(0)).filling[0].numpy()
    assert ndimage.center_of_mass(filling) == pytest.approx(centre, abs=0.2)
    assert len(set(mm.round(1))) == 3, "so that no axis stands for another"
    for axis in range(3):
        across = (filling > 0.25).any(axis=tuple({0, 1, 2} - {axis})).sum() * mm[axis]
        assert across == pytest.approx(2 * radius - SOFT_MM, abs=1.01 * mm[axis])


def test_lesions_may_start_anywhere_in_the_lungs_and_nowhere_else(a_scan: CohortScan) -> None:
    z_mm = float(a_scan.holding[len(a_scan.holding) // 2] * a_scan.slice_mm[0])

    def indices(sites: LungSites, depths: np.ndarray, mm: tuple[float, float, float]) -> np.ndarray:
        found = np.rint(sites.places / np.array(mm)).astype(int)
        assert np.allclose(found * np.array(mm), sites.places, atol=1e-3)
        assert np.array_equal(depths[tuple(found.T)], sites.depths)
        return found

    depths = np.asarray(a_scan.volume_depths)
    found = indices(a_scan.volume_sites(), depths, a_scan.volume_mm)
    of_lung = np.argwhere(depths > 0)
    assert np.abs(found.min(0) - of_lung.min(0)).max() < 2, "of every second row and column"
    assert np.abs(found.max(0) - of_lung.max(0)).max() < 2
    depths = np.asarray(a_scan.slice_depths)
    found = indices(a_scan.slice_sites(z_mm, 11.0), depths, a_scan.slice_mm)
    of_lung = np.argwhere(depths[found[:, 0].min() : found[:, 0].max() + 1] > 0)
    assert np.abs(found.min(0) - of_lung.min(0))[1:].max() < 4, "of every fourth"
    assert np.abs(found.max(0) - of_lung.max(0))[1:].max() < 4
