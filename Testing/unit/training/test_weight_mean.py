"""The mean of packages that were trained one from another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegTrainingLib import training
from COVIDSelfSegTrainingLib.cli import main
from COVIDSelfSegTrainingLib.cohorts.card_names import card_name
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.evaluation.model_card import card_text
from COVIDSelfSegTrainingLib.lineage import lineage
from COVIDSelfSegTrainingLib.weight_mean import Part, check_parts, write_mean

from ..conftest import TINY

CPU = Device(torch.device("cpu"), torch.float32, "CPU")
PAINTED_ALONE = replace(TINY, segmenter=replace(TINY.segmenter, high=0, low=0, contrastive_weight=0.0))
"""So that lesions painted to calibrate by do not depend on diseased scans."""


def trained(scans: list[CohortScan], folder: Path, start: ModelPackage | None = None) -> ModelPackage:
    preset = replace(PAINTED_ALONE, name="before" if start is None else "after")
    if start is not None:
        preset = replace(preset, gan=replace(preset.gan, iterations=0))
    return training.train(
        preset, scans, folder, CPU, command=f"train {preset.name}", report=lambda *_: None, start=start
    ).package


@pytest.fixture(scope="module")
def before(training_scans: list[CohortScan], tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return trained(training_scans, tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="module")
def after(
    before: ModelPackage, training_scans: list[CohortScan], tmp_path_factory: pytest.TempPathFactory
) -> ModelPackage:
    return trained(training_scans[2:], tmp_path_factory.mktemp("after"), before)


@pytest.fixture(scope="module")
def healthy(training_scans: list[CohortScan]) -> list[CohortScan]:
    return [scan for scan in training_scans if scan.source.group == "healthy"]


def test_each_weight_lies_between_those_of_the_parts_by_their_shares(
    before: ModelPackage, after: ModelPackage, healthy: list[CohortScan], tmp_path: Path
) -> None:
    parts = [Part(before, 0.25), Part(after, 0.75)]
    mean = write_mean(parts, healthy, tmp_path / "m.safetensors", CPU, command="mean")
    network, first, last = (one.segmenter().state_dict() for one in (mean, before, after))
    assert any(not torch.equal(first[name], last[name]) for name in first)
    for name, value in network.items():
        torch.testing.assert_close(value, first[name].lerp(last[name], 0.75), rtol=1e-3, atol=1e-4)
    assert mean.card.name == after.card.name
    for name, value in mean.generator().state_dict().items():
        assert torch.equal(value, after.generator().state_dict()[name])


def test_the_card_names_every_part_and_every_scan_that_a_part_has_seen(
    healthy: list[CohortScan], training_scans: list[CohortScan], tmp_path: Path
) -> None:
    narrow = trained(training_scans[2:], tmp_path / "narrow")
    wide = trained(training_scans[:-1], tmp_path / "wide", narrow)
    parts = [Part(wide, 0.5), Part(narrow, 0.5)]
    mean = write_mean(parts, healthy, tmp_path / "m.safetensors", CPU, command="mean of two")
    names = {card_name(scan.source, scan.content_sha256) for scan in training_scans}
    assert {scan.name for scan in mean.card.trained_on} == names
    assert len(names) == len(training_scans)
    text = card_text(mean)
    assert "Made by: `mean of two`" in text
    for one in parts:
        command = one.package.card.command
        assert f"Mean of: 0.5 of `{command}` (weights {one.package.sha256[:12]})" in text


def test_the_mean_of_a_package_and_itself_is_that_package_and_is_calibrated_as_it_was(
    before: ModelPackage, healthy: list[CohortScan], tmp_path: Path
) -> None:
    parts = [Part(before, 0.5), Part(before, 0.5)]
    mean = write_mean(parts, healthy, tmp_path / "m.safetensors", CPU, command="mean")
    assert mean.sha256 == before.sha256
    ours, theirs = mean.card.inference, before.card.inference
    assert ours.calibration_slope == pytest.approx(theirs.calibration_slope, rel=0.02)
    assert ours.calibration_shift == pytest.approx(theirs.calibration_shift, rel=0.02)
    assert ours.threshold == pytest.approx(theirs.threshold, abs=0.02)
    assert replace(ours, calibration_slope=0, calibration_shift=0, threshold=0.5) == replace(
        theirs, calibration_slope=0, calibration_shift=0, threshold=0.5
    )


def test_a_mean_and_what_was_trained_from_it_or_was_a_part_of_it_have_a_training_in_common(
    before: ModelPackage, after: ModelPackage, healthy: list[CohortScan], tmp_path: Path
) -> None:
    mean = write_mean(
        [Part(before, 0.5), Part(after, 0.5)], healthy, tmp_path / "m.safetensors", CPU, command="mean"
    )
    assert before.sha256 in lineage(after)
    assert after.sha256 not in lineage(before)
    assert lineage(mean) == {mean.sha256, before.sha256, after.sha256}
    check_parts([Part(mean, 0.5), Part(before, 0.5)])


def test_weights_of_trainings_that_began_apart_have_no_mean(
    before: ModelPackage, healthy: list[CohortScan], training_scans: list[CohortScan], tmp_path: Path
) -> None:
    apart = trained(training_scans[2:], tmp_path / "apart")
    path = tmp_path / "m.safetensors"
    with pytest.raises(UserError, match="no training in common"):
        write_mean([Part(before, 0.5), Part(apart, 0.5)], healthy, path, CPU, command="mean")
    assert not path.exists()


def test_what_has_no_mean_is_refused_and_nothing_is_written(
    before: ModelPackage,
    a_package: ModelPackage,
    healthy: list[CohortScan],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(UserError, match="has the 2D network"):
        write_mean([Part(a_package, 0.5), Part(before, 0.5)], healthy, path, CPU, command="mean")
    typed = ["mean", str(healthy[0].folder.parent), str(path)]
    file = str(before.path)
    for shares in ([], ["1"], ["0.5", "0.6"], ["0.5", "half"], ["-0.5", "1.5"], ["nan", "0.5"]):
        of = [word for share in shares for word in ("--of", file, share)]
        assert main([*typed, *of]) == ExitCode.INPUT_REFUSED, shares
        assert "share" in capsys.readouterr().err
    halves = ["--of", file, "0.5", "--of", file, "0.5"]
    assert main(["mean", typed[1], str(path.with_suffix("")), *halves]) == ExitCode.INPUT_REFUSED
    assert "does not end in .safetensors" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_package_that_says_how(
    before: ModelPackage, after: ModelPackage, healthy: list[CohortScan], tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    typed = ["mean", str(healthy[0].folder.parent), str(path), "--device", "cpu"]
    assert main([*typed, "--of", str(before.path), "0.5", "--of", str(after.path), "0.5"]) == ExitCode.DONE
    assert path.is_file()
