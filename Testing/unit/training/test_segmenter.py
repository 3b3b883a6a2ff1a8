"""Which slices of a batch each loss of phase 3 is of, and how a step goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.segmentation import segmenter_input
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
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


@pytest.fixture
def some_logits() -> Tensor:
    return torch.randn(len(KINDS), 1, 48, 64, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def some_embeddings() -> Tensor:
    drawn = torch.randn(len(KINDS), 5, generator=torch.Generator().manual_seed(5))
    return functional.normalize(drawn, dim=1)


def a_trainer(scans: list[CohortScan], **options: object) -> SegmenterTrainer:
    preset = replace(TINY, segmenter=replace(TINY.segmenter, **options))
    healthy = [scan for scan in scans if scan.source.group == "healthy"]
    return SegmenterTrainer(preset, healthy, [], CPU)


def inside(values: Tensor, batch: SegmenterBatch, *kinds: str) -> Tensor:
    """Values of the lung's pixels of slices of these classes, in one row."""
    chosen = torch.isin(KINDS, torch.tensor([CLASSES[kind] for kind in kinds]))
    return values[chosen][batch.lungs[chosen] > 0]


def test_the_teacher_is_shown_slices_and_lungs_unvaried_and_counts_where_the_student_sees_them_too(
    training_scans: list[CohortScan], a_batch: SegmenterBatch, some_logits: Tensor, some_embeddings: Tensor
) -> None:
    trainer = a_trainer(training_scans, teacher_weight=0.7, teacher_start=0.0)
    weight, value = trainer._losses(a_batch, some_logits, some_embeddings, None)["teacher"]
    with torch.no_grad():
        taught = trainer.average(segmenter_input(a_batch.plain_hu, a_batch.plain_lungs[:, 0]))
    certainty = torch.zeros_like(a_batch.certainty)
    certainty[3:, :, 16:40, 10:50] = a_batch.certainty[3:, :, 16:40, 10:50]
    squared = (some_logits.sigmoid() - taught.sigmoid()) ** 2
    assert weight == 0.7
    assert value.item() == pytest.approx(((squared * certainty).sum() / certainty.sum()).item(), rel=1e-5)
