"""Effusions painted to evaluate lung masks: where they lie, and what is counted."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.volume import array_view, image_like
from COVIDSelfSegTrainingLib.cohorts.sources import Source
from COVIDSelfSegTrainingLib.evaluation import cases as cases_module
from COVIDSelfSegTrainingLib.evaluation import effusion_scores
from COVIDSelfSegTrainingLib.evaluation.cases import Case, phantom_cases
from COVIDSelfSegTrainingLib.evaluation.effusion_scores import (
    EffusionScore,
    PaintedScan,
    add_effusions,
    paint_effusion,
    score_effusions,
)
from COVIDSelfSegTrainingLib.evaluation.lung_scores import BUILT_IN, CLASSICAL, OF_SLICES
from COVIDSelfSegTrainingLib.evaluation.sheet import Sheet
from scipy import ndimage

from ..conftest import SMALL


@pytest.fixture(scope="module")
def painted(a_phantom: Phantom) -> PaintedScan:
    return paint_effusion(a_phantom.healthy_twin, a_phantom.lungs)


def test_fluid_lies_behind_the_lungs_twenty_millimetres_deep(painted: PaintedScan) -> None:
    lungs, fluid = array_view(painted.lungs) > 0, array_view(painted.fluid) > 0
    assert fluid.any()
    assert not (fluid & ~lungs).any()
    depth = fluid.sum(axis=1).max() * painted.fluid.GetSpacing()[1]
    assert depth == pytest.approx(20, abs=painted.fluid.GetSpacing()[1])
    behind = np.cumsum(lungs[:, ::-1], axis=1)[:, ::-1]  # lung from here to the back, itself among it
    rows = np.nonzero(fluid)[1]
    assert behind[fluid].max() * painted.fluid.GetSpacing()[1] <= 21 + painted.fluid.GetSpacing()[1]
    assert rows.min() > np.nonzero(lungs)[1].mean() - 1, "none in front"


def test_fluid_is_dense_up_to_the_chest_wall_and_nothing_else_changes(painted: PaintedScan) -> None:
    before, after = array_view(painted.healthy), array_view(painted.painted)
    lungs, fluid = array_view(painted.lungs) > 0, array_view(painted.fluid) > 0
    assert after[fluid].mean() == pytest.approx(10, abs=15)
    assert np.quantile(after[fluid], 0.05) > -40
    assert after[fluid].std() > 10, "fluid is as noisy as a CT"
    changed = before != after
    mm = painted.fluid.GetSpacing()[::-1]
    near = ndimage.distance_transform_edt(~fluid, sampling=mm) < 6
    assert not (changed & ~near).any()
    assert not (changed & lungs & ~fluid).any()
    assert not (changed & ~lungs & (before >= 0)).any(), "muscle and bone are no mixture with air"
    assert (after >= before).all(), "a vessel in the fluid is no less dense than it was"
    beside = ndimage.binary_dilation(fluid) & ~lungs
    assert (before[beside] < -200).mean() > 0.01, "the phantom has mixed voxels there"
    assert not (after[beside] < -200).any(), "no dark line"


def test_thinned_slices_lie_in_the_middle_of_those_that_they_stand_for(painted: PaintedScan) -> None:
    thin = painted.thinned(5)
    assert thin.slice_mm == pytest.approx(5 * painted.slice_mm)
    for name, image in vars(thin).items():
        whole = vars(painted)[name]
        assert np.array_equal(array_view(image), array_view(whole)[2::5])
        place = whole.TransformIndexToPhysicalPoint((0, 0, 7))
        assert image.TransformIndexToPhysicalPoint((0, 0, 1)) == pytest.approx(place)


def test_the_same_patient_stored_otherwise_gets_the_same_effusion(
    a_phantom: Phantom, painted: PaintedScan
) -> None:
    turned = (sitk.DICOMOrient(image, "RAI") for image in (a_phantom.healthy_twin, a_phantom.lungs))
    assert np.array_equal(array_view(paint_effusion(*turned).fluid), array_view(painted.fluid))


@pytest.mark.parametrize("side", [1, 2])
def test_where_one_lung_is_healthy_the_other_half_is_unknown_and_dry(a_phantom: Phantom, side: int) -> None:
    half = paint_effusion(a_phantom.healthy_twin, a_phantom.lungs, only_side=side)
    lungs, known = array_view(a_phantom.lungs), array_view(half.known) > 0
    assert known[lungs == side].mean() > 0.99
    assert known[lungs == 3 - side].mean() < 0.01
    assert set(np.unique(array_view(half.lungs))) == {0, side}
    assert not array_view(half.fluid)[lungs == 3 - side].any()
    assert array_view(half.fluid)[lungs == side].any()


def test_shares_are_those_of_a_mask_that_is_known(a_phantom: Phantom) -> None:
    scan = paint_effusion(a_phantom.healthy_twin, a_phantom.lungs, only_side=2)
    lungs, fluid = array_view(scan.lungs) > 0, array_view(scan.fluid) > 0

    def of(mask: np.ndarray, dry: np.ndarray | None = None) -> tuple[float, ...]:
        """Of one mask with and without effusion, or of another without."""
        masks = {True: mask if dry is None else dry, False: mask}
        return effusion_scores._shares(
            lambda given: image_like(masks[given is scan.healthy].astype(np.uint8), scan.healthy), scan
        )

    assert of(lungs) == (1, 1, 0, 0)
    assert of(lungs & ~fluid) == (0, 1, 0, 0)
    assert of(fluid) == (1, 0, 0, 0)
    known = array_view(scan.known) > 0
    assert of(lungs | ~known) == (1, 1, 0, 0), "nobody says what is there"
    rim = ndimage.binary_dilation(lungs, np.ones((1, 3, 3)))
    assert (rim & ~lungs & known).any()
    assert of(rim)[2] < 0.001, "masks may differ by a voxel of the chest wall"
    beside = ndimage.distance_transform_edt(~lungs, sampling=scan.healthy.GetSpacing()[::-1])
    shell = (beside > 6) & (beside < 10) & known
    assert of(lungs | shell)[2] > 0.7 * shell.sum() / lungs.sum(), "and no more than some"
    assert of(lungs, dry=lungs | shell)[2:] == (0, of(lungs | shell)[2])
    far = beside > 6
    extra = far & known & (np.arange(far.shape[2]) % 2 == 0)
    beyond = of(lungs | extra)[2]
    assert beyond == pytest.approx(extra.sum() / lungs.sum(), rel=0.15)


def test_what_lies_more_than_five_millimetres_beyond_the_lung_is_counted_on_voxels_of_two_and_a_half() -> (
    None
):
    lungs, fluid, plates = np.zeros((3, 24, 24, 24), bool)
    lungs[:, :, 4:12] = True
    fluid[:, 12:, 4:12] = True
    plates[:, :, 13] = True  # 5 mm from the lung
    plates[:, :, [14, 16]] = True  # 7.5 and 12.5 mm

    def image(mask: np.ndarray) -> sitk.Image:
        made = sitk.GetImageFromArray(mask.astype(np.uint8))
        made.SetSpacing((2.5, 2.5, 2.5))
        return made

    healthy, painted = image(~lungs), image(lungs)
    known = np.ones(lungs.shape, bool)
    known[12:, :, 16] = False
    scan = PaintedScan(healthy, painted, image(lungs), image(fluid), image(known))
    found = (lungs & ~fluid) | plates
    found[:, 12:18, 4:8] = True  # a quarter of the fluid
    found[:6, :12, 4:12] = False  # a quarter of the lung that is left
    masks = {id(painted): image(found), id(healthy): image(lungs)}
    shares = effusion_scores._shares(lambda given: masks[id(given)], scan)
    plate = 24 * 24 / lungs.sum()
    assert shares == pytest.approx((0.25, 0.75, 1.5 * plate, 0))
    nothing = scan.__class__(healthy, painted, image(lungs), image(fluid & False), image(known))
    dry = effusion_scores._shares(lambda given: masks[id(given)], nothing)
    assert np.isnan(dry[0]), "without fluid none is lost"


def test_the_border_that_is_wetted_is_as_wide_on_each_axis_in_millimetres() -> None:
    fluid = np.zeros((9, 9, 9), bool)
    fluid[4, 4, 4] = True
    z, y, x = np.nonzero(effusion_scores._widened(fluid, (0.5, 0.75, 5.0)))
    assert [(axis.min(), axis.max()) for axis in (z, y, x)] == [(3, 5), (2, 6), (1, 7)]
    assert z.size == 3 * 5 * 7


@pytest.fixture(scope="module")
def scores() -> list[EffusionScore]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases_module, "draw_acquisition", lambda _rng: SMALL)
        return score_effusions(phantom_cases([203]), choose_device("cpu"), lambda _name: None)


def test_the_networks_find_fluid_that_a_threshold_loses(scores: list[EffusionScore]) -> None:
    by_method = {score.method: score for score in scores}
    assert list(by_method) == [CLASSICAL, BUILT_IN, OF_SLICES]
    assert {score.scan for score in scores} == {"phantom_203_severity0"}, "those with disease are passed over"
    assert by_method[CLASSICAL].fluid < 0.1
    for method in (BUILT_IN, OF_SLICES):
        assert by_method[method].fluid > by_method[CLASSICAL].fluid + 0.1
        assert by_method[method].lung > 0.9
        assert by_method[method].beyond < 0.1


def test_a_scan_that_cannot_be_read_or_shows_no_lungs_is_passed_over(tmp_path: Path) -> None:
    cut_short, without_lungs = tmp_path / "cut_short.nii.gz", tmp_path / "without_lungs.nii.gz"
    cut_short.write_bytes(b"no scan")
    sitk.WriteImage(sitk.Image(40, 40, 30, sitk.sitkInt16), str(without_lungs))
    cases = [
        Case(path.name, Source(path.name, "healthy", "none needed", str(path)), "")
        for path in (cut_short, without_lungs)
    ]
    assert score_effusions(cases, choose_device("cpu"), lambda _name: None) == []


@pytest.mark.parametrize(("file", "learnt"), [("lidc_0001", True), ("lung1_001", False)])
def test_a_scan_is_known_as_learnt_from_also_where_one_lung_of_it_is_taken(
    a_phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, learnt: bool
) -> None:
    seen = []

    def shares(_find: object, painted: PaintedScan) -> tuple[float, ...]:
        seen.append((round(painted.slice_mm), np.unique(array_view(painted.lungs)).tolist()))
        return 0.0, 0.0, 0.0, 0.0

    monkeypatch.setattr(effusion_scores, "_shares", shares)
    path = tmp_path / f"{file}.nii.gz"
    sitk.WriteImage(a_phantom.healthy_twin, str(path))
    case = Case(f"{file}_right", Source(f"{file}_right", "healthy", "any", str(path), only_side=1), "")
    scores = score_effusions([case], choose_device("cpu"), lambda _name: None)
    told = {score.method: score.learnt for score in scores}
    assert told == {CLASSICAL: False, BUILT_IN: learnt, OF_SLICES: learnt}
    assert seen == [(5, [0, 1]), (5, [0, 1]), (25, [0, 1])], "the other lung is not looked at"


def test_the_sheet_keeps_scans_that_were_learnt_from_apart(tmp_path: Path) -> None:
    def score(scan: str, *, learnt: bool, fluid: float) -> EffusionScore:
        return EffusionScore(
            BUILT_IN, scan, "real scans", learnt, fluid, lung=1, beyond=fluid / 10, beyond_healthy=0.01
        )

    sheet = Sheet("a sheet")
    own = [("a", True, 0.9), ("b", False, 0.4), ("c", False, 0.6)]
    add_effusions(sheet, [score(scan, learnt=learnt, fluid=fluid) for scan, learnt, fluid in own])
    sheet.write(tmp_path / "out")
    with (tmp_path / "out" / "effusions.csv").open(newline="") as file:
        rows = {row["scans"]: row for row in csv.DictReader(file)}
    fresh, learnt = rows["real scans, not learnt from"], rows["real scans, learnt from"]
    assert (fresh["count"], learnt["count"]) == ("2", "1")
    assert float(fresh["effusion inside, mean"]) == pytest.approx(0.5)
    assert float(fresh["effusion inside, worst"]) == pytest.approx(0.4)
    assert float(learnt["effusion inside, mean"]) == pytest.approx(0.9)
    assert float(fresh["beyond, mean"]) == pytest.approx(0.05)
    assert float(fresh["beyond, largest"]) == pytest.approx(0.06)
    assert float(fresh["beyond without effusion, mean"]) == pytest.approx(0.01)
    with (tmp_path / "out" / "effusions_scans.csv").open(newline="") as file:
        told = {row["scan"]: row for row in csv.DictReader(file)}
    assert {scan: row["learnt from"] for scan, row in told.items()} == {"a": "yes", "b": "no", "c": "no"}
    titles = ("effusion inside", "lung inside", "beyond", "beyond without effusion")
    assert [float(told["b"][title]) for title in titles] == pytest.approx([0.4, 1, 0.04, 0.01])
    assert "no clinical performance" in (tmp_path / "out" / "sheet.html").read_text()
