"""A step of the lung networks' training: what it loses by, how fast it learns, and what it keeps."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.hounsfield import to_unit
from COVIDSelfSegTrainingLib.lung_networks.batches import LungBatch, LungBatches
from COVIDSelfSegTrainingLib.lung_networks.training import LungPreset, LungTrainer
from torch.nn import functional

CPU = Device(torch.device("cpu"), torch.float32, "CPU")
WINDOW = (8, 16, 16)


@pytest.fixture
def a_batch(monkeypatch: pytest.MonkeyPatch) -> LungBatch:
    """Noise, half of it aerated; some of it is unknown. It is what every trainer draws."""
    made = torch.Generator().manual_seed(3)
    shape = (2, 1, *WINDOW)
    hu = torch.where(torch.rand(shape, generator=made) < 0.5, -850.0, 30.0)
    lungs, known = ((torch.rand(shape, generator=made) < share).float() for share in (0.4, 0.8))
    batch = LungBatch(hu, lungs, known)
    monkeypatch.setattr(LungBatches, "draw", lambda *_: batch)
    return batch


def test_aerated_voxels_weigh_less_the_unknown_nothing_and_a_steep_step_is_shortened(
    a_batch: LungBatch,
) -> None:
    trainer = LungTrainer(LungPreset(window=WINDOW, aerated_weight=0.3), [], CPU)
    with torch.no_grad():
        trainer.network.head.weight *= 10
    before = copy.deepcopy(trainer.network)
    told = trainer.step()

    logits = before(to_unit(a_batch.hu))
    found = logits.sigmoid()
    weight = a_batch.known * torch.where(a_batch.hu == -850, 0.3, 1.0)
    entropy = (weight * (functional.softplus(logits) - a_batch.lungs * logits)).mean()
    both, each = (weight * found * a_batch.lungs).sum(), (weight * (found + a_batch.lungs)).sum()
    dice = (2 * both + 1) / (each + 1)
    assert told["entropy"] == pytest.approx(entropy.item(), rel=1e-4)
    assert told["dice"] == pytest.approx(dice.item(), rel=1e-4)

    (entropy + 0.5 * (1 - dice)).backward()
    wanted, taken = (
        torch.cat([one.grad.flatten() for one in network.parameters() if one.grad is not None])
        for network in (before, trainer.network)
    )
    assert wanted.norm() > 1
    assert torch.allclose(taken, wanted / wanted.norm(), atol=1e-4)


@pytest.mark.usefixtures("a_batch")
def test_the_rate_rises_linearly_and_then_falls_by_a_cosine() -> None:
    trainer = LungTrainer(LungPreset(window=WINDOW, rate=1e-3, warm_up=10, iterations=110), [], CPU)
    shares = []
    for trainer.iteration in (0, 4, 10, 60, 110):
        trainer.step()
        shares.append(trainer.optimiser.param_groups[0]["lr"] / 1e-3)
    assert shares == pytest.approx([0.1, 0.5, 1.0, 0.505, 0.01])


@pytest.mark.usefixtures("a_batch")
def test_what_is_kept_is_the_running_mean_of_the_weights() -> None:
    trainer = LungTrainer(LungPreset(window=WINDOW, ema=0.75), [], CPU)
    trainer.iteration = 1000
    start = trainer.network.head.weight.detach().clone()
    trainer.step()
    moved = trainer.network.head.weight.detach()
    assert not torch.equal(moved, start)
    assert torch.allclose(trainer.average.head.weight, 0.75 * start + 0.25 * moved, atol=1e-7)


def test_each_step_draws_anew(monkeypatch: pytest.MonkeyPatch, a_batch: LungBatch) -> None:
    drawn: list[float] = []

    def noted(_: LungBatches, rng: np.random.Generator) -> LungBatch:
        drawn.append(rng.random())
        return a_batch

    monkeypatch.setattr(LungBatches, "draw", noted)
    trainers = [LungTrainer(LungPreset(window=WINDOW, seed=seed), [], CPU) for seed in (1, 1, 2)]
    for trainer in trainers:
        for _ in range(2):
            trainer.step()
    first, again, other = drawn[:2], drawn[2:4], drawn[4:]
    assert first == again
    assert len({*first, *other}) == 4
