"""Train the network that finds dense lung, without a drawn label.

What it learns from are chests whose lung mask is known (phantoms, and healthy scans, where a threshold finds
the lung), with dense disease painted into them; see :mod:`.lung_corruption`.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.hounsfield import to_unit
from COVIDSelfSegLib.lung_network import LUNG_GRID_MM
from COVIDSelfSegLib.networks.lung_unet import LungUNet
from torch import Tensor, nn
from torch.nn import functional

from .checkpoint import load_checkpoint, save_checkpoint
from .lung_corruption import FloatArray, paint_dense_disease

_STREAM = 5
_AIR_HU = -1000.0
_AERATED_HU = -500.0
_STACK_MM = (60.0, 200.0)
"""Height of the stack that a single slice stands for."""


@dataclass(frozen=True)
class LungPreset:
    """How the lung network is trained.

    Attributes:
        seed: the only source of randomness.
        iterations: optimiser steps.
        batch: chests a step.
        window: what is cut out of each chest (z, y, x), in voxels.
        real_share: share of the chests that are real, where there are phantoms too.
        single_share: share of the windows that hold one slice over and over, as for a scan of one slice;
            helps on single slices and takes bowel for lung in whole scans (docs/steps.md).
        picture_share: share of the windows that look like 8-bit pictures mapped to HU: stretched, shifted
            and clipped.
        rate: peak learning rate of AdamW, after a warm-up, before a cosine.
        warm_up: steps of linear warm-up.
        weight_decay: of AdamW.
        ema: decay of the running mean of the weights.
        aerated_weight: weight of aerated voxels in the loss; a threshold finds those without a network.
    """

    seed: int = 21
    iterations: int = 1600
    batch: int = 2
    window: tuple[int, int, int] = (64, 64, 80)
    real_share: float = 0.6
    single_share: float = 0.0
    picture_share: float = 0.0
    rate: float = 2e-3
    warm_up: int = 100
    weight_decay: float = 0.02
    ema: float = 0.995
    aerated_weight: float = 0.2


@dataclass(frozen=True)
class Chest:
    """A scan on the coarse grid, turned to patient axes.

    Attributes:
        name: of the scan.
        real: not a phantom.
        hu: (z, y, x) int16.
        lungs: (z, y, x) uint8, 1 right and 2 left.
        voxel_mm: (z, y, x).
    """

    name: str
    real: bool
    hu: npt.NDArray[np.int16]
    lungs: npt.NDArray[np.uint8]
    voxel_mm: tuple[float, float, float]


class LungTrainer:
    """The lung network and its optimiser; one step at a time.

    Args:
        preset: the training.
        chests: to learn from.
        device: where to train.
    """

    def __init__(self, preset: LungPreset, chests: list[Chest], device: Device) -> None:
        self.preset, self.chests, self.device = preset, chests, device
        torch.manual_seed(preset.seed)
        self.network = device.place(LungUNet())
        self.average = copy.deepcopy(self.network)
        for parameter in self.average.parameters():
            parameter.requires_grad = False
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), preset.rate, (0.9, 0.99), weight_decay=preset.weight_decay
        )
        self.iteration = 0

    def step(self) -> dict[str, float]:
        """One iteration; returns the losses."""
        rng = np.random.default_rng([self.preset.seed, _STREAM, self.iteration])
        torch.manual_seed(int(rng.integers(2**62)))
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        hu, lungs = (part.to(self.device.handle) for part in self._draw(rng))
        with self.device.autocast():
            logits = self.network(to_unit(hu).contiguous(memory_format=torch.channels_last_3d)).float()
        weight = torch.where(hu < _AERATED_HU, self.preset.aerated_weight, 1.0)
        entropy = functional.binary_cross_entropy_with_logits(logits, lungs, weight)
        probability = torch.sigmoid(logits) * weight
        overlap = (2 * (probability * lungs).sum() + 1) / (probability.sum() + (weight * lungs).sum() + 1)
        loss = entropy + 0.5 * (1 - overlap)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        decay = min(self.preset.ema, (1 + self.iteration) / (10 + self.iteration))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
        self.iteration += 1
        return {"entropy": entropy.item(), "dice": overlap.item()}

    def save(self, path: Path) -> None:
        """Write all that :meth:`load` needs to go on."""
        save_checkpoint(path, self.iteration, self._networks(), {"lungs": self.optimiser})

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        self.iteration = load_checkpoint(path, self._networks(), {"lungs": self.optimiser})

    def _networks(self) -> dict[str, nn.Module]:
        return {"lungs": self.network, "average": self.average}

    def _rate(self) -> float:
        preset = self.preset
        if self.iteration < preset.warm_up:
            return preset.rate * (self.iteration + 1) / preset.warm_up
        done = (self.iteration - preset.warm_up) / max(1, preset.iterations - preset.warm_up)
        return preset.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))

    def _draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """HU and lung mask (batch, 1, z, y, x) of painted, moved, cropped and noisy chests."""
        real = [chest for chest in self.chests if chest.real]
        made = [chest for chest in self.chests if not chest.real]
        volumes, masks = [], []
        for _ in range(self.preset.batch):
            pool = real if real and (not made or rng.random() < self.preset.real_share) else made
            chest = pool[rng.integers(len(pool))]
            painted = paint_dense_disease(chest.hu.astype(np.float32), chest.lungs, chest.voxel_mm, rng)
            hu, mask = _moved(painted, (chest.lungs > 0).astype(np.float32), self.preset.window, rng)
            # Without these shares nothing is drawn for them, so that the shipped network's recipe stays what
            # it was.
            if self.preset.single_share and rng.random() < self.preset.single_share:
                hu, mask = _one_slice(hu, mask, rng)
            if self.preset.picture_share and rng.random() < self.preset.picture_share:
                hu = _as_picture(hu, rng)
            volumes.append(_scanned(hu, mask, rng))
            masks.append(mask)
        stacked = [np.stack(arrays)[:, None].astype(np.float32) for arrays in (volumes, masks)]
        return torch.from_numpy(stacked[0]), torch.from_numpy(stacked[1])


def _moved(
    hu: FloatArray, mask: FloatArray, window: tuple[int, int, int], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Turn, stretch and shift a chest into the window; beyond the scan there is air."""
    inside = np.argwhere(mask > 0)
    low, high = (inside.min(0), inside.max(0)) if len(inside) else (np.zeros(3), np.array(mask.shape) - 1)
    centre = (low + high) / 2 + rng.uniform(-0.5, 0.5, 3) * np.array([20, 8, 8])
    scale = rng.uniform(0.85, 1.15) * rng.uniform([0.6, 0.92, 0.92], [1.1, 1.08, 1.08])
    angle, tilt = rng.normal(0, 0.08, 2)
    turn = np.array([[1, tilt, 0], [-tilt, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix = turn / scale[:, None]  # from the window's voxels to the scan's
    size = np.array(window)
    grid = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in window), indexing="ij"), -1)
    places = grid @ matrix.T + centre
    unit = 2 * places / np.maximum(np.array(hu.shape) - 1, 1) - 1
    sampler = torch.from_numpy(unit[..., ::-1].astype(np.float32).copy())[None]
    both = torch.from_numpy(np.stack([hu - _AIR_HU, mask]))[None]
    sampled = functional.grid_sample(both, sampler, align_corners=True)[0].numpy()
    moved, moved_mask = sampled[0] + np.float32(_AIR_HU), (sampled[1] > 0.5).astype(np.float32)
    if rng.random() < 0.35 and moved_mask.any():  # a scan cropped to the lungs and a margin
        inside = np.argwhere(moved_mask > 0)
        margin = rng.integers(0, 5, (2, 3))
        low, high = inside.min(0) - margin[0], inside.max(0) + 1 + margin[1]
        outside = np.ones(size, bool)
        outside[tuple(slice(max(a, 0), b) for a, b in zip(low, high, strict=True))] = False
        moved[outside], moved_mask[outside] = _AIR_HU, 0
    return moved, moved_mask


def _one_slice(hu: FloatArray, mask: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """A stack of copies of one slice that holds lung, in the middle of the window; beyond it there is air."""
    holding = np.flatnonzero(mask.any(axis=(1, 2)))
    if not len(holding):
        return hu, mask
    place, count = rng.choice(holding), len(hu)
    half = int(rng.uniform(*_STACK_MM) / LUNG_GRID_MM / 2)
    rows = slice(max(0, count // 2 - half), count // 2 + half)
    stack, stack_mask = np.full_like(hu, _AIR_HU), np.zeros_like(mask)
    stack[rows], stack_mask[rows] = hu[place], mask[place]
    return stack, stack_mask


def _as_picture(hu: FloatArray, rng: np.random.Generator) -> FloatArray:
    """As an 8-bit picture that was mapped to HU: stretched, shifted and clipped."""
    stretched = (hu + 850) * np.exp(rng.normal(0, 0.1)) - 850 + rng.normal(0, 40)
    low, high = rng.uniform(-1300, -950), rng.uniform(20, 300)
    picture: FloatArray = np.clip(stretched, low, high).astype(np.float32)
    return picture


def _scanned(hu: FloatArray, mask: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Noise and a calibration error; contrast that lifts what is not lung."""
    scanned = hu + np.float32(rng.normal(0, 12))
    scanned += rng.standard_normal(hu.shape).astype(np.float32) * np.float32(rng.uniform(0, 25))
    if rng.random() < 0.3:
        scanned += np.where((mask == 0) & (hu > -50), np.float32(rng.uniform(0, 150)), np.float32(0))
    clipped: FloatArray = np.clip(scanned, -1024, 1500)
    return clipped
