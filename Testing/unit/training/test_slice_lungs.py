"""What a lung mask of a single slice must not hold, by its size, its air and its place in the body."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegTrainingLib.evaluation.slice_lungs import _without_organs, _without_strays


def a_body() -> tuple[np.ndarray, np.ndarray]:
    """HU (200, 200) of a body in air that holds one lung of 50 x 60 pixels, and where that is."""
    hu = np.full((200, 200), -1000, np.int16)
    hu[20:180, 20:180] = 40
    lung = np.zeros(hu.shape, bool)
    lung[60:110, 30:90] = True
    hu[lung] = -850
    return hu, lung


def test_the_largest_part_stays_wherever_it_lies_and_whatever_it_holds() -> None:
    """A lung mask that holds a table alone is a poor one; none at all would leave nothing to look at."""
    hu, lung = a_body()
    table, muscle = np.zeros((2, *hu.shape), bool)
    table[185:195, 20:180] = True
    muscle[120:170, 40:120] = True
    for part in (table, muscle):
        assert np.array_equal(_without_strays(part, hu), part)
    both = lung | muscle  # the larger one is that without air
    assert np.array_equal(_without_strays(both, hu), both)
    assert not _without_strays(np.zeros(hu.shape, bool), hu).any()


@pytest.mark.parametrize(
    ("area", "air", "stays"),
    [(0.2, 0.06, False), (0.2, 0.14, True), (0.3, 0.06, True), (0.3, 0.0, True), (0.2, 0.0, False)],
)
def test_a_part_without_air_stays_from_a_quarter_of_the_largest_on(
    area: float, air: float, stays: bool
) -> None:
    hu, lung = a_body()
    rows = round(area * lung.sum() / 50)
    part = np.zeros(hu.shape, bool)
    part[120 : 120 + rows, 100:150] = True
    hu[120 : 120 + rows, 100 : 100 + round(50 * air)] = -700
    wanted = lung | part if stays else lung
    assert np.array_equal(_without_strays(lung | part, hu), wanted)


@pytest.mark.parametrize(("inside", "stays"), [(0.4, False), (0.6, True)])
def test_a_part_stays_if_most_of_it_lies_in_the_body(inside: float, stays: bool) -> None:
    hu, lung = a_body()
    part = np.zeros(hu.shape, bool)
    columns = round(20 * inside)
    part[120:170, 180 - columns : 200 - columns] = True  # larger than a quarter of the lung
    hu[120:170, 180 - columns : 176] = -850
    wanted = lung | part if stays else lung
    assert np.array_equal(_without_strays(lung | part, hu), wanted)


@pytest.mark.parametrize(("tissue", "is_cut"), [(0.45, False), (0.55, True)])
def test_a_picture_with_tissue_on_most_of_its_border_is_cut_within_the_body(
    tissue: float, is_cut: bool
) -> None:
    """Then lung may lie at its border, where otherwise the air around the body does."""
    hu = np.full((100, 100), 40, np.int16)
    largest, other = np.zeros((2, *hu.shape), bool)
    largest[:, round(200 * tissue) - 30 :] = (
        True  # all of the right border, and a part of those above and below
    )
    other[30:70, :30] = True  # 40 of 100 pixels of the left one
    hu[largest | other] = -850
    border = np.concatenate([hu[0], hu[-1], hu[:, 0], hu[:, -1]])
    assert (border > -300).mean() == pytest.approx(tissue)
    assert np.array_equal(_without_strays(largest | other, hu), (largest | other) if is_cut else largest)


def organs(parts: list[tuple[int, int, int, int]], noise_hu: float = 0.0) -> tuple[sitk.Image, np.ndarray]:
    """A slice in pixels of 1 mm with tissue in some boxes (y, y, x, x) of air, and the boxes."""
    hu = np.full((300, 420), -850.0)
    mask = np.zeros((len(parts), *hu.shape), bool)
    for one, (top, bottom, left, right) in zip(mask, parts, strict=True):
        one[top:bottom, left:right] = True
    hu[mask.any(axis=0)] = 40
    hu += np.random.default_rng(4).normal(0, noise_hu, hu.shape)
    image = sitk.GetImageFromArray(hu.astype(np.int16)[None])
    image.SetSpacing((1.0, 1.0, 5.0))
    return image, mask


def test_noise_makes_no_air_in_an_organ() -> None:
    picture, (liver,) = organs([(50, 150, 50, 150)], noise_hu=150.0)
    hu = sitk.GetArrayFromImage(picture)[0]
    assert (hu[liver] < -200).mean() > 0.03, "as much as would part it into crumbs"
    kept = _without_organs(np.ones(hu.shape, bool), picture)
    assert kept[liver].mean() < 0.05
    assert kept[~liver].mean() > 0.98


def test_an_organ_is_thick_and_larger_than_45_cm2() -> None:
    large, small, flat = (20, 90, 20, 100), (20, 84, 200, 264), (250, 265, 10, 410)  # 56, 41 and 60 cm2
    picture, masks = organs([large, small, flat])
    kept = _without_organs(np.ones(masks.shape[1:], bool), picture)
    assert [bool(kept[mask].mean() > 0.5) for mask in masks] == [False, True, True]
    picture, masks = organs([(20, 40, 10, 410)])  # 20 mm thick, 80 cm2
    assert _without_organs(masks[0], picture).sum() < 0.15 * masks[0].sum(), "but for its corners"


def test_what_the_network_does_not_take_for_lung_makes_no_organ_larger() -> None:
    picture, (part,) = organs([(20, 90, 20, 100)])
    half = part.copy()
    half[55:] = False  # 28 cm2
    assert np.array_equal(_without_organs(half, picture), half)
