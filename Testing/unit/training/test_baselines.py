"""What needs no learning does what it says."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegTrainingLib.baselines import mixture_per_slice, otsu_per_slice


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


def test_a_slice_without_lung_gets_nothing() -> None:
    hu, _ = two_tissues()
    lungs = np.zeros(hu.shape, bool)
    lungs[1] = True
    for method in (otsu_per_slice, mixture_per_slice):
        found = method(hu, lungs)
        assert not found[[0, 2]].any()
        assert found[1].any()
