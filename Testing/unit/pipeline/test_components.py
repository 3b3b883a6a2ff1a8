"""Specks out of a mask, beside SciPy's labels."""

from __future__ import annotations

import numpy as np
import pytest
from COVIDSelfSegLib.components import box_of, large_parts
from scipy import ndimage

SHAPES = [(9, 8, 7), (1, 6, 5), (4, 1, 6), (5, 4, 1), (1, 1, 1), (0, 0, 0), (11, 12), (1, 9), (9, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.7, 1.0])
def test_parts_that_stay_are_those_of_as_many_voxels(shape: tuple[int, ...], share: float) -> None:
    mask = np.random.default_rng(7).random(shape) < share
    labels, _ = ndimage.label(mask)
    for least in (1, 2, 4.5, 20):
        large = np.bincount(labels.ravel()) >= least
        assert (large_parts(mask, least) == (large[labels] & mask)).all()


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_parts_that_wind_through_many_rows_are_whole(share: float) -> None:
    for seed in range(12):
        mask = np.random.default_rng(seed).random((30, 30, 30)) < share
        labels, _ = ndimage.label(mask)
        large = np.bincount(labels.ravel()) >= 20
        assert (large_parts(mask, 20) == (large[labels] & mask)).all()


@pytest.mark.parametrize("level", [1, 120, 254, 255])
def test_the_box_holds_what_reaches_a_level_and_no_row_more(level: int) -> None:
    values = np.zeros((7, 9, 11), np.uint8)
    values[2:5, 3:8, 4:10] = np.random.default_rng(9).integers(1, 254, (3, 5, 6))
    values[3, 4, 5] = 254
    places = np.argwhere(values >= level)
    low, high = (places.min(0), places.max(0) + 1) if len(places) else ((0, 0, 0), (0, 0, 0))
    assert [(part.start, part.stop) for part in box_of(values, level)] == list(zip(low, high, strict=True))


def test_voxels_that_meet_in_an_edge_or_corner_alone_are_apart() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, :2] = mask[1, 1, :2] = mask[2, 2, 2] = True
    assert (large_parts(mask, 2) == mask).sum() == 26
    assert not large_parts(mask, 3).any()


def test_runs_at_the_end_of_a_row_do_not_go_on_in_the_next() -> None:
    mask = np.zeros((2, 3, 4), bool)
    mask[0, 0, 2:] = mask[0, 1, :2] = mask[0, 2, 3] = mask[1, 0, 0] = True
    assert large_parts(mask, 2).sum() == 4
    assert not large_parts(mask, 3).any()


def test_a_mask_is_left_as_it_is_and_may_be_a_view_in_any_order() -> None:
    mask = np.random.default_rng(8).random((9, 10, 11)) < 0.3
    before = mask.copy()
    turned = large_parts(mask.transpose(2, 0, 1)[::-1, ::2], 4)
    assert (turned == large_parts(np.ascontiguousarray(mask.transpose(2, 0, 1)[::-1, ::2]), 4)).all()
    assert 0 < turned.sum() < mask.transpose(2, 0, 1)[::-1, ::2].sum()
    assert (mask == before).all()
