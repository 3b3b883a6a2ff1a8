"""What needs no learning does what it says."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegTrainingLib.evaluation.baselines import (
    THRESHOLDS_HU,
    hu_threshold,
    mixture_per_slice,
    otsu_per_slice,
    threshold_without_vessels,
    thresholds_without_vessels,
)


def two_tissues(dense: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    lesion = rng.random((3, 60, 60)) < dense
    hu = np.where(lesion, rng.normal(-550, 50, lesion.shape), rng.normal(-860, 40, lesion.shape))
    return hu, lesion


def test_otsus_level_parts_best_of_all_levels() -> None:
    hu, _ = two_tissues()
    lungs = np.ones(hu.shape, bool)

    def between(values: np.ndarray, dense: np.ndarray) -> float:
        gap = values[dense].mean() - values[~dense].mean()
        return float(dense.mean() * (1 - dense.mean()) * gap**2)

    for plane, mask in zip(hu, otsu_per_slice(hu, lungs), strict=True):
        best = max(between(plane, plane > level) for level in np.sort(plane.ravel())[10:-10:5])
        assert between(plane, mask) > 0.999 * best
        oracle = sitk.OtsuThresholdImageFilter()
        oracle.Execute(sitk.GetImageFromArray(plane))
        assert between(plane, mask) >= between(plane, plane > oracle.GetThreshold()) - 1e-6 * best


@pytest.mark.parametrize("dense", [0.05, 0.3, 0.6])
def test_two_gaussians_are_parted_where_they_are_equally_likely(dense: float) -> None:
    hu, lesion = two_tissues(dense)
    lungs = np.ones(hu.shape, bool)
    lungs[:, :10] = False
    found = mixture_per_slice(hu, lungs)
    assert not found[~lungs].any()
    assert (found == lesion)[lungs].mean() > 0.995
    levels = np.linspace(-860, -550, 3000)
    likely = [
        weight / spread * np.exp(-0.5 * ((levels - mean) / spread) ** 2)
        for weight, mean, spread in ((dense, -550, 50), (1 - dense, -860, 40))
    ]
    level = levels[np.argmax(likely[0] > likely[1])]
    assert hu[found].min() == pytest.approx(level, abs=20)


@pytest.mark.parametrize("spread", [40, 120])
def test_of_a_lung_of_one_tissue_two_gaussians_mark_little(spread: float) -> None:
    hu = np.random.default_rng(0).normal(-850, spread, (1, 90, 90))
    lungs = np.ones(hu.shape, bool)
    assert mixture_per_slice(hu, lungs).mean() < 0.2


def test_a_slice_without_lung_gets_nothing() -> None:
    hu, _ = two_tissues()
    lungs = np.zeros(hu.shape, bool)
    lungs[1] = True
    for method in (otsu_per_slice, mixture_per_slice):
        found = method(hu, lungs)
        assert not found[[0, 2]].any()
        assert found[1].any()


def a_slice_with_lesions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU and lungs (2, y, x), and where a consolidation lies: a lesion, a vessel and a dense rim too."""
    y, x = np.mgrid[:200, :200]
    lungs = np.zeros((2, 200, 200), bool)
    lungs[:, 20:180, 20:180] = True
    hu = np.full(lungs.shape, -860.0)
    lesion = np.hypot(y - 100, x - 70) < 20
    vessel = (np.abs(x - 140) <= 2) & (np.abs(y - 100) < 70)
    consolidation = np.hypot(y - 150, x - 120) < 15
    at_the_rim = (x >= 20) & (x < 30)
    hu[:, lesion | at_the_rim] = -500
    hu[:, vessel] = -200
    hu[:, consolidation] = 20  # as dense as a large vessel
    return hu, lungs, consolidation


def test_a_threshold_without_vessels_keeps_large_lesions_and_leaves_vessels_and_the_rim() -> None:
    hu, lungs, _ = a_slice_with_lesions()
    y, x = np.mgrid[:200, :200]
    found = threshold_without_vessels(hu, lungs, 1.0)
    assert found[:, np.hypot(y - 100, x - 70) < 18].all()
    # A blur of 1 mm may move a border by a pixel or two.
    assert not found[:, (np.hypot(y - 100, x - 70) > 23) & (x > 33)].any()
    assert found[:, 60:140, 24:29].all()
    assert not found[:, :, :23].any()


def test_a_threshold_without_vessels_has_the_levels_that_the_docs_say() -> None:
    """Of parts of 40 mm: denser than -720 HU, not from -50 HU on, and thin lines not from 100 HU above."""
    lungs = np.zeros((1, 200, 260), bool)
    lungs[:, 10:-10, 10:-10] = True
    hu = np.full(lungs.shape, -860.0)
    parts = {
        (-735, 0): False,
        (-705, 0): True,
        (-60, 0): True,
        (-40, 0): False,
        (-700, 110): True,
        (-700, 145): False,
    }
    middles = [(y, x) for y in (60, 140) for x in (50, 130, 210)]
    for (level, line), (y, x) in zip(parts, middles, strict=True):
        hu[:, y - 20 : y + 20, x - 20 : x + 20] = level
        hu[:, y - 20 : y + 20, x - 1 : x + 2] += line  # of which the blur leaves 0.8
    found = threshold_without_vessels(hu, lungs, 1.0)
    assert [bool(found[0, y, x]) for y, x in middles] == list(parts.values())


def test_dense_tissue_is_no_vessel_where_only_thin_vessels_are_left_out() -> None:
    hu, lungs, consolidation = a_slice_with_lesions()
    without, keeping = (
        threshold_without_vessels(hu, lungs, 1.0, vessels_hu=level) for level in (-50, np.inf)
    )
    assert not without[:, consolidation].any()
    assert keeping[:, consolidation].all()
    assert not keeping[:, 40:80, 138:143].any(), "the thin vessel"


def test_a_threshold_without_vessels_is_one_of_millimetres_and_not_of_pixels() -> None:
    hu, lungs, _ = (part[..., :100, :100] for part in a_slice_with_lesions())
    coarse = threshold_without_vessels(hu, lungs, 1.0)
    fine = threshold_without_vessels(
        *(part.repeat(2, axis=1).repeat(2, axis=2) for part in (hu, lungs)), pixel_mm=0.5
    )
    assert coarse.sum() > 1000
    assert (fine[:, ::2, ::2] != coarse).sum() < 0.1 * coarse.sum()


def test_a_slice_is_searched_by_itself() -> None:
    hu, lungs, _ = a_slice_with_lesions()
    healthy = np.where(lungs[:1], -860.0, 40.0)
    found = threshold_without_vessels(np.concatenate([hu[:1], healthy]), np.concatenate([lungs[:1]] * 2), 1.0)
    assert np.array_equal(found[:1], threshold_without_vessels(hu[:1], lungs[:1], 1.0))
    assert not found[1].any()


def test_thresholds_without_vessels_shrink_as_they_rise_and_each_is_the_one_taken_alone() -> None:
    smooth = np.cumsum(np.ones((1, 80, 80)), axis=2) * 5 - 900
    lungs = np.ones(smooth.shape, bool)
    masks = dict(thresholds_without_vessels(smooth, lungs, 1.0))
    assert tuple(masks) == THRESHOLDS_HU
    sizes = [mask.sum() for mask in masks.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]
    for level in THRESHOLDS_HU:
        assert np.array_equal(masks[level], threshold_without_vessels(smooth, lungs, 1.0, level))


def test_denser_than_a_level_is_not_the_level_itself() -> None:
    hu, lungs = np.array([[[-721, -720, -719, 0]]]), np.array([[[1, 1, 1, 0]]], bool)
    assert hu_threshold(hu, lungs, -720).tolist() == [[[False, False, True, False]]]


@pytest.mark.parametrize(("pixels", "found"), [(49, False), (50, True)])
def test_classes_are_told_apart_from_fifty_pixels_of_lung_on(pixels: int, found: bool) -> None:
    hu = np.full((1, 10, 10), -860.0)
    hu.flat[:20] = -500
    lungs = np.arange(100).reshape(hu.shape) < pixels
    for method in (otsu_per_slice, mixture_per_slice):
        assert method(hu, lungs).any() == found
        assert np.array_equal(method(hu, lungs), (hu == -500) & found)


@pytest.mark.parametrize(("millimetres", "found"), [(2, False), (8, True)])
def test_a_faint_strip_thinner_than_three_millimetres_goes(millimetres: int, found: bool) -> None:
    """It is less than 100 HU above the rest, and so no vessel."""
    lungs = np.ones((1, 100, 100), bool)
    hu = np.full(lungs.shape, -770.0)
    hu[:, :, 50 : 50 + millimetres] = -675
    middle = threshold_without_vessels(hu, lungs, 1.0)[0, 20:80]
    assert middle.any() == found
    assert not middle[:, :46].any()
