"""What the lung network sees in a step: chests, or single slices of them, painted, moved and noisy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from .lung_corruption import FloatArray, paint_dense_disease
from .pictures import equalised_hu

_AIR_HU = -1000.0
_EQUALISED_SHARE = 0.4
"""Of the pictures."""
_BESIDE_LUNG = 0.1
"""Share of the single slices that may come from above or below the lungs."""


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


class LungBatches:
    """Draws what the network learns from.

    Args:
        chests: to learn from.
        size: chests a batch.
        window: what is cut out of each (z, y, x), in voxels; of one slice, single slices are drawn.
        real_share: see :class:`.lung_training.LungPreset`.
        picture_share: likewise.
    """

    def __init__(
        self,
        chests: list[Chest],
        *,
        size: int,
        window: tuple[int, int, int],
        real_share: float,
        picture_share: float,
    ) -> None:
        self._real = [chest for chest in chests if chest.real]
        self._made = [chest for chest in chests if not chest.real]
        self._size, self._window = size, window
        self._real_share, self._picture_share = real_share, picture_share

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """HU and lung mask (batch, 1, z, y, x)."""
        pairs = [self._one(rng) for _ in range(self._size)]
        volumes, masks = (np.stack(arrays)[:, None].astype(np.float32) for arrays in zip(*pairs, strict=True))
        return torch.from_numpy(volumes), torch.from_numpy(masks)

    def _one(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        real = self._real and (not self._made or rng.random() < self._real_share)
        pool = self._real if real else self._made
        chest = pool[rng.integers(len(pool))]
        if self._window[0] == 1:
            chest = _one_slice(chest, rng)
        painted = paint_dense_disease(chest.hu.astype(np.float32), chest.lungs, chest.voxel_mm, rng)
        hu, mask = _moved(painted, (chest.lungs > 0).astype(np.float32), self._window, rng)
        # Without this share nothing is drawn for it: so a recipe of chests repeats what it gave before.
        if self._picture_share and rng.random() < self._picture_share:
            hu = _as_picture(hu, mask, rng)
        return _scanned(hu, mask, rng), mask


def _one_slice(chest: Chest, rng: np.random.Generator) -> Chest:
    """A slice, mostly one that holds lung."""
    holding = np.flatnonzero(chest.lungs.any(axis=(1, 2)))
    anywhere = rng.random() < _BESIDE_LUNG or not len(holding)
    z = int(rng.integers(len(chest.hu)) if anywhere else rng.choice(holding))
    return replace(chest, hu=chest.hu[z : z + 1], lungs=chest.lungs[z : z + 1])


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
    if len(hu) == 1:
        places[..., 0] = 0
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


def _as_picture(hu: FloatArray, mask: FloatArray, rng: np.random.Generator) -> FloatArray:
    """As an 8-bit picture that was mapped to HU: stretched, shifted and clipped, or equalised."""
    if mask.any() and rng.random() < _EQUALISED_SHARE:
        white, clip = rng.uniform(200, 2000), np.exp(rng.uniform(np.log(1.5), np.log(10)))
        slices = torch.from_numpy(hu)[:, None], torch.from_numpy(mask)[:, None]
        levels = (torch.full((len(hu),), float(value)) for value in (white, clip))
        hu = equalised_hu(*slices, *levels)[:, 0].numpy()
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
