"""The same scan degraded: what becomes of the voxels, and what is counted."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.pipeline import Options
from COVIDSelfSegLib.volume import array_view
from COVIDSelfSegTrainingLib.evaluation import rescan_scores
from COVIDSelfSegTrainingLib.evaluation.cases import phantom_cases
from COVIDSelfSegTrainingLib.evaluation.rescan_scores import RescanScore, add_rescans
from COVIDSelfSegTrainingLib.evaluation.rescans import Rescan, noisy, soft, sparse_slices, thick_slices
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


def test_diseased_and_healthy_scans_are_told_apart(tmp_path: Path) -> None:
    ill = [
        RescanScore("m", "a", False, "thick", 0.6, 100, 50, 0.1),
        RescanScore("m", "nothing found in either", False, "thick", float("nan"), 0, 0, 0.0),
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
