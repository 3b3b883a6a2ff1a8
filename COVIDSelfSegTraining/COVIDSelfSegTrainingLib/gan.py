"""Phase 1: train the generator against the discriminator (2022 paper, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.networks.discriminator import Discriminator
from COVIDSelfSegLib.networks.generator import draw_latent
from COVIDSelfSegLib.package_card import Architecture
from torch import Tensor, nn

from . import adversarial
from .averaging import frozen_copy, update_average
from .cohorts.cohort import CohortScan
from .gan_batches import GanBatch, GanBatches
from .losses import masked_l1, masked_mse, masked_norm
from .presets import Preset
from .training_run.checkpoint import load_checkpoint, save_checkpoint
from .training_run.distributed import mean, rows, seed_dropout, shared, total

_PHASE = 1
_RECONSTRUCTION = {"l1": masked_l1, "mse": masked_mse, "norm": masked_norm}


def generator_architecture(preset: Preset) -> Architecture:
    """The generator that a preset trains."""
    gan = preset.gan
    arguments = {
        "base_width": gan.base_width,
        "lung_channel": gan.lung_channel,
        "composite": gan.composite,
    }
    return Architecture(gan.generator, arguments)


class GanTrainer:
    """Generator, discriminator and their optimisers; one step at a time.

    Args:
        preset: the training.
        healthy: scans of healthy lungs.
        diseased: scans of diseased lungs.
        device: where to train.
        compiled: run the generator through ``torch.compile``.
    """

    def __init__(
        self,
        preset: Preset,
        healthy: list[CohortScan],
        diseased: list[CohortScan],
        device: Device,
        *,
        compiled: bool = False,
    ) -> None:
        self.preset, self.device = preset, device
        self.batches = GanBatches(preset.gan, healthy, diseased, device)
        torch.manual_seed(preset.seed)
        self.generator = device.place(generator_architecture(preset).build_generator())
        self.average = frozen_copy(self.generator)
        gan = preset.gan
        self.discriminator = device.place(
            Discriminator(
                gan.discriminator, base_width=gan.discriminator_width, dropout=gan.discriminator_dropout
            )
        )
        self.generator_optimiser = torch.optim.Adam(
            self.generator.parameters(), gan.generator_rate, gan.betas
        )
        self.discriminator_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), gan.discriminator_rate, gan.betas
        )
        # What is run in training shares its weights with what is saved, under other names.
        run: nn.Module = torch.compile(self.generator) if compiled else self.generator  # type: ignore[assignment]
        self._generate = shared(run)
        self._judge = shared(self.discriminator)
        self.iteration = 0
        self.batch_names: list[str] = []

    def step(self) -> dict[str, Tensor]:
        """One iteration: discriminator, then generator; returns the losses, still on the device."""
        seed = self.preset.seed
        rng = np.random.default_rng([seed, _PHASE, self.iteration])
        latents = torch.Generator().manual_seed(int(rng.integers(2**62)))
        seed_dropout(int(np.random.default_rng([seed, _PHASE, self.iteration, 1]).integers(2**62)))
        batch, self.batch_names = self.batches.draw(rng)
        made = self._step_joint(batch, latents) if self.preset.gan.joint else self._step_apart(batch, latents)
        update_average(self.average, self.generator, self.preset.gan.ema, self.iteration)
        self.iteration += 1
        return made

    def save(self, path: Path, recipe: dict[str, str]) -> None:
        """Write all that :meth:`load` needs to go on."""
        save_checkpoint(path, self.iteration, self._networks(), self._optimisers(), recipe)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        self.iteration = load_checkpoint(path, self._networks(), self._optimisers())

    def _step_joint(self, batch: GanBatch, latents: torch.Generator) -> dict[str, Tensor]:
        """One generator step on the weighted sum of its losses."""
        gan = self.preset.gan
        half = len(batch.healthy)
        made = self._paint(
            torch.cat([batch.corrupted, batch.diseased]),
            torch.cat([batch.healthy_lungs, batch.diseased_lungs]),
            latents,
            parts=2,
        )
        restored, mended = made[:half], made[half:]
        losses = self._step_discriminator(batch, mended.detach())
        fooled = self._adversarial(batch, mended)
        reconstruction = self._reconstruction(batch, restored)
        self._step_generator(gan.reconstruction * reconstruction + gan.adversarial * fooled)
        return losses | self._measures(batch, restored, mended, reconstruction, fooled)

    def _step_apart(self, batch: GanBatch, latents: torch.Generator) -> dict[str, Tensor]:
        """Algorithm 1 of the 2022 paper: D on healthy and fakes; G adversarial; G reconstruction."""
        gan = self.preset.gan
        with torch.no_grad():
            fake = self._paint(batch.diseased, batch.diseased_lungs, latents)
        losses = self._step_discriminator(batch, fake)
        mended = self._paint(batch.diseased, batch.diseased_lungs, latents)
        fooled = self._adversarial(batch, mended)
        self._step_generator(gan.adversarial * fooled)
        restored = self._paint(batch.corrupted, batch.healthy_lungs, latents)
        reconstruction = self._reconstruction(batch, restored)
        self._step_generator(gan.reconstruction * reconstruction)
        return losses | self._measures(batch, restored, mended, reconstruction, fooled)

    def _step_generator(self, loss: Tensor) -> None:
        self.generator_optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.generator_optimiser.step()

    def _adversarial(self, batch: GanBatch, mended: Tensor) -> Tensor:
        """The generator's side, through a discriminator that it cannot change."""
        with _frozen(self.discriminator), self.device.autocast():
            judged = self.discriminator(mended, batch.diseased_lungs[:, None])
        return adversarial.generator_loss(self.preset.gan.adversarial_loss, judged.float())

    def _reconstruction(self, batch: GanBatch, restored: Tensor) -> Tensor:
        gan = self.preset.gan
        difference = _RECONSTRUCTION[gan.reconstruction_loss]
        truth = batch.healthy[:, None]
        loss = difference(restored, truth, batch.healthy_lungs[:, None])
        if gan.lesion_weight > 0:
            # Lesions are a small part of most lungs; without a term of their own, copying all is good enough.
            loss = loss + gan.lesion_weight * difference(restored, truth, _changed(batch))
        return loss

    def _step_discriminator(self, batch: GanBatch, mended: Tensor) -> dict[str, Tensor]:
        gan = self.preset.gan
        penalise = gan.gradient_penalty > 0 and self.iteration % gan.penalty_every == 0
        real = batch.healthy[:, None].requires_grad_(penalise)
        # The double backward of the penalty needs full precision.
        with self.device.autocast(enabled=not penalise):
            judged_real = self._judge(real, batch.healthy_lungs[:, None])
            judged_fake = self._judge(mended, batch.diseased_lungs[:, None])
        judged = judged_real.float(), judged_fake.float()
        loss = adversarial.discriminator_loss(gan.adversarial_loss, *judged)
        whole = loss
        if penalise:
            penalty = adversarial.gradient_penalty(judged_real, real)
            whole = loss + 0.5 * gan.gradient_penalty * gan.penalty_every * penalty
        self.discriminator_optimiser.zero_grad()
        torch.autograd.backward(whole)
        self.discriminator_optimiser.step()
        with torch.no_grad():
            return {
                "discriminator": loss.detach(),
                "real": mean(judged[0]),
                "fake": mean(judged[1]),
                "accuracy": adversarial.accuracy(gan.adversarial_loss, *judged),
            }

    def _paint(self, volume: Tensor, lungs: Tensor, latents: torch.Generator, parts: int = 1) -> Tensor:
        """Run the generator on unit HU (batch, z, y, x); returns (batch, 1, z, y, x) inside the lung.

        The latent block is drawn for ``parts`` joint half batches, of which these are this process's rows.
        """
        half = self.preset.gan.batch // 2
        channels = [volume, lungs] if self.preset.gan.lung_channel else [volume]
        x = torch.stack(channels, 1).contiguous(memory_format=torch.channels_last_3d)
        joint = torch.empty((), dtype=x.dtype).expand(parts * half, *x.shape[1:])
        latent = draw_latent(joint, latents)
        mine = torch.cat([latent[part * half : (part + 1) * half][rows()] for part in range(parts)])
        with self.device.autocast():
            made = self._generate(x, mine.to(x)).volume
        return made.float() * lungs[:, None]

    def _measures(
        self, batch: GanBatch, restored: Tensor, mended: Tensor, reconstruction: Tensor, fooled: Tensor
    ) -> dict[str, Tensor]:
        """Losses, and what tells a collapse."""
        with torch.no_grad():
            truth, changed = batch.healthy[:, None], _changed(batch)
            untouched = masked_l1(batch.corrupted[:, None], truth, changed)
            left = masked_l1(restored, truth, changed)
            spread = _spread(mended, batch.diseased_lungs[:, None])
            expected = _spread(batch.healthy[:, None], batch.healthy_lungs[:, None])
        return {
            "reconstruction": reconstruction.detach(),
            "adversarial": fooled.detach(),
            # 1 is doing nothing, 0 is a perfect healthy twin.
            "error_left": torch.where(untouched > 0, left / untouched.clamp_min(1e-12), 1.0),
            # Texture of the pseudo-healthy lung against that of healthy lungs; 0 is one flat value.
            "texture": spread / expected.clamp_min(1e-6),
        }

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "average": self.average, "discriminator": self.discriminator}

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"generator": self.generator_optimiser, "discriminator": self.discriminator_optimiser}


def _changed(batch: GanBatch) -> Tensor:
    return (batch.corruption[:, None] > 0).float()


def _spread(volumes: Tensor, lungs: Tensor) -> Tensor:
    """Standard deviation over the voxels of all lungs."""
    count, first, second = total(
        torch.stack([lungs.sum(), (volumes * lungs).sum(), (volumes**2 * lungs).sum()])
    ).unbind()
    count = count.clamp_min(1)
    return (second / count - (first / count) ** 2).clamp_min(0).sqrt()


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    for parameter in network.parameters():
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in network.parameters():
            parameter.requires_grad = True
