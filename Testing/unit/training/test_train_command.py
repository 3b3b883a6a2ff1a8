"""``covidselfseg train`` as a process: its plan, its events, its refusals, and being cancelled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from COVIDSelfSegLib.errors import ExitCode
from COVIDSelfSegLib.events import Result, StageProgress, parse_event
from COVIDSelfSegLib.models import open_package, write_package
from COVIDSelfSegLib.package_card import TrainingScan
from COVIDSelfSegTrainingLib import plan
from COVIDSelfSegTrainingLib.cli import main
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.preset_files import read_preset, write_preset
from COVIDSelfSegTrainingLib.presets import PRESETS

from ..conftest import TINY


@pytest.fixture
def a_preset_file(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    write_preset(TINY, path)
    return str(path)


def arguments(scans: list[CohortScan], output: Path, preset: str, *more: str) -> list[str]:
    return ["train", str(scans[0].folder.parent), str(output), "--preset", preset, "--device", "cpu", *more]


def test_the_plan_measures_and_writes_nothing(
    training_scans: list[CohortScan], tmp_path: Path, a_preset_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(training_scans, tmp_path / "out", a_preset_file, "--plan")) == 0
    text = capsys.readouterr().out
    named = ("GAN", "pseudo-masks", "2D network", "calibration", "together", "disk")
    assert [word in text for word in named] == [True] * len(named)
    assert not (tmp_path / "out").exists()


def test_a_drive_that_is_not_connected_has_no_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows not even its root is a folder then."""
    assert plan._free_bytes(Path("/nowhere/model")) > 0
    monkeypatch.setattr(Path, "is_dir", lambda _path: False)
    assert plan._free_bytes(Path("/nowhere/model")) == 0


def test_the_plan_is_the_result_where_events_are_asked_for(
    training_scans: list[CohortScan], tmp_path: Path, a_preset_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As from Slicer's console, whose worker would otherwise seem to have ended without a word."""
    assert main(arguments(training_scans, tmp_path / "out", a_preset_file, "--plan", "--events")) == 0
    result = parse_event(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(result, Result)
    assert "together" in result.values["plan"]


def test_events_carry_losses_and_end_with_the_package(
    training_scans: list[CohortScan], tmp_path: Path, a_preset_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments(training_scans, tmp_path / "out", a_preset_file, "--events", "--seed", "5")
    assert main(given) == 0
    events = [parse_event(line) for line in capsys.readouterr().out.splitlines()]
    *progress, last = events
    assert all(isinstance(event, StageProgress) for event in progress)
    assert [event.fraction for event in progress] == sorted(event.fraction for event in progress)
    assert progress[0].values["reconstruction"] > 0
    assert isinstance(last, Result)
    package = open_package(Path(last.values["package"]))
    assert package.sha256 == last.values["sha256"]
    assert package.card.recipe["seed"] == 5
    assert Path(last.values["page"]).is_file()
    # A package is passed on: no name of a patient's file and no folder of this machine goes with it.
    text = package.card.to_json()
    assert package.card.command.startswith("covidselfseg train cohort")
    assert str(tmp_path) not in text
    assert not [scan.source.name for scan in training_scans if scan.source.name in text]


def test_resume_must_and_never_do_as_they_say(
    training_scans: list[CohortScan], tmp_path: Path, a_preset_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    assert (
        main(arguments(training_scans, output, a_preset_file, "--resume", "must")) == ExitCode.INPUT_REFUSED
    )
    assert "holds no checkpoint" in capsys.readouterr().err
    (output / "gan.checkpoint.safetensors").write_bytes(b"")
    assert (
        main(arguments(training_scans, output, a_preset_file, "--resume", "never")) == ExitCode.INPUT_REFUSED
    )
    assert "holds a checkpoint already" in capsys.readouterr().err


def test_a_training_whose_output_is_a_file_names_it(
    training_scans: list[CohortScan], tmp_path: Path, a_preset_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a file"
    output.write_text("of somebody")
    for folder in (output, output / "below"):
        given = arguments(training_scans, folder, a_preset_file)
        assert main(given) == ExitCode.OUTPUT_NOT_WRITABLE
        assert f"{output} is a file, where a folder is needed" in capsys.readouterr().err


def test_a_cohort_of_other_grids_is_refused_with_the_command_that_makes_one(
    training_scans: list[CohortScan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(training_scans, tmp_path / "out", "paper")) == ExitCode.INPUT_REFUSED
    said = capsys.readouterr().err
    assert "(48, 64)" in said
    assert "(128, 128)" in said
    assert "covidselfseg prepare --preset" in said


def test_a_cohort_that_holds_out_all_diseased_scans_is_refused_with_what_changes_that(
    training_scans: list[CohortScan], tmp_path: Path, a_preset_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for scan in training_scans:
        if scan.source.group == "healthy":
            shutil.copytree(scan.folder, tmp_path / "cohort" / scan.folder.name)
    given = ["train", str(tmp_path / "cohort"), str(tmp_path / "out"), "--preset", a_preset_file]
    assert main(given) == ExitCode.INPUT_REFUSED
    said = capsys.readouterr().err
    assert "no diseased scan to train on" in said
    assert "another --held-out or --split-seed" in said


def test_a_preset_is_written_to_start_from(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert main(["train", "--preset", "paper", "--gan-iterations", "12", "--write-preset", str(path)]) == 0
    paper = PRESETS["paper"]
    assert read_preset(path) == replace(paper, gan=replace(paper.gan, iterations=12))
    assert main(["train", "--write-preset", str(tmp_path / "nowhere" / "mine.toml")]) == 5


def test_a_preset_that_is_there_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("# mine, changed by hand\n")
    assert main(["train", "--write-preset", str(path)]) == ExitCode.INPUT_REFUSED
    assert "is there already" in capsys.readouterr().err
    assert path.read_text() == "# mine, changed by hand\n"


@pytest.mark.parametrize(("iterations", "warm_up"), [(100, 25), (1200, 300), (9000, 300)])
def test_fewer_steps_of_the_2d_network_warm_up_for_fewer_too(
    iterations: int, warm_up: int, tmp_path: Path
) -> None:
    path = tmp_path / "short.toml"
    assert main(["train", "--segmenter-iterations", str(iterations), "--write-preset", str(path)]) == 0
    segmenter = read_preset(path).segmenter
    assert (segmenter.iterations, segmenter.warm_up) == (iterations, warm_up)


def test_a_cancelled_training_says_so_by_its_exit_code(
    training_scans: list[CohortScan], tmp_path: Path, a_preset_file: str
) -> None:
    given = arguments(
        training_scans, tmp_path / "out", a_preset_file, "--gan-iterations", "100000", "--events"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "COVIDSelfSegTrainingLib", *given],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["stage"] == "gan"
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode == ExitCode.CANCELLED
    assert "goes on from the last checkpoint" in log


def test_a_package_trained_on_scans_that_forbid_commerce_says_so(
    a_package: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = replace(
        a_package.card,
        trained_on=(
            TrainingScan("a", "CC BY-NC-SA 4.0", "healthy"),
            TrainingScan("b", "CC BY 4.0", "diseased"),
            TrainingScan("c", "free for non-commercial research", "diseased"),
        ),
    )
    states = (network.state_dict() for network in (a_package.generator(), a_package.segmenter()))
    write_package(tmp_path / "nc.safetensors", card, *states)
    monkeypatch.setenv("COVIDSELFSEG_MODELS", str(tmp_path))
    assert main(["models"]) == 0
    assert "NOT FOR COMMERCIAL USE: 2 of its training scans" in capsys.readouterr().out
    assert not a_package.card.non_commercial
