"""What a machine can do at most, and what work asks of it: arithmetic, and bytes through memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from COVIDSelfSegLib.devices import Device
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Work:
    """What a piece of work asks of a machine.

    Attributes:
        flops: a multiplication and an addition are two.
        traffic: bytes that its operators read and write, as if there were no caches.
    """

    flops: float
    traffic: float

    def beside(self, seconds: float, limits: Limits) -> str:
        """In words, with the shares of the machine's limits that it reaches in so many seconds."""
        return (
            f"{self.flops / 1e12:.2f} TFLOP, {self.flops / limits.flops / seconds:.0%} of the limit; "
            f"{self.traffic / 1e9:.0f} GB through memory, {self.traffic / limits.bandwidth / seconds:.0%}"
        )


@dataclass(frozen=True)
class Limits:
    """A machine's: floating point operations a second in matrix products, and bytes a second."""

    flops: float
    bandwidth: float

    @classmethod
    def of(cls, device: Device) -> Limits:
        """Measure them."""
        return cls(peak_flops(device), _bandwidth(device))


def peak_flops(device: Device) -> float:
    """What large matrix products reach in the precision that the networks run in."""
    size = 8192 if device.handle.type == "cuda" else 3072
    one, other = (torch.randn(size, size, device=device.handle, dtype=device.precision) for _ in range(2))
    return 2 * size**3 / _fastest(lambda: (one @ other).sum().item())


def _bandwidth(device: Device) -> float:
    """What a copy of memory much larger than any cache reaches, read and written."""
    count = 1 << (30 if device.handle.type == "cuda" else 28)
    source = torch.zeros(count, dtype=torch.uint8, device=device.handle)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        target[-1].item()  # which waits for a GPU

    return 2 * count / _fastest(copy)


def work_of(task: Callable[[], object]) -> Work:
    """Count what a task asks for while it runs once."""
    with FlopCounterMode(display=False) as arithmetic, _TrafficCounter() as traffic:
        task()
    return Work(arithmetic.get_total_flops(), traffic.bytes)


_NO_TRAFFIC = {
    f"aten::{name}" for name in ("_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty")
}


class _TrafficCounter(TorchDispatchMode):
    """Adds up the bytes of what operators take and give; views and new memory without values move none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        aliased = [result.alias_info for result in func._schema.returns]
        is_view = any(alias is not None and not alias.is_write for alias in aliased)
        if not is_view and func._schema.name not in _NO_TRAFFIC:
            tensors = [one for one in tree_leaves((args, kwargs, made)) if isinstance(one, torch.Tensor)]
            self.bytes += sum(one.numel() * one.element_size() for one in tensors)
        return made


def _fastest(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
