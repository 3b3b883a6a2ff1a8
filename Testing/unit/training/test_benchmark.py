"""``covidselfseg benchmark`` on a small copy of the shared data's layout, made of one phantom."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.errors import ExitCode
from COVIDSelfSegLib.lung_masks.classical import builtin_lung_mask
from COVIDSelfSegLib.models import ModelPackage, open_package, write_package
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.pipeline import Options, Run, segment
from COVIDSelfSegLib.volume import array_view, read_scan
from COVIDSelfSegTrainingLib.cli import main
from COVIDSelfSegTrainingLib.commands import benchmark as benchmark_command
from COVIDSelfSegTrainingLib.evaluation import cases as cases_module
from COVIDSelfSegTrainingLib.evaluation import rescan_scores, scoring
from PIL import Image
from scipy import stats

from ..conftest import COARSE, finding_package


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, a_coarse_phantom: Phantom) -> Path:
    folder = tmp_path_factory.mktemp("data")
    files = {
        "ct/covidctmd_normal001.nii.gz": a_coarse_phantom.healthy_twin,
        "ct/covidctmd_P001.nii.gz": a_coarse_phantom.scan,
        "ct_cropped/lidc_0314.nii.gz": a_coarse_phantom.scan,
        "ct_cropped/lung1_001.nii.gz": a_coarse_phantom.scan,
        "ct_cropped/lung1_001_lung_mask.nii.gz": a_coarse_phantom.lungs,
    }
    for name, image in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        sitk.WriteImage(image, str(folder / name))
    infected = [int(row.any()) for row in array_view(a_coarse_phantom.lesions)]
    (folder / "labels").mkdir()
    text = json.dumps({"volumes": {"covidctmd_P001": {"slice_infected": infected}}})
    (folder / "labels" / "covidctmd_slice_labels.json").write_text(text)
    for part in ("images", "masks"):
        (folder / "medseg_dev" / part).mkdir(parents=True)
    gray = np.clip((array_view(a_coarse_phantom.scan)[30].astype(float) + 1200) / 1400 * 255, 0, 255)
    Image.fromarray(gray.astype(np.uint8)).save(folder / "medseg_dev" / "images" / "s.png")
    mask = array_view(a_coarse_phantom.lesions)[30] * np.uint8(255)
    Image.fromarray(mask).save(folder / "medseg_dev" / "masks" / "s.png")
    return folder


@pytest.fixture(scope="module")
def a_model(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return finding_package(tmp_path_factory.mktemp("model") / "small.safetensors", seed=1)


@pytest.fixture(scope="module")
def sheet(data: Path, a_model: ModelPackage) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        assert benchmark(patch, data, "small", a_model) == ExitCode.DONE
    return data / "out"


def benchmark(patch: pytest.MonkeyPatch, data: Path, label: str, model: ModelPackage, *more: str) -> int:
    patch.setattr(cases_module, "draw_acquisition", lambda _rng: COARSE)
    patch.setattr(rescan_scores, "_THIN_MM", COARSE.slice_mm)
    run = ["--model", f"{label}={model.path}", "--data", str(data), "--output", str(data / "out")]
    return main(["benchmark", *run, "--phantoms", "1", "--device", "cpu", "--builtin-lungs", *more])


@contextmanager
def left_as_it_was(sheet: Path) -> Iterator[None]:
    """For another run into the same folder, after which the other tests read the sheet of the first."""
    kept = {path: path.read_bytes() for path in sheet.iterdir() if path.is_file()}
    yield
    for path in sheet.iterdir():
        if path.is_file():
            path.unlink()
    for path, content in kept.items():
        path.write_bytes(content)


@pytest.fixture
def _no_lung_masks_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run scores lung masks anew, which takes most of the time of one that goes on from another."""
    for name in ("score_lung_masks", "score_effusions"):
        monkeypatch.setattr(benchmark_command, name, lambda *_: [])


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_real_scans_phantoms_and_slices_each_have_their_own_tables(sheet: Path) -> None:
    kinds = {row["scan"]: row["kind"] for row in table(sheet, "every_scan")}
    assert {name for name, kind in kinds.items() if kind == "real scans"} == {
        "covidctmd_normal001",
        "covidctmd_P001",
        "lidc_0314_left",
    }
    assert sum(kind == "phantoms" for kind in kinds.values()) == 2
    methods = [row["method"] for row in table(sheet, "slices_medseg_dev")]
    assert methods[0] == "small"
    assert "everything in the lung" in methods
    assert table(sheet, "scan_protocol_phantoms")[0]["scans"] == "1"
    assert not (sheet / "scan_protocol_real_scans.csv").exists()  # nobody drew their lesions


@pytest.fixture(scope="module")
def scan(data: Path) -> sitk.Image:
    """The one scan that lies in all the places of diseased ones, with the spacing that a file keeps."""
    return read_scan(data / "ct" / "covidctmd_P001.nii.gz")


@pytest.fixture(scope="module")
def run(a_model: ModelPackage, scan: sitk.Image) -> Run:
    """What the model makes of it."""
    return segment(scan, a_model, Options(builtin_lungs=True, device="cpu"))


def test_of_a_tumour_patient_only_the_clean_lung_counts(sheet: Path, run: Run) -> None:
    (row,) = (row for row in table(sheet, "healthy_scans_real_scans") if row["scan"] == "lidc_0314_left")
    left = array_view(run.lungs.image) == 2
    found = (array_view(run.lesions) > 0) & left
    assert row["lungs"] == "left"
    share, both = 100 * found.sum() / left.sum(), 100 * run.numbers.both.infected_share
    assert float(row["small, %"]) == pytest.approx(share)
    assert 0 < share != pytest.approx(both, abs=0.01)


def test_scans_made_otherwise_are_compared_with_what_was_found_before(
    sheet: Path, run: Run, a_model: ModelPackage, scan: sitk.Image
) -> None:
    rows = {(row["scan"], row["change"]): row for row in table(sheet, "rescans_scans")}
    assert {name for name, _ in rows} == {"covidctmd_normal001", "covidctmd_P001", "lidc_0314_left"}
    whole = array_view(run.lesions) > 0
    sparse = rows["covidctmd_P001", "a slice every 8 mm"]
    step = round(8 / scan.GetSpacing()[2])
    some = scan[:, :, step // 2 :: step]
    again = array_view(segment(some, a_model, Options(builtin_lungs=True, device="cpu")).lesions) > 0
    ml = np.prod(some.GetSpacing()) / 1000
    before, after = (float(sparse[name]) for name in ("found in the original scan, ml", "found, ml"))
    assert before == pytest.approx(whole[step // 2 :: step].sum() * ml)
    assert after == pytest.approx(again.sum() * ml)
    assert ("covidctmd_normal001", "soft kernel") not in rows
    assert ("covidctmd_P001", "soft kernel") in rows


@pytest.mark.usefixtures("_no_lung_masks_scored")
def test_run_again_it_segments_no_scan_that_it_has_scored(
    data: Path, sheet: Path, a_model: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_again(*_: object, **__: object) -> None:
        pytest.fail("a scan that was scored is segmented again")

    names = ("every_scan", "rescans", "rescans_scans")
    before = {name: (sheet / f"{name}.csv").read_text() for name in names}
    for module in (scoring, rescan_scores):
        monkeypatch.setattr(module, "segment", not_again)
    with left_as_it_was(sheet):
        assert benchmark(monkeypatch, data, "renamed", a_model) == ExitCode.DONE
        after = {name: (sheet / f"{name}.csv").read_text() for name in names}
    assert {name: text.replace("renamed", "small") for name, text in after.items()} == before


@pytest.mark.usefixtures("_no_lung_masks_scored")
def test_degraded_scans_can_be_left_out(
    data: Path, sheet: Path, a_model: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "The same scan, degraded" in (sheet / "sheet.html").read_text()
    with left_as_it_was(sheet):
        assert benchmark(monkeypatch, data, "small", a_model, "--without-rescans") == ExitCode.DONE
        assert "The same scan, degraded" not in (sheet / "sheet.html").read_text()


def test_lung_masks_are_scored_with_the_published_one_and_on_dense_phantoms(
    sheet: Path, a_coarse_phantom: Phantom
) -> None:
    rows = {row["method"]: row for row in table(sheet, "lung_masks_real_scans")}
    assert list(rows) == ["built-in", "classical, without its network"]
    oracle = sitk.LabelOverlapMeasuresImageFilter()
    found = sitk.Cast(builtin_lung_mask(a_coarse_phantom.scan) > 0, sitk.sitkUInt8)
    oracle.Execute(found, sitk.Cast(a_coarse_phantom.lungs > 0, sitk.sitkUInt8))
    classical = rows["classical, without its network"]
    assert float(classical["Dice, LUNG1-001"]) == pytest.approx(oracle.GetDiceCoefficient())
    aerated = sitk.Cast(a_coarse_phantom.scan < -500, sitk.sitkUInt8)
    oracle.Execute(found * aerated, sitk.Cast(a_coarse_phantom.lungs > 0, sitk.sitkUInt8) * aerated)
    assert float(classical["Dice, aerated lung only, mean"]) == pytest.approx(oracle.GetDiceCoefficient())
    dense = {row["method"]: float(row["lesion recall"]) for row in table(sheet, "lung_masks_phantoms")}
    assert 0 < dense["classical, without its network"] < dense["built-in"] <= 1


def test_labelled_scans_are_ranked_slice_by_slice(sheet: Path, run: Run, a_coarse_phantom: Phantom) -> None:
    """A rank test's U is the number of pairs of an infected and another slice that are in the right order."""
    (row,) = table(sheet, "slice_labels")
    assert row["scan"] == "covidctmd_P001"
    found, lungs = (array_view(image) > 0 for image in (run.lesions, run.lungs.image))
    holding = lungs.any(axis=(1, 2))
    shares = np.array([one[lung].mean() for one, lung in zip(found[holding], lungs[holding], strict=True)])
    infected = (array_view(a_coarse_phantom.lesions) > 0).any(axis=(1, 2))[holding]
    pairs = stats.mannwhitneyu(shares[infected], shares[~infected]).statistic
    assert float(row["AUC"]) == pytest.approx(pairs / (infected.sum() * (~infected).sum()))
    assert float(row["AUC"]) != pytest.approx(0.5)


def test_phantoms_are_told_apart_by_scanner_and_severity(sheet: Path) -> None:
    rows = table(sheet, "phantom_groups")
    assert {row["what"] for row in rows} == {"slices", "noise", "axes", "severity"}
    severities = [row["value"] for row in rows if row["what"] == "severity"]
    assert severities == ["4 of 4"]


def test_reliability_is_drawn_for_phantoms_and_for_annotated_slices(sheet: Path) -> None:
    for name in ("calibration_phantoms", "calibration_slices_medseg_dev"):
        rows = table(sheet, name)
        assert rows
        assert all(0 <= float(row["observed"]) <= 1 for row in rows)


def test_without_the_shared_scans_the_page_says_so(
    sheet: Path, tmp_path: Path, a_model: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases_module, "draw_acquisition", lambda _rng: COARSE)
    (tmp_path / "empty").mkdir()
    shutil.copytree(sheet / ".cases", tmp_path / "out" / ".cases")  # what was scored is not scored again
    model = ["--model", str(a_model.path), "--output", str(tmp_path / "out"), "--device", "cpu"]
    nothing = ["benchmark", *model, "--data", str(tmp_path / "empty")]
    assert main([*nothing, "--phantoms", "1", "--builtin-lungs"]) == ExitCode.DONE
    assert "no real rows" in (tmp_path / "out" / "sheet.html").read_text()
    assert main([*nothing, "--phantoms", "0"]) == ExitCode.INPUT_REFUSED
    assert main(["benchmark", *model, "--data", str(tmp_path / "gone")]) == ExitCode.INPUT_REFUSED


def test_a_card_takes_over_the_figures_of_its_own_sheet(
    sheet: Path, a_model: ModelPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.safetensors"
    shutil.copy(a_model.path, copy)
    said = ["--label", "small", "--failure", "Dust on the lens."]
    assert main(["card", str(copy), "--sheet", str(sheet), *said]) == ExitCode.DONE
    text = capsys.readouterr().out
    after = open_package(copy)
    assert after.sha256 == a_model.sha256
    (dice,) = (
        one["value"]
        for one in after.card.metrics
        if one["name"] == "Dice, mean" and "phantoms" in one["protocol"]
    )
    assert dice == float(table(sheet, "scan_protocol_phantoms")[0]["Dice, mean"])
    assert any(one["protocol"].startswith("medseg_dev: ") for one in after.card.metrics)
    assert f"| {dice:.3f} |" in text
    assert "- Dust on the lens." in text


def test_another_threshold_holds_for_slices_too_and_stays_out_of_the_card(
    data: Path, a_model: ModelPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for threshold in ("0.2", "0.8"):
        out = tmp_path / threshold
        slices = ["--slices", str(data / "medseg_dev"), "--builtin-lungs", "--threshold", threshold]
        model = ["--model", f"small={a_model.path}", "--device", "cpu"]
        assert main(["evaluate", *model, *slices, "--output", str(out)]) == ExitCode.DONE
        assert table(out, "packages")[0]["threshold"] == threshold
        found.append(float(table(out, "slices_medseg_dev")[0]["sensitivity"]))
    assert found[0] > found[1]
    copy = tmp_path / "copy.safetensors"
    shutil.copy(a_model.path, copy)
    assert main(["card", str(copy), "--sheet", str(out), "--label", "small"]) == ExitCode.INPUT_REFUSED
    assert "threshold 0.8" in capsys.readouterr().err
    assert open_package(copy).card.metrics == ()


def test_a_card_refuses_the_figures_of_its_weights_as_they_were_calibrated_before(
    sheet: Path, a_model: ModelPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inference = replace(a_model.card.inference, calibration_equalised_slope=0.5)
    card = replace(a_model.card, inference=inference)
    weights = a_model.generator().state_dict(), a_model.segmenter().state_dict()
    anew = write_package(tmp_path / "anew.safetensors", card, *weights)
    assert anew.sha256 == a_model.sha256
    assert main(["card", str(anew.path), "--sheet", str(sheet), "--label", "small"]) == ExitCode.INPUT_REFUSED
    assert "calibrated or run differently" in capsys.readouterr().err
    assert open_package(anew.path).card.metrics == ()


def test_a_card_refuses_the_figures_of_other_weights(
    sheet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = finding_package(tmp_path / "other.safetensors", seed=2)
    before = other.path.read_bytes()
    assert (
        main(["card", str(other.path), "--sheet", str(sheet), "--label", "small"]) == ExitCode.INPUT_REFUSED
    )
    assert "no figures" in capsys.readouterr().err
    assert main(["card", str(other.path), "--sheet", str(tmp_path)]) == ExitCode.INPUT_REFUSED
    assert main(["card", str(other.path), "--failure", "Dust on the lens."]) == ExitCode.INPUT_REFUSED
    assert other.path.read_bytes() == before


def test_a_package_gets_another_threshold_of_its_own_and_loses_the_figures_of_the_old_one(
    sheet: Path, a_model: ModelPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.safetensors"
    shutil.copy(a_model.path, copy)
    assert main(["card", str(copy), "--sheet", str(sheet), "--label", "small"]) == ExitCode.DONE
    assert open_package(copy).card.metrics
    assert main(["card", str(copy), "--threshold", "0.77"]) == ExitCode.DONE
    assert "Threshold 0.77" in capsys.readouterr().out
    after = open_package(copy)
    assert (after.card.inference.threshold, after.card.metrics) == (0.77, ())
    assert after.sha256 == a_model.sha256
    for nonsense in ("0", "1", "nan"):
        assert main(["card", str(copy), "--threshold", nonsense]) == ExitCode.INPUT_REFUSED
    assert open_package(copy).card.inference.threshold == 0.77


def test_a_package_is_changed_only_where_its_file_is_named(
    sheet: Path,
    a_model: ModelPackage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(a_model.path, tmp_path / "copy.safetensors")
    before = (tmp_path / "copy.safetensors").read_bytes()
    monkeypatch.setenv("COVIDSELFSEG_MODELS", str(tmp_path))
    assert main(["card", "copy"]) == ExitCode.DONE
    for change in (["--threshold", "0.77"], ["--sheet", str(sheet), "--label", "small"]):
        assert main(["card", "copy", *change]) == ExitCode.INPUT_REFUSED
        assert "the name of a package, not a file" in capsys.readouterr().err
    assert (tmp_path / "copy.safetensors").read_bytes() == before


def test_painted_effusions_are_looked_for_in_every_healthy_scan(sheet: Path) -> None:
    rows = table(sheet, "effusions_scans")
    assert {row["scan"] for row in rows} == {
        "covidctmd_normal001",
        "lidc_0314_left",
        "phantom_203_severity0",
    }
    learnt = {(row["scan"], row["method"]): row["learnt from"] for row in rows}
    assert learnt["covidctmd_normal001", "built-in"] == "yes"
    assert learnt["covidctmd_normal001", "classical, without its network"] == "no"
    assert learnt["phantom_203_severity0", "built-in"] == "no"
    assert {row["scans"] for row in table(sheet, "effusions")} == {
        "phantoms, not learnt from",
        "real scans, learnt from",
        "real scans, not learnt from",
    }
