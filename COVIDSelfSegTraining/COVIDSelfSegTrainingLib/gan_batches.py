"""What generator and discriminator see in a step: drawn for the joint batch, made for its rows here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from COVIDSelfSegLib.array_types import BoolArray
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.hounsfield import to_unit
from torch import Tensor

from .cohorts.cohort import CohortScan
from .corruption import paint_volumes
from .noise_corruption import add_slice_noise, draw_slice_noise
from .options import GanPreset
from .training_run.distributed import rows
from .training_run.residence import Residence


@dataclass(frozen=True)
class GanBatch:
    """Volumes of one step, (batch, z, y, x) each.

    Attributes:
        healthy: unit HU.
        healthy_lungs: their lung masks.
        corrupted: the same lungs with lesions or noise; some are untouched.
        corruption: above 0 where they were changed.
        diseased: unit HU.
        diseased_lungs: their lung masks.
    """

    healthy: Tensor
    healthy_lungs: Tensor
    corrupted: Tensor
    corruption: Tensor
    diseased: Tensor
    diseased_lungs: Tensor


class GanBatches:
    """Draws the batches of phase 1.

    Args:
        preset: of phase 1.
        healthy: scans of healthy lungs.
        diseased: scans of diseased lungs.
        device: where to train.
    """

    def __init__(
        self, preset: GanPreset, healthy: list[CohortScan], diseased: list[CohortScan], device: Device
    ) -> None:
        self.preset, self.healthy, self.diseased = preset, healthy, diseased
        self._residence = Residence([*healthy, *diseased], device, volumes=True)

    def draw(self, rng: np.random.Generator) -> tuple[GanBatch, list[str]]:
        """This process's rows of a joint batch, and what the joint batch is made of, for messages."""
        half = self.preset.batch // 2
        healthy = [self.healthy[index] for index in rng.integers(len(self.healthy), size=half)]
        diseased = [self.diseased[index] for index in rng.integers(len(self.diseased), size=half)]
        hu, depths = self._volumes(healthy, rng)
        lungs = (depths > 0).float()
        painted = paint_volumes(healthy, hu, depths, rng, rows=rows())
        untouched = _flags(rng.random(half) < self.preset.untouched, hu)
        diseased_hu, diseased_depths = self._volumes(diseased, rng)
        diseased_lungs = (diseased_depths > 0).float()
        corrupted, corruption = to_unit(painted.hu) * lungs, painted.filling
        if self.preset.noise_share > 0:
            corrupted, corruption = self._with_noise(hu, lungs, (corrupted, corruption), half, rng)
        unit = to_unit(hu) * lungs
        batch = GanBatch(
            unit,
            lungs,
            torch.where(untouched, unit, corrupted),
            torch.where(untouched, 0.0, corruption),
            to_unit(diseased_hu) * diseased_lungs,
            diseased_lungs,
        )
        return batch, [f"{scan.source.name} ({scan.source.group})" for scan in healthy + diseased]

    def _with_noise(
        self,
        hu: Tensor,
        lungs: Tensor,
        painted: tuple[Tensor, Tensor],
        half: int,
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Perlin noise instead of lesions for a share of the volumes."""
        drawn = draw_slice_noise(half, hu.shape[1], self.preset.noise, rng)
        mine = torch.arange(half)[rows()]
        unit = to_unit(hu) * lungs
        noisy = add_slice_noise(unit, lungs, drawn.of(mine), self.preset.noise)
        instead = _flags(rng.random(half) < self.preset.noise_share, hu)
        changed = (noisy != unit).float() * lungs
        return torch.where(instead, noisy, painted[0]), torch.where(instead, changed, painted[1])

    def _volumes(self, scans: list[CohortScan], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """HU and depth of this process's rows (batch, z, y, x), with a little scanner variety."""
        hu, depths = self._residence.volumes(scans[rows()])
        gain = _column(np.exp(rng.normal(0, self.preset.gain_spread, len(scans))), hu)
        offset = _column(rng.normal(0, self.preset.offset_hu, len(scans)), hu)
        return ((hu.double() + 850) * gain - 850 + offset).float(), depths


def _flags(values: BoolArray, like: Tensor) -> Tensor:
    return torch.from_numpy(values[rows()]).to(like.device)[:, None, None, None]


def _column(values: npt.NDArray[np.float64], like: Tensor) -> Tensor:
    return torch.from_numpy(values[rows()]).to(like.device)[:, None, None, None]
