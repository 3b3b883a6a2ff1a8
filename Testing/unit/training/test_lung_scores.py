"""What is counted of lung masks: overlap with a known one, and how much of the disease lies inside."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.array_types import BoolArray
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegTrainingLib.evaluation import lung_scores
from COVIDSelfSegTrainingLib.evaluation.cases import phantom_cases
from COVIDSelfSegTrainingLib.evaluation.lung_scores import LungScore, add_lung_masks, score_lung_masks
from COVIDSelfSegTrainingLib.evaluation.sheet import Sheet

SHAPE = (4, 10, 10)
LUNG = np.s_[:, :, 2:6]
FOUND = np.s_[:, :, 3:7]


def image(values: np.ndarray) -> sitk.Image:
    made = sitk.GetImageFromArray(values)
    made.SetSpacing((1.0, 1.0, 2.0))
    return made


def mask_of(place: tuple[slice, ...]) -> BoolArray:
    mask = np.zeros(SHAPE, bool)
    mask[place] = True
    return mask


@pytest.fixture
def scan() -> sitk.Image:
    """Two of the lung's four columns hold air, as does one of what is found beside it."""
    hu = np.full(SHAPE, 40, np.int16)
    hu[:, :, 3:5] = -800
    hu[:, :, 6] = -800
    return image(hu)


def found(_: sitk.Image) -> sitk.Image:
    return image(mask_of(FOUND).astype(np.uint8))


def written(scan: sitk.Image, mask: sitk.Image, folder: Path) -> tuple[str, Path, Path]:
    files = folder / "scan.nrrd", folder / "mask.nrrd"
    for one, file in zip((scan, mask), files, strict=True):
        sitk.WriteImage(one, str(file))
    return ("a scan", *files)


def test_a_mask_is_scored_whole_and_in_aerated_lung_alone(scan: sitk.Image, tmp_path: Path) -> None:
    case = written(scan, image(mask_of(LUNG).astype(np.uint8)), tmp_path)
    (score,) = score_lung_masks({"ours": found}, [case], [], lambda _: None)
    assert (score.method, score.scan, score.real) == ("ours", "a scan", True)
    assert score.dice == pytest.approx(2 * 3 / (4 + 4))
    assert score.aerated_dice == pytest.approx(2 * 2 / (3 + 2))
    assert np.isnan(score.lesion_recall)


def test_a_mask_that_lies_elsewhere_than_the_scan_is_not_scored(scan: sitk.Image, tmp_path: Path) -> None:
    mask = image(mask_of(LUNG).astype(np.uint8))
    mask.SetOrigin((0.0, 0.0, 30.0))
    with pytest.raises(UserError, match="is not on the grid"):
        score_lung_masks({"ours": found}, [written(scan, mask, tmp_path)], [], lambda _: None)


def test_of_phantoms_the_severe_ones_tell_how_much_of_the_lesions_lies_inside(
    scan: sitk.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    lungs, lesions = (image(mask_of(place).astype(np.uint8)) for place in (LUNG, np.s_[:, :, 2:4]))
    phantom = SimpleNamespace(scan=scan, lungs=lungs, lesions=lesions)
    monkeypatch.setattr(lung_scores, "phantom_of", lambda _: phantom)
    cases = phantom_cases(range(1, 4))
    scores = score_lung_masks({"ours": found}, [], cases, lambda _: None)
    assert {case.source.severity for case in cases} == {0, 2, 3, 4}
    severe = [case.name for case in cases if case.source.severity >= 3]
    assert [score.scan for score in scores] == severe
    assert {(score.real, score.dice, score.lesion_recall) for score in scores} == {(False, 0.75, 0.5)}


def test_of_lesions_the_phantom_that_keeps_least_inside_is_the_worst(tmp_path: Path) -> None:
    sheet = Sheet("masks")
    of_phantoms = [LungScore("ours", str(recall), False, 0.9, 0.9, recall) for recall in (0.97, 0.7, 0.91)]
    add_lung_masks(sheet, [*of_phantoms, LungScore("ours", "LUNG1-001", True, 0.92, 0.99, float("nan"))])
    sheet.write(tmp_path)
    rows = {}
    for kind in ("phantoms", "real_scans"):
        with (tmp_path / f"lung_masks_{kind}.csv").open(encoding="utf-8-sig", newline="") as file:
            (rows[kind],) = csv.DictReader(file)
    assert float(rows["phantoms"]["worst"]) == 0.7
    assert float(rows["phantoms"]["lesion recall"]) == pytest.approx(0.86)
    assert float(rows["real_scans"]["Dice, LUNG1-001"]) == 0.92
    assert "worst" not in rows["real_scans"]
