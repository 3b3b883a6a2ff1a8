"""Whether a network can be built and run as a card or a preset says, without reading or drawing weights.

A wrong argument may show only when slices run through: the number of attention heads does. That comes after
minutes of a run, or hours of a training; a trial takes a moment. It runs on the CPU, since the first run on
torch's meta device imports its compiler, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from .networks.generator import LATENT_CHANNELS, SHRINKAGE, VolumeGenerator
from .networks.slice_network import SliceNetwork

Network = TypeVar("Network", VolumeGenerator, SliceNetwork)

SLICE_CHANNELS = (1, 4)
"""That a 2D network may take in: the slice alone, or three slices and the lung mask."""
_SIDE = 32
"""Of the trial's slices: a group norm of the R50 needs more than one pixel on the grid of 1/16."""
_FAULTS = (ArithmeticError, AssertionError, KeyError, RuntimeError, TypeError, ValueError)
"""What torch's layers and ours raise at arguments that do not go together."""


class TrialError(ValueError):
    """Says in a line why a network cannot be built or run."""


def outline(build: Callable[[], Network]) -> Network:
    """What is built, with the names and shapes of its weights and no memory for them.

    Raises:
        TrialError: it cannot be built, or is another network than is asked for.
    """
    try:
        with torch.device("meta"):
            return build()
    except _FAULTS as error:
        raise TrialError(_first_line(error)) from error


def try_out(network: VolumeGenerator | SliceNetwork) -> None:
    """Run an outline once, on as small an input as will do; it is then good for nothing else.

    Raises:
        TrialError: it cannot run.
    """
    try:
        # Not to_empty(): on the meta device it imports what a run there does.
        zeros = {
            name: torch.zeros(value.shape, dtype=value.dtype) for name, value in network.state_dict().items()
        }
        network.load_state_dict(zeros, assign=True)
        with torch.inference_mode():
            _run(network.eval())
    except _FAULTS as error:
        raise TrialError(_first_line(error)) from error


def _run(network: VolumeGenerator | SliceNetwork) -> None:
    if isinstance(network, VolumeGenerator):
        channels = 2 if network.lung_channel else 1
        network(torch.zeros(1, channels, *3 * [SHRINKAGE]), torch.zeros(1, LATENT_CHANNELS, 1, 1, 1))
    else:
        if network.in_channels not in SLICE_CHANNELS:
            raise ValueError(f"it takes {network.in_channels} channels in, not 1 or 4")
        network(torch.zeros(1, network.in_channels, _SIDE, _SIDE))


def _first_line(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no network {error}"
    return (str(error) or type(error).__name__).splitlines()[0]
