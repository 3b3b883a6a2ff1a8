"""The same scan degraded: what becomes of the voxels, and what is counted."""

from __future__ import annotations

import csv
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.lungs import LungMask
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.pipeline import Options, Run
from COVIDSelfSegLib.volume import array_view
from COVIDSelfSegTrainingLib.cohorts.sources import Group, Source
from COVIDSelfSegTrainingLib.evaluation import rescan_scores
from COVIDSelfSegTrainingLib.evaluation.cases import Case, phantom_cases
from COVIDSelfSegTrainingLib.evaluation.rescan_scores import RescanScore, add_rescans
from COVIDSelfSegTrainingLib.evaluation.rescans import (
    OF_DISEASED,
    Rescan,
    noisy,
    soft,
    sparse_slices,
    thick_slices,
)
from COVIDSelfSegTrainingLib.evaluation.sheet import Sheet

from ..conftest import finding_package


@pytest.fixture
def thin() -> sitk.Image:
    values = np.random.default_rng(0).integers(-900, 100, (18, 20, 24)).astype(np.int16)
    scan = sitk.GetImageFromArray(values)
    scan.SetSpacing((0.8, 0.8, 2.0))
    scan.SetOrigin((-100.0, 50.0, -300.0))
    scan.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
    return scan


@pytest.fixture
def found(thin: sitk.Image) -> np.ndarray:
    return np.random.default_rng(1).random(array_view(thin).shape) > 0.5


def test_thick_slices_are_means_and_lie_in_the_middle_of_theirs(thin: sitk.Image, found: np.ndarray) -> None:
    thick = thick_slices(thin, found)
    values = array_view(thin)
    for z in range(4):
        of_thin = slice(4 * z, 4 * z + 4)
        assert np.abs(array_view(thick.scan)[z] - values[of_thin].mean(axis=0)).max() <= 0.5
        middle = thin.TransformContinuousIndexToPhysicalPoint((3.0, 5.0, 4 * z + 1.5))
        assert thick.scan.TransformIndexToPhysicalPoint((3, 5, z)) == pytest.approx(middle)
    assert thick.scan.GetSize() == (24, 20, 4)  # two slices are left over
    assert thick.scan.GetSpacing() == pytest.approx((0.8, 0.8, 8.0))
    of_four = found[4:8].sum(axis=0)
    assert thick.expected[1][of_four >= 3].all()
    assert not thick.expected[1][of_four <= 2].any()
    assert thick.expected_ml == pytest.approx(found[:16].sum() * 0.8 * 0.8 * 2.0 / 1000)


def test_small_foci_that_fill_no_thick_slice_count_in_the_volume_all_the_same(thin: sitk.Image) -> None:
    foci = np.zeros(array_view(thin).shape, bool)
    foci[[1, 6, 11], 5:8, 5:8] = True
    thick = thick_slices(thin, foci)
    assert not thick.expected.any()
    assert thick.expected_ml == pytest.approx(27 * 0.8 * 0.8 * 2.0 / 1000)


def test_sparse_slices_are_those_of_the_scan_where_they_were(thin: sitk.Image, found: np.ndarray) -> None:
    sparse = sparse_slices(thin, found)
    assert sparse.scan.GetSpacing() == pytest.approx((0.8, 0.8, 8.0))
    for z, of_thin in enumerate((2, 6, 10, 14)):
        assert np.array_equal(array_view(sparse.scan)[z], array_view(thin)[of_thin])
        assert np.array_equal(sparse.expected[z], found[of_thin])
        place = sparse.scan.TransformIndexToPhysicalPoint((3, 5, z))
        assert place == pytest.approx(thin.TransformIndexToPhysicalPoint((3, 5, of_thin)))
    assert sparse.expected_ml == pytest.approx(found[[2, 6, 10, 14]].sum() * 0.8 * 0.8 * 8.0 / 1000)


def test_noise_and_blur_keep_the_grid_and_the_mean(a_phantom: Phantom) -> None:
    scan = a_phantom.scan
    found = array_view(a_phantom.lesions) > 0
    inside = array_view(a_phantom.lungs) > 0
    for make, changes in ((noisy, (50, 70)), (soft, (1, 60))):
        rescan = make(scan, found)
        assert rescan.scan.GetOrigin() == scan.GetOrigin()
        assert rescan.expected is found
        difference = (array_view(rescan.scan).astype(float) - array_view(scan))[inside]
        assert abs(difference.mean()) < 12
        assert changes[0] < difference.std() < changes[1]


def test_every_package_sees_the_same_noise_and_what_it_found_before_counts(
    thin: sitk.Image, found: np.ndarray
) -> None:
    one, other = noisy(thin, found), noisy(thin, ~found)
    assert np.array_equal(array_view(one.scan), array_view(other.scan))
    ml = 0.8 * 0.8 * 2.0 / 1000
    for rescan, expected in ((one, found), (other, ~found), (soft(thin, found), found)):
        assert rescan.expected_ml == pytest.approx(expected.sum() * ml)


def test_a_degraded_scan_is_called_by_what_was_done_to_it(thin: sitk.Image, found: np.ndarray) -> None:
    names = [make(thin, found).name for make in OF_DISEASED]
    assert names == ["slices of 8 mm", "a slice every 8 mm", "noise of 60 HU added", "soft kernel"]
    noise = array_view(noisy(thin, found).scan).astype(float) - array_view(thin)
    assert noise.mean() == pytest.approx(0, abs=3)
    assert noise.std() == pytest.approx(60, abs=3)
    thin.SetSpacing((0.8, 0.8, 3.0))
    assert thick_slices(thin, found).scan.GetSpacing()[2] == 9.0
    assert sparse_slices(thin, found).scan.GetSpacing()[2] == 9.0


def test_a_soft_kernel_blurs_by_millimetres_and_within_the_slice_alone() -> None:
    hu = np.zeros((3, 11, 11), np.int16)
    hu[1, 5, 5] = 3000
    scan = sitk.GetImageFromArray(hu)
    scan.SetSpacing((1.0, 2.0, 0.5))
    made = array_view(soft(scan, hu > 0).scan)
    assert not made[[0, 2]].any()
    along_x, along_y = (made[1, 5].astype(float), made[1, :, 5].astype(float))
    assert along_x[6] / along_x[5] == pytest.approx(np.exp(-0.5 / 0.9**2), abs=0.01)
    assert along_y[6] / along_y[5] == pytest.approx(np.exp(-0.5 * 2**2 / 0.9**2), abs=0.01)


def a_case(group: Group = "diseased", only_side: int = 0) -> Case:
    return Case("a", Source("a", group, "", path="a.nii", only_side=only_side), "")


def a_run(lungs: np.ndarray, lesions: np.ndarray) -> Run:
    """One of which nothing else is looked at."""
    mask, found = (sitk.GetImageFromArray(part.astype(np.uint8)) for part in (lungs, lesions))
    parts: dict[str, Any] = dict.fromkeys(field.name for field in fields(Run))
    return Run(**parts | {"lungs": LungMask(mask, "known"), "probability": found, "lesions": found})


def test_where_one_lung_is_looked_at_no_figure_is_of_the_other() -> None:
    lungs, lesions = np.array([[[0, 1, 1, 1, 1, 2, 2]]]), np.array([[[0, 1, 0, 0, 0, 1, 1]]])
    rescan = Rescan("r", sitk.GetImageFromArray(lungs.astype(np.int16)), lesions > 0, 3.0)
    for side, share, voxels in ((0, 3 / 6, 3), (1, 1 / 4, 1), (2, 1.0, 2)):
        score = rescan_scores._score("m", a_case(only_side=side), rescan, a_run(lungs, lesions))
        assert (score.found_share, score.found_ml) == (share, pytest.approx(voxels / 1000))
        assert score.dice == pytest.approx(2 * voxels / (voxels + 3))
    lost = rescan_scores._score("m", a_case("healthy", only_side=2), rescan, a_run(lungs % 2, lesions))
    assert "left lung was not found" in lost.refused
    assert np.isnan(lost.found_share), "not 0 % falsely infected"
    unknown = replace(a_case(), has_true_size=False)
    score = rescan_scores._score("m", unknown, rescan, a_run(lungs, lesions))
    assert np.isnan([score.found_ml, score.expected_ml]).all()


@pytest.mark.parametrize(
    ("group", "slice_mm", "made"), [("healthy", 2.0, 2), ("diseased", 3.0, 4), ("diseased", 3.5, 0)]
)
def test_thin_slices_are_degraded_and_their_lungs_found_once_for_all_packages(
    group: Group, slice_mm: float, made: int, thin: sitk.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    thin.SetSpacing((0.8, 0.8, slice_mm))
    known = []

    def segment(scan: sitk.Image, _package: object, _options: object, lungs: LungMask | None) -> Run:
        known.append(lungs is not None)
        return a_run(*[np.ones(array_view(scan).shape)] * 2)

    monkeypatch.setattr(rescan_scores, "segment", lambda *given, lungs: segment(*given, lungs))
    found = SimpleNamespace(mask=np.packbits(np.ones(array_view(thin).shape, bool)))
    packages = [SimpleNamespace(label=label, package=None, results={"a": found}) for label in ("one", "two")]
    scores = rescan_scores._score_case(a_case(group), thin, packages, Options())
    assert [len(scores["one"]), len(scores["two"])] == [made, made]
    assert known == [False, True] * made


def test_of_healthy_scans_the_worst_counts_and_none_that_was_refused(tmp_path: Path) -> None:
    sheet = Sheet("t")
    nan = float("nan")
    well = [RescanScore("m", str(share), True, "thick", nan, 0, 3, share) for share in (0.001, 0.005)]
    add_rescans(sheet, [RescanScore("m", "refused", True, "thick", 0.0, 0, 0, nan, "too dark"), *well])
    sheet.write(tmp_path)
    with (tmp_path / "rescans.csv").open(newline="") as file:
        (healthy,) = csv.DictReader(file)
    assert float(healthy["falsely infected, %, worst"]) == pytest.approx(0.5)
    assert float(healthy["falsely infected, %, mean"]) == pytest.approx(0.3)
    assert (healthy["count"], healthy["refused"]) == ("3", "1")
    with (tmp_path / "rescans_scans.csv").open(newline="") as file:
        refused, _, worst = csv.DictReader(file)
    assert refused["why refused"] == "too dark"
    assert (refused["found, % of lung"], worst["why refused"]) == ("", "")
    assert worst == {
        **{"scan": "0.005", "group": "healthy", "change": "thick", "method": "m", "why refused": ""},
        **{"Dice with the original scan": "", "found in the original scan, ml": "0"},
        **{"found, ml": "3", "found, % of lung": "0.5"},
    }


def test_diseased_and_healthy_scans_are_told_apart(tmp_path: Path) -> None:
    ill = [
        RescanScore("m", "nothing found in either", False, "thick", float("nan"), 0, 0, 0.0),
        RescanScore("m", "a", False, "thick", 0.6, 100, 50, 0.1),
        RescanScore("m", "b", False, "thick", 0.8, 100, 100, 0.1),
    ]
    well = [RescanScore("m", "c", True, "thick", float("nan"), 0, 3, 0.002)]
    sheet = Sheet("t")
    add_rescans(sheet, [*ill, *well])
    sheet.write(tmp_path)
    with (tmp_path / "rescans.csv").open(newline="") as file:
        diseased, healthy = csv.DictReader(file)
    assert (diseased["scans"], healthy["scans"]) == ("diseased", "healthy lungs")
    assert float(diseased["Dice with the original scan, mean"]) == pytest.approx(0.7)
    assert float(diseased["Dice, worst"]) == pytest.approx(0.6)
    assert float(diseased["volume, times that of the original scan"]) == pytest.approx(0.75)
    assert float(healthy["falsely infected, %, worst"]) == pytest.approx(0.2)
    assert diseased["refused"] == healthy["refused"] == "0"


def test_a_scan_that_is_refused_when_made_otherwise_is_counted_and_said(
    a_phantom: Phantom, tmp_path: Path
) -> None:
    found = array_view(a_phantom.lesions) > 0
    empty = Rescan("one grey", a_phantom.scan * 0 + 40, found, 1.0)
    case, _ = phantom_cases([203])
    nothing = Rescan("one grey", empty.scan, np.zeros_like(found), 0.0)
    assert rescan_scores._score("m", case, nothing, "refused").dice == 0
    package = finding_package(tmp_path / "small.safetensors", seed=1)
    options = Options(builtin_lungs=True, device="cpu")
    refusal = rescan_scores._segmented(empty.scan, package, options, None)
    score = rescan_scores._score("m", case, empty, refusal)
    assert (score.dice, score.found_ml) == (0, 0)
    assert np.isnan(score.found_share), "a healthy scan that is refused is not one without a false lesion"
    assert "the same value" in score.refused


def test_a_model_that_cannot_be_used_is_no_scan_that_is_refused(
    a_phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one it would be kept, and count as a Dice of 0 ever after."""

    def unusable(*_: object, **__: object) -> Run:
        raise UserError("gone", why="", fix="", code=ExitCode.MODEL_UNUSABLE)

    monkeypatch.setattr(rescan_scores, "segment", unusable)
    with pytest.raises(UserError, match="gone"):
        rescan_scores._segmented(a_phantom.scan, cast(ModelPackage, None), Options(), None)
