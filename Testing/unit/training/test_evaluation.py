"""``covidselfseg evaluate`` and ``compare`` on a small cohort of files with masks."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib import pipeline
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.events import Failure, Result, StageProgress, parse_event
from COVIDSelfSegLib.lungs import LungMask, find_lungs
from COVIDSelfSegLib.models import ModelPackage, open_package
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.pipeline import Options, Run, segment
from COVIDSelfSegLib.volume import array_view, image_like, read_scan
from COVIDSelfSegTrainingLib.cli import main
from COVIDSelfSegTrainingLib.cohorts.card_names import card_name
from COVIDSelfSegTrainingLib.cohorts.cohort import open_cohort
from COVIDSelfSegTrainingLib.cohorts.sources import Source
from COVIDSelfSegTrainingLib.commands.evaluate import open_packages
from COVIDSelfSegTrainingLib.evaluation import cases as cases_module
from COVIDSelfSegTrainingLib.evaluation.baselines import THRESHOLDS_HU
from COVIDSelfSegTrainingLib.evaluation.cases import (
    Case,
    cases_of_cohort,
    phantom_cases,
)
from COVIDSelfSegTrainingLib.evaluation.comparison import differing_settings
from COVIDSelfSegTrainingLib.evaluation.evaluated import evaluate, result_key
from COVIDSelfSegTrainingLib.evaluation.evaluation_sheet import FurtherFindings, draw_sheet
from COVIDSelfSegTrainingLib.evaluation.scoring import LoadedCase, score_case

from ..command_runs import run_here
from ..conftest import COARSE, finding_package

OPTIONS = Options(builtin_lungs=True, device="cpu")
COMMAND = (sys.executable, "-m", "COVIDSelfSegTrainingLib")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelPackage]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "old": finding_package(folder / "old.safetensors", 1, 0.0),
        "new": finding_package(folder / "new.safetensors", 2, 0.05, trained_on="sick"),
    }


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory, a_coarse_phantom: Phantom) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    for part in ("healthy", "covid"):
        (folder / part).mkdir()
    sitk.WriteImage(a_coarse_phantom.healthy_twin, str(folder / "healthy" / "well.nii.gz"))
    sitk.WriteImage(a_coarse_phantom.healthy_twin + 3, str(folder / "healthy" / "well2.nii.gz"))
    sitk.WriteImage(a_coarse_phantom.scan, str(folder / "covid" / "sick.nii.gz"))
    sitk.WriteImage(a_coarse_phantom.lesions, str(folder / "covid" / "sick_mask.nii.gz"))
    sitk.WriteImage(a_coarse_phantom.scan + 3, str(folder / "covid" / "sick2.nii.gz"))
    folders = ["--healthy", str(folder / "healthy"), "--covid", str(folder / "covid")]
    more = ["--output", str(folder / "cohort"), "--held-out", "1", "--builtin-lungs", "--workers", "1"]
    assert main(["prepare", *folders, *more]) == 0
    return folder / "cohort"


def run(*arguments: str) -> tuple[int, Result | Failure]:
    more = ("--builtin-lungs", "--device", "cpu", "--events")
    code, events = run_here([*arguments, *more], main)
    assert isinstance(events[-1], Result | Failure)
    return code, events[-1]


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sheet(cohort: Path, models: dict[str, ModelPackage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sheet") / "out"
    labels = folder.parent / "labels.json"
    truth = [int(z > 30) for z in range(66)]
    labels.write_text(json.dumps({"volumes": {"sick2": {"slice_infected": truth}}}))
    code, result = run(
        *("compare", str(cohort), "--output", str(folder), "--slice-labels", str(labels)),
        *("--model", f"old={models['old'].path}", "--model", f"new={models['new'].path}"),
    )
    assert code == 0
    assert isinstance(result, Result)
    assert result.values["scans"] == 4
    assert result.values["failures"] == 0
    return folder


def test_the_scores_are_those_of_the_masks_that_a_run_writes(
    sheet: Path, cohort: Path, models: dict[str, ModelPackage], a_coarse_phantom: Phantom
) -> None:
    # As the file has it, which rounds the spacing.
    scan = read_scan(cohort.parent / "covid" / "sick.nii.gz")
    for label, model in models.items():
        lesions = segment(scan, model, OPTIONS).lesions
        oracle = sitk.LabelOverlapMeasuresImageFilter()
        oracle.Execute(
            sitk.Cast(lesions, sitk.sitkUInt8), image_like(array_view(a_coarse_phantom.lesions), lesions)
        )
        (row,) = (one for one in table(sheet, "scans_real_scans") if one["method"] == label)
        assert 0 < float(row["Dice"]) < 1
        assert float(row["Dice"]) == pytest.approx(oracle.GetDiceCoefficient())
        ml = np.prod(lesions.GetSpacing()) / 1000
        assert float(row["found, ml"]) == pytest.approx((array_view(lesions) > 0).sum() * ml)
        (packages,) = (one for one in table(sheet, "packages") if one["method"] == label)
        assert packages["SHA-256 of the weights"] == model.sha256
        assert packages["of these non-commercial"] == "1"


def test_all_that_is_found_in_a_healthy_lung_is_wrong(
    sheet: Path, models: dict[str, ModelPackage], a_coarse_phantom: Phantom
) -> None:
    run_ = segment(a_coarse_phantom.healthy_twin, models["old"], OPTIONS)
    share = 100 * run_.numbers.both.infected_share
    rows = {row["scan"].split("-")[0]: row for row in table(sheet, "every_scan") if row["method"] == "old"}
    assert float(rows["well"]["found, % of lung"]) == pytest.approx(share, rel=1e-3)
    (old,) = (row for row in table(sheet, "healthy_real_scans") if row["method"] == "old")
    both = [float(rows[name]["found, % of lung"]) for name in ("well", "well2")]
    assert float(old["falsely infected, %"]) == pytest.approx(np.mean(both))
    assert old["scans"] == "2"


def test_of_a_scan_with_one_healthy_lung_no_figure_is_of_the_other(
    models: dict[str, ModelPackage], a_coarse_phantom: Phantom, tmp_path: Path
) -> None:
    sitk.WriteImage(a_coarse_phantom.scan, str(tmp_path / "scan.nrrd"))
    results = []
    drawn: list[Run] = []
    for side in (0, 1, 2):
        source = Source("scan", "healthy", "none needed", str(tmp_path / "scan.nrrd"), only_side=side)
        loaded = LoadedCase(Case("scan", source, ""), OPTIONS)
        results.append(score_case(models["old"], loaded, lambda _, run: drawn.append(run)))
    both, right, left = results
    lungs = array_view(find_lungs(a_coarse_phantom.scan, builtin=True).image)
    share = (lungs == 1).sum() / (lungs > 0).sum()
    for name in ("reconstruction_hu", "found_share"):
        of_both, of_right, of_left = (getattr(one, name) for one in (both, right, left))
        assert abs(of_right / of_left - 1) > 0.01
        assert share * of_right + (1 - share) * of_left == pytest.approx(of_both, rel=0.02)
    middle = both.features.shape[3] // 2
    assert np.array_equal(right.features[..., : middle - 3], both.features[..., : middle - 3])
    assert not right.features[..., middle + 3 :].any()
    # A picture that shows what was found in the other lung would call it wrong.
    for image in ("lesions", "probability"):
        both_lungs, *lung = (array_view(getattr(one, image)) for one in drawn)
        for side, own in zip((1, 2), lung, strict=True):
            assert np.array_equal(own, np.where(lungs == side, both_lungs, 0))
    assert [set(np.unique(array_view(one.lungs.image))) for one in drawn[1:]] == [{0, 1}, {0, 2}]


def test_a_scan_of_which_the_healthy_lung_is_not_found_is_told_with_why(
    models: dict[str, ModelPackage], a_coarse_phantom: Phantom, tmp_path: Path
) -> None:
    sitk.WriteImage(a_coarse_phantom.scan, str(tmp_path / "scan.nrrd"))
    right = sitk.Mask(a_coarse_phantom.lungs, a_coarse_phantom.lungs == 1)
    sitk.WriteImage(right, str(tmp_path / "right.nrrd"))
    source = Source("scan", "healthy", "none needed", str(tmp_path / "scan.nrrd"), only_side=2)
    options = replace(OPTIONS, lung_mask=tmp_path / "right.nrrd")
    case, package = Case("scan", source, ""), ("old", models["old"])
    with pytest.raises(UserError) as refused:
        evaluate([case], [package], tmp_path / "out", options, lambda *_: None)
    assert "The left lung was not found" in refused.value.why


def test_the_page_has_every_section_and_needs_nothing_beside_it(sheet: Path) -> None:
    page = (sheet / "sheet.html").read_text(encoding="utf-8")
    for title in (
        *("Did it help? real scans", "Lesions, real scans", "Beside published values"),
        *("Healthy lungs, real scans", "Labels of slices", "Ablation, real scans", "Threshold, real scans"),
        *("Calibration, real scans", "Healthy, diseased and synthesised lungs", "Every scan", "Pictures"),
    ):
        assert f">{title}" in page, title
    assert "phantoms</h2>" not in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    assert len(pictures) == 8
    assert base64.b64decode(pictures[0]).startswith(b"\xff\xd8")
    assert "58.4" in page
    for title in ("Lesions, real scans", "Ablation, real scans"):
        of_title = page.partition(f">{title}</h2>")[2].partition("<h2")[0]
        assert "best level&#x27; was chosen over these very scans with the truth in view" in of_title


def test_the_page_says_which_scans_a_package_was_trained_on(sheet: Path) -> None:
    page = (sheet / "sheet.html").read_text(encoding="utf-8")
    assert "&#x27;new&#x27; was trained on 1 of these scans" in page
    assert "&#x27;old&#x27; was trained on" not in page
    for name in ("scans_real_scans", "every_scan"):
        rows = [row for row in table(sheet, name) if row["scan"].startswith("sick-")]
        seen = {row["method"]: row["trained on"] for row in rows}
        assert seen == {"old": "no", "new": "yes, without labels"}


@pytest.fixture(scope="module")
def renamed(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of the diseased scans under names with dots: ``...5`` is ``sick``, ``...4`` is ``sick2``."""
    scans = tmp_path_factory.mktemp("renamed")
    for name, before in (("1.3.6.1.5", "sick"), ("1.3.6.1.4", "sick2")):
        shutil.copy(cohort.parent / "covid" / f"{before}.nii.gz", scans / f"{name}.nii.gz")
    folders = ["--covid", str(scans), "--output", str(scans / "cohort")]
    assert main(["prepare", *folders, "--builtin-lungs", "--workers", "1"]) == 0
    return scans / "cohort"


def test_a_scan_that_a_package_was_trained_on_is_known_by_its_content_whatever_it_is_called(
    cohort: Path, renamed: Path, tmp_path: Path
) -> None:
    [trained_on] = [scan for scan in open_cohort(renamed) if "1.3.6.1.5" in str(scan.source.path)]
    name = card_name(trained_on.source, trained_on.content_sha256)
    assert "1.3.6" not in name
    package = finding_package(tmp_path / "package.safetensors", 1, trained_on=name)
    seen = {case.name: case.seen_by(package) for case in cases_of_cohort(cohort, None)}
    assert [name for name, was in seen.items() if was] == [name for name in seen if name.startswith("sick-")]


def test_labels_of_slices_are_found_by_names_with_dots(renamed: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"volumes": {"1.3.6.1.4": {"slice_infected": [0, 1]}}}))
    found = {
        Path(case.source.path or "").name: case.slice_labels
        for case in cases_of_cohort(renamed, None, labels)
    }
    assert found == {"1.3.6.1.4.nii.gz": (False, True), "1.3.6.1.5.nii.gz": None}


def test_labels_go_by_the_name_in_the_cohort_where_files_of_several_scans_are_called_alike(
    cohort: Path, tmp_path: Path
) -> None:
    for patient, before in (("p1", "sick"), ("p2", "sick2")):
        (tmp_path / "covid" / patient).mkdir(parents=True)
        shutil.copy(cohort.parent / "covid" / f"{before}.nii.gz", tmp_path / "covid" / patient / "ct.nii.gz")
    folders = ["--covid", str(tmp_path / "covid"), "--output", str(tmp_path / "cohort")]
    assert main(["prepare", *folders, "--builtin-lungs", "--workers", "1"]) == 0
    labels = tmp_path / "labels.json"

    def found(name: str) -> dict[str, tuple[bool, ...] | None]:
        labels.write_text(json.dumps({"volumes": {name: {"slice_infected": [0, 1]}}}))
        return {case.name: case.slice_labels for case in cases_of_cohort(tmp_path / "cohort", None, labels)}

    with pytest.raises(UserError, match="labels of none of the scans"):
        found("ct")
    first, second = (
        row["name"] for row in csv.DictReader((tmp_path / "cohort" / "cohort.csv").open(encoding="utf-8-sig"))
    )
    assert found(second) == {first: None, second: (False, True)}


def test_a_card_with_the_figures_of_a_sheet_names_no_file(
    sheet: Path, models: dict[str, ModelPackage], tmp_path: Path
) -> None:
    """A package is passed on, and files may be called after patients."""
    assert {row["scan"].partition("-")[0] for row in table(sheet, "slice_labels")} == {"sick2"}
    path = Path(shutil.copy(models["new"].path, tmp_path / "passed_on.safetensors"))
    assert main(["card", str(path), "--sheet", str(sheet), "--label", "new"]) == 0
    card = open_package(path).card
    assert "sick2" not in card.to_json()
    assert [one["protocol"] for one in card.metrics if one["name"] == "AUC over slices"] == [
        "labelled scan 1: infected share of the lung against labels of slices; trained on: no"
    ]


def test_a_card_says_how_many_of_the_scans_behind_a_figure_were_trained_on(
    sheet: Path, models: dict[str, ModelPackage], tmp_path: Path
) -> None:
    other = shutil.copytree(sheet, tmp_path / "sheet")
    for name in ("packages", "scan_protocol_real_scans", "scans_real_scans", "healthy_real_scans"):
        path = other / f"{name}.csv"
        path.write_text(path.read_text().replace("new,", '"new, mended",'))
    healthy = other / "healthy_scans_real_scans.csv"
    first, *rest = healthy.read_text().splitlines()
    healthy.write_text("\n".join([first, *(line.replace(",none", ',"old, new, mended"') for line in rest)]))
    path = Path(shutil.copy(models["new"].path, tmp_path / "new.safetensors"))
    assert main(["card", str(path), "--sheet", str(other), "--label", "new, mended"]) == 0
    protocols = {one["protocol"] for one in open_package(path).card.metrics}
    assert {one for one in protocols if "trained on, without" in one} == {
        "real scans with drawn lesions, mean over scans; 1 of 1 were trained on, without labels",
        "real healthy lungs; 2 of 2 were trained on, without labels",
    }


def test_a_scan_whose_labels_are_all_alike_has_no_figure_in_the_card(
    sheet: Path, models: dict[str, ModelPackage], tmp_path: Path
) -> None:
    other = shutil.copytree(sheet, tmp_path / "sheet")
    rows = table(sheet, "slice_labels")
    with (other / "slice_labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "AUC": ""} for row in rows)
    path = Path(shutil.copy(models["new"].path, tmp_path / "new.safetensors"))
    assert main(["card", str(path), "--sheet", str(other), "--label", "new"]) == 0
    assert "AUC over slices" not in {one["name"] for one in open_package(path).card.metrics}


def test_labels_of_other_scans_alone_are_refused(renamed: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"volumes": {"1.3.6.1.4.nii.gz": {"slice_infected": [0, 1]}}}))
    with pytest.raises(UserError, match="labels of none of the scans") as refused:
        cases_of_cohort(renamed, None, labels)
    assert "without its ending, such as '1.3.6.1." in refused.value.why


def test_labels_of_other_slices_than_the_scan_has_are_refused(cohort: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"volumes": {"sick2": {"slice_infected": [0, 1]}}}))
    cases = {case.name: case for case in cases_of_cohort(cohort, None, labels)}
    (labelled,) = (case for case in cases.values() if case.slice_labels is not None)
    with pytest.raises(UserError, match="labels of 2 slices, and 66 slices"):
        labelled.load()


def test_baselines_stand_beside_the_packages(sheet: Path, a_coarse_phantom: Phantom) -> None:
    rows = {row["method"]: row for row in table(sheet, "scan_protocol_real_scans")}
    assert {"old", "new", "everything in the lung", "HU threshold without vessels"} <= set(rows)
    levels = [name for name in rows if name.endswith("best level")]
    assert [name.split(" above")[0] for name in levels] == ["HU", "GAN difference"]
    truth, hu = array_view(a_coarse_phantom.lesions) > 0, array_view(a_coarse_phantom.scan)
    lungs = array_view(find_lungs(a_coarse_phantom.scan, builtin=True).image) > 0
    dice = {}
    for level in THRESHOLDS_HU:
        found = (hu > level) & lungs
        dice[f"HU above {level}, best level"] = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    best = max(dice, key=dice.__getitem__)
    assert best == levels[0]
    assert float(rows[best]["Dice, mean"]) == pytest.approx(dice[best])
    # The whole lung: Dice follows from the infected share alone.
    share = a_coarse_phantom.infected_share
    expected = 2 * share / (1 + share)
    assert float(rows["everything in the lung"]["Dice, mean"]) == pytest.approx(expected, abs=0.03)


def test_the_ablation_says_what_differs_in_the_recipes(sheet: Path) -> None:
    rows = table(sheet, "ablation_real_scans")
    assert [row["method"] for row in rows] == ["old: GAN alone", "old", "new"]
    assert [row["is"] for row in rows][1:] == ["+ network, no contrastive loss", "+ network + contrastive"]
    assert [row["segmenter.contrastive_weight"] for row in rows][1:] == ["0.0", "0.05"]
    assert "seed" not in rows[0]
    assert differing_settings({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3, "z": 0}}) == ["y", "z"]


def test_the_help_card_has_the_change_of_the_mean_within_its_interval(sheet: Path) -> None:
    rows = {row["what"]: row for row in table(sheet, "did_it_help_real_scans")}
    row = rows["falsely infected on healthy lungs, %"]
    change = float(row["new"]) - float(row["old"])
    assert float(row["change"]) == pytest.approx(change)
    low, high = float(row["95 % low"]), float(row["95 % high"])
    assert low <= change <= high
    agreement = table(sheet, "agreement_real_scans")
    assert len(agreement) == 2
    assert all(0 <= float(row["Dice of one against the other"]) <= 1 for row in agreement)


def test_a_second_run_takes_what_was_scored(
    sheet: Path, cohort: Path, models: dict[str, ModelPackage], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    shutil.copytree(sheet, output)
    files = sorted((output / ".cases").rglob("*.npz"))
    assert len(files) == 8
    damaged = [file for file in files if file.name.startswith("sick-")]
    for file in damaged:
        file.write_bytes(file.read_bytes()[:200])  # as a crash might leave it
    stamps = [file.stat().st_mtime_ns for file in files]
    model, labels = f"old={models['old'].path}", str(sheet.parent / "labels.json")
    code, _ = run(
        *("evaluate", str(cohort), "--output", str(output), "--model", model, "--slice-labels", labels)
    )
    assert code == 0
    changed = [file for file, stamp in zip(files, stamps, strict=True) if file.stat().st_mtime_ns != stamp]
    assert len(changed) == 1  # the other damaged one is of the package that was not asked for
    assert changed[0] in damaged
    before = {row["scan"]: row for row in table(sheet, "every_scan") if row["method"] == "old"}
    for row in table(output, "every_scan"):
        assert row == before[row["scan"]]


def test_what_was_scored_with_another_lung_network_is_scored_anew(
    cohort: Path, models: dict[str, ModelPackage], tmp_path: Path, another_lung_network: Callable[[], None]
) -> None:
    cases = cases_of_cohort(cohort, "held_out")[:1]

    def scored() -> int:
        evaluate(cases, [("old", models["old"])], tmp_path / "out", OPTIONS, lambda *_: None)
        return len(list((tmp_path / "out").rglob("*.npz")))

    assert [scored(), scored()] == [1, 1]
    another_lung_network()
    assert scored() == 2


@pytest.mark.parametrize("change", ["spacing", "lesion mask", "another mask", "voxels of the mask", "gone"])
def test_a_scan_is_scored_anew_when_its_spacing_or_its_mask_was_put_right(
    cohort: Path, models: dict[str, ModelPackage], tmp_path: Path, change: str
) -> None:
    copy = shutil.copytree(cohort, tmp_path / "cohort")
    manifest = json.loads((copy / "manifest.json").read_text())
    (sick,) = (one for one in manifest["scans"] if one["source"]["lesion_mask"])
    drawn = sitk.ReadImage(sick["source"]["lesion_mask"])
    for reader in "ab":
        (tmp_path / reader).mkdir()
        sitk.WriteImage(drawn * int(reader == "a"), str(tmp_path / reader / "mask.mhd"))
        for file in (tmp_path / reader).iterdir():
            os.utime(file, (0, 0))  # as some archives have it
    mask = tmp_path / "a" / "mask.mhd"
    sick["source"]["lesion_mask"] = str(mask)

    def key() -> str:
        (copy / "manifest.json").write_text(json.dumps(manifest))
        (case,) = (one for one in cases_of_cohort(copy, None) if one.name == sick["source"]["name"])
        return result_key(case, models["old"], OPTIONS)

    before = key()
    assert key() == before
    if change == "spacing":
        sick["facts"]["spacing_mm"][2] *= 2
    elif change == "another mask":
        other = tmp_path / "b" / "mask.mhd"
        assert other.stat().st_size == mask.stat().st_size
        sick["source"]["lesion_mask"] = str(other)
    elif change == "voxels of the mask":
        shutil.copyfile(tmp_path / "b" / "mask.raw", tmp_path / "a" / "mask.raw")
    elif change == "gone":
        shutil.rmtree(tmp_path / "a")
        sick["source"]["lesion_mask"] = None
        without = key()
        sick["source"]["lesion_mask"] = str(mask)
        assert key() != without, "what was scored without truth is no result of a scan whose truth is gone"
    else:
        sitk.WriteImage(drawn * 0, str(mask))
    assert key() != before


def test_the_lungs_of_a_scan_are_found_once_for_all_packages(
    cohort: Path, models: dict[str, ModelPackage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def counted(*arguments: Any, **options: Any) -> LungMask:
        found.append(find_lungs(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(pipeline, "find_lungs", counted)
    (case,) = (case for case in cases_of_cohort(cohort, "held_out") if case.name.startswith("sick-"))
    both = list(models.items())
    together = evaluate([case], both, tmp_path / "together", OPTIONS, lambda *_: None)
    assert len(found) == 1
    alone = evaluate([case], both[1:], tmp_path / "alone", OPTIONS, lambda *_: None)
    first, second, own = (
        one.results[case.name].found_ml for one in (*together.contenders, *alone.contenders)
    )
    assert second == own != first


def test_a_scan_that_is_gone_is_told_and_the_others_are_scored(
    cohort: Path, models: dict[str, ModelPackage], tmp_path: Path
) -> None:
    cases = cases_of_cohort(cohort, "held_out")
    gone = Path(cases[0].source.path or "")
    moved = gone.rename(gone.with_name("elsewhere"))
    try:
        evaluated = evaluate(cases[:2], [("old", models["old"])], tmp_path, OPTIONS, lambda *_: None)
    finally:
        moved.rename(gone)
    assert [case.name for case in evaluated.cases] == [cases[1].name]
    assert "does not exist" in evaluated.failures[0][1]


def test_phantoms_and_real_scans_never_share_a_row(
    cohort: Path, models: dict[str, ModelPackage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases_module, "draw_acquisition", lambda _rng: COARSE)
    real = [case for case in cases_of_cohort(cohort, "held_out") if "sick-" in case.name]
    cases: list[Case] = real + phantom_cases([200])
    assert all(case.source.seed < 1000 for case in cases)
    evaluated = evaluate(cases, [("old", models["old"])], tmp_path / "out", OPTIONS, lambda *_: None)
    draw_sheet(evaluated, "Both", [], 2, slice_sets=(), further=FurtherFindings()).write(tmp_path / "out")
    for part, count in (("real_scans", "1"), ("phantoms", "1")):
        (row,) = (one for one in table(tmp_path / "out", f"scan_protocol_{part}") if one["method"] == "old")
        assert row["scans"] == count
    (healthy,) = (row for row in table(tmp_path / "out", "healthy_phantoms") if row["method"] == "old")
    assert healthy["scans"] == "1"
    (row,) = (one for one in table(tmp_path / "out", "scan_protocol_phantoms") if one["method"] == "old")
    phantom = next(case.load() for case in cases if case.kind == "phantoms" and not case.is_healthy)
    lesions = array_view(phantom.truth) > 0
    twin, scan, healthy = (
        array_view(image)[lesions].astype(float)
        for image in (
            phantom.twin,
            phantom.scan,
            segment(phantom.scan, models["old"], OPTIONS).heatmap.pseudo_healthy,
        )
    )
    error = np.abs(healthy - twin).sum() / np.abs(scan - twin).sum()
    assert float(row["pseudo-healthy error, share of doing nothing"]) == pytest.approx(error)
    sections = (tmp_path / "out" / "sheet.html").read_text().split("<h2")[1:]
    of_phantoms = [one for one in sections if "phantoms" in one.partition("</h2>")[0].lower()]
    assert len(of_phantoms) == 6
    assert all("no clinical performance" in one for one in of_phantoms)


def test_what_cannot_be_evaluated_says_what_to_do(
    cohort: Path, models: dict[str, ModelPackage], tmp_path: Path
) -> None:
    model = str(models["old"].path)
    code, failure = run("compare", str(cohort), "--output", str(tmp_path), "--model", model)
    assert (code, isinstance(failure, Failure)) == (2, True)
    assert "--model twice" in failure.fix
    with pytest.raises(UserError, match="Two packages are called"):
        open_packages([model, model])
    for arguments, words in (([], "no scan to evaluate on"), ([str(tmp_path)], "no readable cohort")):
        code, failure = run("evaluate", *arguments, "--output", str(tmp_path / "out"), "--model", model)
        assert code == 2
        assert isinstance(failure, Failure)
        assert words in failure.what


def test_cancelled_it_leaves_no_page_and_goes_on_later(
    cohort: Path, models: dict[str, ModelPackage], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = [*COMMAND, "evaluate", str(cohort), "--output", str(output), "--builtin-lungs", "--events"]
    process = subprocess.Popen(
        [*arguments, "--device", "cpu", "--model", str(models["old"].path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    assert isinstance(parse_event(process.stdout.readline()), StageProgress)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "The scans that were scored stay" in said
    assert not (output / "sheet.html").exists()
    assert 1 <= len(list(output.rglob("*.npz"))) < 4
