"""What generator and discriminator of phase 1 minimise."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.gan import GanTrainer

from ..conftest import TINY

CPU = Device(torch.device("cpu"), torch.float32, "CPU")


def a_trainer(scans: list[CohortScan], **options: object) -> GanTrainer:
    return GanTrainer(replace(TINY, gan=replace(TINY.gan, **options)), scans[:4], scans[4:], CPU)


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
