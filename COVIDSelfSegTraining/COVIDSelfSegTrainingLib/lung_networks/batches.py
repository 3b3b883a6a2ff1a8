"""What the lung network sees in a step: chests, or single slices of them, painted and varied."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .corruption import paint_dense_disease
from .variation import View, as_picture, moved, scanned, stained

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
        unknown: (z, y, x) uint8, 1 where the mask says nothing: what is there is not learnt.
        voxel_mm: (z, y, x).
    """

    name: str
    real: bool
    hu: npt.NDArray[np.int16]
    lungs: npt.NDArray[np.uint8]
    unknown: npt.NDArray[np.uint8]
    voxel_mm: tuple[float, float, float]

    @property
    def fingerprint(self) -> str:
        """Of its name and HU. Not of its lungs: on another device a teacher finds a voxel more or less."""
        digest = hashlib.sha256(json.dumps([self.name, self.hu.shape, self.voxel_mm]).encode())
        digest.update(np.ascontiguousarray(self.hu).data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class LungBatch:
    """Windows of one step; tensors are (batch, 1, z, y, x).

    Attributes:
        hu: as a scanner or a picture would give them.
        lungs: 0 or 1.
        known: 0 or 1, where ``lungs`` is to be learnt.
    """

    hu: Tensor
    lungs: Tensor
    known: Tensor


class LungBatches:
    """Draws what the network learns from.

    Args:
        chests: to learn from.
        size: chests a batch.
        window: what is cut out of each (z, y, x), in voxels; of one slice, single slices are drawn.
        real_share: see :class:`.training.LungPreset`.
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

    def draw(self, rng: np.random.Generator) -> LungBatch:
        """Draw a batch."""
        views = [self._one(rng) for _ in range(self._size)]
        hu, lungs, unknown = (
            torch.from_numpy(np.stack([getattr(view, name) for view in views])[:, None])
            for name in ("hu", "lungs", "unknown")
        )
        return LungBatch(hu, lungs, 1 - unknown)

    def _one(self, rng: np.random.Generator) -> View:
        real = self._real and (not self._made or rng.random() < self._real_share)
        pool = self._real if real else self._made
        chest = pool[rng.integers(len(pool))]
        if self._window[0] == 1:
            chest = _one_slice(chest, rng)
        painted = paint_dense_disease(chest.hu.astype(np.float32), chest.lungs, chest.voxel_mm, rng)
        whole = View(painted, (chest.lungs > 0).astype(np.float32), chest.unknown.astype(np.float32))
        view = moved(whole, self._window, chest.voxel_mm, rng)
        hu = stained(view.hu, chest.voxel_mm, rng)
        if rng.random() < self._picture_share:
            hu = as_picture(hu, view.lungs, rng)
        return replace(view, hu=scanned(hu, view.lungs, rng))


def _one_slice(chest: Chest, rng: np.random.Generator) -> Chest:
    """A slice, mostly one that holds lung."""
    holding = np.flatnonzero(chest.lungs.any(axis=(1, 2)))
    anywhere = rng.random() < _BESIDE_LUNG or not len(holding)
    z = int(rng.integers(len(chest.hu)) if anywhere else rng.choice(holding))
    parts = {name: getattr(chest, name)[z : z + 1] for name in ("hu", "lungs", "unknown")}
    return replace(chest, **parts)
