"""Pictures of the sheet: the slices of the truth, numbered as in the file, and what was found in them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.colors import HEAT, LESION
from COVIDSelfSegLib.lungs import LungMask
from COVIDSelfSegLib.pipeline import Run
from COVIDSelfSegLib.synthesis import Heatmap
from COVIDSelfSegTrainingLib.evaluation import gallery
from COVIDSelfSegTrainingLib.evaluation.cases import CaseImages
from PIL import Image

SHAPE = (20, 60, 50)
LUNGS, TRUE, FOUND = (
    (slice(5, 15), slice(10, 50)),
    (slice(7, 11), slice(14, 20)),
    (slice(7, 11), slice(22, 28)),
)


def block(where: tuple[slice, slice], columns: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[*where, columns] = 1
    return mask


def image(array: np.ndarray) -> sitk.Image:
    """Of a scan that is stored from head to feet, with pixels twice as tall as wide."""
    made = sitk.GetImageFromArray(array)
    made.SetSpacing((1.0, 2.0, 5.0))
    made.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
    return made


@pytest.mark.parametrize(
    ("truth", "numbers"),
    [("drawn", [8, 9, 10, 11]), ("nothing", [7, 9, 12, 14]), (None, [7, 9, 12, 14])],
)
def test_slices_of_the_truth_or_of_the_lung_are_drawn_with_what_is_true_and_what_was_found(
    truth: str | None, numbers: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lungs = block(LUNGS, slice(8, 20)) + 2 * block(LUNGS, slice(30, 42))
    true = block(TRUE, slice(10, 16)) * (truth == "drawn")
    hot = image(np.full(SHAPE, 900, np.int16))
    parts: dict[str, Any] = dict.fromkeys(field.name for field in fields(Run))
    parts["lungs"], parts["heatmap"] = LungMask(image(lungs), "known"), Heatmap(hot, hot, hot)
    parts["lesions"] = image(block(FOUND, slice(32, 38)))
    scan = image(np.where(lungs > 0, -850, 40).astype(np.int16))
    rows: list[tuple[Image.Image, list[np.ndarray], tuple[str, ...]]] = []
    draw_row = gallery._row

    def seen(pictures: list[np.ndarray], titles: tuple[str, ...], height: float) -> Image.Image:
        rows.append((draw_row(pictures, titles, height), pictures, titles))
        return rows[-1][0]

    monkeypatch.setattr(gallery, "_row", seen)
    images = CaseImages(scan, None if truth is None else image(true))
    gallery.draw_case(images, Run(**parts), tmp_path / "case.jpg")

    *slices, (_, bodies, solids) = rows
    outlines = "result red" if truth is None else "result red, truth green"
    assert [titles for _, _, titles in slices] == [
        (f"slice {number}", outlines, "HU above healthy") for number in numbers
    ]
    assert solids == (("3D, result",) if truth is None else ("3D, result", "3D, truth"))
    for number, (row, (ct, outlined, heat), _) in zip(numbers, slices, strict=True):
        rows_of, columns = ct.shape[:2]
        assert row.height == pytest.approx(gallery._PANEL * 2 * rows_of / columns + gallery._TITLE, abs=1)
        inside, red, green = (
            (picture == colour).all(axis=-1)
            for picture, colour in ((heat, HEAT[-1]), (outlined, LESION), (outlined, gallery.TRUTH))
        )
        assert inside.sum() == (lungs[number - 1] > 0).sum(), "hot in the lung alone"
        assert red.sum() == (20 if 8 <= number <= 11 else 0), "the border of 6 x 6 pixels"
        assert green.sum() == (20 if truth == "drawn" else 0)
        if truth == "drawn":
            apart = np.argwhere(red).mean(axis=0) - np.argwhere(green).mean(axis=0)
            assert apart.tolist() == [8, 22]
    # In 3D what was found lies to the right of what is true.
    places = [np.argwhere(body[..., 0] > body[..., 2])[:, 1] for body in bodies]
    assert [place.size > 0 for place in places] == [True, truth == "drawn"][: len(solids)]
    assert truth != "drawn" or places[0].min() > places[1].max()
    whole = np.concatenate(
        [np.pad(row, ((0, 0), (0, 3 * gallery._PANEL - row.width), (0, 0))) for row, _, _ in rows]
    )
    with Image.open(tmp_path / "case.jpg") as page:
        drawn = np.asarray(page)
    assert drawn.shape == whole.shape
    assert np.abs(drawn.astype(float) - whole).mean() < 5, "a JPEG is not exact"
