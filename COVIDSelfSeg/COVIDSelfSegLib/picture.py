"""The overview picture of a run: the most infected slices, a coronal view, a 3D view, the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from .array_types import BoolArray
from .colors import HEAT, HOTTEST_HU, LESION, LUNG, LUNG_WINDOW_HU
from .frame import LungFrame
from .quantification import LungNumbers, Numbers
from .synthesis import Heatmap

Rgb = npt.NDArray[np.uint8]
WIDTH = 1600
_COLUMNS = 4
_LEAST_TABLE = 256
"""Height that the numbers need, px; slices of flat lungs are less tall."""
_GAP, _HEAD, _TITLE = 12, 64, 30
_PANEL = (WIDTH - _GAP * (_COLUMNS + 1)) // _COLUMNS
_TURN, _CUBE_MM = np.deg2rad(20.0), 1.5
"""The 3D view: seen so far from the left (rad), drawn in cubes (mm)."""
_BACKGROUND, _INK, _FAINT = (16, 18, 22), (235, 235, 235), (150, 155, 165)


@dataclass(frozen=True)
class _View:
    """What is drawn, in patient axes (z up, y back, x left), cut to the lungs and a margin; one grid."""

    hu: npt.NDArray[Any]
    healthy: npt.NDArray[Any]
    excess: npt.NDArray[Any]
    lungs: npt.NDArray[Any]
    lesions: npt.NDArray[Any]
    voxel_mm: tuple[float, float, float]

    def slice(self, z: int) -> _Plane:
        """An axial slice, seen from the feet: the patient's right is on the left."""
        return self._plane((z,), self.voxel_mm[1] / self.voxel_mm[2])

    def coronal(self, y: int) -> _Plane:
        """A coronal section, head up."""
        return self._plane((slice(None, None, -1), y), self.voxel_mm[0] / self.voxel_mm[2])

    def _plane(self, index: tuple[Any, ...], height: float) -> _Plane:
        return _Plane(
            hu=self.hu[index],
            healthy=self.healthy[index],
            excess=self.excess[index],
            lungs=self.lungs[index],
            lesions=self.lesions[index],
            height=height,
        )


@dataclass(frozen=True)
class _Plane:
    """One section of a view; ``height`` is how tall its pixels are for their width."""

    hu: npt.NDArray[Any]
    healthy: npt.NDArray[Any]
    excess: npt.NDArray[Any]
    lungs: npt.NDArray[Any]
    lesions: npt.NDArray[Any]
    height: float


def draw_overview(
    scan: sitk.Image, lungs: sitk.Image, made: Heatmap, lesions: sitk.Image, numbers: Numbers
) -> Image.Image:
    """Draw the overview, 1600 pixels wide.

    Args:
        scan: HU.
        lungs: 1 right, 2 left, on the scan's grid.
        made: pseudo-healthy volume and heatmap.
        lesions: non-zero inside a lesion.
        numbers: what was measured.
    """
    frame = LungFrame.around_lungs(lungs, (None, 16, 16), margin_mm=12)
    view = _cut_view(frame, scan, lungs, made, lesions)
    rows = []
    for z in _most_infected(view):
        plane = view.slice(z)
        share = 100 * np.count_nonzero(plane.lesions) / (np.count_nonzero(plane.lungs) or 1)
        # 0 % of a slice with a small lesion would say that there is none.
        percent = "< 1" if 0 < share <= 0.5 else f"{share:.0f}"
        name = f"slice {frame.stored_slice(frame.box[0].start + z)}: {percent} % of its lung"
        titles = (name, "pseudo-healthy", "HU above healthy", "lesions")
        rows.append(_row(list(zip(titles, _four(plane), strict=True))))
    counts = view.lesions.any(axis=0).sum(axis=1)
    plane = view.coronal(int(np.argmax(counts)) if counts.any() else view.hu.shape[1] // 2)
    _, _, hot, outlined = _four(plane)
    height = max(rows[0].height - _TITLE, _LEAST_TABLE)
    rows.append(
        _row(
            [
                ("coronal", outlined),
                ("coronal, HU above healthy", hot),
                (
                    "3D from the front",
                    _fit(render_solids(view.lungs > 0, view.lesions > 0, view.voxel_mm), 1.0),
                ),
                ("numbers", _table(numbers, height)),
            ]
        )
    )
    return _page(rows)


def _cut_view(
    frame: LungFrame, scan: sitk.Image, lungs: sitk.Image, made: Heatmap, lesions: sitk.Image
) -> _View:
    box = frame.box
    return _View(
        hu=frame.turned(scan)[box],
        healthy=frame.turned(made.pseudo_healthy)[box],
        excess=frame.turned(made.excess)[box],
        lungs=frame.turned(lungs)[box],
        lesions=frame.turned(lesions)[box],
        voxel_mm=LungFrame.whole_scan(scan, 0.0).voxel_mm,
    )


def _most_infected(view: _View) -> list[int]:
    """Up to three slices with the most lesion (then the most lung), apart from each other; highest first."""
    lung = (view.lungs > 0).sum(axis=(1, 2))
    lesion = (view.lesions > 0).sum(axis=(1, 2))
    most = np.where(lung > 0, lesion + lung / (lung.max() + 1), -1.0)
    held = int(np.count_nonzero(lung))
    # In a thin slab they lie closer, so that two leave room for the third.
    apart = max(0, min(round(25 / view.voxel_mm[0]), (held - 3) // 4))
    chosen: list[int] = []
    for _ in range(min(3, held)):
        z = int(np.argmax(most))
        chosen.append(z)
        most[max(0, z - apart) : z + apart + 1] = -1
    return sorted(chosen, reverse=True)


def _four(plane: _Plane) -> tuple[Image.Image, ...]:
    """CT, pseudo-healthy, heatmap, outlined lesions."""
    ct = gray(plane.hu)
    outlined = outline(ct, plane.lungs > 0, LUNG)
    outlined = outline(outlined, plane.lesions > 0, LESION)
    hot = heat(plane.excess, plane.lungs > 0, ct)
    return tuple(_fit(part, plane.height) for part in (ct, gray(plane.healthy), hot, outlined))


def gray(hu: npt.NDArray[Any]) -> Rgb:
    """A plane of HU in the lung window."""
    low, high = LUNG_WINDOW_HU
    level = np.clip((hu.astype(float) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    return np.repeat(level[..., None], 3, axis=-1)


def heat(excess: npt.NDArray[Any], inside: BoolArray, below: Rgb) -> Rgb:
    """HU above expected healthy in the heatmap's colours; ``below``, darkened, outside the lung."""
    stops = np.linspace(0, HOTTEST_HU, len(HEAT))
    colours = np.stack([np.interp(excess, stops, channel) for channel in zip(*HEAT, strict=True)], -1)
    return np.where(inside[..., None], colours, below * 0.35).astype(np.uint8)


def outline(picture: Rgb, mask: BoolArray, colour: tuple[int, int, int]) -> Rgb:
    """The picture with the inner border of a mask drawn on it."""
    edge = mask & ~ndimage.binary_erosion(mask)
    return np.where(edge[..., None], colour, picture).astype(np.uint8)


def _fit(picture: Rgb, pixel_height: float) -> Image.Image:
    """Scale to the panel's width; pixels that are taller than wide are stretched."""
    rows, columns = picture.shape[:2]
    height = round(_PANEL * rows / columns * pixel_height)
    return Image.fromarray(picture).resize((_PANEL, height), Image.Resampling.BICUBIC)


def render_solids(lungs: BoolArray, lesions: BoolArray, voxel_mm: tuple[float, float, float]) -> Rgb:
    """Lungs in translucent blue and lesions in red, seen from the front and a little from the left.

    Args:
        lungs: (z, y, x) in patient axes, z up.
        lesions: the same.
        voxel_mm: (z, y, x).
    """
    turned = [_turned(body, voxel_mm) for body in (lungs, lesions)]
    picture = np.zeros((*turned[0].shape[::2], 3))
    shade, seen = _shade(turned[0])
    picture[seen] = (0.25 + 0.75 * shade[seen, None]) * np.array(LUNG) * 0.62
    shade, seen = _shade(turned[1])
    picture[seen] = 0.25 * picture[seen] + 0.75 * (0.35 + 0.65 * shade[seen, None]) * np.array(LESION)
    return picture.astype(np.uint8)


def _turned(body: BoolArray, voxel_mm: tuple[float, float, float]) -> BoolArray:
    """A body (z, y, x) turned about the patient's long axis, head up, in cubes."""
    image = sitk.GetImageFromArray(255 * body[::-1].astype(np.uint8))
    image.SetSpacing(voxel_mm[::-1])
    middle = image.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in image.GetSize()])
    width, depth, height = (count * mm for count, mm in zip(image.GetSize(), image.GetSpacing(), strict=True))
    across, along = abs(np.cos(_TURN)), abs(np.sin(_TURN))
    extent = (width * across + depth * along, width * along + depth * across, height)
    size = [int(np.ceil(mm / _CUBE_MM)) for mm in extent]
    corner = [place - _CUBE_MM * (count - 1) / 2 for place, count in zip(middle, size, strict=True)]
    turn = sitk.Euler3DTransform(middle, 0.0, 0.0, _TURN)
    cubes = (_CUBE_MM,) * 3
    axes = np.eye(3).ravel().tolist()
    turned = sitk.Resample(image, size, turn, sitk.sitkLinear, corner, cubes, axes, 0)
    return np.asarray(sitk.GetArrayFromImage(turned) > 127)


def _shade(body: BoolArray) -> tuple[npt.NDArray[np.float64], BoolArray]:
    """Brightness of the first surface met from the front (low y), 0 .. 1, and where there is one."""
    seen = np.asarray(body.any(axis=1))
    depth: npt.NDArray[np.float64] = ndimage.gaussian_filter(
        np.where(seen, body.argmax(axis=1), body.shape[1]).astype(float), 1.2
    )
    down, across = np.gradient(depth)
    facing = 1 / np.sqrt(1 + down**2 + across**2)
    light: npt.NDArray[np.float64] = np.clip((0.45 * down - 0.35 * across + 0.82) * facing, 0, 1)
    return light, seen


def _row(panels: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    height = max(panel.height for _, panel in panels)
    row = Image.new("RGB", (WIDTH, height + _TITLE), _BACKGROUND)
    draw = ImageDraw.Draw(row)
    for column, (title, panel) in enumerate(panels):
        x = _GAP + column * (_PANEL + _GAP)
        draw.text((x, 4), title, _FAINT, _font(18))
        row.paste(panel, (x, _TITLE + (height - panel.height) // 2))
    return row


def _page(rows: list[Image.Image]) -> Image.Image:
    height = _HEAD + sum(row.height + _GAP for row in rows)
    page = Image.new("RGB", (WIDTH, height), _BACKGROUND)
    draw = ImageDraw.Draw(page)
    draw.text((_GAP, 16), "COVIDSelfSeg", _INK, _font(28))
    draw.text((_GAP + 205, 25), "research use only, not a medical device", _FAINT, _font(18))
    _colour_bar(page, draw)
    y = _HEAD
    for row in rows:
        page.paste(row, (0, y))
        y += row.height + _GAP
    return page


def _colour_bar(page: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, height, x, y = 420, 16, WIDTH - 420 - 40, 12
    ramp = np.tile(np.linspace(0, HOTTEST_HU, width), (height, 1))
    bar = heat(ramp, np.ones(ramp.shape, bool), np.zeros((height, width, 3), np.uint8))
    page.paste(Image.fromarray(bar), (x, y))
    for hu in (0, 175, 350, 525, 700):
        place = x + width * hu / HOTTEST_HU
        draw.text((place, y + height + 4), str(hu), _FAINT, _font(16), anchor="ma")
    draw.text((x - 12, y + height / 2), "HU above expected healthy", _FAINT, _font(18), anchor="rm")


def _table(numbers: Numbers, height: int) -> Image.Image:
    panel = Image.new("RGB", (_PANEL, height), _BACKGROUND)
    draw = ImageDraw.Draw(panel)
    sides = (numbers.right, numbers.left, numbers.both)
    lines: list[tuple[str, ...]] = [
        ("", "right", "left", "both"),
        ("lung ml", *(f"{side.volume_ml:.0f}" for side in sides)),
        ("infected ml", *(f"{side.infected_ml:.1f}" for side in sides)),
        ("infected %", *(f"{100 * side.infected_share:.1f}" for side in sides)),
        ("lesion HU", *(_density(side) for side in sides)),
    ]
    y = 20
    for line in lines:
        draw.text((8, y), line[0], _FAINT, _font(20))
        for x, text in zip((190, 275, _PANEL - 10), line[1:], strict=True):
            draw.text((x, y), text, _INK, _font(20), anchor="ra")
        y += 40
    draw.text((8, y + 8), f"severity {numbers.severity} (infected share of the lung)", _FAINT, _font(18))
    return panel


def _density(side: LungNumbers) -> str:
    return "-" if side.lesion_hu is None else f"{side.lesion_hu:.0f}"


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
