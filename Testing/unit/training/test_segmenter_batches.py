"""From which slices a batch of phase 3 is drawn, how often in which form, and what a pose lets in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.segmentation import MARKS
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.options import SegmenterPreset
from COVIDSelfSegTrainingLib.pseudo_masks import PseudoMask
from COVIDSelfSegTrainingLib.segmenter_batches import SegmenterBatches

CPU = Device(torch.device("cpu"), torch.float32, "CPU")
HEALTHY_ALONE = SegmenterPreset(painted=4, clean=4, high=0, low=0)


def test_real_scans_are_painted_as_often_as_the_preset_says(a_scan: CohortScan) -> None:
    real = replace(a_scan, source=replace(a_scan.source, name="real", path="a scan"))
    for share, drawn in ((0.0, {"healthy"}), (1.0, {"real"})):
        preset = replace(HEALTHY_ALONE, real_share=share, augmentation="none")
        _, names = SegmenterBatches(preset, [real, a_scan], [], CPU).draw(np.random.default_rng(1))
        assert {name.split()[0] for name in names} == drawn


def test_highly_infected_slices_are_the_top_share_and_little_infected_ones_lie_below_a_part_of_their_cut(
    a_scan: CohortScan,
) -> None:
    holding, rng = a_scan.holding, np.random.default_rng(3)
    burden = np.full(len(a_scan.slices), 9.0)  # where there is no lung to speak of
    burden[holding] = rng.permutation(np.linspace(0.01, 1, len(holding)))
    nothing = np.zeros(a_scan.slices.shape, np.uint8)
    diseased = [(a_scan, PseudoMask(nothing, burden, nothing))]
    preset = SegmenterPreset(high_share=0.2, low_factor=0.5)
    batches = SegmenterBatches(preset, [a_scan], diseased, CPU)
    ranked = holding[np.argsort(-burden[holding])]
    high = sorted((one.place for one in batches.high), key=lambda place: -burden[place])
    assert high == ranked[: len(high)].tolist()
    assert abs(len(high) - 0.2 * len(holding)) <= 1
    below = ranked[burden[ranked] < 0.5 * np.quantile(burden[holding], 0.8)]
    assert [one.place for one in batches.low] == below[: len(high)].tolist()


def test_what_a_pose_lets_in_is_air_and_no_lung(a_scan: CohortScan) -> None:
    preset = replace(HEALTHY_ALONE, augmentation="pose")
    batch, _ = SegmenterBatches(preset, [a_scan], [], CPU).draw(np.random.default_rng(2))
    beyond = batch.certainty[:, 0] == 0  # nothing is certain there, and all of what is painted or clean
    assert 0.01 < beyond.float().mean() < 0.5
    assert (batch.hu.movedim(1, -1)[beyond] == -1000).all()
    assert not batch.lungs[:, 0][beyond].any()


def test_three_in_ten_slices_are_thick_by_four_to_nine_millimetres(a_scan: CohortScan) -> None:
    frame = a_scan.slice_frame
    thin = replace(a_scan, slice_frame=replace(frame, spacing=(*frame.spacing[:2], 1.25)))
    batches = SegmenterBatches(replace(HEALTHY_ALONE, painted=400), [thin], [], CPU)
    together = np.array([slab.together for slab in batches._choose(np.random.default_rng(5)).slabs])
    thick = together > 1
    assert 0.22 < thick.mean() < 0.38
    assert set(together[thick]) == set(range(3, 8)), "of 1.25 mm each"


def test_one_in_seven_scans_is_seen_as_a_single_slice(a_scan: CohortScan) -> None:
    preset = replace(HEALTHY_ALONE, painted=0, clean=160)
    batch, _ = SegmenterBatches(preset, [a_scan], [], CPU).draw(np.random.default_rng(6))
    alone = (batch.hu[:, 0] == batch.hu[:, 1]).flatten(1).all(1) & (batch.hu[:, 2] == batch.hu[:, 1]).flatten(
        1
    ).all(1)
    assert 0.07 < alone[batch.marks == MARKS["hu"]].float().mean() < 0.25


def test_each_batch_has_noise_of_its_own(a_scan: CohortScan) -> None:
    """Noise that came again would be learnt by heart."""
    batches = SegmenterBatches(replace(HEALTHY_ALONE, painted=0, clean=80), [a_scan], [], CPU)
    first, second = (batches.draw(np.random.default_rng(seed))[0] for seed in range(2))
    added = [(batch.hu - batch.plain_hu)[:, 1].flatten(1) for batch in (first, second)]
    of_scanners = (first.marks == MARKS["hu"]) & (second.marks == MARKS["hu"])
    noisy = of_scanners & (added[0].std(1) > 20) & (added[1].std(1) > 20)
    assert noisy.any()
    for row in torch.nonzero(noisy).flatten():
        assert abs(np.corrcoef(added[0][row], added[1][row])[0, 1]) < 0.3
