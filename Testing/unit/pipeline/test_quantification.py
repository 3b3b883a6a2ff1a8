"""The numbers equal those of independent code."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.quantification import LungNumbers, Numbers, dice, measure


def test_volumes_and_densities_equal_simpleitks_label_statistics(a_phantom: Phantom) -> None:
    numbers = measure(a_phantom.scan, a_phantom.lungs, a_phantom.lesions)
    ml = np.prod(a_phantom.scan.GetSpacing()) / 1000
    of_lungs = sitk.LabelStatisticsImageFilter()
    of_lungs.Execute(a_phantom.scan, a_phantom.lungs)
    of_lesions = sitk.LabelStatisticsImageFilter()
    of_lesions.Execute(a_phantom.scan, a_phantom.lungs * sitk.Cast(a_phantom.lesions, sitk.sitkUInt8))
    for label, side in ((1, numbers.right), (2, numbers.left)):
        assert side.volume_ml == pytest.approx(of_lungs.GetCount(label) * ml)
        assert side.infected_ml == pytest.approx(of_lesions.GetCount(label) * ml)
        assert side.lesion_hu == pytest.approx(of_lesions.GetMean(label))
        assert side.infected_share == pytest.approx(of_lesions.GetCount(label) / of_lungs.GetCount(label))
    assert numbers.both.infected_share == pytest.approx(a_phantom.infected_share)
    assert numbers.both.volume_ml == pytest.approx(numbers.right.volume_ml + numbers.left.volume_ml)


def test_no_lesion_and_no_lung_give_numbers_too(a_phantom: Phantom) -> None:
    nothing = a_phantom.lungs * 0
    healthy = measure(a_phantom.scan, a_phantom.lungs, nothing)
    assert healthy.both.infected_ml == 0
    assert healthy.both.lesion_hu is None
    one_lung = measure(
        a_phantom.scan, a_phantom.lungs * sitk.Cast(a_phantom.lungs == 2, sitk.sitkUInt8), nothing
    )
    assert one_lung.right == LungNumbers(0.0, 0.0, 0.0, None)


@pytest.mark.parametrize(
    ("share", "severity"),
    [
        (0.0, "CT-0"),
        (0.00001, "CT-0/1"),
        (0.003, "CT-0/1"),
        (0.0031, "CT-1"),
        (0.25, "CT-1"),
        (0.2501, "CT-2"),
        (0.6, "CT-3"),
        (0.76, "CT-4"),
        (1, "CT-4"),
    ],
)
def test_severity_follows_the_infected_share_as_in_mosmeddata(share: float, severity: str) -> None:
    lung = LungNumbers(1000.0, 1000 * share, share, None)
    assert Numbers(lung, lung, lung).to_dict()["severity"] == severity


def test_severity_is_that_of_both_lungs_together() -> None:
    right, left, both = (LungNumbers(1000.0, 1000 * share, share, None) for share in (0.8, 0.0, 0.4))
    assert Numbers(right, left, both).severity == "CT-2"
    assert Numbers(left, right, both).severity == "CT-2"


def test_dice_of_known_masks() -> None:
    a = np.array([1, 1, 0, 0], bool)
    assert dice(a, a) == 1
    assert dice(a, ~a) == 0
    assert dice(a, np.array([1, 0, 0, 0], bool)) == pytest.approx(2 / 3)
    assert np.isnan(dice(a & ~a, a & ~a))
