"""``covidselfseg calibrate``: the same weights, calibrated anew."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import ExitCode
from COVIDSelfSegLib.models import ModelPackage, open_package, write_package
from COVIDSelfSegLib.package_card import Inference
from COVIDSelfSegLib.segmentation import Calibration, ValueKind
from COVIDSelfSegTrainingLib import training
from COVIDSelfSegTrainingLib.calibration import Judged
from COVIDSelfSegTrainingLib.cli import main
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.evaluation.model_card import card_text
from COVIDSelfSegTrainingLib.lineage import lineage
from COVIDSelfSegTrainingLib.presets import Preset
from COVIDSelfSegTrainingLib.segmenter import SegmenterTrainer

from ..conftest import TINY

CPU = Device(torch.device("cpu"), torch.float32, "CPU")
PAINTED = replace(TINY, calibration_batches=2, segmenter=replace(TINY.segmenter, painted=24))
OF_EQUALISED = ("calibration_equalised_slope", "calibration_equalised_shift")


@pytest.fixture(scope="module")
def package(training_scans: list[CohortScan], tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """Trained a little, and then told another calibration, as a package of before had it."""
    folder = tmp_path_factory.mktemp("trained")
    outcome = training.train(PAINTED, training_scans, folder, CPU, command="train", report=lambda *_: None)
    old = {"threshold": 0.9, "calibration_slope": 0.1, **dict.fromkeys(OF_EQUALISED, 0.0)}
    made = outcome.package
    inference = replace(made.card.inference, **old)  # type: ignore[arg-type]
    return written(made, inference, folder / "old.safetensors")


def written(package: ModelPackage, inference: Inference, path: Path, **card: object) -> ModelPackage:
    weights = package.generator().state_dict(), package.segmenter().state_dict()
    return write_package(path, replace(package.card, inference=inference, **card), *weights)  # type: ignore[arg-type]


def calibrated(package: ModelPackage, scans: list[CohortScan], output: Path, *more: str) -> ModelPackage:
    given = ["calibrate", str(scans[0].folder.parent), str(package.path), str(output)]
    assert main([*given, "--device", "cpu", *more]) == ExitCode.DONE
    return open_package(output)


def test_calibrated_anew_a_package_finds_painted_lesions_at_its_threshold(
    package: ModelPackage, training_scans: list[CohortScan], tmp_path: Path
) -> None:
    anew = calibrated(package, training_scans, tmp_path / "anew.safetensors")
    assert anew.sha256 == package.sha256
    before, after = (asdict(one.card.inference) for one in (package, anew))
    changed = {name for name, value in after.items() if value != before[name]}
    assert changed == {"threshold", "calibration_slope", "calibration_shift", *OF_EQUALISED}
    assert anew.card.metrics == ()
    cohort = training_scans[0].folder.parent.name
    said = f"covidselfseg calibrate {cohort} old.safetensors anew.safetensors --device cpu"
    assert f"Calibrated by: `{said}`" in card_text(anew)
    # Weights that were calibrated, not trained, have the same history.
    assert lineage(anew) == lineage(package)


def test_of_equalised_pictures_alone_nothing_else_changes(
    package: ModelPackage, training_scans: list[CohortScan], tmp_path: Path
) -> None:
    anew = calibrated(package, training_scans, tmp_path / "anew.safetensors", "--equalised", "--batches", "3")
    assert anew.sha256 == package.sha256
    assert anew.card.inference.calibration_equalised_slope > 0
    assert replace(anew.card.inference, **dict.fromkeys(OF_EQUALISED, 0.0)) == package.card.inference


def test_the_card_names_every_command_that_what_holds_came_from(
    package: ModelPackage, training_scans: list[CohortScan], tmp_path: Path
) -> None:
    first = calibrated(package, training_scans, tmp_path / "first.safetensors")
    second = calibrated(
        first, training_scans, tmp_path / "second.safetensors", "--equalised", "--batches", "3"
    )
    third = calibrated(second, training_scans, tmp_path / "third.safetensors")
    start = f"covidselfseg calibrate {training_scans[0].folder.parent.name}"
    all_of_it = f"{start} old.safetensors first.safetensors --device cpu"
    equalised = f"{start} first.safetensors second.safetensors --device cpu --equalised --batches 3"
    again = f"{start} second.safetensors third.safetensors --device cpu"
    assert f"Calibrated by: `{all_of_it} && {equalised}`" in card_text(second)
    assert f"Calibrated by: `{again}`" in card_text(third)


def test_each_calibration_is_that_of_what_was_judged_of_its_kind(training_scans: list[CohortScan]) -> None:
    healthy = [scan for scan in training_scans if scan.source.group == "healthy"]
    rng = np.random.default_rng(1)
    logits = rng.normal(-1, 2, 100_000)

    class Judge(SegmenterTrainer):
        """Whose network is right as often as it says, but less often in equalised pictures."""

        def judge_unseen(self, batches: int) -> dict[ValueKind, Judged]:
            assert batches == TINY.calibration_batches
            sure, unsure = (rng.random(len(logits)) < 1 / (1 + np.exp(-slope * logits)) for slope in (1, 0.5))
            return {"hu": Judged(logits, sure), "equalised": Judged(logits, unsure)}

    inference = Judge(TINY, healthy, [], CPU).calibrated()
    assert Calibration.of(inference).slope == pytest.approx(1, abs=0.03)
    assert Calibration.of(inference, "picture") == Calibration.of(inference)
    assert Calibration.of(inference, "equalised").slope == pytest.approx(0.5, abs=0.03)


def test_what_cannot_be_calibrated_is_refused_and_nothing_is_written(
    package: ModelPackage,
    training_scans: list[CohortScan],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, cohort = tmp_path / "out.safetensors", str(training_scans[0].folder.parent)
    by_hand = replace(PAINTED, calibration_batches=0)
    unvaried = replace(PAINTED, segmenter=replace(PAINTED.segmenter, augmentation="pose"))
    refusals: tuple[tuple[Preset, list[str], str], ...] = (
        (by_hand, [], "calibrates nothing"),
        (unvaried, ["--equalised"], "No lesion was painted in an equalised picture"),
    )
    for preset, more, said in refusals:
        other = tmp_path / "other.safetensors"
        written(package, package.card.inference, other, recipe=asdict(preset))
        assert main(["calibrate", cohort, str(other), str(output), *more]) == ExitCode.INPUT_REFUSED
        assert said in capsys.readouterr().err
    sick = next(scan for scan in training_scans if scan.source.group == "diseased")
    shutil.copytree(sick.folder, tmp_path / "sick" / sick.folder.name)
    given = ["calibrate", str(tmp_path / "sick"), str(package.path), str(output)]
    assert main(given) == ExitCode.INPUT_REFUSED
    assert "has no healthy scan" in capsys.readouterr().err
    assert not output.exists()
    assert main(["calibrate", cohort, "covidselfseg-default", str(output)]) == ExitCode.INPUT_REFUSED
    said = capsys.readouterr().err
    assert "cut into grids of (16, 32, 32) and (48, 64)" in said
    assert "the package 'covidselfseg-default' wants grids of (32, 128, 128) and (192, 256)" in said
    assert not output.exists()
    nameless = tmp_path / "calibrated"
    assert main(["calibrate", cohort, str(package.path), str(nameless)]) == ExitCode.INPUT_REFUSED
    assert f"Name it {nameless}.safetensors" in capsys.readouterr().err
    assert not nameless.exists()


def test_a_package_can_be_written_into_a_new_folder(
    package: ModelPackage, training_scans: list[CohortScan], tmp_path: Path
) -> None:
    calibrated(package, training_scans, tmp_path / "new" / "anew.safetensors")
