"""``covidselfseg`` as a user types it: its help, and ``demo``, ``phantom``, ``doctor`` on few voxels."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib import results
from COVIDSelfSegLib.cli import main
from COVIDSelfSegLib.commands import demo as demo_command
from COVIDSelfSegLib.commands import phantom as phantom_command
from COVIDSelfSegLib.commands.command import Command
from COVIDSelfSegLib.commands.number_types import share
from COVIDSelfSegLib.demo import compare
from COVIDSelfSegLib.errors import ExitCode
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegTrainingLib import cli as all_commands

from ..conftest import COARSE, finding_package


@cache
def coarse_phantom(seed: int, severity: int) -> Phantom:
    return make_phantom(seed, severity, COARSE)


@pytest.fixture
def few_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (demo_command, phantom_command):
        monkeypatch.setattr(module, "make_phantom", coarse_phantom)


def stored(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def line(values: list[float], pixel_type: type = np.int16) -> sitk.Image:
    return sitk.GetImageFromArray(np.array(values, pixel_type).reshape(1, 1, -1))


@pytest.mark.parametrize("command", all_commands.COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_of_its_own(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        all_commands.main([command.name, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: covidselfseg {command.name} ")
    assert not said.split("\n\n")[1].startswith(("options:", "positional arguments:")), "what it does"
    with pytest.raises(SystemExit):
        all_commands.main(["--help"])
    listed = " ".join(capsys.readouterr().out.split())
    assert f"{command.name} {command.help}" in listed


@pytest.mark.parametrize("command", all_commands.COMMANDS, ids=lambda command: command.name)
def test_every_argument_says_what_it_is(command: Command) -> None:
    parser = argparse.ArgumentParser()
    getattr(import_module(command.module), command.function)(parser)
    assert [action.dest for action in parser._actions if not action.help] == []


def test_what_no_command_is_called_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        all_commands.main(["segmnet", "scan.nrrd"])
    assert end.value.code == 2
    assert "invalid choice: 'segmnet'" in capsys.readouterr().err


def test_a_mistyped_option_is_refused_with_the_usage_of_its_command_and_what_may_be_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        all_commands.main(["segment", "scan.nrrd", "--output", "here", "--threshhold=0.3"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: covidselfseg segment ")
    assert "unrecognized arguments: --threshhold=0.3 (did you mean --threshold?)" in said


@pytest.mark.parametrize("command", ["phantom --seed", "evaluate --pictures", "benchmark --phantoms"])
def test_a_count_below_zero_is_refused_before_anything_is_done(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        all_commands.main([*command.split(), "-1", "--output", str(tmp_path / "none")])
    assert end.value.code == 2
    assert "must be 0 or more" in capsys.readouterr().err


@pytest.mark.parametrize("threshold", ["30", "-0.1", "nan"])
def test_a_threshold_that_is_no_probability_is_refused(
    threshold: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        all_commands.main(["segment", "scan.nrrd", "--output", "here", f"--threshold={threshold}"])
    assert end.value.code == 2
    assert "must be a number from 0 to 1, such as 0.3 for 30 %" in capsys.readouterr().err


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_both_ends_of_the_slider_are_thresholds(threshold: float) -> None:
    assert share(str(threshold)) == threshold


@pytest.mark.parametrize("listing", ["models", "doctor"])  # more and less than a pipe's buffer
def test_a_listing_ends_in_silence_when_its_reader_has_seen_enough(listing: str, a_scan_file: Path) -> None:
    command = [sys.executable, "-m", "COVIDSelfSegLib", listing]
    command += [str(a_scan_file)] if listing == "doctor" else []
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=buffered) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == ExitCode.OUTPUT_NOT_WRITABLE


def test_help_and_the_doctor_need_no_torch() -> None:
    code = (
        "import sys; from COVIDSelfSegTrainingLib.cli import main\n"
        "for arguments in (['--help'], ['doctor', '--help']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_doctor_and_the_classical_lung_mask_work_where_torch_is_not_installed(a_scan_file: Path) -> None:
    code = (
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "class WithoutTorch(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        hidden = name.split('.')[0] == 'torch'\n"
        "        return None if hidden else super().find_spec(name, path, target)\n"
        "sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTorch\n"
        "from importlib.util import find_spec\n"
        "assert find_spec('torch') is None\n"
        "from COVIDSelfSegLib.lung_masks.classical import builtin_lung_mask\n"
        "from COVIDSelfSegLib.cli import main\n"
        "from COVIDSelfSegLib.volume import array_view, read_scan\n"
        "from pathlib import Path\n"
        "assert main(['doctor', sys.argv[1]]) == 0\n"
        "assert set(array_view(builtin_lung_mask(read_scan(Path(sys.argv[1])))).ravel()) == {0, 1, 2}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(a_scan_file)], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    assert "a chest CT in HU" in done.stdout


def test_a_comparison_counts_overlap_shares_and_errors_by_hand(tmp_path: Path) -> None:
    phantom = Phantom(
        scan=line([-800, -300, -200, -800, -850, 40]),
        healthy_twin=line([-800, -800, -800, -800, -850, 40]),
        lungs=line([1, 1, 1, 2, 2, 0], np.uint8),
        lesions=line([0, 1, 1, 0, 0, 0], np.uint8),
    )
    for name, image in {
        results.LUNGS: line([1, 1, 1, 2, 0, 0], np.uint8),
        results.LESIONS: results.lesion_segmentation(line([0, 0, 1, 1, 0, 0], np.uint8)),
        results.PSEUDO_HEALTHY: line([-800, -790, -830, -100, -100, 40]),
    }.items():
        sitk.WriteImage(image, str(tmp_path / name))
    comparison = compare(phantom, tmp_path)
    assert comparison.dice == pytest.approx(2 * 1 / (2 + 2))
    assert comparison.found_share == pytest.approx(2 / 4), "of the lungs that were found"
    assert comparison.true_share == pytest.approx(2 / 5)
    assert comparison.synthesis_error_hu == pytest.approx((10 + 30) / 2)
    assert comparison.untouched_error_hu == pytest.approx((500 + 600) / 2)
    words = " ".join(str(comparison).split())
    assert "infected, % of lung 50.0 40.0" in words
    assert "lesion Dice 0.500" in words
    assert "mean error 20 HU, unchanged scan 550 HU" in words


@pytest.mark.usefixtures("few_voxels")
def test_the_demo_segments_a_phantom_and_holds_it_against_its_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models, output = tmp_path / "models", tmp_path / "demo"
    models.mkdir()
    finding_package(models / "covidselfseg-default.safetensors", seed=1)
    monkeypatch.setenv("COVIDSELFSEG_MODELS", str(models))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no weights of lungmask here"))
    assert main(["demo", "--output", str(output)]) == ExitCode.DONE
    said = " ".join(capsys.readouterr().out.split())
    phantom = coarse_phantom(7, 2)
    scan, twin, lungs, truth = (
        sitk.GetArrayFromImage(image)
        for image in (phantom.scan, phantom.healthy_twin, phantom.lungs, phantom.lesions)
    )
    assert np.array_equal(stored(output / "phantom.nrrd"), scan)
    found, found_lungs = stored(output / "lesions.seg.nrrd"), stored(output / "lungs.nrrd")
    dice = 2 * np.count_nonzero(found * truth) / (found.sum() + truth.sum())
    shares = [100 * found.sum() / (found_lungs > 0).sum(), 100 * truth.sum() / (lungs > 0).sum()]
    assert 0 < dice < 1
    assert f"infected, % of lung {shares[0]:.1f} {shares[1]:.1f} lesion Dice {dice:.3f}" in said
    errors = [
        np.abs(image.astype(float) - twin)[truth > 0].mean()
        for image in (stored(output / "pseudo_healthy.nrrd"), scan)
    ]
    assert f"mean error {errors[0]:.0f} HU, unchanged scan {errors[1]:.0f} HU" in said
    assert "this is not clinical performance" in said
    assert f"Look at {output / 'overview.png'}" in said
    assert (output / "overview.png").is_file()


@pytest.mark.usefixtures("few_voxels")
def test_a_phantom_is_written_with_its_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "phantom"
    assert main(["phantom", "--seed", "5", "--severity", "3", "--output", str(output)]) == ExitCode.DONE
    same = coarse_phantom(5, 3)
    files = {"scan.nrrd", "healthy_twin.nrrd", "lungs.nrrd", "lesions.nrrd"}
    assert {path.name for path in output.iterdir()} == files | {"truth.json"}
    for name in files:
        expected = getattr(same, name.removesuffix(".nrrd"))
        written = sitk.ReadImage(str(output / name))
        assert np.array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(expected)), name
        assert written.GetSpacing() == pytest.approx(expected.GetSpacing())
    truth = json.loads((output / "truth.json").read_text())
    share = (stored(output / "lesions.nrrd") > 0).sum() / (stored(output / "lungs.nrrd") > 0).sum()
    assert truth == {"seed": 5, "severity": 3, "infected_share": pytest.approx(share)}
    assert f"infected {share:.1%} of the lung" in capsys.readouterr().out


def test_the_doctor_says_what_a_scan_is_and_what_to_mind(
    a_scan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = a_scan_file.read_bytes()
    assert main(["doctor", str(a_scan_file)]) == ExitCode.DONE
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"{a_scan_file}: a chest CT in HU, 160 x 136 x 66 voxels of 2.3 x 2.3 x 5 mm"
    warning = next(place for place, row in enumerate(said) if "5 mm apart" in row)
    assert said[warning].startswith("warning: ")
    assert said[warning + 1].startswith("  Why: ")
    assert said[warning + 2].startswith("  Fix: ")
    assert a_scan_file.read_bytes() == before


def test_the_doctor_refuses_what_is_no_ct_after_its_warnings(
    a_phantom: Phantom, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gray = sitk.Cast(sitk.RescaleIntensity(a_phantom.scan, 0, 255), sitk.sitkUInt8)
    sitk.WriteImage(gray, str(tmp_path / "gray.nrrd"))
    assert main(["doctor", str(tmp_path / "gray.nrrd")]) == ExitCode.INPUT_REFUSED
    said = capsys.readouterr()
    assert "5 mm apart" in said.out
    assert "a chest CT in HU" not in said.out
    assert "8-bit gray levels" in said.err


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_run_whose_streams_are_closed_goes_by_its_exit_code(
    closed: str, a_scan_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, closed, None)
    assert main(["doctor", str(a_scan_file)]) == ExitCode.DONE
    assert main(["doctor", str(a_scan_file) + ".gone"]) == ExitCode.INPUT_REFUSED
