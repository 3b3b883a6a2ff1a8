"""Perlin noise on whole slices: how the 2022 paper corrupts healthy lungs (section 2.3).

Its arguments are the paper's (``noise.pnoise2``: octaves 10, persistence -0.50 .. 0.49, tile 140, scale
10 .. 29 px, base 0 .. 999, on 8 of 32 slices). Parameters are drawn once into a record; applying it is pure
and runs on the training device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from COVIDSelfSegLib.perlin import lattice_axes, perlin
from torch import Tensor

from .options import NoisePreset


@dataclass(frozen=True)
class SliceNoise:
    """Random parameters of a batch of volumes, one value for each of its noisy slices.

    Attributes:
        samples: which volume each noisy slice belongs to.
        places: which slice of it.
        persistence: amplitude ratio between octaves.
        scale: lattice cell in pixels.
        base: shift of the permutation.
        phase: (slices, 2) shift of the lattice in cells; None is no shift.
    """

    samples: Tensor
    places: Tensor
    persistence: Tensor
    scale: Tensor
    base: Tensor
    phase: Tensor | None

    def of(self, chosen: Tensor) -> SliceNoise:
        """The noisy slices of the volumes ``chosen``, numbered by their place in it."""
        keep = torch.isin(self.samples, chosen)
        renumber = {int(sample): place for place, sample in enumerate(chosen)}
        samples = torch.tensor([renumber[int(one)] for one in self.samples[keep]], dtype=torch.long)
        phase = None if self.phase is None else self.phase[keep]
        return SliceNoise(
            samples, self.places[keep], self.persistence[keep], self.scale[keep], self.base[keep], phase
        )


def draw_slice_noise(volumes: int, slices: int, preset: NoisePreset, rng: np.random.Generator) -> SliceNoise:
    """Draw the noise of a batch of volumes with ``slices`` slices each."""
    each = max(1, round(preset.slices * slices))
    places = np.concatenate([np.sort(rng.choice(slices, each, replace=False)) for _ in range(volumes)])
    count = len(places)
    low, high = preset.base
    return SliceNoise(
        samples=torch.arange(volumes).repeat_interleave(each),
        places=torch.from_numpy(places),
        persistence=torch.from_numpy(rng.uniform(*preset.persistence, count).astype(np.float32)),
        scale=torch.from_numpy(rng.uniform(*preset.scale, count)),
        base=torch.from_numpy(rng.integers(low, high + 1, count)),
        phase=torch.from_numpy(rng.uniform(0, preset.repeat, (count, 2))) if preset.random_phase else None,
    )


def add_slice_noise(volume: Tensor, lungs: Tensor, noise: SliceNoise, preset: NoisePreset) -> Tensor:
    """Add the noise to volumes.

    Args:
        volume: (batch, z, y, x) unit HU.
        lungs: (batch, z, y, x), 1 inside.
        noise: drawn for this batch.
        preset: how strong, and where.
    """
    if not len(noise.samples):
        return volume
    device = volume.device
    axes = [axis.to(device) for axis in lattice_axes(volume.shape[2:], noise.scale.tolist(), noise.phase)]
    field = perlin(
        axes,
        octaves=preset.octaves,
        persistence=noise.persistence.to(device),
        lacunarity=preset.lacunarity,
        repeat=preset.repeat,
        base=noise.base.to(device),
    )
    where = (noise.samples.to(device), noise.places.to(device))
    added = preset.strength * field
    noisy = volume.clone()
    noisy[where] += added if preset.whole_slice else added * lungs[where]
    return noisy.clamp(0, 1) if preset.clip else noisy
