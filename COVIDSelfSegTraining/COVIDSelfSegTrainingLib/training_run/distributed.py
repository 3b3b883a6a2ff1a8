"""Several processes that train as one, through PyTorch's own launcher (``torchrun``) and its gradients.

Every process draws the same joint batch and works on its rows of it. Losses are sums over the joint batch,
added up across processes with gradients, so that the weights after a step are those of one process with the
joint batch, within floating-point noise. (Dropout is the exception, and batch norms without GPUs.) With one
process everything here is the identity.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
import torch.distributed.nn.functional as joint_functional
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import UserError
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def joined(device: Device) -> Iterator[Device]:
    """Join the processes that ``torchrun`` started; gives the device that this process shall use.

    Raises:
        UserError: fewer GPUs than processes on this machine.
    """
    if size_of_launcher() == 1:
        yield device
        return
    backend = "gloo"
    if device.handle.type == "cuda":
        number = int(os.environ.get("LOCAL_RANK", "0"))
        if number >= torch.cuda.device_count():
            raise UserError(
                f"Process {number} found no GPU of its own; this machine has {torch.cuda.device_count()}.",
                why="Each process trains on one GPU.",
                fix="Give torchrun --nproc-per-node=N with as many as there are GPUs, or use --device cpu.",
            )
        torch.cuda.set_device(number)
        device = replace(device, handle=torch.device("cuda", number))
        backend = "nccl"
    distributed.init_process_group(backend)
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def size() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process; 0 is the one that writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def size_of_launcher() -> int:
    """Number of processes that ``torchrun`` started, before they have joined."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank_of_launcher() -> int:
    """Number that ``torchrun`` gave to this process, before it has joined the others."""
    return int(os.environ.get("RANK", "0"))


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if size() > 1:
        distributed.barrier()


def rows() -> slice:
    """The rows of the joint batch that are this process's."""
    return slice(rank(), None, size())


def seed_dropout(seed: int) -> None:
    """Seed torch's own generator, from which dropout alone draws, differently in each process.

    With one seed for all, the same features would be dropped in rows of the joint batch that are on different
    processes. The first process draws as a single one does.
    """
    if rank() > 0:
        seed = int(np.random.default_rng([seed, rank()]).integers(2**62))
    torch.manual_seed(seed)


def total(value: Tensor) -> Tensor:
    """Sum over processes, with gradient."""
    if size() == 1:
        return value
    summed: Tensor = joint_functional.all_reduce(value)  # type: ignore[no-untyped-call]
    return summed


def mean(values: Tensor) -> Tensor:
    """Mean over the elements of all processes."""
    if size() == 1:
        return values.mean()
    count = torch.tensor(float(values.numel()), device=values.device)
    summed, counted = total(torch.stack([values.float().sum(), count])).unbind()
    return summed / counted.detach().clamp_min(1)


def joint_rows(values: Tensor, count: int) -> Tensor:
    """Put the rows of all processes together to the ``count`` rows of the joint batch, with gradient."""
    if size() == 1:
        return values
    places = torch.arange(count, device=values.device)[rows()]
    whole = values.new_zeros(count, *values.shape[1:])
    return total(whole.index_copy(0, places, values))


def gathered_lists(values: list[float]) -> list[float]:
    """The numbers of all processes."""
    if size() == 1:
        return values
    parts: list[list[float]] = [[] for _ in range(size())]
    distributed.all_gather_object(parts, values)
    return [value for part in parts for value in part]


def shared(network: nn.Module, *, unused: bool = False) -> nn.Module:
    """The network with its gradients averaged over processes.

    Args:
        network: on its device.
        unused: some parameters may take no part in a step.
    """
    if size() == 1:
        return network
    device = next(network.parameters()).device
    return DistributedDataParallel(
        network,
        device_ids=[device.index] if device.type == "cuda" else None,
        broadcast_buffers=False,  # they follow from the weights, which are equal
        find_unused_parameters=unused,
    )


def with_joint_norms(network: nn.Module, device: Device) -> nn.Module:
    """Let batch norms see the joint batch. PyTorch has this for GPUs alone; elsewhere they see their rows."""
    if size() > 1 and device.handle.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    return network
