"""Which slices of a batch each loss of phase 3 is of, and how a step goes."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.segmentation import segmenter_input
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.losses import bce_and_dice, supervised_contrastive
from COVIDSelfSegTrainingLib.segmenter import SegmenterTrainer
from COVIDSelfSegTrainingLib.segmenter_batches import SegmenterBatch
from COVIDSelfSegTrainingLib.slice_selection import CLASSES, PAINTED
from torch import Tensor
from torch.nn import functional

from ..conftest import TINY

CPU = Device(torch.device("cpu"), torch.float32, "CPU")
KINDS = torch.tensor([PAINTED, *(CLASSES[name] for name in ("clean", "clean", "low", "low", "high", "high"))])


@pytest.fixture
def a_batch() -> SegmenterBatch:
    """Noise, with a lung mask that has lost its upper rows and taken in a column beside it."""
    made = torch.Generator().manual_seed(3)
    shape = (len(KINDS), 1, 48, 64)
    hu = -850 + 100 * torch.randn(len(KINDS), 3, 48, 64, generator=made)
    plain_lungs = torch.zeros(shape)
    plain_lungs[:, :, 8:40, 10:50] = 1
    lungs = plain_lungs.clone()
    lungs[:, :, :16] = 0
    lungs[:, :, 16:40, 50:54] = 1
    marks = torch.tensor([1.0, 0.5, 0.75, 1.0, 0.5, 0.75, 1.0])
    target, certainty = (torch.rand(shape, generator=made) for _ in range(2))
    return SegmenterBatch(hu + 50, hu, lungs, plain_lungs, marks, target * lungs, certainty, KINDS, KINDS)


class Said(NamedTuple):
    """What a network may say of the batch."""

    logits: Tensor
    embeddings: Tensor


@pytest.fixture
def said() -> Said:
    made = torch.Generator().manual_seed(4)
    embeddings = functional.normalize(torch.randn(len(KINDS), 5, generator=made), dim=1)
    return Said(torch.randn(len(KINDS), 1, 48, 64, generator=made), embeddings)


def a_trainer(scans: list[CohortScan], **options: object) -> SegmenterTrainer:
    preset = replace(TINY, segmenter=replace(TINY.segmenter, **options))
    healthy = [scan for scan in scans if scan.source.group == "healthy"]
    return SegmenterTrainer(preset, healthy, [], CPU)


def inside(values: Tensor, batch: SegmenterBatch) -> Tensor:
    """Values of the lung's pixels (slices, pixels); all slices have as many."""
    return values[batch.lungs > 0].view(len(KINDS), -1)


def test_the_teacher_is_shown_slices_and_lungs_unvaried_and_counts_where_the_student_sees_them_too(
    training_scans: list[CohortScan], a_batch: SegmenterBatch, said: Said
) -> None:
    trainer = a_trainer(training_scans, teacher_weight=0.7, teacher_start=0.0)
    weight, value = trainer._losses(a_batch, *said, None)["teacher"]
    with torch.no_grad():
        taught = trainer.average(segmenter_input(a_batch.plain_hu, a_batch.plain_lungs[:, 0]))
    certainty = torch.zeros_like(a_batch.certainty)
    certainty[3:, :, 16:40, 10:50] = a_batch.certainty[3:, :, 16:40, 10:50]
    squared = (said.logits.sigmoid() - taught.sigmoid()) ** 2
    assert weight == 0.7
    assert value.item() == pytest.approx(((squared * certainty).sum() / certainty.sum()).item(), rel=1e-5)


def test_each_loss_is_of_its_own_classes_of_slices(
    training_scans: list[CohortScan], a_batch: SegmenterBatch, said: Said
) -> None:
    weights = {"painted": 0.2, "pseudo": 0.3, "mse": 0.4, "contrastive": 0.5}
    options = {f"{name}_weight": weight for name, weight in weights.items()}
    trainer = a_trainer(training_scans, **options, sensitivity_beta=3.0)
    losses = trainer._losses(a_batch, *said, None)
    assert {name: weight for name, (weight, _) in losses.items()} == weights

    painted_and_clean = said.logits[:3], a_batch.target[:3], a_batch.lungs[:3]
    assert losses["painted"][1].item() == pytest.approx(bce_and_dice(*painted_and_clean).item(), rel=1e-5)
    found, wanted = inside(said.logits, a_batch).sigmoid(), inside(a_batch.target, a_batch)
    squared = (found[1:] - wanted[1:]).square()
    assert losses["mse"][1].item() == pytest.approx(squared.mean().item(), rel=1e-5)  # of clean ones too
    entropy = functional.binary_cross_entropy(found[3:], wanted[3:], reduction="none")
    enhanced = entropy * (1 + 3.0 * wanted[3:] * (1 - found[3:]))
    assert losses["pseudo"][1].item() == pytest.approx(enhanced.mean().item(), rel=1e-5)


@pytest.mark.parametrize(("pairing", "first"), [(("low", "high"), 3), (("clean", "low", "high"), 1)])
def test_only_the_classes_that_are_paired_are_told_apart(
    training_scans: list[CohortScan],
    a_batch: SegmenterBatch,
    said: Said,
    pairing: tuple[str, ...],
    first: int,
) -> None:
    trainer = a_trainer(training_scans, pairing=pairing, contrastive_weight=1.0, temperature=0.2)
    _, value = trainer._losses(a_batch, *said, None)["contrastive"]
    expected = supervised_contrastive(said.embeddings[first:], KINDS[first:], 0.2)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("schedule", "half", "end"), [("cosine", 0.505, 0.01), ("constant", 1.0, 1.0)])
def test_the_rate_rises_linearly_and_then_falls_by_a_cosine_or_stays(
    training_scans: list[CohortScan], schedule: str, half: float, end: float
) -> None:
    trainer = a_trainer(training_scans, schedule=schedule, rate=2e-3, warm_up=10, iterations=110)
    shares = []
    for trainer.iteration in (0, 4, 10, 60, 110):
        trainer.step()
        shares.append(trainer.optimiser.param_groups[0]["lr"] / 2e-3)
    assert shares == pytest.approx([0.1, 0.5, 1.0, half, end])


def test_a_steep_step_is_shortened(training_scans: list[CohortScan]) -> None:
    trainer = a_trainer(training_scans, painted_weight=1e4)
    trainer.step()
    slopes = [one.grad.flatten() for one in trainer.network.parameters() if one.grad is not None]
    assert torch.cat(slopes).norm().item() == pytest.approx(1.0, rel=1e-3)


def test_the_lesions_that_a_network_is_judged_by_are_none_of_those_that_it_was_trained_on(
    a_scan: CohortScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = a_trainer([a_scan], painted=2, clean=1, high=0, low=0, augmentation="none")
    draw, draw_known = trainer.batches.draw, trainer.batches.draw_known
    trained: list[SegmenterBatch] = []
    judged: list[SegmenterBatch] = []

    def noted(rng: np.random.Generator) -> tuple[SegmenterBatch, list[str]]:
        batch, names = draw(rng)
        trained.append(batch)
        return batch, names

    def noted_too(rng: np.random.Generator) -> SegmenterBatch:
        judged.append(draw_known(rng))
        return judged[-1]

    monkeypatch.setattr(trainer.batches, "draw", noted)
    monkeypatch.setattr(trainer.batches, "draw_known", noted_too)
    for _ in range(3):
        trainer.step()
    trainer.judge_unseen(3)
    assert len(trained) == len(judged) == 3
    assert all(batch.target.any() for batch in trained)
    assert not any(torch.equal(one.hu, other.hu) for one in trained for other in judged)
