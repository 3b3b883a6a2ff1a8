"""A training may start from a package: nothing of where its weights came from is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.models import ModelPackage, open_package
from COVIDSelfSegLib.package_card import TrainingScan, is_non_commercial
from COVIDSelfSegTrainingLib import training
from COVIDSelfSegTrainingLib.cli import main
from COVIDSelfSegTrainingLib.cohorts import cutting
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.cohorts.sources import Source
from COVIDSelfSegTrainingLib.preset_files import write_preset
from COVIDSelfSegTrainingLib.presets import Preset
from COVIDSelfSegTrainingLib.starting import check_start, learned_from
from torch import nn

from ..conftest import COARSE, TINY, cut_scans

CPU = Device(torch.device("cpu"), torch.float32, "CPU")


def train(
    preset: Preset, scans: list[CohortScan], folder: Path, start: ModelPackage | None = None
) -> ModelPackage:
    outcome = training.train(
        preset, scans, folder, CPU, command="a test", report=lambda *_: None, start=start
    )
    return open_package(outcome.package.path)


def a_part(folder: Path, prefix: str, licence: str) -> list[CohortScan]:
    sources = [
        Source(f"{prefix}_healthy", "healthy", licence, seed=1),
        Source(f"{prefix}_sick", "diseased", licence, seed=3, severity=2),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "draw_acquisition", lambda _rng: COARSE)
        return cut_scans(sources, folder)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    folder = tmp_path_factory.mktemp("theirs")
    return train(TINY, a_part(folder / "cohort", "their", "CC BY-NC 4.0"), folder / "model")


@pytest.fixture(scope="module")
def our_scans(tmp_path_factory: pytest.TempPathFactory) -> list[CohortScan]:
    return a_part(tmp_path_factory.mktemp("ours"), "our", "none needed")


def without_phase_1(preset: Preset) -> Preset:
    return replace(preset, gan=replace(preset.gan, iterations=0))


def the_same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_phase_without_iterations_keeps_the_weights_and_the_other_changes_them(
    theirs: ModelPackage, our_scans: list[CohortScan], tmp_path: Path
) -> None:
    package = train(without_phase_1(TINY), our_scans, tmp_path, theirs)
    assert the_same(package.generator(), theirs.generator())
    assert not the_same(package.segmenter(), theirs.segmenter())
    # A few small steps from the same start stay near it; another start lies far away.
    near = _distance(package.segmenter(), theirs.segmenter())
    assert near < 0.5 * _distance(theirs.card.segmenter.build(), theirs.segmenter())


def test_both_phases_go_on_from_the_package(
    theirs: ModelPackage, our_scans: list[CohortScan], tmp_path: Path
) -> None:
    package = train(TINY, our_scans, tmp_path, theirs)
    near = _distance(package.generator(), theirs.generator())
    assert 0 < near < 0.5 * _distance(theirs.card.generator.build(), theirs.generator())


def test_what_the_package_was_trained_on_and_its_licences_are_inherited(
    theirs: ModelPackage, our_scans: list[CohortScan], tmp_path: Path
) -> None:
    card = train(without_phase_1(TINY), our_scans, tmp_path, theirs).card
    assert {scan.name for scan in card.trained_on} == {
        "our_healthy",
        "our_sick",
        "their_healthy",
        "their_sick",
    }
    assert {scan.name for scan in card.non_commercial} == {"their_healthy", "their_sick"}
    assert card.recipe["started_from"]["weights_sha256"] == theirs.sha256
    assert card.recipe["started_from"]["recipe"]["seed"] == TINY.seed


def test_a_scan_that_is_trained_on_again_is_named_once_unless_its_licence_would_be_lost(
    theirs: ModelPackage,
) -> None:
    for licence, named in (("CC BY-NC 4.0", 2), ("not stated", 3)):
        again = TrainingScan("their_sick", licence, "diseased")
        scans, _ = learned_from((again,), theirs)
        assert scans[0] == again
        assert len(scans) == named
        assert {scan.name for scan in scans if is_non_commercial(scan.licence)} == {
            "their_healthy",
            "their_sick",
        }


def test_a_training_that_started_elsewhere_is_not_gone_on_with(
    theirs: ModelPackage, our_scans: list[CohortScan], tmp_path: Path
) -> None:
    train(TINY, our_scans, tmp_path, theirs)
    with pytest.raises(UserError, match="to start from nothing"):
        train(TINY, our_scans, tmp_path)


def test_a_package_of_another_network_is_refused(
    theirs: ModelPackage, our_scans: list[CohortScan], tmp_path: Path
) -> None:
    wider = replace(TINY, gan=replace(TINY.gan, base_width=TINY.gan.base_width + 1))
    with pytest.raises(UserError, match=r"generator is .* wants"):
        train(wider, our_scans, tmp_path / "model", theirs)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("grid", "named"),
    [
        ({"slice_plane": (64, 64)}, "2D network's grid"),
        ({"generator_grid": (16, 32, 48)}, "generator's grid"),
    ],
)
def test_a_package_of_another_grid_is_refused(theirs: ModelPackage, grid: dict[str, Any], named: str) -> None:
    check_start(TINY, theirs)
    with pytest.raises(UserError, match=f"its {named} is "):
        check_start(replace(TINY, inference=replace(TINY.inference, **grid)), theirs)


def test_no_phase_1_and_no_package_is_refused(our_scans: list[CohortScan], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no package to take a generator from"):
        train(without_phase_1(TINY), our_scans, tmp_path)


def _distance(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return sum((a - b).detach().square().sum().item() for a, b in pairs) ** 0.5


def test_what_cannot_be_started_from_is_refused_before_anything_is_written(
    our_scans: list[CohortScan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = tmp_path / "tiny.toml"
    write_preset(TINY, preset)
    typed = ["train", str(our_scans[0].folder.parent), str(tmp_path / "out"), "--preset", str(preset)]
    assert main([*typed, "--start-from", str(tmp_path / "gone.safetensors")]) == ExitCode.MODEL_UNUSABLE
    assert "gone.safetensors does not exist" in capsys.readouterr().err
    assert main([*typed, "--gan-iterations", "0"]) == ExitCode.INPUT_REFUSED
    assert "no package to take a generator from" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
