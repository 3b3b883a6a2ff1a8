"""The overview: slices numbered as in the file; in 3D right on the left, head up, front before back."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib import picture as overview
from COVIDSelfSegLib.colors import HEAT, LESION, LUNG
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.phantom_parts.scanner import Acquisition
from COVIDSelfSegLib.picture import draw_overview, render_solids
from COVIDSelfSegLib.quantification import LungNumbers, Numbers, measure
from COVIDSelfSegLib.synthesis import Heatmap
from PIL import Image, ImageDraw

SHAPE, VOXEL_MM = (40, 60, 70), (5.0, 2.0, 2.0)
EMPTY = np.zeros(SHAPE, bool)


def lesion_center(lesion: tuple[slice, slice, slice]) -> tuple[float, float]:
    """Row and column where a lesion is drawn, as shares of the picture's height and width."""
    mask = EMPTY.copy()
    mask[lesion] = True
    picture = render_solids(EMPTY, mask, VOXEL_MM)
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


def drawn_panels(
    scan: sitk.Image, lungs: sitk.Image, lesions: sitk.Image, made: Heatmap | None = None
) -> list[tuple[str, Image.Image]]:
    """Title and picture of each panel of the overview."""
    panels = []
    real = overview._row

    def row(of_row: list) -> object:
        panels.extend(of_row)
        return real(of_row)

    nothing = sitk.Cast(scan * 0, sitk.sitkInt16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overview, "_row", row)
        made = made or Heatmap(scan, nothing, nothing)
        draw_overview(scan, lungs, made, lesions, measure(scan, lungs, lesions))
    return panels


def test_each_panel_shows_what_its_title_says_in_its_place_and_in_proportion() -> None:
    lungs, lesions = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    lungs[4:36, 10:50, 8:32], lungs[4:36, 10:50, 38:62] = 1, 2
    lesions[27:33, 14:24, 21:31] = 1  # high in front in the right lung
    ct, healthy, heat = (
        np.select([lesions > 0, lungs > 0], [of_lesion, of_lung], elsewhere).astype(np.int16)
        for of_lesion, of_lung, elsewhere in ((400, -850, 40), (-850, -850, 40), (700, 0, 0))
    )
    images = [sitk.GetImageFromArray(array) for array in (ct, lungs, lesions, healthy, heat)]
    for image in images:
        image.SetSpacing((2.0, 3.0, 5.0))
    panels = drawn_panels(*images[:3], Heatmap(images[3], images[4], images[1]))
    drawn = dict(reversed(panels))  # of each title the first
    axial, coronal = (48 * 3 / (66 * 2), 13 / 48), (38 * 5 / (66 * 2), 9 / 38)
    gray_of_lesion, gray_of_lung = [255] * 3, [85] * 3  # window from -1350 to 150 HU
    for title, (height, row), of_lesion, of_lung in (
        ("slice 28: 5 % of its lung", axial, gray_of_lesion, gray_of_lung),
        ("pseudo-healthy", axial, gray_of_lung, gray_of_lung),
        ("HU above healthy", axial, HEAT[-1], HEAT[0]),
        ("lesions", axial, gray_of_lesion, gray_of_lung),
        ("coronal", coronal, gray_of_lesion, gray_of_lung),
        ("coronal, HU above healthy", coronal, HEAT[-1], HEAT[0]),
    ):
        panel = drawn[title]
        assert panel.height / panel.width == pytest.approx(height, abs=0.01), title
        pixels = panel.load()
        across, down = panel.width / 66, int(row * panel.height)
        assert pixels[int(24 * across), down] == pytest.approx(of_lesion, abs=2), title
        assert pixels[int(48 * across), down] == pytest.approx(of_lung, abs=2), title
        if title in ("lesions", "coronal"):
            assert pixels[int(19.5 * across), down] == pytest.approx(LESION, abs=30), title
            assert pixels[int(59.5 * across), down] == pytest.approx(LUNG, abs=30), title


def test_the_table_says_the_numbers_of_each_side_below_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[int, list[str]] = {}
    monkeypatch.setattr(
        ImageDraw.ImageDraw,
        "text",
        lambda _, place, text, *__, **___: told.setdefault(place[1], []).append(text),
    )
    right, left = LungNumbers(2000.0, 500.0, 0.25, -412.4), LungNumbers(1000.0, 0.0, 0.0, None)
    overview._table(Numbers(right, left, LungNumbers(3000.0, 500.0, 1 / 6, -412.4)), 256)
    assert list(told.values()) == [
        ["", "right", "left", "both"],
        ["lung ml", "2000", "1000", "3000"],
        ["infected ml", "500.0", "0.0", "500.0"],
        ["infected %", "25.0", "0.0", "16.7"],
        ["lesion HU", "-412", "-", "-412"],
        ["severity CT-1 (infected share of the lung)"],
    ]


def test_the_numbers_below_the_colour_bar_are_those_of_its_colours() -> None:
    page = Image.new("RGB", (overview.WIDTH, 80))
    told: dict[str, float] = {}
    draw = ImageDraw.Draw(page)
    draw.text = lambda place, text, *_, **__: told.setdefault(text, place[0])
    overview._colour_bar(page, draw)
    numbers = {int(text): x for text, x in told.items() if text.isdigit()}
    assert len(numbers) > 3
    stops = np.linspace(0, 700, len(HEAT))
    for hu, x in numbers.items():
        inside = min(max(round(x), int(numbers[0]) + 1), int(numbers[700]) - 1)
        of_hu = [np.interp(hu, stops, channel) for channel in zip(*HEAT, strict=True)]
        assert page.getpixel((inside, 20)) == pytest.approx(of_hu, abs=4), hu


def drawn_slices(scan: sitk.Image, lungs: sitk.Image, lesions: sitk.Image) -> list[tuple[int, int]]:
    """Number and infected percentage that the overview says of each of its slices."""
    titles = [title for title, _ in drawn_panels(scan, lungs, lesions)]
    told = [re.fullmatch(r"slice (\d+): (\d+) % of its lung", title) for title in titles]
    return [(int(one[1]), int(one[2])) for one in told if one]


def test_a_small_lesion_is_less_than_one_percent_of_its_slice_and_not_none() -> None:
    lungs, lesions = np.zeros((2, *SHAPE), np.uint8)
    lungs[4:36, 10:50, 8:48] = 1
    lesions[20, 20:22, 30:34] = 1  # 0.5 %
    lesions[30, 20, 30:34] = 1
    scan, *masks = (
        sitk.GetImageFromArray(array) for array in (40 - 880 * lungs.astype(np.int16), lungs, lesions)
    )
    titles = [title for title, _ in drawn_panels(scan, *masks)]
    assert {"slice 21: < 1 % of its lung", "slice 31: < 1 % of its lung"} <= set(titles)


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


@cache
def a_thin_scan(severity: int) -> Phantom:
    slab = Acquisition(size=(100, 90, 200), pixel_mm=3.6, slice_mm=1.0, noise_hu=12.0)
    return make_phantom(3, severity, slab)


@pytest.mark.parametrize(("slices", "rows"), [(30, 3), (12, 3), (3, 3), (2, 2)])
@pytest.mark.parametrize("severity", [0, 2])
def test_a_thin_slab_shows_no_slice_twice(slices: int, rows: int, severity: int) -> None:
    made = a_thin_scan(severity)
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
