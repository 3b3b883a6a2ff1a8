"""The slider's numbers come from a histogram and equal those of counting voxels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.quantification import threshold_curve
from COVIDSelfSegLib.segmentation import lesion_mask
from COVIDSelfSegLib.threshold_curve import ThresholdCurve
from COVIDSelfSegLib.volume import image_like


@pytest.fixture(scope="module")
def a_probability(a_phantom: Phantom) -> sitk.Image:
    shape = a_phantom.scan.GetSize()[::-1]
    values = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    values[sitk.GetArrayFromImage(a_phantom.lungs) == 0] = 0
    return image_like(values, a_phantom.scan)


@pytest.mark.parametrize("threshold", [0.0, 0.001, 0.2, 0.5, 0.501, 0.97, 1.0])
def test_millilitres_equal_those_of_the_mask(
    a_phantom: Phantom, a_probability: sitk.Image, threshold: float
) -> None:
    curve = threshold_curve(a_probability, a_phantom.lungs)
    mask = sitk.GetArrayFromImage(lesion_mask(a_probability, threshold, 0.0))
    ml = mask.sum() * np.prod(a_phantom.scan.GetSpacing()) / 1000
    labels = sitk.GetArrayFromImage(a_phantom.lungs)
    assert [curve.right.sum(), curve.left.sum()] == [np.count_nonzero(labels == side) for side in (1, 2)]
    lung = np.count_nonzero(labels) * curve.voxel_ml
    assert curve.infected_ml(threshold) == pytest.approx(ml)
    stored = sitk.GetArrayFromImage(a_probability)
    assert mask.sum() == np.count_nonzero((stored > 0) & (stored >= 255 * threshold))
    assert curve.infected_share(threshold) == pytest.approx(ml / lung)


def test_the_curve_falls_and_survives_the_report(a_phantom: Phantom, a_probability: sitk.Image) -> None:
    curve = threshold_curve(a_probability, a_phantom.lungs)
    back = ThresholdCurve.from_report(json.loads(json.dumps(curve.to_report())))
    assert np.array_equal(back.right, curve.right)
    assert back.voxel_ml == curve.voxel_ml
    all_ml = curve.all_ml()
    assert (np.diff(all_ml) <= 0).all()
    assert all_ml[128] == pytest.approx(curve.infected_ml(128 / 255))


def test_no_lung_has_no_share() -> None:
    empty = ThresholdCurve(np.zeros(256, np.int64), np.zeros(256, np.int64), 0.1)
    assert empty.infected_share(0.5) == 0
