"""Pictures of what a package found: slices with truth and result, and both in 3D."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from COVIDSelfSegLib.colors import LESION
from COVIDSelfSegLib.file_errors import writing_to
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.picture import gray, heat, outline, render_solids
from COVIDSelfSegLib.pipeline import Run
from PIL import Image, ImageDraw, ImageFont

from .cases import CaseImages, empty_mask

TRUTH = (40, 200, 90)
_SLICES = 4
_PANEL = 250
_TITLE = 20
_BACKGROUND, _INK = (16, 18, 22), (215, 215, 220)


def draw_case(images: CaseImages, run: Run, path: Path) -> None:
    """Draw slices (CT; truth in green and result in red; HU above healthy) and a 3D view to a JPEG file.

    The slices are spread over what is true (or over the lung, where nothing is), so that they are the same
    for every package.

    Raises:
        UserError: it cannot be written (exit code 5).
    """
    truth_image = images.truth if images.truth is not None else empty_mask(images.scan)
    lung_image = run.lungs.image
    box = LungFrame.around_lungs(lung_image, (None, 16, 16), margin_mm=10)
    hu, lungs, found, truth, excess = (
        box.turned(image)[box.box]
        for image in (images.scan, lung_image, run.lesions, truth_image, run.heatmap.excess)
    )
    voxel_mm = LungFrame.whole_scan(images.scan, 0.0).voxel_mm
    # Where nobody drew the truth, no green would say that nothing is true.
    outlines = "result red" if images.truth is None else "result red, truth green"
    rows = []
    for z in _spread(truth if truth.any() else lungs):
        ct = gray(hu[z])
        outlined = outline(outline(ct, truth[z] > 0, TRUTH), found[z] > 0, LESION)
        hot = heat(excess[z], lungs[z] > 0, ct)
        number = box.stored_slice(box.box[0].start + z)
        titles = (f"slice {number}", outlines, "HU above healthy")
        rows.append(_row([ct, outlined, hot], titles, voxel_mm[1] / voxel_mm[2]))
    solids = [render_solids(lungs > 0, mask > 0, voxel_mm) for mask in (found, truth)]
    names = ["3D, result", "3D, truth"] if images.truth is not None else ["3D, result"]
    rows.append(_row(solids[: len(names)], tuple(names), 1.0))
    page = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), _BACKGROUND)
    y = 0
    for row in rows:
        page.paste(row, (0, y))
        y += row.height
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        page.save(path, "JPEG", quality=82)


def _spread(mask: npt.NDArray[np.generic]) -> list[int]:
    """Slices spread over those that a mask touches, highest first."""
    held = np.flatnonzero(mask.any(axis=(1, 2)))
    places = np.linspace(0.1, 0.9, _SLICES) * (len(held) - 1)
    return sorted({int(held[round(place)]) for place in places}, reverse=True)


def _row(pictures: list[npt.NDArray[np.uint8]], titles: tuple[str, ...], pixel_height: float) -> Image.Image:
    panels = []
    for picture in pictures:
        rows, columns = picture.shape[:2]
        height = max(1, round(_PANEL * rows / columns * pixel_height))
        panels.append(Image.fromarray(picture).resize((_PANEL, height), Image.Resampling.BICUBIC))
    row = Image.new(
        "RGB", (_PANEL * len(panels), max(panel.height for panel in panels) + _TITLE), _BACKGROUND
    )
    draw = ImageDraw.Draw(row)
    for column, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        draw.text((column * _PANEL + 6, 3), title, _INK, ImageFont.load_default(13))
        row.paste(panel, (column * _PANEL, _TITLE))
    return row
