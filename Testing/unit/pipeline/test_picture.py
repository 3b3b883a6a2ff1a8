"""The overview: slices numbered as in the file; in 3D right on the left, head up, front before back."""

from __future__ import annotations

import re

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib import picture as overview
from COVIDSelfSegLib.colors import LESION
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.phantom_parts.scanner import Acquisition
from COVIDSelfSegLib.picture import draw_overview, render_solids
from COVIDSelfSegLib.quantification import measure
from COVIDSelfSegLib.synthesis import Heatmap
from PIL import Image

SHAPE, VOXEL_MM = (40, 60, 70), (5.0, 2.0, 2.0)
EMPTY = np.zeros(SHAPE, bool)


def lesion_center(lesion: tuple[slice, slice, slice], lungs: np.ndarray = EMPTY) -> tuple[float, float]:
    """Row and column where a lesion is drawn, as shares of the picture's height and width."""
    mask = EMPTY.copy()
    mask[lesion] = True
    picture = render_solids(lungs, mask, VOXEL_MM)
    red = picture[..., 0] > 0.3 * LESION[0]
    assert red.any()
    rows, columns = np.nonzero(red)
    return rows.mean() / picture.shape[0], columns.mean() / picture.shape[1]


def test_what_lies_high_in_the_right_lung_is_drawn_high_on_the_left() -> None:
    row, column = lesion_center((slice(30, 38), slice(25, 35), slice(5, 15)))
    assert row < 0.3
    assert column < 0.4
    row, column = lesion_center((slice(2, 10), slice(25, 35), slice(55, 65)))
    assert row > 0.7
    assert column > 0.6


def test_seen_a_little_from_the_left_what_is_in_front_is_drawn_to_the_left_of_what_is_behind() -> None:
    middle = slice(30, 40)
    _, front = lesion_center((slice(15, 25), slice(2, 10), middle))
    _, back = lesion_center((slice(15, 25), slice(50, 58), middle))
    assert front < 0.5 < back


def test_sizes_are_those_of_the_body_whatever_its_voxels() -> None:
    lungs = np.ones(SHAPE, bool)
    coarse, fine = (
        render_solids(body, np.zeros_like(body), voxel_mm)
        for body, voxel_mm in ((lungs, VOXEL_MM), (lungs.repeat(2, 2), (5.0, 2.0, 1.0)))
    )
    turned_mm = 140 * np.cos(np.deg2rad(20)) + 120 * np.sin(np.deg2rad(20))
    for picture in (coarse, fine):
        assert picture.shape[:2] == pytest.approx((200 / 1.5, turned_mm / 1.5), abs=1.5)
    assert coarse.any(axis=2).mean() == pytest.approx(fine.any(axis=2).mean(), abs=0.02)


def drawn_panels(scan: sitk.Image, lungs: sitk.Image, lesions: sitk.Image) -> list[tuple[str, Image.Image]]:
    """Title and picture of each panel of the overview."""
    panels = []
    real = overview._row

    def row(of_row: list) -> object:
        panels.extend(of_row)
        return real(of_row)

    nothing = sitk.Cast(scan * 0, sitk.sitkInt16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overview, "_row", row)
        draw_overview(scan, lungs, Heatmap(scan, nothing, nothing), lesions, measure(scan, lungs, lesions))
    return panels


def drawn_slices(scan: sitk.Image, lungs: sitk.Image, lesions: sitk.Image) -> list[tuple[int, int]]:
    """Number and infected percentage that the overview says of each of its slices."""
    titles = [title for title, _ in drawn_panels(scan, lungs, lesions)]
    told = [re.fullmatch(r"slice (\d+): (\d+) % of its lung", title) for title in titles]
    return [(int(one[1]), int(one[2])) for one in told if one]


def test_all_numbers_can_be_read_beside_lungs_that_are_flat(a_phantom: Phantom) -> None:
    images = (a_phantom.scan, a_phantom.lungs, a_phantom.lesions)
    flat = [sitk.Image(image) for image in images]
    for image in flat:
        across, deep, high = image.GetSpacing()
        image.SetSpacing((across, 0.4 * deep, high))
    for chest in (images, flat):
        lines = text_lines(dict(drawn_panels(*chest))["numbers"])
        assert len(lines) == 6, "sides, three rows of lungs, density, severity"
        assert all(last - first > 8 for first, last in lines)


def text_lines(panel: Image.Image) -> list[tuple[int, int]]:
    """First and last row of pixels of each line of light text; one that runs out of the panel is none."""
    light = (np.asarray(panel.convert("L")) > 100).any(axis=1).astype(int)
    edges = np.diff(np.pad(light[:-1], (1, 0)))
    starts, ends = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    return list(zip(starts.tolist(), ends.tolist(), strict=False))


@pytest.mark.parametrize("orientation", ["LPS", "LPI", "SAL", "ARI"])
def test_slices_are_numbered_as_they_are_stored(a_phantom: Phantom, orientation: str) -> None:
    scan, lungs, lesions = (
        sitk.DICOMOrient(image, orientation) for image in (a_phantom.scan, a_phantom.lungs, a_phantom.lesions)
    )
    along = 2 - next(axis for axis, letter in enumerate(orientation) if letter in "SI")
    inside, sick = (np.moveaxis(sitk.GetArrayFromImage(image), along, 0) for image in (lungs, lesions))
    shares = [
        100 * np.count_nonzero(s) / (np.count_nonzero(i) or 1) for s, i in zip(sick, inside, strict=True)
    ]
    drawn = drawn_slices(scan, lungs, lesions)
    assert len(drawn) == 3
    for number, percent in drawn:
        assert percent == round(shares[number - 1]) > 0
    worst = 1 + int(np.argmax(np.count_nonzero(sick, axis=(1, 2))))
    assert worst in [number for number, _ in drawn]


@pytest.mark.parametrize(("slices", "rows"), [(30, 3), (12, 3), (3, 3), (2, 2)])
@pytest.mark.parametrize("severity", [0, 2])
def test_a_thin_slab_shows_no_slice_twice(slices: int, rows: int, severity: int) -> None:
    slab = Acquisition(size=(100, 90, 200), pixel_mm=3.6, slice_mm=1.0, noise_hu=12.0)
    made = make_phantom(3, severity, slab)
    part = slice(100, 100 + slices)
    drawn = drawn_slices(made.scan[:, :, part], made.lungs[:, :, part], made.lesions[:, :, part])
    numbers = [number for number, _ in drawn]
    assert len(set(numbers)) == len(numbers) == rows
    if slices == 30:
        assert min(-np.diff(numbers)) > 5, "apart as far as the slab allows"


def test_where_few_slices_are_sick_the_others_show_lung(a_phantom: Phantom) -> None:
    lungs = sitk.GetArrayFromImage(a_phantom.lungs)
    one = np.zeros_like(lungs)
    one[30, 60:70][lungs[30, 60:70] > 0] = 1
    lesions = sitk.GetImageFromArray(one)
    lesions.CopyInformation(a_phantom.lungs)
    numbers = [number for number, _ in drawn_slices(a_phantom.scan, a_phantom.lungs, lesions)]
    assert 31 in numbers
    assert all((lungs[number - 1] > 0).mean() > 0.05 for number in numbers)
