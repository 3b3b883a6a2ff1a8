"""Painted lesions look, lie and fill as they say; a record paints the same anywhere, anytime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.painting import (
    LEAST_FILLING,
    LesionFoci,
    LungSites,
    draw_foci,
    draw_phase,
    extent_of,
    lesion_filling,
    paint,
)
from scipy import ndimage

VOXEL_MM = (4.0, 3.0, 3.0)


@pytest.fixture(scope="module")
def lungs() -> np.ndarray:
    z, y, x = np.mgrid[:40, :60, :90]
    right = ((z - 20) / 18) ** 2 + ((y - 30) / 26) ** 2 + ((x - 22) / 18) ** 2 < 1
    left = ((z - 20) / 18) ** 2 + ((y - 30) / 26) ** 2 + ((x - 66) / 18) ** 2 < 1
    return right | left


def sites_of(lungs: np.ndarray) -> LungSites:
    return LungSites.of_depths(ndimage.distance_transform_edt(lungs, sampling=VOXEL_MM), VOXEL_MM)


def fill(lungs: np.ndarray, foci: LesionFoci, seed: int = 0, growth: float = 0.0) -> np.ndarray:
    depth = ndimage.distance_transform_edt(lungs, sampling=VOXEL_MM).astype(np.float32)
    places = tuple(torch.arange(n)[None] * mm for n, mm in zip(lungs.shape, VOXEL_MM, strict=True))
    phase = draw_phase(1, np.random.default_rng(seed))
    return lesion_filling(foci, phase, places, torch.from_numpy(depth)[None], growth=growth)[0].numpy()


def test_lesions_stay_in_the_lung_and_between_nothing_and_full(lungs: np.ndarray) -> None:
    foci = draw_foci(sites_of(lungs), 12, np.random.default_rng(1))
    filling = fill(lungs, foci)
    assert (filling[~lungs] == 0).all()
    assert filling.max() <= 1
    painted = filling[filling > 0]
    assert painted.size > 100
    assert painted.min() > LEAST_FILLING


def test_a_record_paints_the_same_again(lungs: np.ndarray) -> None:
    sites = sites_of(lungs)
    one, again, other = (draw_foci(sites, 8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(fill(lungs, one), fill(lungs, again))
    assert not np.array_equal(fill(lungs, one), fill(lungs, other))


def test_padding_of_a_batch_paints_nothing(lungs: np.ndarray) -> None:
    sites = sites_of(lungs)
    few, many = (draw_foci(sites, count, np.random.default_rng(count)) for count in (2, 9))
    batch = LesionFoci.batch([few, many])
    alone = LesionFoci(**{name: value[:1] for name, value in vars(batch).items()})
    assert np.allclose(fill(lungs, alone), fill(lungs, few))


def test_growth_grows(lungs: np.ndarray) -> None:
    foci = draw_foci(sites_of(lungs), 6, np.random.default_rng(3))
    sizes = [np.count_nonzero(fill(lungs, foci, growth=growth)) for growth in (-10, 0, 10, 40)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def smooth_foci(lungs: np.ndarray, **changed: float) -> LesionFoci:
    """Ground glass without texture, some of whose parameters are the same for all foci."""
    foci = draw_foci(sites_of(lungs), 6, np.random.default_rng(4))
    same = {"fillings": 0.3, "cores": 0.3, "roughness": 0.0, "paving": 0.0, "patchiness": 0.0, "hugging": 0.0}
    return replace(
        foci, **{name: torch.full_like(foci.radii, value) for name, value in (same | changed).items()}
    )


def test_a_lesion_is_an_ellipsoid_that_fills_from_its_border_inwards(lungs: np.ndarray) -> None:
    foci = smooth_foci(lungs)
    one = LesionFoci(**{name: value[:, :1] for name, value in vars(foci).items()})
    one = replace(one, edges=one.radii, core_starts=one.radii)
    places_mm = np.stack(np.indices(lungs.shape), -1) * VOXEL_MM
    # Its shape takes an offset from the centre to the unit ball.
    reach = np.linalg.norm((places_mm - one.centres[0, 0].numpy()) @ one.shapes[0, 0].numpy().T, axis=-1)
    depth = np.clip(1 - reach, 0, 1)
    expected = 0.3 * (3 * depth**2 - 2 * depth**3) * lungs
    filling = fill(lungs, one)
    assert np.count_nonzero(filling) > 100
    assert np.allclose(filling[filling > 0], expected[filling > 0], atol=1e-4)
    assert np.count_nonzero((filling > 0) != (expected > LEAST_FILLING)) <= 1


def test_a_lesion_that_hugs_the_pleura_is_a_rim_of_its_thickness(lungs: np.ndarray) -> None:
    depth = ndimage.distance_transform_edt(lungs, sampling=VOXEL_MM)
    thickness = 12.0
    free, hugging = (fill(lungs, smooth_foci(lungs, hugging=value)) > 0 for value in (0, 1 / thickness))
    assert depth[free].max() > 1.5 * thickness
    assert hugging.any()
    assert depth[hugging].max() <= thickness


def test_a_core_consolidates_and_ground_glass_is_left_around_it(lungs: np.ndarray) -> None:
    glass, dense = (fill(lungs, smooth_foci(lungs, cores=value, core_starts=4.0)) for value in (0.3, 1.0))
    assert np.array_equal(glass > 0, dense > 0)
    core = dense > 0.95
    assert 0.1 < core.sum() / (dense > 0).sum() < 0.9
    rim = (dense > 0) & ~ndimage.binary_erosion(dense > 0) & ndimage.binary_erosion(lungs)
    assert dense[rim].mean() < 0.5


def test_lesions_are_as_large_as_asked_and_lie_in_any_direction(lungs: np.ndarray) -> None:
    sites = sites_of(lungs)
    one, large = (draw_foci(sites, 400, np.random.default_rng(5), size=size) for size in (1.0, 1.5))
    # The ellipsoid |shape x| < 1 has the inverse singular values of its shape as semi-axes.
    semi_axes = [1 / np.linalg.svd(foci.shapes[0].numpy(), compute_uv=False) for foci in (one, large)]
    assert np.allclose(semi_axes[1], 1.5 * semi_axes[0], rtol=1e-4)
    assert 8 < np.median(semi_axes[0]) < 20
    _, _, directions = np.linalg.svd(one.shapes[0].numpy())
    longest = directions[:, -1]
    assert np.allclose((longest**2).mean(0), 1 / 3, atol=0.08)
    assert np.abs(longest).max(1).mean() < 0.9, "not along an axis"


def test_severer_disease_is_larger_and_oftener_dense(lungs: np.ndarray) -> None:
    sites = sites_of(lungs)
    mild, severe = (
        draw_foci(sites, 1500, np.random.default_rng(6), severity=severity) for severity in (0.0, 1.0)
    )
    for foci, radius, dense in ((mild, 11, 0.15), (severe, 20, 0.65)):
        assert foci.radii.median() == pytest.approx(radius, rel=0.1)
        assert (foci.cores >= 0.6).float().mean() == pytest.approx(dense, abs=0.05)
    of_glass = [foci.fillings[foci.fillings < 0.55] for foci in (mild, severe)]
    assert of_glass[0].max() <= 0.4
    assert 0.45 < of_glass[1].max() <= 0.52


def test_some_lesions_are_crescents_of_the_pleura_and_some_are_bands(lungs: np.ndarray) -> None:
    foci = draw_foci(sites_of(lungs), 1500, np.random.default_rng(7))
    hugging = foci.hugging[0] > 0
    assert hugging.float().mean() == pytest.approx(0.2, abs=0.03)
    thickness = 1 / foci.hugging[0, hugging]
    assert 6 <= thickness.min() < 7
    assert 17 < thickness.max() <= 18
    semi_axes = 1 / np.linalg.svd(foci.shapes[0].numpy(), compute_uv=False)
    thin = semi_axes.min(1) / semi_axes.max(1) < 0.2
    assert 0.05 < thin.mean() < 0.15
    assert not hugging[torch.from_numpy(thin)].any()


def test_noise_roughens_the_border_of_a_lesion_and_thins_it_within(lungs: np.ndarray) -> None:
    smooth, rough = (fill(lungs, smooth_foci(lungs, roughness=mm)) > 0 for mm in (0.0, 8.0))
    assert 0.1 < (smooth ^ rough).sum() / smooth.sum() < 0.9
    assert 0.6 < rough.sum() / smooth.sum() < 1.6
    even, patchy = (fill(lungs, smooth_foci(lungs, patchiness=value)) for value in (0.0, 0.9))
    heart = even > 0.29
    assert heart.sum() > 100
    assert even[heart].std() < 0.5 * patchy[heart].std()
    assert patchy[heart].std() > 0.05


def test_lesions_prefer_the_pleura_the_back_and_the_base(lungs: np.ndarray) -> None:
    sites = sites_of(lungs)
    mean = (sites.weights[:, None] * sites.places).sum(0)
    middle = sites.places.mean(0)
    assert mean[0] < middle[0]
    assert mean[1] > middle[1]
    assert (sites.weights * sites.depths).sum() < sites.depths.mean()


def test_sites_of_some_slices_are_those_of_the_whole_lung_that_lie_there(lungs: np.ndarray) -> None:
    depth = ndimage.distance_transform_edt(lungs, sampling=VOXEL_MM)
    whole = LungSites.of_depths(depth, VOXEL_MM)
    first = lungs.shape[0] // 3
    part = LungSites.of_depths(depth[first : first + 3], VOXEL_MM, first=first, extent=extent_of(depth))
    there = np.isin(whole.places[:, 0], np.float32(VOXEL_MM[0]) * np.arange(first, first + 3))
    assert np.allclose(part.places, whole.places[there])
    assert np.allclose(part.weights, whole.weights[there] / whole.weights[there].sum())


def test_a_levelled_prior_lets_lesions_lie_anywhere_inside(lungs: np.ndarray) -> None:
    sites = sites_of(lungs)
    half, even = sites.levelled(0.5), sites.levelled(1.0)
    assert half.weights.sum() == pytest.approx(1)
    assert np.allclose(even.weights, 1 / len(sites.weights))
    assert np.allclose(half.weights, (sites.weights + even.weights) / 2)


def test_foci_beside_others_fill_what_both_fill(lungs: np.ndarray) -> None:
    sites = sites_of(lungs)
    one, two = (draw_foci(sites, count, np.random.default_rng(count)) for count in (2, 3))
    first, second, both = fill(lungs, one), fill(lungs, two), fill(lungs, one.beside(two))
    touched = (first > 0) | (second > 0)
    assert (both[touched] > 0).all()
    assert np.allclose(both[touched], (1 - (1 - first) * (1 - second))[touched], atol=LEAST_FILLING)


def test_filling_replaces_air_and_leaves_vessels() -> None:
    hu = torch.tensor([-1000.0, -850.0, 40.0, 300.0])
    assert torch.equal(paint(hu, torch.zeros(4)), hu)
    filled = paint(hu, torch.ones(4))
    assert (filled[:2] > 20).all(), "fluid and cells, no fat"
    assert (filled[:2] < 60).all()
    assert torch.equal(filled[2:], hu[2:])
    assert torch.allclose(paint(hu, torch.full((4,), 0.5))[:2], (hu + filled)[:2] / 2)
