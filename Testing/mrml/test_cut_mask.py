"""Masks cut to the box around them say the same as whole ones."""

import numpy as np
import pytest
from COVIDSelfSegSlicer.cutMask import CutMask


def a_blob():
    whole = np.zeros((9, 12, 15), bool)
    whole[2:5, 3:10, 6:8] = np.random.default_rng(1).random((3, 7, 2)) < 0.5
    whole[2, 3, 6] = whole[4, 9, 7] = True
    return whole


def test_a_mask_is_cut_to_the_smallest_box():
    whole = a_blob()
    mask = CutMask.of(whole)
    assert (mask.corner, mask.inside.shape) == ((2, 3, 6), (3, 7, 2))
    again = np.zeros_like(whole)
    again[mask.box] = mask.inside
    assert np.array_equal(again, whole)


def test_of_values_it_holds_those_that_reach_a_level():
    values = np.random.default_rng(2).integers(0, 200, (6, 7, 8)).astype(np.uint8)
    values[1, 2, 3] = values[4, 5, 6] = 255
    mask = CutMask.of(values, 201)
    assert (mask.corner, mask.inside.sum()) == ((1, 2, 3), 2)


@pytest.mark.parametrize("shape", [(4, 5, 6), (0, 0, 0)])
def test_an_empty_mask_has_no_voxel_and_covers_nothing(shape):
    nothing = CutMask.of(np.zeros(shape, bool))
    assert nothing.isEmpty
    assert not nothing.over(CutMask.of(a_blob())).any()
    assert nothing.over(nothing).size == 0
    assert nothing.equals(CutMask.of(np.zeros((1, 1, 1), bool)))
    assert not nothing.equals(CutMask.of(a_blob()))


@pytest.mark.parametrize("corner", [(0, 0, 0), (1, -2, 3), (-3, -4, -7), (3, 7, 2), (-3, 0, 0)])
def test_over_another_it_is_what_both_boxes_share(corner):
    one, other = CutMask.of(a_blob()).moved(corner), CutMask.of(a_blob())
    places = {tuple(place) for place in np.argwhere(one.inside) + one.corner}
    expected = [tuple(place) in places for place in np.argwhere(np.ones(other.inside.shape)) + other.corner]
    assert one.over(other).ravel().tolist() == expected
    assert one.equals(other) == (corner == (0, 0, 0))
