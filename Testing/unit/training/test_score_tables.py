"""Tables of the sheet on made-up results: every column is what its title says."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.package_card import ThresholdKind, TrainingScan
from COVIDSelfSegLib.phantom_parts.scanner import Acquisition
from COVIDSelfSegTrainingLib.cohorts.sources import Group, Source
from COVIDSelfSegTrainingLib.evaluation import score_tables
from COVIDSelfSegTrainingLib.evaluation.cases import Case
from COVIDSelfSegTrainingLib.evaluation.evaluated import Contender, Evaluated
from COVIDSelfSegTrainingLib.evaluation.evaluation_sheet import FurtherFindings, draw_sheet
from COVIDSelfSegTrainingLib.evaluation.figures import Series, plot
from COVIDSelfSegTrainingLib.evaluation.histogram import ProbabilityHistogram
from COVIDSelfSegTrainingLib.evaluation.overlap import Overlap
from COVIDSelfSegTrainingLib.evaluation.protocols import ScanScores, SliceScores
from COVIDSelfSegTrainingLib.evaluation.score_curves import add_calibration, add_threshold_sweep
from COVIDSelfSegTrainingLib.evaluation.score_tables import (
    add_healthy,
    add_paper_protocol,
    add_phantom_groups,
    add_scan_protocol,
    add_slice_labels,
)
from COVIDSelfSegTrainingLib.evaluation.scoring import (
    EVERYTHING,
    KEEPING_DENSE,
    MIXTURE,
    OTSU,
    PLAIN,
    CaseResult,
)
from COVIDSelfSegTrainingLib.evaluation.sheet import Sheet

NAN = float("nan")


def case(name: str, group: Group, side: int = 0) -> Case:
    return Case(name, Source(name, group, "", path=f"/{name}", only_side=side), "")


CASES = (
    case("well", "healthy"),
    case("well_left", "healthy", 2),
    case("sick", "diseased"),
    case("missed", "diseased"),
    case("undrawn", "diseased"),
)


def histogram(lesion: dict[int, int], healthy: dict[int, int]) -> ProbabilityHistogram:
    """Voxels by their stored probability, 0 .. 255."""
    counts = np.zeros((2, 256), np.int64)
    for of_kind, voxels in zip(counts, (lesion, healthy), strict=True):
        of_kind[list(voxels)] = list(voxels.values())
    return ProbabilityHistogram(*counts)


def baselines(counts: Overlap) -> dict[str, Overlap]:
    other = Overlap(1, 1, 1, 1)
    return dict.fromkeys((EVERYTHING, KEEPING_DENSE, OTSU, MIXTURE), other) | {PLAIN: counts}


@pytest.fixture
def evaluated(a_package: ModelPackage) -> Evaluated:
    plain = CaseResult(
        found_ml=0.0,
        found_share=0.0,
        truth_ml=None,
        reconstruction_hu=0.0,
        twin_error=None,
        scan_scores=None,
        slice_scores=(),
        auc=None,
        plain_auc=None,
        histogram=None,
        baselines={},
        mask=np.zeros(1, np.uint8),
        features=np.zeros((2, 1, 1, 1), np.float32),
    )
    well, sick = replace(plain, truth_ml=0.0), replace(plain, truth_ml=40.0)
    results = {
        "well": replace(
            well,
            found_share=0.02,
            reconstruction_hu=10.0,
            histogram=histogram({}, {0: 90, 200: 10}),
            baselines=baselines(Overlap(0, 10, 0, 90)),
        ),
        "well_left": replace(
            well,
            found_share=0.05,
            reconstruction_hu=40.0,
            histogram=histogram({}, {0: 100}),
            baselines=baselines(Overlap(0, 30, 0, 70)),
        ),
        "sick": replace(
            sick,
            found_ml=50.0,
            scan_scores=ScanScores(0.8, 0.7, 0.6, 0.9, 0.95, 0.85, 4.0, 10.0, 2.0),
            slice_scores=(SliceScores(0.5, 0.4, 0.7, 0.99), SliceScores(0.7, 0.8, 0.9, 0.97)),
            histogram=histogram({51: 10, 204: 30}, {0: 40, 204: 20}),
            baselines=baselines(Overlap(30, 20, 10, 40)),
        ),
        "missed": replace(
            sick,
            scan_scores=ScanScores(0.0, 0.0, NAN, 1.0, 0.0, 0.0, NAN, 40.0, 8.0),
            slice_scores=(SliceScores(0.0, 0.0, NAN, 1.0),),
            histogram=histogram({0: 40}, {0: 60}),
            baselines=baselines(Overlap(0, 0, 40, 60)),
        ),
        "undrawn": replace(plain, auc=0.9, plain_auc=0.6),
    }
    card = replace(a_package.card, trained_on=tuple(TrainingScan(name, "", "") for name in ("well", "sick")))
    one = Contender("one", replace(a_package, card=card), results, Path())
    return Evaluated(CASES, (one,), ())


def rows_of(
    add: Callable[[Sheet, Evaluated], None], evaluated: Evaluated, folder: Path, table: str, key: str
) -> dict[str, dict[str, str]]:
    sheet = Sheet("A sheet")
    add(sheet, evaluated)
    sheet.write(folder)
    with (folder / f"{table}.csv").open(newline="") as file:
        return {row[key]: row for row in csv.DictReader(file)}


def numbers(row: dict[str, str]) -> dict[str, float]:
    """The cells of a row that are numbers."""
    return {name: float(value) for name, value in row.items() if value.lstrip("-")[:1].isdigit()}


def test_healthy_lungs_have_what_is_found_in_them_their_worst_and_their_error(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    rows = rows_of(add_healthy, evaluated, tmp_path, "healthy_real_scans", "method")
    one = numbers(rows["one"])
    assert (one["falsely infected, %"], one["worst, %"]) == pytest.approx((3.5, 5.0))
    assert one["reconstruction error, HU"] == 25
    assert numbers(rows[PLAIN])["falsely infected, %"] == pytest.approx(20)
    scans = rows_of(add_healthy, evaluated, tmp_path, "healthy_scans_real_scans", "scan")
    assert [(row["lungs"], row["trained on, without labels, by"]) for row in scans.values()] == [
        ("both", "one"),
        ("left", "none"),
    ]
    assert [numbers(row)["one, %"] for row in scans.values()] == pytest.approx([2, 5])
    assert [numbers(row)[f"{PLAIN}, %"] for row in scans.values()] == pytest.approx([10, 30])


def test_scans_with_drawn_lesions_have_the_means_of_what_is_defined(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    rows = rows_of(add_scan_protocol, evaluated, tmp_path, "scan_protocol_real_scans", "method")
    expected = {
        "scans": 2,
        "Dice, mean": 0.4,
        "Dice, median": 0.4,
        "sensitivity": 0.35,
        "precision": 0.6,
        "specificity in the lung": 0.95,
        "surface Dice, 5 mm": 0.475,
        "surface Dice, 3 mm": 0.425,
        "HD95, mm": 4,
        "volume error, ml": 25,
        "infected share error, points": 5,
        "of these with nothing found": 1,
        "of these trained on, without labels": 1,
    }
    one, plain = numbers(rows["one"]), numbers(rows[PLAIN])
    assert {name: one[name] for name in expected} == pytest.approx(expected)
    assert plain["Dice, mean"] == pytest.approx((60 / 90 + 0) / 2)
    assert plain["sensitivity"] == pytest.approx((30 / 40 + 0) / 2)
    assert plain["precision"] == pytest.approx(30 / 50)
    assert plain["specificity in the lung"] == pytest.approx((40 / 60 + 1) / 2)
    (contender,) = evaluated.contenders
    missed = dict.fromkeys(contender.results, contender.results["missed"])
    most = replace(contender, results=missed | {"sick": contender.results["sick"]})
    shown = replace(evaluated, contenders=(most,))
    rows = rows_of(add_scan_protocol, shown, tmp_path / "missed", "scan_protocol_real_scans", "method")
    assert (rows["one"]["of these with nothing found"], rows["one"]["scans"]) == ("4", "5")
    assert numbers(rows["one"])["Dice, median"] == 0 < numbers(rows["one"])["Dice, mean"]
    scans = rows_of(add_scan_protocol, evaluated, tmp_path, "scans_real_scans", "scan")
    assert {name: row["trained on"] for name, row in scans.items()} == {
        "sick": "yes, without labels",
        "missed": "no",
    }
    assert numbers(scans["sick"]) == pytest.approx(
        {
            **{"truth, ml": 40, "found, ml": 50, "Dice": 0.8, "sensitivity": 0.7, "precision": 0.6},
            **{"specificity in the lung": 0.9, "surface Dice, 5 mm": 0.95, "surface Dice, 3 mm": 0.85},
            **{"HD95, mm": 4, "volume error, ml": 10, "infected share error, points": 2},
        }
    )


def test_phantoms_are_grouped_by_their_own_scanner(
    evaluated: Evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanners = {
        1: Acquisition(slice_mm=1.25, noise_hu=20.0, tilt=(0.0, 0.1)),
        2: Acquisition(slice_mm=3.0, noise_hu=21.0),
        3: Acquisition(slice_mm=5.0, noise_hu=10.0),
    }
    monkeypatch.setattr(score_tables, "acquisition_of", lambda source: scanners[source.seed])
    (one,) = evaluated.contenders
    phantoms = [Case(f"p{seed}", Source(f"p{seed}", "diseased", "", seed=seed), "") for seed in scanners]
    scores = ScanScores(0.0, *[0.0] * 8)
    results = {
        case.name: replace(one.results["sick"], scan_scores=replace(scores, dice=case.source.seed / 10))
        for case in phantoms
    }
    shown = Evaluated(tuple(phantoms), (replace(one, results=results),), ())
    rows = rows_of(add_phantom_groups, shown, tmp_path, "phantom_groups", "value")
    assert {value: float(row["Dice, mean"]) for value, row in rows.items()} == pytest.approx(
        {
            **{"up to 1.25 mm": 0.1, "2 to 3 mm": 0.2, "5 to 8 mm": 0.3},
            **{"up to 20 HU": 0.2, "above 20 HU": 0.2, "oblique": 0.1, "straight": 0.25, "0 of 4": 0.2},
        }
    )


def test_slices_beside_published_values_are_averaged_in_percent(evaluated: Evaluated, tmp_path: Path) -> None:
    row = rows_of(add_paper_protocol, evaluated, tmp_path, "published", "method")["one"]
    shares = {"Dice, %": 40, "sensitivity, %": 40, "precision, %": 80, "specificity, %": 296 / 3}
    assert numbers(row) == pytest.approx({"slices": 3} | shares)


def test_a_threshold_is_swept_over_scans_with_lesions_and_healthy_ones(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    rows = rows_of(add_threshold_sweep, evaluated, tmp_path, "threshold_real_scans", "threshold")
    assert list(map(float, rows)) == pytest.approx(np.arange(1, 20) / 20)
    sick = {"0.2": 2 * 40 / (60 + 40), "0.25": 2 * 30 / (50 + 40), "0.8": 2 * 30 / (50 + 40), "0.85": 0}
    wrong = {"0.2": 10, "0.25": 10, "0.8": 0, "0.85": 0}
    for threshold, dice in sick.items():
        assert float(rows[threshold]["Dice"]) == pytest.approx(dice / 2)
        false = float(rows[threshold]["falsely infected on healthy lungs, %"])
        assert false == pytest.approx(wrong[threshold] / 2)


def test_calibration_pools_the_voxels_of_all_scans_whose_truth_is_known(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    rows = rows_of(add_calibration, evaluated, tmp_path, "calibration_real_scans", "stated")
    bins = [(float(row["stated"]), float(row["observed"]), int(row["voxels"])) for row in rows.values()]
    assert bins == [
        pytest.approx(one)
        for one in (
            (0, 40 / 330, 330),
            (51 / 255, 1, 10),
            (200 / 255, 0, 10),
            (204 / 255, 30 / 50, 50),
        )
    ]
    points = tuple((stated, observed) for stated, observed, _ in bins)
    axes = "stated probability", "share that is lesion"
    drawn = plot([Series("one", points)], *axes, x_range=(0, 1), y_range=(0, 1), diagonal=True)
    assert drawn in (tmp_path / "sheet.html").read_text()
    error = (40 + 10 * 0.8 + 10 * 200 / 255 + 50 * 0.2) / 400
    assert float(rows["0.0"]["ECE of the method"]) == pytest.approx(error)


@pytest.mark.parametrize(("kind", "said"), [("absolute", False), ("slice", True), ("volume", True)])
def test_what_is_relative_to_a_maximum_is_not_called_a_probability(
    evaluated: Evaluated, tmp_path: Path, kind: ThresholdKind, said: bool
) -> None:
    (one,) = evaluated.contenders
    card = replace(one.package.card, inference=replace(one.package.card.inference, threshold_kind=kind))
    relative = replace(one, package=replace(one.package, card=card))
    shown = replace(evaluated, contenders=(relative,))
    sheet = draw_sheet(shown, "A sheet", [], 0, slice_sets=(), further=FurtherFindings())
    page = sheet.write(tmp_path).read_text()
    assert ("&#x27;one&#x27; gives no probabilities" in page) == said
    assert ("highest probability" in (tmp_path / "packages.csv").read_text()) == said


def test_labels_of_slices_stand_with_the_auc_of_the_package_and_of_the_threshold(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    rows = rows_of(add_slice_labels, evaluated, tmp_path, "slice_labels", "scan")
    assert list(rows) == ["undrawn"]
    assert numbers(rows["undrawn"]) == {"AUC": 0.9, f"AUC, {PLAIN}": 0.6}
