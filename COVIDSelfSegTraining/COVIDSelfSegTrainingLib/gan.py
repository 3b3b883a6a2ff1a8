"""Phase 1: train the generator against the discriminator (2022 paper, section 2.3)."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.hounsfield import to_unit
from COVIDSelfSegLib.models import Architecture
from COVIDSelfSegLib.networks.discriminator import Discriminator
from COVIDSelfSegLib.networks.generator import Generator, draw_latent
from torch import Tensor, nn

from .checkpoint import load_checkpoint, save_checkpoint
from .cohort import CohortScan
from .corruption import paint_volumes
from .losses import gradient_penalty, least_squares, masked_l1
from .presets import Preset

log = logging.getLogger(__name__)

Report = Callable[[int, dict[str, float]], None]
"""Called after a step with its number and its losses."""

_PHASE = 1


def generator_architecture(preset: Preset) -> Architecture:
    """The generator that a preset trains."""
    arguments = {"base_width": preset.gan.base_width, "lung_channel": True, "composite": preset.gan.composite}
    return Architecture("generator", arguments)


@dataclass(frozen=True)
class _Batch:
    """Volumes of one step (batch, z, y, x): unit HU, lung masks, filling of the painted lesions."""

    healthy: Tensor
    healthy_lungs: Tensor
    painted: Tensor
    lesions: Tensor
    diseased: Tensor
    diseased_lungs: Tensor


class GanTrainer:
    """Generator, discriminator and their optimisers; one step at a time.

    Args:
        preset: the training.
        healthy: scans of healthy lungs.
        diseased: scans of diseased lungs.
        device: where to train.
    """

    def __init__(
        self, preset: Preset, healthy: list[CohortScan], diseased: list[CohortScan], device: Device
    ) -> None:
        self.preset = preset
        self.healthy, self.diseased, self.device = healthy, diseased, device
        torch.manual_seed(preset.seed)
        network = generator_architecture(preset).build()
        assert isinstance(network, Generator)
        self.generator = device.place(network)
        self.average = copy.deepcopy(self.generator).requires_grad_(requires_grad=False)
        gan = preset.gan
        self.discriminator = device.place(Discriminator(gan.discriminator))
        self.generator_optimiser = torch.optim.Adam(
            self.generator.parameters(), gan.generator_rate, gan.betas
        )
        self.discriminator_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), gan.discriminator_rate, gan.betas
        )
        self.iteration = 0

    def step(self) -> dict[str, float]:
        """One iteration: discriminator, then generator; returns the losses."""
        gan = self.preset.gan
        rng = np.random.default_rng([self.preset.seed, _PHASE, self.iteration])
        latents = torch.Generator().manual_seed(int(rng.integers(2**62)))
        batch = self._draw(rng)
        half = len(batch.healthy)
        made = self._paint(
            torch.cat([batch.painted, batch.diseased]),
            torch.cat([batch.healthy_lungs, batch.diseased_lungs]),
            latents,
        )
        painted, mended = made[:half], made[half:]
        losses = self._step_discriminator(batch, mended.detach())
        for parameter in self.discriminator.parameters():
            parameter.requires_grad = False
        with self.device.autocast():
            judged = self.discriminator(mended, batch.diseased_lungs[:, None])
        truth, lungs = batch.healthy[:, None], batch.healthy_lungs[:, None]
        lesions = (batch.lesions[:, None] > 0).float()
        # Lesions are a small part of most lungs; without a term of their own, copying all is good enough.
        reconstruction = masked_l1(painted, truth, lungs) + masked_l1(painted, truth, lesions)
        adversarial = least_squares(judged.float(), 1.0)
        self.generator_optimiser.zero_grad()
        torch.autograd.backward(gan.reconstruction * reconstruction + gan.adversarial * adversarial)
        untouched = masked_l1(batch.painted[:, None], truth, lesions)
        left = masked_l1(painted.detach(), truth, lesions)
        self.generator_optimiser.step()
        for parameter in self.discriminator.parameters():
            parameter.requires_grad = True
        self._update_average()
        self.iteration += 1
        return losses | {
            "reconstruction": reconstruction.item(),
            "adversarial": adversarial.item(),
            # 1 is doing nothing, 0 is a perfect healthy twin.
            "error_left": (left / untouched).item() if untouched > 0 else 1.0,
        }

    def save(self, path: Path) -> None:
        """Write all that :meth:`load` needs to go on."""
        save_checkpoint(path, self.iteration, self._networks(), self._optimisers())

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        self.iteration = load_checkpoint(path, self._networks(), self._optimisers())

    def _step_discriminator(self, batch: _Batch, mended: Tensor) -> dict[str, float]:
        gan = self.preset.gan
        penalise = gan.gradient_penalty > 0 and self.iteration % gan.penalty_every == 0
        real = batch.healthy[:, None].requires_grad_(penalise)
        # The double backward of the penalty needs full precision.
        with self.device.autocast(enabled=not penalise):
            judged_real = self.discriminator(real, batch.healthy_lungs[:, None])
            judged_fake = self.discriminator(mended, batch.diseased_lungs[:, None])
        loss = 0.5 * (least_squares(judged_real.float(), 1.0) + least_squares(judged_fake.float(), 0.0))
        total = loss
        if penalise:
            penalty = gradient_penalty(judged_real, real)
            total = loss + 0.5 * gan.gradient_penalty * gan.penalty_every * penalty
        self.discriminator_optimiser.zero_grad()
        torch.autograd.backward(total)
        self.discriminator_optimiser.step()
        return {
            "discriminator": loss.item(),
            "real": judged_real.mean().item(),
            "fake": judged_fake.mean().item(),
        }

    def _paint(self, volume: Tensor, lungs: Tensor, latents: torch.Generator) -> Tensor:
        """Run the generator on unit HU (batch, z, y, x); returns (batch, 1, z, y, x) inside the lung."""
        x = torch.stack([volume, lungs], 1).contiguous(memory_format=torch.channels_last_3d)
        with self.device.autocast():
            made = self.generator(x, draw_latent(x, latents)).volume
        return made.float() * lungs[:, None]

    def _draw(self, rng: np.random.Generator) -> _Batch:
        half = self.preset.gan.batch // 2
        healthy = [self.healthy[index] for index in rng.integers(len(self.healthy), size=half)]
        diseased = [self.diseased[index] for index in rng.integers(len(self.diseased), size=half)]
        hu, depths = self._volumes(healthy, rng)
        lungs = (depths > 0).float()
        painted = paint_volumes(healthy, hu, depths, rng)
        untouched = torch.from_numpy(rng.random(half) < self.preset.gan.untouched).to(hu.device)
        untouched = untouched[:, None, None, None]
        diseased_hu, diseased_depths = self._volumes(diseased, rng)
        diseased_lungs = (diseased_depths > 0).float()
        return _Batch(
            to_unit(hu) * lungs,
            lungs,
            to_unit(torch.where(untouched, hu, painted.hu)) * lungs,
            torch.where(untouched, 0.0, painted.filling),
            to_unit(diseased_hu) * diseased_lungs,
            diseased_lungs,
        )

    def _volumes(self, scans: list[CohortScan], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """HU and depth of whole scans (batch, z, y, x) with a little scanner variety."""
        hu = np.stack([scan.volume for scan in scans]).astype(np.float32)
        depths = np.stack([scan.volume_depths for scan in scans]).astype(np.float32)
        gain = np.exp(rng.normal(0, 0.05, len(scans)))[:, None, None, None]
        offset = rng.normal(0, 20, len(scans))[:, None, None, None]
        changed = ((hu + 850) * gain - 850 + offset).astype(np.float32)
        return (
            torch.from_numpy(changed).to(self.device.handle),
            torch.from_numpy(depths).to(self.device.handle),
        )

    def _update_average(self) -> None:
        decay = min(self.preset.gan.ema, (1 + self.iteration) / (10 + self.iteration))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "average": self.average, "discriminator": self.discriminator}

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"generator": self.generator_optimiser, "discriminator": self.discriminator_optimiser}
