"""``covidselfseg train-lungs`` from its chests to its file, in a few steps on one phantom."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.errors import ExitCode
from COVIDSelfSegLib.lung_masks.network import LungCard, LungNetwork
from COVIDSelfSegLib.networks.lung_unet import FLAT_WIDTHS, LungUNet
from COVIDSelfSegLib.phantom import make_phantom
from COVIDSelfSegLib.weight_file import check_weights, read_weights, write_weights
from COVIDSelfSegTrainingLib.cli import main
from COVIDSelfSegTrainingLib.cohorts import shipped
from COVIDSelfSegTrainingLib.cohorts.shipped import REAL_SCANS
from COVIDSelfSegTrainingLib.commands import train_lungs
from COVIDSelfSegTrainingLib.lung_networks import chests
from COVIDSelfSegTrainingLib.lung_networks.batches import Chest
from COVIDSelfSegTrainingLib.lung_networks.training import SLICE_PRESET, LungPreset, LungTrainer

from ..conftest import SMALL

made_once = cache(make_phantom)


@pytest.fixture(autouse=True)
def _little_to_learn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A phantom of thick slices, no real scans, and windows of few voxels."""
    monkeypatch.setenv("COVIDSELFSEG_DATA", str(tmp_path / "no scans here"))
    monkeypatch.setattr(chests, "_SEEDS", (3002,))
    monkeypatch.setattr(chests, "make_phantom", made_once)
    monkeypatch.setattr(train_lungs, "LungPreset", partial(LungPreset, window=(16, 32, 40), batch=1))
    small_slices = replace(SLICE_PRESET, window=(1, 32, 48), batch=2)
    monkeypatch.setattr(train_lungs, "SLICE_PRESET", small_slices)


def train(output: Path, *more: str) -> int:
    return main(["train-lungs", str(output), "--iterations", "3", "--device", "cpu", *more])


def test_a_lung_training_writes_a_network_that_runs_and_says_how_it_was_made(tmp_path: Path) -> None:
    output = tmp_path / "new folder" / "lungs.safetensors"
    assert train(output) == ExitCode.DONE
    assert [path.name for path in output.parent.iterdir()] == ["lungs.safetensors"]
    network = LungNetwork.shipped(choose_device("cpu"), weights=output)
    assert network is not None
    found = network.probability(np.full((16, 40, 48), -850, np.float32))
    assert np.isfinite(found).all()
    about, _ = check_weights(output)
    card = LungCard.from_json(about["card"])
    assert card.trained_on == (("phantom_3002", "none needed (made from a seed)"),)
    assert card.recipe["iterations"] == 3
    assert card.command == "covidselfseg train-lungs lungs.safetensors --iterations 3 --device cpu"
    assert (card.flat, card.grid_mm) == (False, 5.0)


def test_a_lung_training_that_cannot_be_written_is_refused_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_lungs, "shipped_chests", lambda *_: pytest.fail("chests were made in vain"))
    (tmp_path / "file").touch()
    assert train(tmp_path / "file" / "lungs.safetensors") == ExitCode.OUTPUT_NOT_WRITABLE


def test_the_network_for_slices_is_flat_and_sees_finer_voxels(tmp_path: Path) -> None:
    output = tmp_path / "slices.safetensors"
    assert train(output, "--slices") == ExitCode.DONE
    card = LungCard.from_json(check_weights(output)[0]["card"])
    assert card.command == "covidselfseg train-lungs slices.safetensors --iterations 3 --device cpu --slices"
    assert (card.flat, card.grid_mm) == (True, 2.5)


def test_an_interrupted_lung_training_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, again = tmp_path / "whole" / "lungs.safetensors", tmp_path / "again" / "lungs.safetensors"
    assert train(whole) == ExitCode.DONE
    monkeypatch.setattr(train_lungs, "_SAVE_EVERY", 1)
    step, steps = LungTrainer.step, []

    def counted(trainer: LungTrainer) -> dict[str, float]:
        steps.append(trainer.iteration)
        return step(trainer)

    def interrupted(trainer: LungTrainer) -> dict[str, float]:
        if trainer.iteration == 2:
            raise KeyboardInterrupt
        return step(trainer)

    monkeypatch.setattr(LungTrainer, "step", interrupted)
    assert train(again) == ExitCode.CANCELLED
    assert (
        f"continues from the last checkpoint, {again.with_suffix('.checkpoint')}" in capsys.readouterr().err
    )
    assert not again.exists()
    kept = again.with_suffix(".checkpoint").read_bytes()
    other = ["train-lungs", str(again), "--iterations", "5", "--device", "cpu"]
    assert main(other) == ExitCode.INPUT_REFUSED, "under another schedule of the rate"
    assert again.with_suffix(".checkpoint").read_bytes() == kept
    monkeypatch.setattr(LungTrainer, "step", counted)
    assert train(again) == ExitCode.DONE
    assert steps == [2], "the first two steps were kept"
    assert check_weights(again)[1] == check_weights(whole)[1]
    assert [path.name for path in again.parent.iterdir()] == ["lungs.safetensors"]


def test_a_lung_training_is_not_gone_on_with_when_a_scan_is_gone_or_another_or_new(
    a_chest: Chest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or else the card would not name every scan that the weights have learnt from, and its licence."""
    output = tmp_path / "lungs.safetensors"
    one, two, three = (replace(a_chest, name=name) for name in ("patient_a", "patient_b", "patient_c"))
    here = [one, two]
    monkeypatch.setattr(train_lungs, "shipped_chests", lambda *_: ((it, "CC BY-NC 4.0") for it in here))
    monkeypatch.setattr(train_lungs, "_SAVE_EVERY", 1)
    step = LungTrainer.step

    def interrupted(trainer: LungTrainer) -> dict[str, float]:
        if trainer.iteration == 1:
            raise KeyboardInterrupt
        return step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(LungTrainer, "step", interrupted)
        assert train(output, "--slices") == ExitCode.CANCELLED
    kept = output.with_suffix(".checkpoint").read_bytes()
    for chests_now, gone, new in (
        ([one], "patient_b", "none"),
        ([one, replace(two, hu=two.hu + 1)], "patient_b", "patient_b"),
        ([one, two, three], "none", "patient_c"),
    ):
        here = chests_now
        assert train(output, "--slices") == ExitCode.INPUT_REFUSED
        assert f"Gone or changed: {gone}; new or changed: {new}." in capsys.readouterr().err
        assert output.with_suffix(".checkpoint").read_bytes() == kept
        assert not output.exists()
    here = [one, two]
    assert train(output, "--slices") == ExitCode.DONE
    card = LungCard.from_json(check_weights(output)[0]["card"])
    assert card.trained_on == (("patient_a", "CC BY-NC 4.0"), ("patient_b", "CC BY-NC 4.0"))


def test_a_lung_training_that_is_done_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "lungs.safetensors"
    assert train(output) == ExitCode.DONE
    made = output.stat().st_mtime_ns
    steps: list[int] = []
    step = LungTrainer.step
    monkeypatch.setattr(LungTrainer, "step", lambda self: steps.append(self.iteration) or step(self))
    assert train(output) == ExitCode.DONE
    assert (steps, output.stat().st_mtime_ns) == ([], made)
    assert main(["train-lungs", str(output), "--iterations", "4", "--device", "cpu"]) == ExitCode.DONE
    assert len(steps) == 4  # another recipe is another network


def test_a_lung_training_that_is_done_is_done_again_once_there_are_real_scans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "lungs.safetensors"
    assert train(output) == ExitCode.DONE
    (tmp_path / "scans").mkdir()
    monkeypatch.setenv("COVIDSELFSEG_DATA", str(tmp_path / "scans"))
    assert train(output) == ExitCode.INPUT_REFUSED  # it goes to read them, and there is none in the folder
    assert "cip_ct-64" in capsys.readouterr().err


def test_a_training_goes_on_from_a_network_and_names_its_chests_too(tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert train(first, "--slices") == ExitCode.DONE
    about, digest = check_weights(first)
    card = replace(LungCard.from_json(about["card"]), trained_on=(("a scan of before", "CC0"),))
    write_weights(first, read_weights(first), {"card": card.to_json()})
    assert train(second, "--slices", "--rate", "1e-9", "--start-from", str(first)) == ExitCode.DONE
    before, after = read_weights(first), read_weights(second)
    assert max(float((before[name] - after[name]).abs().max()) for name in before) < 1e-3
    card = LungCard.from_json(check_weights(second)[0]["card"])
    assert ("a scan of before", "CC0") in card.trained_on
    assert ("phantom_3002", "none needed (made from a seed)") in card.trained_on
    assert card.recipe["started_from"]["weights_sha256"] == digest
    assert card.recipe["started_from"]["recipe"]["rate"] == SLICE_PRESET.rate
    assert "--rate 1e-9 --start-from first.safetensors" in card.command


def test_a_network_that_was_trained_from_another_is_not_trained_again_whatever_its_card_tells_of_it(
    a_chest: Chest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = replace(a_chest, name="phantom_3002")
    monkeypatch.setattr(train_lungs, "shipped_chests", lambda *_: iter([(known, "none needed")]))
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    about = LungCard(FLAT_WIDTHS, (), {"seed": 5}, "", "0", flat=True, grid_mm=2.5).to_json()
    write_weights(first, LungUNet(flat=True).state_dict(), {"card": about})
    typed = (second, "--slices", "--start-from", str(first))
    assert train(*typed) == ExitCode.DONE
    card = LungCard.from_json(check_weights(second)[0]["card"])
    begun = card.recipe["started_from"]
    for told, made_again in ((begun, False), (begun["weights_sha256"], False), ("0" * 64, True)):
        recipe = card.recipe | {"started_from": told}
        write_weights(second, read_weights(second), {"card": replace(card, recipe=recipe).to_json()})
        written = second.stat().st_mtime_ns
        assert train(*typed) == ExitCode.DONE
        assert (second.stat().st_mtime_ns != written) == made_again, told
    assert LungCard.from_json(check_weights(second)[0]["card"]) == card


def test_another_seed_draws_other_chests_and_is_named(tmp_path: Path) -> None:
    digests = []
    for seed, name in (("21", "a"), ("21", "b"), ("22", "c")):
        output = tmp_path / f"{name}.safetensors"
        assert train(output, "--seed", seed) == ExitCode.DONE
        about, digest = check_weights(output)
        card = LungCard.from_json(about["card"])
        assert card.recipe["seed"] == int(seed)
        assert f"--seed {seed}" in card.command
        digests.append(digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_network_of_fewer_levels_lends_those_that_it_has(tmp_path: Path) -> None:
    torch.manual_seed(3)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    shallow = LungUNet(widths=FLAT_WIDTHS[:-1], flat=True)
    card = LungCard(shallow.widths, (), {}, "", "0", flat=True, grid_mm=2.5)
    write_weights(first, shallow.state_dict(), {"card": card.to_json()})
    assert train(second, "--slices", "--rate", "1e-9", "--start-from", str(first)) == ExitCode.DONE
    deep = LungUNet(flat=True)
    deep.load_state_dict(read_weights(second))
    assert len(deep.encoders) == len(shallow.encoders) + 1
    lent = [*zip(shallow.encoders, deep.encoders[:-1], strict=True)]
    lent += zip(shallow.decoders, deep.decoders[1:], strict=True)
    for before, after in [*lent, (shallow.head, deep.head)]:
        for one, two in zip(before.parameters(), after.parameters(), strict=True):
            assert torch.allclose(one, two, atol=1e-3)


def test_a_teacher_brings_the_diseased_scans_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, teacher, output = tmp_path / "data", tmp_path / "teacher.safetensors", tmp_path / "it.safetensors"
    diseased = next(source for source in REAL_SCANS if source.group == "diseased")
    scan = data / str(diseased.path)
    scan.parent.mkdir(parents=True)
    sitk.WriteImage(make_phantom(3001, 3, SMALL).scan, scan)
    assert train(teacher) == ExitCode.DONE
    monkeypatch.setenv("COVIDSELFSEG_DATA", str(data))
    monkeypatch.setattr(shipped, "REAL_SCANS", (diseased,))
    monkeypatch.setattr(chests, "_SEEDS", ())
    assert train(output, "--slices", "--teacher", str(teacher)) == ExitCode.DONE
    card = LungCard.from_json(check_weights(output)[0]["card"])
    assert (diseased.name, diseased.licence) in card.trained_on
    assert card.recipe["taught_by"] == check_weights(teacher)[1]
    assert "--teacher teacher.safetensors" in card.command
    assert train(tmp_path / "other.safetensors", "--slices", "--teacher", str(output)) == (
        ExitCode.INPUT_REFUSED
    ), "a network of single slices is no teacher"


@pytest.mark.parametrize("wrong", ["missing", "of whole chests", "cut short", "of another card"])
def test_a_network_that_does_not_fit_is_not_gone_on_from(tmp_path: Path, wrong: str) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    if wrong != "missing":
        assert train(first) == ExitCode.DONE
    if wrong == "cut short":
        first.write_bytes(first.read_bytes()[:-100])
    if wrong == "of another card":
        card = check_weights(first)[0]["card"].replace('"flat": false', '"flat": true')
        write_weights(first, read_weights(first), {"card": card})
    code = ExitCode.INPUT_REFUSED if wrong == "of whole chests" else ExitCode.MODEL_UNUSABLE
    assert train(second, "--slices", "--start-from", str(first)) == code
    assert not second.exists()


@pytest.mark.parametrize("given", [("--rate", "-1"), ("--rate", "nan"), ("--iterations", "0")])
def test_numbers_that_cannot_train_are_refused_before_anything_starts(
    tmp_path: Path, given: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["train-lungs", str(tmp_path / "lungs.safetensors"), *given])
    assert refused.value.code == ExitCode.INPUT_REFUSED
