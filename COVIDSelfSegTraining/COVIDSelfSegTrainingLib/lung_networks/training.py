"""Train the network that finds dense lung, without a drawn label.

What it learns from are chests whose lung mask is known (phantoms, and healthy scans, where a threshold finds
the lung), with dense disease painted into them; see :mod:`.corruption`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.hounsfield import to_unit
from COVIDSelfSegLib.lung_masks.network import LUNG_GRID_MM, LungCard, LungNetwork
from COVIDSelfSegLib.networks.lung_unet import LungUNet, widths_of
from COVIDSelfSegLib.weight_file import DamagedFileError, check_weights, read_weights
from torch import Tensor, nn
from torch.nn import functional

from ..averaging import frozen_copy, update_average
from ..training_run.checkpoint import load_checkpoint, read_recipe, save_checkpoint
from .batches import Chest, LungBatches

_STREAM = 5
_RECIPE, _CHESTS = "preset", "chests"
_AERATED_HU = -500.0


@dataclass(frozen=True)
class LungPreset:
    """How the lung network is trained.

    Attributes:
        seed: the only source of randomness.
        iterations: optimiser steps.
        batch: chests a step.
        window: what is cut out of each chest (z, y, x), in voxels; of one slice, the network is flat.
        real_share: share of the chests that are real, where there are phantoms too.
        grid_mm: size of the voxels.
        picture_share: share of the windows that look like 8-bit pictures mapped to HU: stretched, shifted
            and clipped, or with equalised contrast.
        rate: peak learning rate of AdamW, after a warm-up, before a cosine.
        warm_up: steps of linear warm-up.
        weight_decay: of AdamW.
        ema: decay of the running mean of the weights.
        aerated_weight: weight of aerated voxels in the loss; a threshold finds those without a network.
        started_from: SHA-256 of the weights that the training went on from; empty if from nothing.
        taught_by: SHA-256 of the network that said where the lungs of diseased scans are; empty if there
            were none of these.
    """

    seed: int = 21
    iterations: int = 4500
    batch: int = 2
    window: tuple[int, int, int] = (64, 64, 80)
    real_share: float = 0.6
    grid_mm: float = LUNG_GRID_MM
    picture_share: float = 0.0
    rate: float = 2e-3
    warm_up: int = 100
    weight_decay: float = 0.02
    ema: float = 0.995
    aerated_weight: float = 0.2
    started_from: str = ""
    taught_by: str = ""

    @property
    def flat(self) -> bool:
        """Whether it is for single slices."""
        return self.window[0] == 1


SLICE_PRESET = LungPreset(
    iterations=5000,
    batch=16,
    window=(1, 128, 160),
    grid_mm=2.5,
    picture_share=0.6,
)
"""For pictures of single slices."""


@dataclass(frozen=True)
class TrainedLungs:
    """A lung network to go on from, or to average.

    Attributes:
        card: what its file says of it.
        weights: its state.
        sha256: of the weights.
    """

    card: LungCard
    weights: dict[str, Tensor]
    sha256: str


def read_network(path: Path) -> TrainedLungs:
    """Read a lung network that was trained before.

    Args:
        path: as ``covidselfseg train-lungs`` or ``mean-lungs`` wrote it.

    Raises:
        UserError: the file is missing or damaged (exit code 3).
    """
    try:
        about, digest = check_weights(path)
        card, weights = LungCard.from_json(about["card"]), read_weights(path)
        LungUNet(widths=card.widths, flat=card.flat).load_state_dict(weights)
        return TrainedLungs(card, weights, digest)
    except (DamagedFileError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"The lung network {path} cannot be used ({error}).",
            why="A result made with other weights than the named ones would not be what it claims to be.",
            fix="Name a file that 'covidselfseg train-lungs' wrote.",
            code=ExitCode.MODEL_UNUSABLE,
        ) from error


def read_start(path: Path, *, flat: bool) -> TrainedLungs:
    """Read the weights to go on from.

    Args:
        path: as ``covidselfseg train-lungs`` wrote it.
        flat: whether the training is of single slices, as the weights must be.

    Raises:
        UserError: the file is missing or damaged (exit code 3), or of the other kind (2).
    """
    start = read_network(path)
    widths = widths_of(flat=flat)
    if start.card.flat != flat or start.card.widths not in (widths, widths[:-1]):
        kind = "single slices" if start.card.flat else "whole chests"
        raise UserError(
            f"The lung network {path} is for {kind}, or of other widths than this version trains.",
            why="Its weights do not fit the network that is to be trained.",
            fix="Give --slices for a network of single slices, and leave it out for one of whole chests.",
        )
    return start


def as_teacher(lungs: TrainedLungs, device: Device) -> LungNetwork:
    """A network for whole chests, to say where the lungs of diseased scans are.

    Raises:
        UserError: it is for single slices.
    """
    if lungs.card.flat:
        raise UserError(
            "The lung network that is to find the lungs of diseased scans is for single slices.",
            why="Dense tissue at the border of a lung is told from the chest wall by the chest around it.",
            fix="Name a network of whole chests, which 'covidselfseg train-lungs' writes without --slices.",
        )
    return LungNetwork.of_weights(lungs.card, lungs.weights, lungs.sha256, device)


class LungTrainer:
    """The lung network and its optimiser; one step at a time.

    Args:
        preset: the training.
        chests: to learn from.
        device: where to train.
    """

    def __init__(self, preset: LungPreset, chests: list[Chest], device: Device) -> None:
        self.preset, self.device = preset, device
        self._batches = LungBatches(
            chests,
            size=preset.batch,
            window=preset.window,
            real_share=preset.real_share,
            picture_share=preset.picture_share,
        )
        torch.manual_seed(preset.seed)
        self.network = device.place(LungUNet(flat=preset.flat))
        self.average = frozen_copy(self.network)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), preset.rate, (0.9, 0.99), weight_decay=preset.weight_decay
        )
        self.iteration = 0
        self._fingerprints = {chest.name: chest.fingerprint for chest in chests}

    def start_from(self, start: TrainedLungs) -> None:
        """Take the weights of another training; its optimiser's state is not kept in them.

        A network without the coarsest level lends the others; that one begins anew.
        """
        weights = start.weights
        if len(start.card.widths) < len(self.network.widths):
            weights = self.network.state_dict() | _below_another_level(weights)
        for network in (self.network, self.average):
            network.load_state_dict(weights)

    def step(self) -> dict[str, float]:
        """One iteration; returns the losses."""
        rng = np.random.default_rng([self.preset.seed, _STREAM, self.iteration])
        torch.manual_seed(int(rng.integers(2**62)))
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        batch = self._batches.draw(rng)
        hu, lungs, known = (part.to(self.device.handle) for part in (batch.hu, batch.lungs, batch.known))
        with self.device.autocast():
            logits = self.network(to_unit(hu).contiguous(memory_format=torch.channels_last_3d)).float()
        weight = torch.where(hu < _AERATED_HU, self.preset.aerated_weight, 1.0) * known
        entropy = functional.binary_cross_entropy_with_logits(logits, lungs, weight)
        probability = torch.sigmoid(logits) * weight
        overlap = (2 * (probability * lungs).sum() + 1) / (probability.sum() + (weight * lungs).sum() + 1)
        loss = entropy + 0.5 * (1 - overlap)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        update_average(self.average, self.network, self.preset.ema, self.iteration)
        self.iteration += 1
        return {"entropy": entropy.item(), "dice": overlap.item()}

    def save(self, path: Path) -> None:
        """Write all that :meth:`load` needs to go on."""
        recipe = {_RECIPE: json.dumps(asdict(self.preset)), _CHESTS: json.dumps(self._fingerprints)}
        save_checkpoint(path, self.iteration, self._networks(), {"lungs": self.optimiser}, recipe)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            UserError: it is of another recipe or other chests (exit code 2), damaged or of another network
                (3).
        """
        kept = read_recipe(path)
        if kept.get(_RECIPE) != json.dumps(asdict(self.preset)):
            raise UserError(
                f"{path} was made with another recipe.",
                why="Continuing under changed options would give weights that no recipe describes.",
                fix="Give the --iterations of that training again, or delete the checkpoint to start again.",
            )
        self._check_chests(path, json.loads(kept.get(_CHESTS, "{}")))
        self.iteration = load_checkpoint(path, self._networks(), {"lungs": self.optimiser})

    def _check_chests(self, path: Path, before: dict[str, str]) -> None:
        here = self._fingerprints
        gone, new = (
            [name for name, content in one.items() if other.get(name) != content]
            for one, other in ((before, here), (here, before))
        )
        if gone or new:
            raise UserError(
                f"The chests are not those that {path} was made with. Gone or changed: {_some(gone)}; new or "
                f"changed: {_some(new)}.",
                why="Its weights have learnt from scans that the network's card would not name, nor their "
                "licences.",
                fix="Connect the disk that the same scans lie on, or delete the checkpoint to start again.",
            )

    def _networks(self) -> dict[str, nn.Module]:
        return {"lungs": self.network, "average": self.average}

    def _rate(self) -> float:
        preset = self.preset
        if self.iteration < preset.warm_up:
            return preset.rate * (self.iteration + 1) / preset.warm_up
        done = (self.iteration - preset.warm_up) / max(1, preset.iterations - preset.warm_up)
        return preset.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def _some(names: list[str]) -> str:
    """The first few."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return (", ".join(names[:4]) or "none") + more


def _below_another_level(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as a network with one more, coarser level names them: its first decoder is a new one."""
    renamed = {}
    for name, value in weights.items():
        part, _, rest = name.partition(".")
        if part == "decoders":
            number, _, rest = rest.partition(".")
            rest = f"{int(number) + 1}.{rest}"
        renamed[f"{part}.{rest}"] = value
    return renamed
