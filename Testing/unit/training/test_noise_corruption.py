"""The paper's corruption: its noise on its share of the slices, equal to the noise package's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from COVIDSelfSegTrainingLib.noise_corruption import add_slice_noise, draw_slice_noise
from COVIDSelfSegTrainingLib.options import NoisePreset

PAPER = NoisePreset()


def lungs_of(volume: torch.Tensor) -> torch.Tensor:
    lungs = torch.zeros_like(volume)
    lungs[:, :, 4:28, 4:28] = 1
    return lungs


def test_eight_of_thirty_two_slices_are_changed_over_the_whole_slice() -> None:
    volume = torch.full((3, 32, 32, 32), 0.1)
    noise = draw_slice_noise(3, 32, PAPER, np.random.default_rng(0))
    changed = (add_slice_noise(volume, lungs_of(volume), noise, PAPER) != volume).float()
    slices = changed.sum(dim=(2, 3)) > 0
    assert slices.sum(1).tolist() == [8, 8, 8]
    assert (changed[slices][:, 0] > 0).any()


def test_options_keep_it_in_the_lung_in_range_and_off_the_lattice() -> None:
    volume = torch.full((2, 8, 32, 32), 0.05)
    lungs = lungs_of(volume)
    tame = replace(PAPER, whole_slice=False, clip=True, random_phase=True, slices=1.0)
    noise = draw_slice_noise(2, 8, tame, np.random.default_rng(0))
    noisy = add_slice_noise(volume, lungs, noise, tame)
    assert torch.equal(noisy[lungs == 0], volume[lungs == 0])
    assert (noisy >= 0).all()
    assert (noisy <= 1).all()
    # Without a phase the paper's noise is zero in the corner of every slice.
    plain = replace(tame, random_phase=False, whole_slice=True)
    corner = add_slice_noise(volume, lungs, draw_slice_noise(2, 8, plain, np.random.default_rng(0)), plain)
    assert torch.allclose(corner[:, :, 0, 0], volume[:, :, 0, 0], atol=1e-6)


def test_the_values_are_those_of_the_noise_package() -> None:
    package = pytest.importorskip("noise")
    # Larger bases are undefined there; and in as few cells as these lie here, noise repeats at once or never.
    preset = replace(PAPER, base=(0, 1), slices=0.5, repeat=1.0, strength=0.5)
    volume = torch.zeros(1, 4, 16, 24)
    noise = draw_slice_noise(1, 4, preset, np.random.default_rng(3))
    noisy = add_slice_noise(volume, volume, noise, preset)
    for number, place in enumerate(noise.places.tolist()):
        scale, base = noise.scale[number].item(), int(noise.base[number])
        persistence = noise.persistence[number].item()
        for row, column in ((3, 5), (11, 20), (15, 1)):
            expected = package.pnoise2(row / scale, column / scale, 10, persistence, 2.0, 1, 1, base)
            assert noisy[0, place, row, column].item() == pytest.approx(0.5 * expected, abs=2e-5)


def test_arguments_are_drawn_from_all_of_their_spans() -> None:
    preset = replace(PAPER, base=(0, 3), random_phase=True)
    noise = draw_slice_noise(50, 32, preset, np.random.default_rng(0))
    assert noise.phase is not None
    for values, (low, high) in (
        (noise.persistence, preset.persistence),
        (noise.scale, preset.scale),
        (noise.base, preset.base),
        (noise.phase[:, 0], (0, preset.repeat)),
        (noise.phase[:, 1], (0, preset.repeat)),
    ):
        edge = 0.05 * (high - low)
        assert low <= values.min() < low + edge
        assert high - edge < values.max() <= high


def test_a_part_of_a_joint_batch_gets_the_noise_of_its_own_volumes() -> None:
    volume = torch.rand(4, 8, 16, 16)
    preset = replace(PAPER, random_phase=True)
    noise = draw_slice_noise(4, 8, preset, np.random.default_rng(1))
    whole = add_slice_noise(volume, volume, noise, preset)
    part = add_slice_noise(volume[1::2], volume[1::2], noise.of(torch.tensor([1, 3])), preset)
    assert torch.allclose(part, whole[1::2], atol=1e-6)
