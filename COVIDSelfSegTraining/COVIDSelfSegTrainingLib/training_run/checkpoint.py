"""Everything a training needs to go on, in one file that appears whole or not at all; no pickle.

Randomness is drawn afresh from (seed, phase, iteration), so a resumed run meets the same numbers without
any generator's state being kept. The file's header also holds the preset, so that a checkpoint is never gone
on with under other options.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.file_errors import output_not_writable
from COVIDSelfSegLib.whole_files import appearing_whole
from safetensors import SafetensorError
from torch import Tensor, nn, optim

_OPTIMISER = "optimiser"


def checkpoint_of(folder: Path, phase: str) -> Path:
    """The checkpoint of a phase, in the folder of its training."""
    return folder / f"{phase}.checkpoint.safetensors"


def save_checkpoint(
    path: Path,
    iteration: int,
    networks: dict[str, nn.Module],
    optimisers: dict[str, optim.Optimizer],
    recipe: Mapping[str, str] | None = None,
) -> None:
    """Write networks and optimisers after ``iteration`` finished steps.

    Args:
        path: the file; what was there stays until all of the new one is on the disk.
        iteration: finished steps.
        networks: by name.
        optimisers: by name.
        recipe: texts to keep with it.

    Raises:
        UserError: the disk is full or not writable (exit code 5), or a weight is not a number; the last good
            checkpoint stays.
    """
    tensors: dict[str, Tensor] = {}
    for name, network in networks.items():
        tensors.update({f"{name}.{key}": value for key, value in network.state_dict().items()})
    for name, optimiser in optimisers.items():
        for index, state in optimiser.state_dict()["state"].items():
            tensors.update({f"{_OPTIMISER}.{name}.{index}.{key}": value for key, value in state.items()})
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    _check_finite(path, tensors)
    try:
        with appearing_whole(path) as temporary:
            safetensors.torch.save_file(
                tensors, temporary, {"iteration": json.dumps(iteration), **(recipe or {})}
            )
            with temporary.open("r+b") as file:  # Windows flushes only what is open for writing
                os.fsync(file.fileno())  # a power cut after the renaming must not leave an empty file
    except (OSError, SafetensorError) as error:
        raise not_writable(path.parent, error) from error


def load_checkpoint(
    path: Path, networks: dict[str, nn.Module], optimisers: dict[str, optim.Optimizer]
) -> int:
    """Put networks and optimisers back as they were; returns the number of finished steps.

    Raises:
        UserError: the file is damaged, or is of other networks (exit code 3).
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            iteration: int = json.loads(file.metadata()["iteration"])
            # Copies: an optimiser keeps what it is given, and as long as a part of a file is in its hands
            # Windows lets no other take its place.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 (no mapping)
        for name, network in networks.items():
            prefix = f"{name}."
            network.load_state_dict(
                {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            )
        for name, optimiser in optimisers.items():
            _load_optimiser(optimiser, f"{_OPTIMISER}.{name}.", tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"The checkpoint {path} cannot be resumed: {str(error).splitlines()[0]}",
            why="It is damaged, or holds other networks than this preset's.",
            fix="Train into another folder, or delete the checkpoint to start this phase again.",
            code=ExitCode.MODEL_UNUSABLE,
        ) from error
    return iteration


def read_recipe(path: Path) -> dict[str, str]:
    """The texts that were kept with a checkpoint; empty for one of an older version."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError:
        return {}  # load_checkpoint says what is wrong with it


def remove_leftovers(folder: Path) -> None:
    """Delete what runs that were killed left half-written: checkpoints, the package, the page and the log."""
    for ending in ("safetensors", "html", "jsonl"):
        for file in folder.glob(f".*.{ending}.[0-9]*"):
            file.unlink(missing_ok=True)


def not_writable(folder: Path, error: Exception) -> UserError:
    """What to say when the disk takes no more, or there is a file in place of the folder."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return output_not_writable(folder, error)
    return UserError(
        f"The training could not write to {folder}: {error}.",
        why="The disk is full, the folder is write-protected, or the drive is gone.",
        fix="Free some space and start the same command again: it goes on from the last good checkpoint.",
        code=ExitCode.OUTPUT_NOT_WRITABLE,
    )


def _load_optimiser(optimiser: optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith(prefix):
            index, field = key.removeprefix(prefix).split(".", 1)
            state.setdefault(int(index), {})[field] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    wrong = [key for key, value in tensors.items() if not torch.isfinite(value).all()]
    if wrong:
        raise UserError(
            f"The weights are no longer numbers ({wrong[0]} and {len(wrong) - 1} others).",
            why="The training diverged; there is nothing left to continue with.",
            fix=f"Start again with a lower learning rate; the last good checkpoint is {path}.",
        )
