"""Running mean of a network's weights; it is what goes into the package."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def frozen_copy(network: Network) -> Network:
    """A copy that is never optimised."""
    average = copy.deepcopy(network).eval()
    for parameter in average.parameters():
        parameter.requires_grad = False
    return average


def update_average(average: nn.Module, network: nn.Module, decay: float, iteration: int) -> None:
    """Move the mean towards the weights; early on faster, so that it forgets where they started.

    Batch norms' running statistics are means already and are copied.
    """
    decay = min(decay, (1 + iteration) / (10 + iteration))
    with torch.no_grad():
        for mean, value in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for statistic, current in zip(average.buffers(), network.buffers(), strict=True):
            statistic.copy_(current)
