"""Weights of resampling along one axis, against sums over fine steps and numpy's own interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from COVIDSelfSegLib.resampling import (
    area_weights,
    interpolation_weights,
    linear_weights,
    nearest_weights,
    resample_volume,
    voxels_inside,
)

STRETCHES = [(0.0, 12.0, 4), (0.0, 12.0, 5), (1.3, 10.7, 3), (-2.0, 14.0, 6), (-1.6, 13.6, 8)]
"""Start, stop and parts, over twelve voxels."""


@pytest.mark.parametrize(("start", "stop", "cells"), STRETCHES)
def test_a_part_is_the_mean_of_what_it_covers(start: float, stop: float, cells: int) -> None:
    values = np.random.default_rng(0).normal(size=12)
    fine = start + (stop - start) / (cells * 10_000) * (np.arange(cells * 10_000) + 0.5)
    inside = (fine >= 0) & (fine < 12)
    covered = np.where(inside, values[np.clip(fine.astype(int), 0, 11)], np.nan).reshape(cells, -1)
    assert np.allclose(area_weights(12, start, stop, cells) @ values, np.nanmean(covered, axis=1), atol=1e-3)


def test_parts_smaller_than_a_voxel_are_interpolated_at_their_centres() -> None:
    values = np.random.default_rng(1).normal(size=6)
    centres = 0.5 + 5 / 15 * (np.arange(15) + 0.5)
    expected = np.interp(centres, np.arange(6) + 0.5, values)
    assert np.allclose(area_weights(6, 0.5, 5.5, 15) @ values, expected, atol=1e-6)


@pytest.mark.parametrize(("start", "stop", "cells"), STRETCHES)
def test_the_nearest_voxel_is_the_one_that_holds_the_centre_of_a_part(
    start: float, stop: float, cells: int
) -> None:
    picked = nearest_weights(12, start, stop, cells) @ np.arange(1, 13)
    centres = start + (stop - start) / cells * (np.arange(cells) + 0.5)
    assert picked.tolist() == [np.floor(centre) + 1 if 0 <= centre < 12 else 0 for centre in centres]


def test_the_first_and_the_last_voxel_are_picked_as_the_others_are() -> None:
    assert np.array_equal(nearest_weights(5, 0.0, 5.0, 5), np.eye(5))


@pytest.mark.parametrize("cells", [4, 20])
def test_parts_beyond_the_voxels_have_no_weight(cells: int) -> None:
    for weights in (area_weights(3, -3.0, 1.0, cells), nearest_weights(3, -3.0, 1.0, cells)):
        assert weights.any(axis=1).tolist() == [part >= 0.75 * cells for part in range(cells)]


def test_between_values_there_is_a_line_and_beyond_them_the_last_one() -> None:
    values = np.random.default_rng(2).normal(size=5)
    places = np.linspace(-2, 7, 37)
    expected = np.interp(places, np.arange(5), values)
    assert np.allclose(interpolation_weights(places, 5) @ values, expected, atol=1e-6)
    assert (interpolation_weights(places, 1) == 1).all()


def test_on_the_way_back_the_parts_are_interpolated_at_the_centres_of_voxels() -> None:
    part_values = np.random.default_rng(3).normal(size=4)
    voxels = voxels_inside(12, 1.7, 10.5)
    assert (voxels.start, voxels.stop) == (2, 11)
    assert voxels_inside(12, 1.4, 10.4) == slice(1, 10), "the centres 1.5 to 9.5"
    step = (10.5 - 1.7) / 4
    expected = np.interp(np.arange(2, 11) + 0.5, 1.7 + step * (np.arange(4) + 0.5), part_values)
    assert np.allclose(linear_weights(voxels, 1.7, 10.5, 4) @ part_values, expected, atol=1e-6)


def test_a_volume_is_resampled_by_one_matrix_for_each_axis() -> None:
    volume = np.random.default_rng(4).normal(size=(7, 12, 9)).astype(np.float32)
    in_plane = [area_weights(12, -2.0, 15.0, 6), area_weights(9, 3.0, 5.0, 5)]
    for stretch in ((1.0, 6.5, 3), (0.0, 7.0, 7), (0.2, 6.8, 7)):
        through = area_weights(7, *stretch)
        weights = [through, *in_plane]
        assert np.allclose(
            resample_volume(volume, weights), np.einsum("az,by,cx,zyx->abc", *weights, volume), atol=1e-5
        )
