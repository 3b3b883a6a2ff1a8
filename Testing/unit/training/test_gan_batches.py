"""What a batch of phase 1 is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegTrainingLib import gan_batches
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.corruption import Painted, paint_volumes
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


def test_a_batch_holds_the_lungs_of_the_scans_that_it_names(
    training_scans: list[CohortScan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def noted(scans: list[CohortScan], *given: Any, **named: Any) -> Painted:
        painted.extend(scan.source.name for scan in scans)
        return paint_volumes(scans, *given, **named)

    painted: list[str] = []
    monkeypatch.setattr(gan_batches, "paint_volumes", noted)
    preset = replace(TINY.gan, batch=16, gain_spread=0.0, offset_hu=0.0)
    batch, names = GanBatches(preset, training_scans[:4], training_scans[4:], CPU).draw(
        np.random.default_rng(1)
    )
    assert [f"{name} (healthy)" for name in painted] == names[:8]
    scans = {f"{scan.source.name} ({scan.source.group})": scan for scan in training_scans}
    for told, group, volumes, lungs in (
        (names[:8], "healthy", batch.healthy, batch.healthy_lungs),
        (names[8:], "diseased", batch.diseased, batch.diseased_lungs),
    ):
        assert len(set(told)) > 1
        for name, volume, inside in zip(told, volumes, lungs, strict=True):
            scan = scans[name]
            assert scan.source.group == group
            holds_lung = np.asarray(scan.volume_depths) > 0
            assert np.array_equal(inside.numpy(), holds_lung)
            unit = np.clip((np.asarray(scan.volume, np.float32) + 1000) / 1400, 0, 1)
            assert np.allclose(volume.numpy(), unit * holds_lung, atol=1e-6)


@pytest.mark.parametrize(("gain_spread", "offset_hu"), [(0.05, 0.0), (0.0, 20.0)])
def test_scanners_differ_by_a_stretch_about_healthy_lung_and_a_shift(
    training_scans: list[CohortScan], gain_spread: float, offset_hu: float
) -> None:
    preset = replace(TINY.gan, gain_spread=gain_spread, offset_hu=offset_hu)
    batches = GanBatches(preset, training_scans[:4], training_scans[4:], CPU)
    volumes, _ = batches._volumes(training_scans[:1] * 200, np.random.default_rng(1))
    before = np.asarray(training_scans[0].volume, np.float64).ravel()[::97]
    lines = np.array([np.polyfit(before, volume.numpy().ravel()[::97], 1) for volume in volumes])
    shifts = lines @ [-850.0, 1.0] + 850
    assert np.log(lines[:, 0]).std() == pytest.approx(gain_spread, rel=0.2, abs=1e-4)
    assert shifts.std() == pytest.approx(offset_hu, rel=0.2, abs=1e-2)
    assert abs(shifts.mean()) < 5


def test_noise_takes_the_place_of_lesions_in_its_share_of_the_lungs(training_scans: list[CohortScan]) -> None:
    preset = replace(TINY.gan, batch=40, untouched=0.0, noise_share=0.2)
    batches = GanBatches(preset, training_scans[:4], training_scans[4:], CPU)
    batch, _ = batches.draw(np.random.default_rng(1))
    changed = batch.corrupted != batch.healthy
    assert changed.flatten(1).any(1).all(), "each has the one or the other"
    outside = (changed & (batch.healthy_lungs == 0)).flatten(1).any(1)
    assert 1 <= outside.sum() <= 9, "of 20; noise alone reaches beyond the lung"
    noisy_slices = changed[outside].any(dim=(2, 3)).sum(1)
    assert (noisy_slices == round(0.25 * changed.shape[1])).all()
    assert torch.equal((batch.corruption > 0)[outside], (changed & (batch.healthy_lungs > 0))[outside])
