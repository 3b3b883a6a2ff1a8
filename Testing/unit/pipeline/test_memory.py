"""Where memory runs out the batch gets smaller, then the CPU is taken, and only then the user is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib import devices, models, pipeline
from COVIDSelfSegLib.cli import main
from COVIDSelfSegLib.commands import phantom
from COVIDSelfSegLib.devices import Device, choose_device
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.events import Failure, parse_event
from COVIDSelfSegLib.lung_masks.network import SHIPPED_WEIGHTS, LungCard, LungNetwork
from COVIDSelfSegLib.lungs import lung_weights_sha256
from COVIDSelfSegLib.memory import fitting_into_memory
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.pipeline import _where_it_fits
from COVIDSelfSegLib.weight_file import check_weights

A_PETABYTE = 1 << 50
GPU = Device(torch.device("cuda"), torch.bfloat16, "a GPU")
CPU = choose_device("cpu")


def ask_torch() -> None:
    torch.empty(A_PETABYTE, dtype=torch.uint8)


def ask_numpy() -> None:
    np.empty(A_PETABYTE, np.uint8)


def ask_itk() -> None:
    sitk.Image(100_000, 100_000, 100_000, sitk.sitkUInt8)


def ask_torch_on_windows() -> None:
    """What it says there."""
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: not enough memory")


def ask_cuda() -> None:
    """What its allocator raises; there need not be a GPU here to fill."""
    raise torch.cuda.OutOfMemoryError("CUDA out of memory.")


def ask_cublas() -> None:
    """What it says of a GPU that others have filled."""
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def ask_cudnn() -> None:
    """Likewise, since version 9."""
    raise RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED")


class Work:
    """Work that fits where it is told to, and remembers how it was tried."""

    def __init__(self, fits: Callable[[str, int], bool], ask_too_much: Callable[[], None] = ask_torch):
        self.tries: list[tuple[str, int]] = []
        self._fits, self._ask_too_much = fits, ask_too_much

    def __call__(self, device: Device, batch: int) -> str:
        self.tries.append((device.handle.type, batch))
        if not self._fits(device.handle.type, batch):
            self._ask_too_much()
        return f"done by {batch}"


@pytest.mark.parametrize("ask_too_much", [ask_torch, ask_numpy, ask_itk, ask_torch_on_windows])
def test_the_batch_is_halved_until_it_fits(ask_too_much: Callable[[], None]) -> None:
    work = Work(lambda _, batch: batch <= 2, ask_too_much)
    cpu = choose_device("cpu")
    assert _where_it_fits(work, cpu, 8) == ("done by 2", cpu)
    assert work.tries == [("cpu", 8), ("cpu", 4), ("cpu", 2)]


@pytest.mark.parametrize("ask_too_much", [ask_cuda, ask_cublas, ask_cudnn])
def test_a_gpu_that_takes_a_smaller_batch_is_kept(ask_too_much: Callable[[], None]) -> None:
    work = Work(lambda _, batch: batch <= 16, ask_too_much)
    assert _where_it_fits(work, GPU, 64) == ("done by 16", GPU)
    assert work.tries == [("cuda", 64), ("cuda", 32), ("cuda", 16)]


def test_where_not_even_one_slice_fits_on_the_gpu_the_cpu_does_it() -> None:
    work = Work(lambda kind, _: kind == "cpu", ask_cuda)
    made, device = _where_it_fits(work, GPU, 4)
    assert device.handle.type == "cpu"
    assert made.startswith("done")
    *on_gpu, on_cpu = work.tries
    assert on_gpu == [("cuda", 4), ("cuda", 2), ("cuda", 1)]
    assert on_cpu == ("cpu", pipeline._CPU_BATCH), "many slices at a time again"
    assert pipeline._CPU_BATCH > 1


@pytest.mark.parametrize("device", [choose_device("cpu"), GPU], ids=["CPU", "GPU"])
def test_where_nothing_fits_a_user_is_told_after_all_was_tried(device: Device) -> None:
    work = Work(lambda _, __: False)
    with pytest.raises(UserError, match="not enough memory") as caught:
        _where_it_fits(work, device, 4)
    assert caught.value.code == ExitCode.OUT_OF_MEMORY == 4
    assert work.tries[-1] == ("cpu", 1)


def test_any_other_error_is_no_reason_to_try_again() -> None:
    def fail() -> None:
        raise RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")

    work = Work(lambda _, __: False, fail)
    with pytest.raises(RuntimeError, match="must match"):
        _where_it_fits(work, GPU, 64)
    assert len(work.tries) == 1


@pytest.fixture
def a_gpu_too_full_for_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    of_weights = LungNetwork.of_weights

    def fill(card: LungCard, weights: dict[str, torch.Tensor], sha256: str, device: Device) -> LungNetwork:
        if device.handle.type == "cuda":
            ask_cuda()
        return of_weights(card, weights, sha256, device)

    monkeypatch.setattr(LungNetwork, "of_weights", fill)
    monkeypatch.setattr(devices, "choose_device", lambda asked="auto": GPU if asked == "auto" else CPU)


@pytest.mark.usefixtures("a_gpu_too_full_for_weights")
def test_a_lung_network_that_does_not_fit_on_the_gpu_is_not_called_damaged_but_runs_on_the_cpu() -> None:
    network, device = _where_it_fits(lambda device, _: LungNetwork.shipped(device), GPU, 1)
    assert network is not None
    assert device.handle.type == "cpu"


@pytest.mark.usefixtures("a_gpu_too_full_for_weights")
def test_which_lung_network_there_is_can_be_told_beside_a_full_gpu() -> None:
    assert lung_weights_sha256(builtin=True) == check_weights(SHIPPED_WEIGHTS)[1]


@pytest.mark.parametrize(
    "step",
    [
        *((pipeline, name) for name in ("examine", "predict_logits", "measure", "draw_overview")),
        (sitk.ImageFileWriter, "Execute"),
    ],
    ids=lambda step: step[1],
)
def test_a_run_without_enough_memory_exits_with_4_and_writes_nothing(
    *,
    step: tuple[object, str],
    a_coarse_scan_file: Path,
    coarse_lungs: Path,
    a_package: ModelPackage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(*step, lambda *_, **__: ask_itk())
    output, model = tmp_path / "out", str(a_package.path)
    arguments = ["segment", str(a_coarse_scan_file), "--output", str(output), "--model", model]
    assert main([*arguments, "--lung-mask", str(coarse_lungs), "--device", "cpu", "--events"]) == 4
    failure = parse_event(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(failure, Failure)
    assert failure.code == 4
    assert "not enough memory" in failure.what
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


@pytest.mark.parametrize("ask", [ask_torch, ask_numpy, ask_itk, ask_cuda])
def test_a_command_that_has_no_way_out_of_its_own_says_that_memory_ran_out(
    ask: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(phantom, "make_phantom", lambda *_, **__: ask())
    assert main(["phantom", "--output", str(tmp_path / "out")]) == 4
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "Memory ran out."
    assert told[2].strip().startswith("Fix: Close other programs")


@pytest.mark.parametrize("part", ["generator", "segmenter"])
def test_weights_for_which_there_is_no_memory_are_not_called_damaged(
    part: str, a_package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "read_weights", lambda *_: ask_torch())
    with pytest.raises(UserError) as caught, fitting_into_memory():
        getattr(a_package, part)()
    assert caught.value.code == ExitCode.OUT_OF_MEMORY


LIMITED = """
import resource, sys
from pathlib import Path
from COVIDSelfSegLib import batch, pipeline
from COVIDSelfSegLib.cli import main
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(main(sys.argv[1:]))
"""
"""A process that may have one GiB more than its libraries take."""


def run_with_a_gib(*arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("resource")
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not say how much memory a process has")
    # Each thread would otherwise reserve a share of what is left.
    quiet = os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)


@pytest.fixture
def a_large_scan(tmp_path: Path) -> Path:
    """A whole file of 2 GiB, all of it a hole that takes no room on the disk."""
    path = tmp_path / "large.nrrd"
    header = (
        b"NRRD0004\ntype: int16\ndimension: 3\nspace: left-posterior-superior\nsizes: 512 512 4096\n"
        b"space directions: (0.7,0,0) (0,0.7,0) (0,0,0.3)\nkinds: domain domain domain\n"
        b"endian: little\nencoding: raw\nspace origin: (0,0,0)\n\n"
    )
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 2 * 512 * 512 * 4096)
    return path


def test_a_scan_that_cannot_be_read_for_want_of_memory_is_not_called_damaged(
    a_large_scan: Path, a_package: ModelPackage, tmp_path: Path
) -> None:
    fixed = ["--output", str(tmp_path / "out"), "--model", str(a_package.path), "--builtin-lungs"]
    done = run_with_a_gib("segment", str(a_large_scan), *fixed)
    assert done.returncode == ExitCode.OUT_OF_MEMORY, done.stderr
    assert "not enough memory" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_batch_goes_on_after_a_scan_that_could_not_be_read_for_want_of_memory(
    a_large_scan: Path, a_coarse_scan_file: Path, a_package: ModelPackage, tmp_path: Path
) -> None:
    fixed = ["--output", str(tmp_path / "out"), "--model", str(a_package.path), "--builtin-lungs"]
    done = run_with_a_gib("batch", str(a_large_scan), str(a_coarse_scan_file), *fixed, "--device", "cpu")
    assert done.returncode == ExitCode.DONE, done.stderr
    rows = (tmp_path / "out" / "batch.csv").read_text().splitlines()
    assert "refused" in rows[1]
    assert "not enough memory" in rows[1]
    assert "done" in rows[2]
