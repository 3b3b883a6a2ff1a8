"""A quick look at a chest: from where on a lung is missing, cut, or beside bright vessels."""

from __future__ import annotations

import numpy as np
import pytest
from COVIDSelfSegLib.findings.chest_look import ChestLook

SHAPE, VOXEL_MM = (40, 60, 90), (8.0, 4.0, 2.0)
RIGHT, LEFT = np.s_[5:35, 12:48, 10:38], np.s_[5:35, 12:48, 52:80]
MIDDLE = np.s_[5:35, 8:56, 38:52]
"""What lies between the lungs, with the spine behind."""


def look_at(lungs: np.ndarray, hu: np.ndarray | None = None) -> ChestLook:
    hu = np.full(SHAPE, 40, np.float32) if hu is None else hu
    return ChestLook(hu, lungs, VOXEL_MM)


def two_lungs() -> np.ndarray:
    lungs = np.zeros(SHAPE, np.uint8)
    lungs[RIGHT], lungs[LEFT] = 1, 2
    return lungs


def ending_with(share: float, slice_: int) -> np.ndarray:
    """Lungs that taper at both ends; at one, by a part of their widest section alone."""
    lungs = two_lungs()
    lungs[[5, 34], 13:] = 0
    lungs[slice_] = two_lungs()[slice_]
    lungs[slice_, 12 + round(36 * share) :] = 0
    return lungs


def test_lungs_have_the_volume_and_the_box_of_their_voxels() -> None:
    lungs = two_lungs()
    lungs[LEFT][:, :18] = 0
    look = look_at(lungs)
    assert look.lung_ml == pytest.approx((30 * 36 * 28 * 0.064, 30 * 18 * 28 * 0.064))
    assert look.lung_box_mm == (30 * 8, 36 * 4, 70 * 2)


@pytest.mark.parametrize(("slices", "both"), [(2, False), (4, True)])
@pytest.mark.parametrize("side", [LEFT, RIGHT], ids=["left", "right"])
def test_a_lung_of_less_than_a_tenth_of_the_other_is_missing(
    side: tuple[slice, ...], slices: int, both: bool
) -> None:
    lungs = two_lungs()
    lungs[side][slices:] = 0
    assert look_at(lungs).has_both_lungs == both


@pytest.mark.parametrize("slice_", [5, 34], ids=["below", "above"])
@pytest.mark.parametrize(
    ("share", "cut", "whole"),
    [(0.06, False, True), (0.11, True, True), (0.45, True, True), (0.55, True, False)],
)
def test_lungs_that_end_in_a_section_are_cut_and_in_a_wide_one_a_part_of_them_is_seen(
    slice_: int, share: float, cut: bool, whole: bool
) -> None:
    look = look_at(ending_with(share, slice_))
    assert (look.reaches_edge, look.is_nearly_whole) == (cut, whole)


@pytest.mark.parametrize("face", ["right", "left", "front", "back"])
@pytest.mark.parametrize(("square_cm", "cut"), [(4.4, False), (5.8, True)])
def test_lungs_over_five_square_centimetres_of_a_side_are_cut_there(
    face: str, square_cm: float, cut: bool
) -> None:
    lungs = ending_with(0.06, 5)
    row_cm2, column_cm2 = 8 * 4 / 100, 8 * 2 / 100
    end = 0 if face in ("right", "front") else -1
    if face in ("right", "left"):
        lungs[20, 20 : 20 + round(square_cm / row_cm2), end] = 1
    else:
        lungs[20, end, 20 : 20 + round(square_cm / column_cm2)] = 1
    look = look_at(lungs)
    assert (look.reaches_edge, look.is_nearly_whole) == (cut, not cut)


@pytest.mark.parametrize(
    ("hu", "rows", "share", "told"),
    [(125, 0, 0.25, True), (125, 0, 0.15, False), (100, 0, 0.25, False), (125, 30, 0.25, False)],
    ids=["bright", "a little of it", "as bright as blood", "behind"],
)
def test_contrast_agent_is_a_share_of_bright_tissue_in_front_between_the_lungs(
    hu: float, rows: int, share: float, told: bool
) -> None:
    lungs = two_lungs()
    values = np.where(lungs > 0, -850, 40).astype(np.float32)
    middle = values[MIDDLE]
    middle[:, :4] = -100  # fat behind the breastbone is no tissue to be counted
    middle[:, -6:, 4:10] = 300  # the spine
    part = middle[:, 4 + rows : 28 + rows]
    bright = np.random.default_rng(0).random(part.shape) < share
    part[bright & (part < 300)] = hu
    assert look_at(lungs, values).has_contrast == told
