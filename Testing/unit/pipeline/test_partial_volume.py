"""The border of the diaphragm in thick slices is no ground glass; ground glass beside it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.partial_volume import without_partial_volume
from COVIDSelfSegLib.phantom import make_phantom
from COVIDSelfSegLib.segmentation import LungSlices

from ..conftest import SMALL

LESION_LOGIT = 3.0


def a_dome(slice_mm: float, *, upwards: bool = False) -> tuple[LungSlices, np.ndarray, np.ndarray]:
    """Lung above a horizontal diaphragm: slices, what is mixed, and ground glass in three slices above it."""
    hu = np.full((8, 40, 60), -850, np.float32)
    hu[:3] = 40
    hu[3] = -420  # half and half
    glass = np.zeros(hu.shape, bool)
    glass[3:6, 10:20, 10:20] = True
    hu[glass] = -500
    lungs = np.ones(hu.shape, np.uint8)
    lungs[:3] = 0
    mixed = np.zeros(hu.shape, bool)
    mixed[3] = ~glass[3]
    if upwards:
        hu, lungs, glass, mixed = (np.ascontiguousarray(one[::-1]) for one in (hu, lungs, glass, mixed))
    image = sitk.GetImageFromArray(lungs)
    image.SetSpacing((1.0, 1.0, slice_mm))
    whole = LungSlices.of_scan(image, image, plane=(40, 60), margin_mm=100, neighbour_mm=2.5)
    assert whole.hu.shape == hu.shape
    return replace(whole, hu=hu, lungs=lungs), mixed, glass


@pytest.mark.parametrize("upwards", [False, True])
def test_what_lies_between_clear_lung_and_tissue_is_no_lesion(upwards: bool) -> None:
    slices, mixed, glass = a_dome(8.0, upwards=upwards)
    kept = without_partial_volume(np.full(mixed.shape, LESION_LOGIT, np.float32), slices)
    away_from_glass = mixed.copy()
    away_from_glass[:, 8:22, 8:22] = False  # over which the noise of HU is smoothed
    assert (kept[away_from_glass] < -10).all()
    assert (kept[glass] == LESION_LOGIT).all()


def test_the_border_of_a_consolidation_within_the_lung_stays() -> None:
    slices, mixed, _ = a_dome(8.0)
    logits = np.full(mixed.shape, LESION_LOGIT, np.float32)
    consolidated = replace(slices, lungs=np.ones_like(slices.lungs))
    assert (without_partial_volume(logits, consolidated) == LESION_LOGIT).all()


@pytest.mark.parametrize(("slice_mm", "is_thick"), [(2.0, False), (3.75, False), (4.0, True), (5.0, True)])
def test_thin_slices_are_left_as_they_are(slice_mm: float, is_thick: bool) -> None:
    slices, mixed, _ = a_dome(slice_mm)
    kept = without_partial_volume(np.full(mixed.shape, LESION_LOGIT, np.float32), slices)
    assert (kept < LESION_LOGIT).any() == is_thick


def test_of_one_thick_slice_or_two_nothing_is_taken_away() -> None:
    slices, _, _ = a_dome(8.0)
    for count in (1, 2):
        few = replace(slices, hu=slices.hu[2 : 2 + count], lungs=slices.lungs[2 : 2 + count])
        logits = np.full(few.hu.shape, LESION_LOGIT, np.float32)
        assert np.array_equal(without_partial_volume(logits, few), logits)


def test_of_a_phantom_in_thick_slices_hardly_any_lesion_is_lost() -> None:
    phantom = make_phantom(5, 2, replace(SMALL, slice_mm=8.0))
    slices = LungSlices.of_scan(phantom.scan, phantom.lungs, plane=(96, 128), margin_mm=5, neighbour_mm=2.5)
    lesions = slices.frame.to_network(phantom.lesions, "nearest", fill=0) > 0
    logits = np.full(lesions.shape, LESION_LOGIT, np.float32)
    lost = without_partial_volume(logits, slices) < 0
    border = (slices.lungs > 0) & (slices.hu > -600) & ~lesions
    assert (lost & lesions).sum() < 0.02 * lesions.sum()
    assert (lost & border).sum() > 0.1 * border.sum()
