"""What generator and discriminator of phase 1 minimise."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegTrainingLib import gan
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.gan import GanTrainer
from COVIDSelfSegTrainingLib.gan_batches import GanBatch
from torch import Tensor, nn

from ..conftest import TINY

CPU = Device(torch.device("cpu"), torch.float32, "CPU")


def a_trainer(scans: list[CohortScan], **options: object) -> GanTrainer:
    return GanTrainer(replace(TINY, gan=replace(TINY.gan, **options)), scans[:4], scans[4:], CPU)


@dataclass
class Noted:
    """What a trainer drew, and its networks: the discriminator after its step, the generator before each."""

    batches: list[GanBatch] = field(default_factory=list)
    latents: list[Tensor] = field(default_factory=list)
    stepped: list[nn.Module] = field(default_factory=list)
    slopes: dict[str, list[list[Tensor]]] = field(
        default_factory=lambda: {"discriminator": [], "generator": []}
    )


class Watched:
    """A trainer of whose steps is noted what they draw and how they move."""

    def __init__(self, trainer: GanTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
        self._noted = Noted()
        draw, draw_latent = trainer.batches.draw, gan.draw_latent

        def noted(rng: np.random.Generator) -> tuple[GanBatch, list[str]]:
            drawn = draw(rng)
            self._noted.batches.append(drawn[0])
            return drawn

        def noted_latent(x: Tensor, generator: torch.Generator) -> Tensor:
            self._noted.latents.append(20 * draw_latent(x, generator))  # A fresh generator hardly heeds it.
            return self._noted.latents[-1]

        def before_generator(*_: object) -> None:
            self._noted.stepped.append(deepcopy(trainer.generator))
            self._noted.slopes["generator"].append(slopes(trainer.generator))

        def after_discriminator(*_: object) -> None:
            self._noted.stepped.append(deepcopy(trainer.discriminator))
            self._noted.slopes["discriminator"].append(slopes(trainer.discriminator))

        monkeypatch.setattr(trainer.batches, "draw", noted)
        monkeypatch.setattr(gan, "draw_latent", noted_latent)
        trainer.generator_optimiser.register_step_pre_hook(before_generator)
        trainer.discriminator_optimiser.register_step_post_hook(after_discriminator)

    def taken(self) -> Noted:
        """What was noted since the last call."""
        noted, self._noted = self._noted, Noted()
        return noted


def slopes(network: nn.Module) -> list[Tensor]:
    return [torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in network.parameters()]


def painted(generator: nn.Module, volume: Tensor, lungs: Tensor, latent: Tensor) -> Tensor:
    return generator(torch.stack([volume, lungs], 1), latent).volume * lungs[:, None]


@pytest.mark.parametrize("joint", [True, False], ids=["joint", "apart"])
def test_a_step_teaches_each_network_what_the_method_says(
    training_scans: list[CohortScan], monkeypatch: pytest.MonkeyPatch, joint: bool
) -> None:
    """Algorithm 1: D on healthy lungs and fakes; G to fool the new D; G to restore corrupted lungs."""
    weights = {"adversarial": 0.7, "reconstruction": 3.0, "lesion_weight": 0.0, "gradient_penalty": 0.0}
    # On this small grid the other forms of the discriminator do not heed the lung.
    trainer = a_trainer(training_scans, joint=joint, untouched=0.0, discriminator="reference", **weights)
    watched = Watched(trainer, monkeypatch)
    trainer.step()
    before, first = watched.taken(), deepcopy(trainer.discriminator)
    trainer.step()
    noted = watched.taken()
    (batch,), (batch_before,) = noted.batches, before.batches
    assert not torch.equal(batch.corrupted, batch_before.corrupted)
    latents = [*before.latents, *noted.latents]
    assert all(not torch.equal(one, other) for one, other in combinations(latents, 2)), "drawn afresh"
    lungs, sick_lungs = batch.healthy_lungs, batch.diseased_lungs
    if joint:
        judge, generator = noted.stepped
        generator_to_restore = generator
        latent_to_restore, latent_of_fake = noted.latents[0].chunk(2)
        latent_to_fool = latent_of_fake
    else:
        judge, generator, generator_to_restore = noted.stepped
        latent_of_fake, latent_to_fool, latent_to_restore = noted.latents

    fake = painted(generator, batch.diseased, sick_lungs, latent_of_fake).detach()
    told = first(batch.healthy[:, None], lungs[:, None]), first(fake, sick_lungs[:, None])
    (((told[0] - 1) ** 2).mean() / 2 + (told[1] ** 2).mean() / 2).backward()
    expected = {"discriminator": [slopes(first)], "generator": []}

    mended = painted(generator, batch.diseased, sick_lungs, latent_to_fool)
    (0.7 * ((judge(mended, sick_lungs[:, None]) - 1) ** 2).mean()).backward()
    if not joint:
        expected["generator"].append(slopes(generator))
    restored = painted(generator_to_restore, batch.corrupted, lungs, latent_to_restore)
    (3.0 * (restored[:, 0] - batch.healthy).abs()[lungs > 0].mean()).backward()
    expected["generator"].append(slopes(generator_to_restore))
    torch.testing.assert_close(noted.slopes, expected, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(slopes(trainer.discriminator), noted.slopes["discriminator"][0])


def test_each_network_has_its_own_rate_and_the_mean_follows_the_generator(
    training_scans: list[CohortScan],
) -> None:
    rates = {"generator_rate": 1e-3, "discriminator_rate": 4e-3, "betas": (0.3, 0.9)}
    trainer = a_trainer(training_scans, ema=0.5, **rates)
    for optimiser, network, rate in (
        (trainer.generator_optimiser, trainer.generator, 1e-3),
        (trainer.discriminator_optimiser, trainer.discriminator, 4e-3),
    ):
        (group,) = optimiser.param_groups
        assert (group["lr"], group["betas"]) == (rate, (0.3, 0.9))
        assert all(ours is theirs for ours, theirs in zip(group["params"], network.parameters(), strict=True))
    start = deepcopy(trainer.generator)
    trainer.step()
    for mean, old, new in zip(
        trainer.average.parameters(), start.parameters(), trainer.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(mean, 0.1 * old + 0.9 * new)


def test_what_tells_a_collapse_is_measured_where_the_lung_was_changed_and_within_the_lung(
    training_scans: list[CohortScan],
) -> None:
    trainer = a_trainer(training_scans, untouched=0.0)
    batch, _ = trainer.batches.draw(np.random.default_rng(1))
    changed = batch.corruption > 0
    half = torch.where(changed, (batch.corrupted + batch.healthy) / 2, batch.healthy + 0.3)
    mended = (0.4 * batch.diseased + 0.2) * batch.diseased_lungs
    for restored, left in ((batch.corrupted, 1.0), (batch.healthy, 0.0), (half, 0.5)):
        told = trainer._measures(batch, restored[:, None], mended[:, None], *torch.zeros(2))
        assert told["error_left"].item() == pytest.approx(left, abs=1e-6)
    nothing = replace(batch, corruption=torch.zeros_like(batch.corruption))
    told = trainer._measures(nothing, batch.healthy[:, None], mended[:, None], *torch.zeros(2))
    assert told["error_left"] == 1, "nothing to restore is nothing restored"
    spreads = [
        volumes[lungs > 0].numpy().std()
        for volumes, lungs in ((mended, batch.diseased_lungs), (batch.healthy, batch.healthy_lungs))
    ]
    assert told["texture"].item() == pytest.approx(spreads[0] / spreads[1], rel=1e-3)


def test_what_was_corrupted_weighs_more_by_a_difference_of_its_own(training_scans: list[CohortScan]) -> None:
    trainer = a_trainer(training_scans, lesion_weight=3.0, reconstruction_loss="l1")
    batch, _ = trainer.batches.draw(np.random.default_rng(1))
    restored = batch.corrupted[:, None]
    lungs, changed = batch.healthy_lungs > 0, batch.corruption > 0
    wrong = (batch.corrupted - batch.healthy).abs()
    assert changed.any()
    expected = wrong[lungs].mean() + 3.0 * wrong[changed].mean()
    assert trainer._reconstruction(batch, restored).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("iteration", "share"), [(16, 16), (5, 0)])
def test_the_discriminator_is_kept_flat_at_healthy_lungs_by_steps_that_stand_for_those_between(
    training_scans: list[CohortScan], iteration: int, share: int
) -> None:
    """Least squares plus half the squared slope at real volumes (Mescheder 2018, R1)."""
    weight = 4.0
    trainer = a_trainer(training_scans, gradient_penalty=weight, penalty_every=16)
    batch, _ = trainer.batches.draw(np.random.default_rng(1))
    judge, trainer.iteration = deepcopy(trainer.discriminator), iteration
    fake = batch.diseased[:, None] / 2
    trainer._step_discriminator(batch, fake)

    real = batch.healthy[:, None].clone().requires_grad_()
    judged = judge(real, batch.healthy_lungs[:, None])
    loss = ((judged - 1) ** 2).mean() + (judge(fake, batch.diseased_lungs[:, None]) ** 2).mean()
    (slope,) = torch.autograd.grad(judged.sum(), real, create_graph=True)
    penalty = (slope**2).sum(dim=(1, 2, 3, 4)).mean()
    (loss / 2 + weight / 2 * share * penalty).backward()
    for ours, expected in zip(trainer.discriminator.parameters(), judge.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-3, atol=1e-6)
