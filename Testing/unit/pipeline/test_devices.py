"""The precision that a device gets is the one that it is fast in."""

from __future__ import annotations

import pytest
import torch
from COVIDSelfSegLib.devices import Device, choose_device
from torch import nn

AMX, AVX512 = "_is_amx_tile_supported", "_is_avx512_bf16_supported"


@pytest.mark.parametrize(
    ("has", "running", "training"),
    [
        ({AMX: True, AVX512: True}, torch.bfloat16, torch.bfloat16),
        ({AMX: True}, torch.bfloat16, torch.bfloat16),  # torch before 2.6
        ({AMX: False, AVX512: True}, torch.bfloat16, torch.float32),
        ({AMX: False, AVX512: False}, torch.float32, torch.float32),
        ({}, torch.float32, torch.float32),  # torch before 2.4 cannot tell
    ],
)
def test_a_cpu_that_multiplies_bfloat16_in_hardware_runs_in_it(
    has: dict[str, bool], running: torch.dtype, training: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (AMX, AVX512):
        if name in has:
            monkeypatch.setattr(torch.cpu, name, lambda name=name: has[name], raising=False)
        else:
            monkeypatch.delattr(torch.cpu, name, raising=False)
    assert choose_device("cpu").precision == running
    assert choose_device("cpu", training=True).precision == training


@pytest.mark.parametrize(
    ("capability", "precision"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_a_gpu_from_before_ampere_runs_in_float32(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: torch.dtype
) -> None:
    """Its bfloat16 is emulated. The GPU is made up: what is asked of torch, and what follows from it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert choose_device().precision == precision


@pytest.mark.parametrize(("count", "name"), [(1, "CPU, 1 thread"), (2, "CPU, 2 threads")])
def test_a_single_thread_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch, count: int, name: str) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    assert choose_device("cpu").name == name


def test_the_cpu_is_taken_if_it_is_asked_for_though_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("cpu").handle.type == "cpu"


def test_only_what_shall_run_in_a_lower_precision_does() -> None:
    fast, exact = (Device(torch.device("cpu"), kind, "CPU") for kind in (torch.bfloat16, torch.float32))
    square = torch.ones(2, 2)
    for device, enabled, kind in (
        (fast, True, torch.bfloat16),
        (fast, False, torch.float32),
        (exact, True, torch.float32),
    ):
        with device.autocast(enabled=enabled):
            assert (square @ square).dtype == kind


def test_a_network_is_laid_out_channels_last_in_as_many_dimensions_as_it_has() -> None:
    device = Device(torch.device("cpu"), torch.float32, "CPU")
    flat, deep = device.place(nn.Conv2d(4, 4, 3)), device.place(nn.Conv3d(4, 4, 3))
    assert flat.weight.is_contiguous(memory_format=torch.channels_last)
    assert deep.weight.is_contiguous(memory_format=torch.channels_last_3d)
