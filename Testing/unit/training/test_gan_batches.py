"""What a batch of phase 1 is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.gan_batches import GanBatches

from ..conftest import TINY

CPU = Device(torch.device("cpu"), torch.float32, "CPU")


@pytest.mark.parametrize(("untouched", "corrupted"), [(0.0, 4), (1.0, 0)])
def test_healthy_lungs_are_corrupted_where_it_is_told_unless_they_are_to_stay_untouched(
    training_scans: list[CohortScan], untouched: float, corrupted: int
) -> None:
    preset = replace(TINY.gan, batch=8, untouched=untouched)
    batches = GanBatches(preset, training_scans[:4], training_scans[4:], CPU)
    batch, _ = batches.draw(np.random.default_rng(1))
    changed = batch.corrupted != batch.healthy
    assert changed.flatten(1).any(1).sum() == corrupted
    assert (batch.corruption > 0).flatten(1).any(1).sum() == corrupted
    assert not (changed & (batch.corruption == 0)).any()
