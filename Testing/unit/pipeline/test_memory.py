"""Where memory runs out the batch gets smaller, then the CPU is taken, and only then the user is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from COVIDSelfSegLib import pipeline
from COVIDSelfSegLib.cli import main
from COVIDSelfSegLib.devices import Device, choose_device
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.events import Failure, parse_event
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.pipeline import _where_it_fits

A_PETABYTE = 1 << 50
GPU = Device(torch.device("cuda"), torch.bfloat16, "a GPU")


def ask_torch() -> None:
    torch.empty(A_PETABYTE, dtype=torch.uint8)


def ask_numpy() -> None:
    np.empty(A_PETABYTE, np.uint8)


def ask_cuda() -> None:
    """What its allocator raises; there need not be a GPU here to fill."""
    raise torch.cuda.OutOfMemoryError("CUDA out of memory.")


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


@pytest.mark.parametrize("ask_too_much", [ask_torch, ask_numpy])
def test_the_batch_is_halved_until_it_fits(ask_too_much: Callable[[], None]) -> None:
    work = Work(lambda _, batch: batch <= 2, ask_too_much)
    cpu = choose_device("cpu")
    assert _where_it_fits(work, cpu, 8) == ("done by 2", cpu)
    assert work.tries == [("cpu", 8), ("cpu", 4), ("cpu", 2)]


def test_a_gpu_that_takes_a_smaller_batch_is_kept() -> None:
    work = Work(lambda _, batch: batch <= 16, ask_cuda)
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


def test_a_run_without_enough_memory_exits_with_4_and_writes_nothing(
    a_scan_file: Path,
    a_package: ModelPackage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pipeline, "predict_logits", lambda *_, **__: ask_torch())
    output, model = tmp_path / "out", str(a_package.path)
    arguments = ["segment", str(a_scan_file), "--output", str(output), "--model", model]
    assert main([*arguments, "--builtin-lungs", "--device", "cpu", "--events"]) == 4
    failure = parse_event(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(failure, Failure)
    assert failure.code == 4
    assert "not enough memory" in failure.what
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]
