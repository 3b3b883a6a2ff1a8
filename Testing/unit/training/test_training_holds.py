"""A training outlives being killed, a full disk, bad numbers and changed options; several train as one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.models import open_package
from COVIDSelfSegTrainingLib import training
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan, open_cohort
from COVIDSelfSegTrainingLib.gan import GanTrainer
from COVIDSelfSegTrainingLib.gan_batches import GanBatches
from COVIDSelfSegTrainingLib.preset_files import preset_from_dict, write_preset
from COVIDSelfSegTrainingLib.presets import PRESETS, Preset
from COVIDSelfSegTrainingLib.segmenter import SegmenterTrainer
from COVIDSelfSegTrainingLib.training_run.checkpoint import (
    load_checkpoint,
    read_recipe,
    remove_leftovers,
    save_checkpoint,
)
from COVIDSelfSegTrainingLib.training_run.one_at_a_time import alone_in
from COVIDSelfSegTrainingLib.training_run.phase_run import Running
from COVIDSelfSegTrainingLib.training_run.resuming import check_resumable, recipe_of
from torch import distributed, multiprocessing, nn, optim

from ..conftest import TINY, cut_scans

CPU = Device(torch.device("cpu"), torch.float32, "CPU")
OFTEN = Running(report_every=1, save_every=1)
SEVERAL = replace(
    TINY,
    # The gradient penalty comes at steps 0 and 16, and three rows are shared unevenly.
    gan=replace(TINY.gan, batch=6, iterations=18),
    segmenter=replace(TINY.segmenter, iterations=5, learn_temperature=True),
)


def train(
    preset: Preset, scans: list[CohortScan], folder: Path, running: Running = OFTEN
) -> training.Outcome:
    return training.train(
        preset, scans, folder, CPU, command="a test", report=lambda *_: None, running=running
    )


def command(scans: list[CohortScan], output: Path, preset: Path, *more: str) -> list[str]:
    cohort = str(scans[0].folder.parent)
    given = [cohort, str(output), "--preset", str(preset), "--device", "cpu", "--precision", "float32"]
    return ["-m", "COVIDSelfSegTrainingLib", "train", *given, *more]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """As in the child processes: sums over threads have an order of their own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def a_finished_training(
    training_scans: list[CohortScan], tmp_path_factory: pytest.TempPathFactory
) -> training.Outcome:
    return train(TINY, training_scans, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def its_folder(a_finished_training: training.Outcome, tmp_path: Path) -> Path:
    """A copy, for a test to change."""
    return Path(shutil.copytree(a_finished_training.folder, tmp_path / "finished"))


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}


def killed_when(arguments: list[str], due: Callable[[], bool]) -> None:
    """Run a training and end it without warning as soon as ``due`` says so."""
    process = subprocess.Popen([sys.executable, *arguments], env=environment(), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not due():
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_training_that_was_killed_goes_on_to_the_same_weights(
    training_scans: list[CohortScan], tmp_path: Path
) -> None:
    """Killed in phase 1, and again in phase 3, by a signal that nothing can catch."""
    preset = replace(
        TINY, gan=replace(TINY.gan, iterations=18), segmenter=replace(TINY.segmenter, iterations=18)
    )
    write_preset(preset, tmp_path / "tiny.toml")
    whole = train(preset, training_scans, tmp_path / "whole", Running())
    parts = tmp_path / "parts"
    arguments = command(training_scans, parts, tmp_path / "tiny.toml", "--save-every", "3")
    first, second = (parts / f"{phase}.checkpoint.safetensors" for phase in training.PHASES)

    killed_when(arguments, first.is_file)
    reached = int(read_recipe(first)["iteration"])
    assert 0 < reached < 18
    killed_when(arguments, second.is_file)
    assert int(read_recipe(first)["iteration"]) == 18
    assert 0 < int(read_recipe(second)["iteration"]) < 18
    done = subprocess.run(
        [sys.executable, *arguments], env=environment(), check=True, capture_output=True, encoding="utf-8"
    )
    assert "going on at step" in done.stderr

    package = open_package(parts / "covidselfseg-tiny.safetensors")
    assert package.sha256 == whole.package.sha256
    assert package.card.inference == whole.package.card.inference
    for phase in training.PHASES:
        one, other = (
            safetensors.torch.load_file(training.checkpoint_of(folder, phase))
            for folder in (whole.folder, parts)
        )
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    # Steps that were done twice are in the log once.
    lines = [json.loads(line) for line in (parts / "log.jsonl").read_text().splitlines()]
    steps = [(line["phase"], line["iteration"]) for line in lines]
    assert len(steps) == len(set(steps))
    assert not list(parts.glob(".*"))


def test_a_second_training_in_a_folder_is_refused_until_the_first_has_ended_even_if_it_was_killed(
    training_scans: list[CohortScan], tmp_path: Path
) -> None:
    """It would delete what the first one is writing, which then took its disk for full."""
    holding = (
        "import sys, time, pathlib\n"
        "from COVIDSelfSegTrainingLib.training_run.one_at_a_time import alone_in\n"
        "with alone_in(pathlib.Path(sys.argv[1])):\n"
        "    print('alone', flush=True)\n"
        "    time.sleep(60)\n"
    )
    arguments = [sys.executable, "-c", holding, str(tmp_path)]
    left = tmp_path / ".gan.checkpoint.safetensors.12"
    left.touch()
    with subprocess.Popen(arguments, env=environment(), stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"alone\n"
        with pytest.raises(UserError, match="Another training is running in"):
            train(TINY, training_scans, tmp_path)
        assert left.exists()
        first.kill()
    with alone_in(tmp_path):
        pass


def test_a_drive_without_locks_can_be_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_without_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", as_without_locks)
    with alone_in(tmp_path):
        pass


def test_two_processes_train_as_one_with_the_joint_batch(
    training_scans: list[CohortScan], tmp_path: Path
) -> None:
    """PyTorch's own launcher, gloo, and DistributedDataParallel; float noise is all that differs."""
    write_preset(SEVERAL, tmp_path / "tiny.toml")
    alone = train(SEVERAL, training_scans, tmp_path / "alone", Running())
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--standalone"]
    subprocess.run(
        [sys.executable, *launcher, *command(training_scans, tmp_path / "both", tmp_path / "tiny.toml")],
        env=environment(),
        check=True,
        capture_output=True,
    )
    moved = False
    fresh = GanTrainer(SEVERAL, *_groups(training_scans), CPU).generator.state_dict()
    for phase in training.PHASES:
        one, other = (
            safetensors.torch.load_file(training.checkpoint_of(folder, phase))
            for folder in (alone.folder, tmp_path / "both")
        )
        for name, value in one.items():
            if not name.startswith("optimiser"):
                assert torch.allclose(value, other[name], rtol=1e-3, atol=2e-4), name
        moved |= any(
            (value - fresh[name[10:]]).abs().max() > 1e-3 for name, value in one.items() if name[10:] in fresh
        )
    assert moved
    logs = [
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (alone.folder, tmp_path / "both")
    ]
    assert len(logs[0]) == len(logs[1])
    for name in ("discriminator", "reconstruction", "accuracy", "error_left", "texture"):
        assert logs[1][0][name] == pytest.approx(logs[0][0][name], rel=1e-3)
    for name in ("painted", "pseudo", "contrastive"):
        assert logs[1][-1][name] == pytest.approx(logs[0][-1][name], rel=1e-3)


def before_dropout(cohort: Path) -> list[torch.Tensor]:
    """State of torch's generator as the first step of each phase comes to its first dropout."""
    gan = replace(TINY.gan, discriminator="reference", discriminator_dropout=0.5)
    unet = replace(TINY.segmenter, architecture="dense-lstm-unet", network={"width": 4})
    preset = replace(TINY, gan=gan, segmenter=unet)
    healthy, diseased = _groups(open_cohort(cohort))
    first, third = GanTrainer(preset, healthy, diseased, CPU), SegmenterTrainer(preset, healthy, [], CPU)
    states: list[torch.Tensor] = []
    for trainer, network in ((first, first.discriminator), (third, third.network)):
        dropout = next(part for part in network.modules() if isinstance(part, nn.Dropout | nn.Dropout2d))
        noted: list[torch.Tensor] = []
        dropout.register_forward_pre_hook(lambda *_, noted=noted: noted.append(torch.get_rng_state()))
        trainer.step()
        states.append(noted[0])
    return states


def one_of_two(number: int, cohort: Path, folder: Path) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'met'}", rank=number, world_size=2)
    states = dict(zip(training.PHASES, before_dropout(cohort), strict=True))
    safetensors.torch.save_file(states, folder / f"{number}.safetensors")
    distributed.destroy_process_group()


def test_each_of_two_processes_drops_out_what_it_will_and_the_first_what_a_single_one_does(
    training_scans: list[CohortScan], tmp_path: Path
) -> None:
    cohort = training_scans[0].folder.parent
    multiprocessing.spawn(one_of_two, (cohort, tmp_path), nprocs=2)
    first, second = (safetensors.torch.load_file(tmp_path / f"{number}.safetensors") for number in range(2))
    for phase, alone in zip(training.PHASES, before_dropout(cohort), strict=True):
        assert torch.equal(first[phase], alone)
        assert not torch.equal(first[phase], second[phase])


@pytest.mark.parametrize(("batch", "most"), [(4, 2), (64, 8)])
def test_more_processes_than_a_batch_has_rows_are_refused_before_they_join(
    training_scans: list[CohortScan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, most: int
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(most + 1))
    preset = replace(TINY, gan=replace(TINY.gan, batch=batch))
    said = f"{most + 1} processes cannot share .* at most {most} can"
    with pytest.raises(UserError, match=said) as refused:
        train(preset, training_scans, tmp_path / "out")
    assert f"--nproc-per-node={most}" in refused.value.fix
    assert ("gan.batch" if batch == 4 else "segmenter.painted") in refused.value.fix
    assert not (tmp_path / "out").exists()
    without_phase_1 = replace(preset, gan=replace(preset.gan, iterations=0))
    training._check_processes(without_phase_1, 8)


def _groups(scans: list[CohortScan]) -> tuple[list[CohortScan], list[CohortScan]]:
    return [scan for scan in scans if scan.source.group == "healthy"], [
        scan for scan in scans if scan.source.group == "diseased"
    ]


def test_a_checkpoint_of_another_preset_is_refused_by_its_options(
    training_scans: list[CohortScan], its_folder: Path
) -> None:
    with pytest.raises(UserError, match=r"made with other options: gan\.batch: 4, not 2"):
        train(replace(TINY, gan=replace(TINY.gan, batch=2)), training_scans, its_folder)
    with pytest.raises(UserError, match=r"segmenter\.rate"):
        train(replace(TINY, segmenter=replace(TINY.segmenter, rate=1e-3)), training_scans, its_folder)
    # What is used after training alone may change.
    renamed = replace(TINY, name="other", inference=replace(TINY.inference, latent_draws=3))
    assert train(renamed, training_scans, its_folder).package.card.name == "covidselfseg-other"


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"seed": 3}, ["gan", "segmenter"]),
        ({"gan": {"noise": {"octaves": 3}}}, ["gan", "segmenter"]),
        ({"inference": {"generator_grid": [16, 64, 64]}}, ["gan", "segmenter"]),
        ({"inference": {"margin_mm": 9.0}}, ["gan", "segmenter"]),
        ({"gan": {"iterations": 2501}}, ["segmenter"]),
        ({"pseudo_mask": {"draws": 5}}, ["segmenter"]),
        ({"segmenter": {"network": {"blocks": 5}}}, ["segmenter"]),
        ({"inference": {"slice_plane": [128, 128]}}, ["segmenter"]),
        ({"inference": {"neighbour_mm": 5.0}}, ["segmenter"]),
        ({"name": "mine", "calibration_batches": 0}, []),
        ({"inference": {"threshold": 0.3, "latent_draws": 3, "least_lesion_ml": 1.0}}, []),
        ({"inference": {"mirrored": False, "calibration_slope": 2.0, "marked": True}}, []),
    ],
)
def test_a_phase_goes_on_unless_an_option_changed_that_had_a_say_in_it(
    changed: dict[str, Any], refused: list[str], tmp_path: Path
) -> None:
    path, preset = tmp_path / "c.safetensors", preset_from_dict(changed)
    save_checkpoint(path, 1, {"n": nn.Linear(1, 1)}, {}, recipe_of(PRESETS["default"], []))

    def is_refused(phase: str) -> bool:
        try:
            check_resumable(path, phase, preset, recipe_of(preset, []))
        except UserError as error:
            return "was made with other options" in error.what
        return False

    assert [phase for phase in training.PHASES if is_refused(phase)] == refused


def test_fewer_steps_of_the_gan_than_a_checkpoint_has_done_are_refused(
    training_scans: list[CohortScan], its_folder: Path
) -> None:
    fewer = replace(TINY, gan=replace(TINY.gan, iterations=TINY.gan.iterations - 1))
    training.checkpoint_of(its_folder, "segmenter").unlink()
    with pytest.raises(UserError, match="has done 6 steps already, more than the 5"):
        train(fewer, training_scans, its_folder)


def test_a_checkpoint_of_a_version_without_presets_in_it_is_gone_on_with(
    a_finished_training: training.Outcome, training_scans: list[CohortScan], its_folder: Path
) -> None:
    path = training.checkpoint_of(its_folder, "gan")
    safetensors.torch.save_file(safetensors.torch.load_file(path), path, {"iteration": "6"})
    training.checkpoint_of(its_folder, "segmenter").unlink()
    assert train(TINY, training_scans, its_folder).package.sha256 == a_finished_training.package.sha256


def test_a_checkpoint_is_not_gone_on_with_after_a_scan_has_left_the_cohort(
    training_scans: list[CohortScan], its_folder: Path
) -> None:
    """Or else the card would not name it, and it would pass for one that the weights never saw."""
    package = its_folder / "covidselfseg-tiny.safetensors"
    before = package.read_bytes()
    with pytest.raises(UserError, match=r"1 of its scans are gone or changed, 0 are new") as refused:
        train(TINY, training_scans[1:], its_folder)
    assert "--start-from" in refused.value.fix
    assert package.read_bytes() == before


def test_a_scan_that_was_cut_again_with_another_lung_mask_is_another_scan(
    training_scans: list[CohortScan], its_folder: Path, tmp_path: Path
) -> None:
    first = training_scans[0]
    assert first.source.lung_mask is not None
    eroded = sitk.BinaryErode(sitk.ReadImage(first.source.lung_mask) > 0, [3, 3, 1])
    sitk.WriteImage(eroded, str(tmp_path / "eroded.nii.gz"))
    corrected = replace(first.source, lung_mask=str(tmp_path / "eroded.nii.gz"))
    (cut_again,) = cut_scans([corrected], tmp_path / "cohort")
    with pytest.raises(UserError, match=r"1 of its scans are gone or changed, 1 are new or changed"):
        train(TINY, [cut_again, *training_scans[1:]], its_folder)
    with pytest.raises(UserError, match=r"0 of its scans are gone or changed, 1 are new or changed"):
        train(TINY, [cut_again, *training_scans], its_folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"neighbour_mm": 40.0}, r"neighbours 1 slices away; .* neighbours \d slices away"),
        ({"margin_mm": 40.0}, r"5 mm around the lungs, .* wants .* 40 mm around the lungs"),
    ],
)
def test_slices_are_learnt_with_the_neighbours_and_the_margin_that_the_package_is_run_with(
    changed: dict[str, float], said: str, training_scans: list[CohortScan], tmp_path: Path
) -> None:
    preset = replace(TINY, inference=replace(TINY.inference, **changed))
    with pytest.raises(UserError, match=said):
        train(preset, training_scans, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_checkpoint_is_refused(training_scans: list[CohortScan], its_folder: Path) -> None:
    path = training.checkpoint_of(its_folder, "segmenter")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="cannot be resumed") as refused:
        train(TINY, training_scans, its_folder)
    assert refused.value.code == ExitCode.MODEL_UNUSABLE


def test_a_loss_that_is_no_number_stops_with_its_batch_and_keeps_the_last_good_checkpoint(
    training_scans: list[CohortScan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = GanBatches.draw

    def poisoned(self: GanBatches, rng: np.random.Generator) -> object:
        batch, names = draw(self, rng)
        counted.append(1)
        if len(counted) == 4:
            batch.healthy[0, 0, 0, 0] = torch.nan
            batch.healthy_lungs[0, 0, 0, 0] = 1
        return batch, names

    counted: list[int] = []
    monkeypatch.setattr(GanBatches, "draw", poisoned)
    with pytest.raises(
        UserError, match=r"became nan at step 4.*healthy_30\d \(healthy\).*diseased_31\d"
    ) as stopped:
        train(TINY, training_scans, tmp_path)
    path = training.checkpoint_of(tmp_path, "gan")
    assert str(path) in stopped.value.fix
    assert read_recipe(path)["iteration"] == "3"
    monkeypatch.undo()
    train(TINY, training_scans, tmp_path)


def test_weights_that_are_no_numbers_never_replace_good_ones(tmp_path: Path) -> None:
    network, path = nn.Linear(2, 2), tmp_path / "c.safetensors"
    save_checkpoint(path, 1, {"n": network}, {})
    kept = path.read_bytes()
    with torch.no_grad():
        network.weight[0, 0] = torch.inf
    with pytest.raises(UserError, match="no longer numbers"):
        save_checkpoint(path, 2, {"n": network}, {})
    assert path.read_bytes() == kept


def test_checkpoints_are_flushed_through_a_handle_that_may_write_as_windows_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush, flushed = os.fsync, []

    def as_windows(handle: int) -> None:
        assert fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        flushed.append(handle)
        flush(handle)

    monkeypatch.setattr(os, "fsync", as_windows)
    save_checkpoint(tmp_path / "c.safetensors", 1, {"n": nn.Linear(2, 2)}, {})
    assert flushed


@contextmanager
def files_of_at_most(count: int) -> Iterator[None]:
    """The system refuses to write more into one file, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_is_said_and_the_last_checkpoint_stays(
    training_scans: list[CohortScan], tmp_path: Path
) -> None:
    small = replace(TINY, gan=replace(TINY.gan, iterations=2))
    train(small, training_scans, tmp_path)
    path = training.checkpoint_of(tmp_path, "gan")
    training.checkpoint_of(tmp_path, "segmenter").unlink()
    with files_of_at_most(1_000_000), pytest.raises(UserError, match="could not write") as refused:
        train(TINY, training_scans, tmp_path)
    assert refused.value.code == ExitCode.OUTPUT_NOT_WRITABLE
    assert read_recipe(path)["iteration"] == "2"
    assert not list(tmp_path.glob(".*safetensors*"))
    train(TINY, training_scans, tmp_path)


def test_what_killed_runs_left_half_written_is_removed(tmp_path: Path) -> None:
    for name in (".gan.checkpoint.safetensors.12", ".training.html.12", ".log.jsonl.12", "training.html"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["training.html"]


def test_a_folder_that_is_a_file_is_refused(training_scans: list[CohortScan], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written") as refused:
        train(TINY, training_scans, tmp_path / "file")
    assert refused.value.code == ExitCode.OUTPUT_NOT_WRITABLE
    assert "is a file, where a folder is needed" in refused.value.why


def test_a_folder_that_cannot_be_made_is_refused(training_scans: list[CohortScan]) -> None:
    """As on a drive of Windows that is not connected: what is missing cannot be made."""
    with pytest.raises(UserError, match="/proc/nothing/model cannot be written") as refused:
        train(TINY, training_scans, Path("/proc/nothing/model"))
    assert refused.value.code == ExitCode.OUTPUT_NOT_WRITABLE


def test_a_drive_that_goes_away_within_a_training_is_said(
    training_scans: list[CohortScan], tmp_path: Path
) -> None:
    def gone(*_: object) -> None:
        shutil.rmtree(tmp_path / "model")

    with pytest.raises(UserError, match="could not write") as refused:
        training.train(
            TINY,
            training_scans,
            tmp_path / "model",
            CPU,
            command="a test",
            report=gone,
            running=Running(report_every=1, save_every=100, tensorboard=False),
        )
    assert "the drive is gone" in refused.value.why
    assert refused.value.code == ExitCode.OUTPUT_NOT_WRITABLE


@pytest.mark.parametrize("group", ["healthy", "diseased"])
def test_a_cohort_without_one_group_is_refused(
    training_scans: list[CohortScan], group: str, tmp_path: Path
) -> None:
    others = [scan for scan in training_scans if scan.source.group != group]
    with pytest.raises(UserError, match=f"no {group} scan"):
        train(TINY, others, tmp_path)


def test_a_cohort_on_other_grids_is_refused(training_scans: list[CohortScan], tmp_path: Path) -> None:
    other = replace(TINY, inference=replace(TINY.inference, slice_plane=(64, 64)))
    with pytest.raises(UserError, match=r"\(48, 64\).*\(64, 64\)"):
        train(other, training_scans, tmp_path)


def test_a_checkpoint_goes_back_into_networks_and_optimisers(tmp_path: Path) -> None:
    network, other = nn.Linear(3, 3), nn.Linear(3, 3)
    save_checkpoint(tmp_path / "c", 5, {"n": network}, {}, {"preset": "{}"})
    assert load_checkpoint(tmp_path / "c", {"n": other}, {}) == 5
    assert torch.equal(network.weight, other.weight)


def test_the_file_of_a_checkpoint_is_free_once_it_was_read(tmp_path: Path) -> None:
    def begun() -> tuple[nn.Module, optim.Optimizer]:
        network = nn.Linear(3, 3)
        return network, optim.Adam(network.parameters())

    network, optimiser = begun()
    network(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, 1, {"n": network}, {"o": optimiser})
    other, its_optimiser = begun()
    load_checkpoint(path, {"n": other}, {"o": its_optimiser})
    with path.open("r+b") as file:  # what still is a part of the file changes with it
        file.write(bytes(path.stat().st_size))
    for index, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            assert torch.equal(value, its_optimiser.state_dict()["state"][index][name]), name
    assert torch.equal(network.weight, other.weight)
