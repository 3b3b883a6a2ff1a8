"""'Did it help?' and 'best level' on made-up results, whose answer is known without any scan."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegTrainingLib.cohorts.sources import Source
from COVIDSelfSegTrainingLib.evaluation.cases import Case
from COVIDSelfSegTrainingLib.evaluation.comparison import add_ablation, add_help_card
from COVIDSelfSegTrainingLib.evaluation.evaluated import Contender, Evaluated
from COVIDSelfSegTrainingLib.evaluation.overlap import Overlap
from COVIDSelfSegTrainingLib.evaluation.protocols import ScanScores
from COVIDSelfSegTrainingLib.evaluation.score_curves import add_groups
from COVIDSelfSegTrainingLib.evaluation.score_tables import (
    add_healthy,
    add_scan_protocol,
    best_level,
)
from COVIDSelfSegTrainingLib.evaluation.scoring import (
    DIFFERENCE,
    EVERYTHING,
    KEEPING_DENSE,
    MIXTURE,
    OTSU,
    PLAIN,
    THRESHOLD,
    CaseResult,
)
from COVIDSelfSegTrainingLib.evaluation.sheet import Sheet
from scipy import stats

HEALTHY = tuple(Case(f"well{n}", Source(f"well{n}", "healthy", "", path=f"/well{n}"), "") for n in range(4))
DISEASED = tuple(Case(f"sick{n}", Source(f"sick{n}", "diseased", "", path=f"/sick{n}"), "") for n in range(4))
FALSE_SHARE, RECONSTRUCTION, DICE = (
    "falsely infected on healthy lungs, %",
    "reconstruction error on healthy lungs, HU",
    "lesion Dice",
)


def result(
    *,
    share: float = 0.0,
    reconstruction: float = 0.0,
    dice: float | None = None,
    baselines: dict[str, Overlap] | None = None,
) -> CaseResult:
    return CaseResult(
        found_ml=0.0,
        found_share=share,
        truth_ml=None,
        reconstruction_hu=reconstruction,
        twin_error=None,
        scan_scores=None if dice is None else ScanScores(dice, *[0.0] * 8),
        slice_scores=(),
        auc=None,
        plain_auc=None,
        histogram=None,
        baselines=baselines or {},
        mask=np.zeros(1, np.uint8),
        features=np.zeros((2, 1, 1, 1), np.float32),
    )


def contender(
    label: str,
    package: ModelPackage,
    shares: Sequence[float],
    reconstructions: Sequence[float],
    dices: Sequence[float],
) -> Contender:
    healthy = {
        case.name: result(share=share, reconstruction=error)
        for case, share, error in zip(HEALTHY, shares, reconstructions, strict=True)
    }
    diseased = {case.name: result(dice=dice) for case, dice in zip(DISEASED, dices, strict=True)}
    return Contender(label, package, healthy | diseased, Path())


@pytest.fixture
def weak(a_package: ModelPackage) -> Contender:
    return contender("weak", a_package, [0.05, 0.06, 0.07, 0.06], [80, 90, 85, 95], [0.3, 0.4, 0.35, 0.3])


@pytest.fixture
def strong(a_package: ModelPackage) -> Contender:
    return contender("strong", a_package, [0.01, 0.02, 0.01, 0.02], [30, 40, 30, 45], [0.7, 0.8, 0.9, 0.8])


@pytest.fixture
def mixed(a_package: ModelPackage) -> Contender:
    """Beside the weak one, better on two scans and worse on two."""
    return contender("mixed", a_package, [0.01, 0.1, 0.03, 0.1], [30, 140, 35, 145], [0.1, 0.6, 0.15, 0.5])


def card(old: Contender, *newer: Contender, folder: Path) -> dict[str, dict[str, str]]:
    sheet = Sheet("A sheet")
    add_help_card(sheet, Evaluated(HEALTHY + DISEASED, (old, *newer), ()))
    sheet.write(folder)
    with (folder / "did_it_help_real_scans.csv").open(newline="") as file:
        return {row["what"]: row for row in csv.DictReader(file)}


def test_less_false_disease_less_error_and_more_dice_are_better(
    weak: Contender, mixed: Contender, strong: Contender, tmp_path: Path
) -> None:
    rows = card(weak, mixed, strong, folder=tmp_path)  # the first and the last are compared
    assert {name: row["answer"] for name, row in rows.items()} == {
        FALSE_SHARE: "better",
        RECONSTRUCTION: "better",
        DICE: "better",
    }
    changes = {name: float(row["change"]) for name, row in rows.items()}
    assert changes == {
        FALSE_SHARE: pytest.approx(1.5 - 6.0),
        RECONSTRUCTION: pytest.approx(36.25 - 87.5),
        DICE: pytest.approx(0.8 - 0.3375),
    }
    assert [float(rows[DICE][name]) for name in ("weak", "strong")] == pytest.approx([0.3375, 0.8])


def test_the_other_way_round_all_of_them_are_worse(
    weak: Contender, strong: Contender, tmp_path: Path
) -> None:
    rows = card(strong, weak, folder=tmp_path)
    assert {name: row["answer"] for name, row in rows.items()} == {
        FALSE_SHARE: "worse",
        RECONSTRUCTION: "worse",
        DICE: "worse",
    }


def test_where_some_scans_are_better_and_some_worse_nothing_is_shown(
    weak: Contender, mixed: Contender, tmp_path: Path
) -> None:
    for old, new in ((weak, mixed), (mixed, weak)):
        rows = card(old, new, folder=tmp_path / new.label)
        assert {row["answer"] for row in rows.values()} == {"not shown"}
        assert all(float(row["95 % low"]) < 0 < float(row["95 % high"]) for row in rows.values())


def test_agreement_is_the_overlap_of_both_results_in_scans_with_disease(
    weak: Contender, strong: Contender, tmp_path: Path
) -> None:
    both = []
    for one, found in ((weak, [1, 1, 1, 0, 0, 0, 0, 0, 1]), (strong, [0, 1, 1, 1, 1, 1, 0, 0, 0])):
        of_case = replace(one.results["sick0"], mask=np.packbits(found), found_ml=sum(found) / 10)
        both.append(replace(one, results=one.results | {"sick0": of_case}))
    card(*both, folder=tmp_path)
    with (tmp_path / "agreement_real_scans.csv").open(newline="") as file:
        row, *others = csv.DictReader(file)
    assert [one["scan"] for one in (row, *others)] == [case.name for case in DISEASED]
    assert float(row["Dice of one against the other"]) == pytest.approx(2 * 2 / (4 + 5))
    assert (row["found by weak, ml"], row["found by strong, ml"]) == ("0.4", "0.5")
    assert {one["Dice of one against the other"] for one in others} == {""}, "nothing against nothing"


def test_every_interval_of_scans_counts_patients(weak: Contender, strong: Contender, tmp_path: Path) -> None:
    """Two patients with two scans each are two, whose means alone are independent."""
    cases = tuple(
        replace(case, source=replace(case.source, patient=f"{case.source.group}{place // 2}"))
        for group in (HEALTHY, DISEASED)
        for place, case in enumerate(group)
    )
    healthy, sick = cases[:4], cases[4:]
    family = {
        name: counts(0.5)
        for name in (EVERYTHING, PLAIN, KEEPING_DENSE, OTSU, MIXTURE, f"{THRESHOLD} 1", f"{DIFFERENCE} 1")
    }
    both = [
        replace(one, results={name: replace(of, baselines=family) for name, of in one.results.items()})
        for one in (weak, strong)
    ]
    evaluated = Evaluated(cases, tuple(both), ())
    sheet = Sheet("A sheet")
    for add in (add_help_card, add_scan_protocol, add_healthy, add_ablation):
        add(sheet, evaluated)
    sheet.write(tmp_path)

    def interval(values: Sequence[float]) -> tuple[float, float]:
        of_patients = np.reshape(values, (2, 2)).mean(axis=1)
        return stats.ttest_1samp(of_patients, 0).confidence_interval(0.95)

    shares, dices = (
        [[value_of(one.results[case.name]) for case in group] for one in both]
        for group, value_of in (
            (healthy, lambda one: 100 * one.found_share),
            (sick, lambda one: one.scan_scores.dice),
        )
    )
    expected = {
        ("did_it_help_real_scans", FALSE_SHARE): interval(np.subtract(*shares[::-1])),
        ("did_it_help_real_scans", DICE): interval(np.subtract(*dices[::-1])),
        ("scan_protocol_real_scans", "weak"): interval(dices[0]),
        ("healthy_real_scans", "weak"): interval(shares[0]),
        ("ablation_real_scans", "weak"): interval(dices[0]),
    }
    for (name, row_name), ends in expected.items():
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            (row,) = (row for row in csv.DictReader(file) if row_name in row.values())
        assert (float(row["95 % low"]), float(row["95 % high"])) == pytest.approx(tuple(ends)), name


def test_the_ablation_asks_a_package_for_its_own_recipe_and_not_for_those_it_began_with(
    weak: Contender, tmp_path: Path
) -> None:
    preset = {"seed": 1, "segmenter": {"contrastive_weight": 0.0, "rate": 0.001}}
    parent = {"seed": 5, "segmenter": {"contrastive_weight": 0.05, "rate": 0.002}}
    before = {"name": "parent", "weights_sha256": "0", "command": "train", "recipe": parent}
    recipes = {
        "alone": preset | {"seed": 2},
        "started": preset | {"started_from": before},
        "mean": preset | {"mean_of": [before]},
    }
    contenders = []
    for label, recipe in recipes.items():
        card = replace(weak.package.card, recipe=recipe)
        contenders.append(replace(weak, label=label, package=replace(weak.package, card=card)))
    sheet = Sheet("A sheet")
    add_ablation(sheet, Evaluated(DISEASED, tuple(contenders), ()))
    sheet.write(tmp_path)
    with (tmp_path / "ablation_real_scans.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["is"] for row in rows} == {"+ network, no contrastive loss"}
    assert list(rows[0]) == ["method", "is", "Dice, mean", "95 % low", "95 % high", "seed"]


def test_a_lung_that_is_left_out_is_no_difference_between_groups(
    a_package: ModelPackage, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    of_one_lung = replace(
        HEALTHY[0], name="one lung", source=replace(HEALTHY[0].source, name="one lung", only_side=1)
    )
    cases = (*HEALTHY, of_one_lung, *DISEASED)
    results = {
        case.name: replace(result(), features=rng.normal(0.1, 0.02, (2, 2, 2, 4)).astype(np.float32))
        for case in cases
    }
    for of_case in results.values():
        of_case.features[1] = of_case.features[0] - 0.1
    results["one lung"].features[..., 2:] = 0
    tables = []
    for place, shown in enumerate((HEALTHY + DISEASED, cases)):
        sheet = Sheet("A sheet")
        add_groups(sheet, Evaluated(shown, (Contender("one", a_package, results, Path()),), ()))
        sheet.write(tmp_path / str(place))
        tables.append((tmp_path / str(place) / "distances_real_scans.csv").read_text())
    assert tables[0] == tables[1]
    (row,) = (one for one in csv.DictReader(tables[0].splitlines()) if "healthy" not in one["between"])
    assert row["between"] == "diseased and synthesised"
    ends = [float(row[name]) for name in ("distance, unit HU", "95 % low", "95 % high")]
    assert ends == pytest.approx([0.1] * 3, abs=1e-6), "scan by scan, each differs by as much"
    sheet = Sheet("A sheet")
    single = (HEALTHY[0], of_one_lung, *DISEASED)
    add_groups(sheet, Evaluated(single, (Contender("one", a_package, results, Path()),), ()))
    assert "distances" not in sheet.write(tmp_path / "single").read_text(), "one scan is no group"


def counts(dice: float) -> Overlap:
    """As many voxels found as are true, so that Dice is the share of them that are both."""
    return Overlap(round(100 * dice), 100 - round(100 * dice), 100 - round(100 * dice), 0)


def test_the_best_level_has_the_highest_mean_dice_whatever_it_is_on_one_scan(
    a_package: ModelPackage,
) -> None:
    dice = {
        f"{THRESHOLD} -780": (0.9, 0.1),  # best on the first scan
        f"{THRESHOLD} -700": (0.6, 0.6),  # best on both together
        f"{THRESHOLD} -500": (0.2, 0.8),  # best on the second
        f"{DIFFERENCE} 100": (0.9, 0.9),  # of another family
        f"{DIFFERENCE} 200": (1.0, 1.0),
    }
    results = {
        case.name: result(baselines={name: counts(values[place]) for name, values in dice.items()})
        for place, case in enumerate(DISEASED[:2])
    }
    one = Contender("one", a_package, results, Path())
    assert best_level(one, DISEASED[:2], THRESHOLD) == f"{THRESHOLD} -700"
    assert best_level(one, DISEASED[:2], DIFFERENCE) == f"{DIFFERENCE} 200"
    assert best_level(one, DISEASED[1:2], THRESHOLD) == f"{THRESHOLD} -500"
    assert best_level(one, DISEASED[:2], "another family") is None
