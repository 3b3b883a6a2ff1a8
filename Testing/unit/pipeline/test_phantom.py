"""A phantom is a chest CT: same seed same voxels, exact masks, a healthy twin, lungs like lungs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.phantom import SEVERITY_SHARES, Phantom, make_phantom
from COVIDSelfSegLib.phantom_parts.scanner import draw_acquisition

from ..conftest import COARSE, SMALL


def arrays(phantom: Phantom) -> dict[str, np.ndarray]:
    return {name: sitk.GetArrayFromImage(image) for name, image in vars(phantom).items()}


def test_the_same_seed_gives_the_same_voxels_and_another_gives_others(a_coarse_phantom: Phantom) -> None:
    again, other = make_phantom(3, 2, COARSE), make_phantom(4, 2, COARSE)
    for name, array in arrays(a_coarse_phantom).items():
        assert np.array_equal(array, arrays(again)[name])
    assert not np.array_equal(arrays(a_coarse_phantom)["scan"], arrays(other)["scan"])


def test_a_seed_is_the_same_patient_in_every_version(a_phantom: Phantom) -> None:
    """Or figures of two versions, and what packages say of the phantoms they learnt from, would not agree."""
    parts = arrays(a_phantom)
    scan, inside, lesions = parts["scan"], parts["lungs"] > 0, parts["lesions"] > 0
    counts = [(parts["lungs"] == 1).sum(), (parts["lungs"] == 2).sum(), lesions.sum()]
    assert counts == pytest.approx([82_011, 72_494, 20_327], rel=1e-3)
    means = [scan[lesions].mean(), parts["healthy_twin"][inside].mean(), scan[~inside].mean()]
    assert means == pytest.approx([-538.31, -816.05, -255.20], abs=0.2)


def test_the_healthy_twin_differs_inside_the_lesions_only(a_phantom: Phantom) -> None:
    parts = arrays(a_phantom)
    change = parts["scan"].astype(int) - parts["healthy_twin"]
    assert (change[parts["lesions"] == 0] == 0).all()
    assert np.median(change[parts["lesions"] > 0]) > 80
    assert change.min() >= -1  # rounding: a lesion never makes a voxel darker
    assert (parts["lungs"][parts["lesions"] > 0] > 0).all()


@pytest.mark.parametrize("severity", range(5))
def test_the_infected_share_is_that_of_its_severity(severity: int) -> None:
    phantom = make_phantom(5, severity, COARSE)
    assert phantom.infected_share == pytest.approx(SEVERITY_SHARES[severity], abs=0.02, rel=0.15)
    if severity == 0:
        assert np.array_equal(arrays(phantom)["scan"], arrays(phantom)["healthy_twin"])


def test_lungs_have_the_volume_and_density_of_lungs(a_phantom: Phantom) -> None:
    parts = arrays(a_phantom)
    ml = np.prod(a_phantom.scan.GetSpacing()) / 1000
    for side in (1, 2):
        lung = parts["lungs"] == side
        assert 1200 < lung.sum() * ml < 4500
        assert -900 < np.median(parts["healthy_twin"][lung]) < -720
    columns = [np.nonzero(parts["lungs"] == side)[2].mean() for side in (1, 2)]
    assert columns[0] < columns[1]  # right is on the left of the picture


def test_there_are_more_vessels_than_lesions_at_low_infection() -> None:
    parts = arrays(make_phantom(5, 1, replace(SMALL, slice_mm=2.0, size=(220, 188, 160), pixel_mm=1.6)))
    inside = parts["lungs"] > 0
    vessels = inside & (parts["healthy_twin"] > -500)
    assert vessels.sum() > (parts["lesions"] > 0).sum()


def test_a_tilted_scan_has_a_tilted_grid_and_the_same_anatomy() -> None:
    plain = make_phantom(6, 1, replace(COARSE, size=(80, 80, 66)))
    tilted = make_phantom(6, 1, replace(COARSE, size=(80, 80, 66), tilt=(0.2, 0.1)))
    assert np.array_equal(arrays(plain)["lungs"], arrays(tilted)["lungs"])
    assert plain.scan.GetDirection() != tilted.scan.GetDirection()
    centre = [count / 2 for count in plain.scan.GetSize()]
    turned = sitk.Euler3DTransform((0, 0, 0), 0.2, 0.0, 0.1)
    moved = turned.TransformPoint(plain.scan.TransformContinuousIndexToPhysicalPoint(centre))
    assert tilted.scan.TransformContinuousIndexToPhysicalPoint(centre) == pytest.approx(moved)
    axes = np.array(tilted.scan.GetDirection()).reshape(3, 3)
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-9)


def test_scanners_differ_in_thickness_noise_and_calibration() -> None:
    drawn = [draw_acquisition(np.random.default_rng(seed)) for seed in range(40)]
    assert {one.slice_mm for one in drawn} >= {1.0, 2.0, 5.0, 8.0}
    assert max(one.noise_hu for one in drawn) > 3 * min(one.noise_hu for one in drawn)
    assert any(one.tilt != (0.0, 0.0) for one in drawn)
    loud = make_phantom(6, 0, replace(COARSE, noise_hu=60.0, offset_hu=25.0))
    quiet = make_phantom(6, 0, replace(COARSE, noise_hu=5.0))
    outside = arrays(quiet)["lungs"] == 0
    difference = arrays(loud)["scan"].astype(float) - arrays(quiet)["scan"]
    assert difference[outside & (arrays(quiet)["scan"] > 0)].mean() == pytest.approx(25, abs=3)
    assert difference[outside & (arrays(quiet)["scan"] > 0)].std() == pytest.approx(60, rel=0.15)
