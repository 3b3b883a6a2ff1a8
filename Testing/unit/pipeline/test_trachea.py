"""A tube of air near the midline is followed; what only looks like one is not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from COVIDSelfSegLib.array_types import BoolArray, FloatArray
from COVIDSelfSegLib.findings.trachea import find_trachea

VOXEL_MM = (4.0, 3.0, 2.5)
MIDDLE = 30.0


def tissue_with_a_tube(
    *, slices: slice = slice(5, 35), aside_mm: float = 0.0, radius_mm: float = 8.0, forwards: float = 0.5
) -> FloatArray:
    """A block of tissue in air, and in it a tube that runs forwards by a share of its way up."""
    hu = np.full((40, 60, 60), -1000, np.float32)
    hu[:, 5:55, 5:55] = 40
    rows, columns = np.mgrid[:60, :60]
    for z in range(slices.start, slices.stop):
        y = 35 - forwards * (z - 20) * VOXEL_MM[0] / VOXEL_MM[1]
        x = MIDDLE + aside_mm / VOXEL_MM[2]
        hu[z][np.hypot((rows - y) * VOXEL_MM[1], (columns - x) * VOXEL_MM[2]) < radius_mm] = -950
    return hu


def followed(
    hu: FloatArray, lungs: BoolArray | None = None, *, middle: float = MIDDLE
) -> npt.NDArray[np.float64]:
    """The trachea between lungs that are everywhere, if not given."""
    return find_trachea(hu, np.ones(hu.shape, bool) if lungs is None else lungs, middle, VOXEL_MM)


def test_its_way_is_that_of_the_tube() -> None:
    way = followed(tissue_with_a_tube(aside_mm=12))
    assert way[:, 0].tolist() == [4.0 * z for z in range(5, 35)]
    assert np.abs(way[:, 1] - (105 - 0.5 * (way[:, 0] - 80))).max() < 1.5
    assert np.abs(way[:, 2] - 87).max() < 1.5


def test_it_is_followed_over_slices_in_which_it_is_lost() -> None:
    hu = tissue_with_a_tube()
    hu[18:21, 20:50, 20:40] = 40
    way = followed(hu)
    assert (way[0, 0], way[-1, 0], len(way)) == (20.0, 136.0, 27)
    hu[16:23, 20:50, 20:40] = 40
    assert len(followed(hu)) == 0, "two tubes, and neither is long enough"


@pytest.mark.parametrize(
    "no_trachea",
    [
        tissue_with_a_tube(slices=slice(5, 19)),
        tissue_with_a_tube(aside_mm=30),
        tissue_with_a_tube(radius_mm=3),
        tissue_with_a_tube(radius_mm=18),
        tissue_with_a_tube(forwards=2.0),
    ],
    ids=["short", "aside", "thin", "wide", "lying"],
)
def test_what_is_no_trachea_is_not_taken_for_one(no_trachea: FloatArray) -> None:
    assert followed(no_trachea).shape == (0, 3)


def test_air_at_the_edge_of_the_scan_is_none() -> None:
    hu = np.full((40, 60, 60), 40, np.float32)
    hu[:, :4, 25:35] = -1000
    assert len(followed(hu)) == 0
    assert len(followed(hu.transpose(0, 2, 1), middle=2)) == 0
    hu[:, 0] = 40
    assert len(followed(hu)) == 40


def test_a_rod_in_air_is_none() -> None:
    hu = np.full((40, 60, 60), -1000, np.float32)
    hu[:, 30:35, 28:33] = 40
    assert len(followed(hu)) == 0


@pytest.mark.parametrize(("air_hu", "seen"), [(-650, True), (-550, False)])
def test_its_air_may_be_mixed_with_its_wall_as_pooling_does(air_hu: float, seen: bool) -> None:
    hu = tissue_with_a_tube()
    hu[hu == -950] = air_hu
    assert bool(len(followed(hu))) == seen


@pytest.mark.parametrize(
    ("radius_mm", "seen"), [(3.5, False), (5.0, True), (13.0, True), (15.0, False)], ids=str
)
def test_it_is_as_wide_as_a_childs_or_as_one_where_it_parts(radius_mm: float, seen: bool) -> None:
    assert bool(len(followed(tissue_with_a_tube(radius_mm=radius_mm)))) == seen


def test_it_may_lie_two_centimetres_aside_and_run_forwards_more_than_upwards() -> None:
    slanting = tissue_with_a_tube(slices=slice(13, 32), aside_mm=22, forwards=1.3)
    assert len(followed(slanting)) == 19


@pytest.mark.parametrize(("slices", "seen"), [(slice(5, 20), True), (slice(5, 19), False)])
def test_sixty_millimetres_of_a_tube_are_enough(slices: slice, seen: bool) -> None:
    assert bool(len(followed(tissue_with_a_tube(slices=slices)))) == seen


@pytest.mark.parametrize(
    ("rows", "seen"), [(slice(0, 20), False), (slice(45, 60), False), (slice(20, 45), True)]
)
def test_what_lies_in_front_of_the_lungs_or_behind_them_is_none(rows: slice, seen: bool) -> None:
    """Stomach and bowel lie in front of the bases."""
    hu = tissue_with_a_tube()
    lungs = np.zeros(hu.shape, bool)
    lungs[:, rows] = True
    assert bool(len(followed(hu, lungs))) == seen


@pytest.mark.parametrize(("first", "seen"), [(31, True), (32, False)])
def test_it_lies_between_the_lungs_over_fifteen_millimetres(first: int, seen: bool) -> None:
    hu = tissue_with_a_tube()
    lungs = np.zeros(hu.shape, bool)
    lungs[first:] = True
    assert bool(len(followed(hu, lungs))) == seen


def test_a_longer_way_of_bowel_below_the_lungs_is_not_taken_for_it() -> None:
    hu = tissue_with_a_tube(slices=slice(23, 39))
    hu[:17] = tissue_with_a_tube(slices=slice(0, 17), forwards=-0.3)[:17]
    lungs = np.zeros(hu.shape, bool)
    lungs[20:] = True
    assert followed(hu, lungs)[:, 0].tolist() == [4.0 * z for z in range(23, 39)]
