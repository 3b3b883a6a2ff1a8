"""Everything a training needs to go on, in one file that appears whole or not at all; no pickle.

Randomness is drawn afresh from (seed, phase, iteration), so a resumed run meets the same numbers without
any generator's state being kept.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn, optim

_OPTIMISER = "optimiser"


def save_checkpoint(
    path: Path, iteration: int, networks: dict[str, nn.Module], optimisers: dict[str, optim.Optimizer]
) -> None:
    """Write networks and optimisers after ``iteration`` finished steps."""
    tensors: dict[str, Tensor] = {}
    for name, network in networks.items():
        tensors.update({f"{name}.{key}": value for key, value in network.state_dict().items()})
    for name, optimiser in optimisers.items():
        for index, state in optimiser.state_dict()["state"].items():
            tensors.update({f"{_OPTIMISER}.{name}.{index}.{key}": value for key, value in state.items()})
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    safetensors.torch.save_file(tensors, temporary, {"iteration": json.dumps(iteration)})
    temporary.replace(path)


def load_checkpoint(
    path: Path, networks: dict[str, nn.Module], optimisers: dict[str, optim.Optimizer]
) -> int:
    """Put networks and optimisers back as they were; returns the number of finished steps."""
    with safetensors.safe_open(path, "pt") as file:
        iteration: int = json.loads(file.metadata()["iteration"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    for name, network in networks.items():
        prefix = f"{name}."
        network.load_state_dict(
            {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        )
    for name, optimiser in optimisers.items():
        prefix = f"{_OPTIMISER}.{name}."
        state: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            if key.startswith(prefix):
                index, field = key.removeprefix(prefix).split(".", 1)
                state.setdefault(int(index), {})[field] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return iteration
