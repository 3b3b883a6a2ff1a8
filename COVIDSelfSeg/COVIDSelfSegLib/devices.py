"""Where the networks run and in which precision, said before anything starts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from .errors import UserError

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Device:
    """A device and the arithmetic it is good at.

    Attributes:
        handle: the device, as torch names it.
        precision: of convolutions and matrix products, and of what is added up from them.
        name: for people.
    """

    handle: torch.device
    precision: torch.dtype
    name: str

    def place(self, network: Network) -> Network:
        """Move a network here, its convolutions laid out channels-last, which is what they run fastest in."""
        network.to(self.handle)
        volumetric = any(isinstance(part, nn.Conv3d) for part in network.modules())
        layout = torch.channels_last_3d if volumetric else torch.channels_last
        network.to(memory_format=layout)  # type: ignore[call-overload]
        return network

    def autocast(self, *, enabled: bool = True) -> AbstractContextManager[object]:
        """Run what is inside in this device's precision."""
        lower = enabled and self.precision != torch.float32
        return torch.autocast(self.handle.type, self.precision if lower else torch.bfloat16, enabled=lower)

    def __str__(self) -> str:
        return f"{self.name}, {str(self.precision).removeprefix('torch.')}"


def choose_device(asked: str = "auto", *, training: bool = False) -> Device:
    """Choose where to run.

    Args:
        asked: ``auto`` takes a GPU that is there; ``cpu`` or ``cuda`` insist.
        training: networks are to be trained, not only run.

    Raises:
        UserError: ``cuda`` was asked for and there is none.
    """
    if asked != "cpu" and torch.cuda.is_available():
        # Before Ampere, cuDNN has no convolutions of bfloat16, and torch takes slow ones of its own.
        fast = torch.cuda.get_device_capability() >= (8, 0)
        precision = torch.bfloat16 if fast else torch.float32
        return Device(torch.device("cuda"), precision, torch.cuda.get_device_name())
    if asked == "cuda":
        raise UserError(
            "No CUDA device was found.",
            why="The run was asked to use the GPU; torch sees none, or was installed without CUDA.",
            fix="Use --device auto or cpu, or install a CUDA build of torch and the NVIDIA driver.",
        )
    precision = torch.bfloat16 if _fast_bfloat16(training=training) else torch.float32
    threads = torch.get_num_threads()
    return Device(torch.device("cpu"), precision, f"CPU, {threads} thread{'s' * (threads != 1)}")


def _fast_bfloat16(*, training: bool) -> bool:
    """Whether the CPU multiplies bfloat16 in hardware; emulated, it is slower than float32.

    AMX (Intel since Sapphire Rapids) or AVX512-BF16 (AMD since Zen 4); torch tells since 2.4 and 2.6. With
    AVX512-BF16 alone a network is run in it and not trained: backward passes of 3D convolutions and of
    strided ones with few channels write beyond their memory there (torch 2.13).
    """
    names = (
        ("_is_amx_tile_supported",) if training else ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )
    probes = (getattr(torch.cpu, name, None) for name in names)
    return any(probe is not None and probe() for probe in probes)
