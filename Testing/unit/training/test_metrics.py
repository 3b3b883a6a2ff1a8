"""Metrics against other people's code, closed forms and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.threshold_curve import LEVELS
from COVIDSelfSegTrainingLib.evaluation.histogram import ProbabilityHistogram
from COVIDSelfSegTrainingLib.evaluation.overlap import overlap
from COVIDSelfSegTrainingLib.evaluation.protocols import score_scan, score_slices
from COVIDSelfSegTrainingLib.evaluation.slice_ranking import roc_auc, slice_auc
from COVIDSelfSegTrainingLib.evaluation.statistics import summarise, summarise_clusters
from COVIDSelfSegTrainingLib.evaluation.surface import surface_distances
from scipy.spatial.distance import cdist

VOXEL_MM = (2.5, 0.8, 1.1)


def blobs(seed: int) -> np.ndarray:
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(14, 22, 19)), 2)
    return noise > 0.06


def image(mask: np.ndarray) -> sitk.Image:
    result = sitk.GetImageFromArray(mask.astype(np.uint8))
    result.SetSpacing(VOXEL_MM[::-1])
    return result


@pytest.mark.parametrize("seed", range(4))
def test_dice_and_its_parts_agree_with_simpleitk(seed: int) -> None:
    found, truth = blobs(seed), blobs(seed + 10)
    counts = overlap(found, truth)
    oracle = sitk.LabelOverlapMeasuresImageFilter()
    oracle.Execute(image(found), image(truth))
    assert counts.dice == pytest.approx(oracle.GetDiceCoefficient())
    assert counts.sensitivity == pytest.approx((found & truth).sum() / truth.sum())
    assert counts.precision == pytest.approx((found & truth).sum() / found.sum())
    assert counts.both + counts.found_only + counts.truth_only + counts.neither == found.size


def test_empty_against_empty_is_no_score() -> None:
    nothing = np.zeros((3, 4, 5), bool)
    some = nothing.copy()
    some[1] = True
    assert math.isnan(overlap(nothing, nothing).dice)
    assert math.isnan(overlap(nothing, some).precision)
    assert overlap(nothing, some).dice == overlap(nothing, some).sensitivity == 0
    assert overlap(some, nothing).dice == 0
    assert math.isnan(surface_distances(nothing, nothing, VOXEL_MM).surface_dice(5))
    one_empty = surface_distances(some, nothing, VOXEL_MM)
    assert one_empty.surface_dice(5) == 0
    assert math.isnan(one_empty.hausdorff())


def test_specificity_counts_inside_the_lung_alone() -> None:
    lungs = np.zeros((1, 10, 10), bool)
    lungs[:, :5] = True
    found, truth = np.zeros_like(lungs), np.zeros_like(lungs)
    found[:, 0] = True
    truth[:, 1] = True  # which is missed, not left alone
    assert overlap(found, truth, within=lungs).specificity == pytest.approx(30 / 40)
    assert overlap(found, truth).specificity == pytest.approx(80 / 90)


@pytest.mark.parametrize("seed", range(3))
def test_surface_distances_agree_with_brute_force_and_simpleitk(seed: int) -> None:
    found, truth = blobs(seed), blobs(seed + 10)

    def surface(mask: np.ndarray) -> np.ndarray:
        """Voxels of the mask with a face neighbour outside of it, one by one."""
        places = []
        for place in np.argwhere(mask):
            for axis, step in itertools.product(range(3), (-1, 1)):
                other = place.copy()
                other[axis] += step
                outside = (other < 0).any() or (other >= mask.shape).any()
                if outside or not mask[tuple(other)]:
                    places.append(place * np.array(VOXEL_MM))
                    break
        return np.array(places)

    between = cdist(surface(found), surface(truth))
    of_found, of_truth = between.min(axis=1), between.min(axis=0)
    ours = surface_distances(found, truth, VOXEL_MM)
    for tolerance in (1.0, 3.0, 5.0):
        near = (of_found <= tolerance).sum() + (of_truth <= tolerance).sum()
        assert ours.surface_dice(tolerance) == pytest.approx(near / (len(of_found) + len(of_truth)))
    assert ours.hausdorff() == pytest.approx(max(np.percentile(of_found, 95), np.percentile(of_truth, 95)))
    oracle = sitk.HausdorffDistanceImageFilter()
    padded = [sitk.ConstantPad(image(mask), (1, 1, 1), (1, 1, 1), 0) for mask in (found, truth)]
    oracle.Execute(*(sitk.BinaryContour(mask, False) for mask in padded))
    assert ours.hausdorff(100) == pytest.approx(oracle.GetHausdorffDistance())


def test_a_cube_moved_by_some_voxels_lies_that_far_away() -> None:
    found, truth = np.zeros((2, 30, 30, 30), bool)
    truth[10:18, 10:18, 10:18] = True
    found[10:18, 10:18, 13:21] = True
    moved = surface_distances(found, truth, (1.0, 1.0, 2.0))
    assert moved.hausdorff(100) == pytest.approx(6.0)
    assert moved.surface_dice(6.0) == 1
    assert moved.surface_dice(0.5) < 1


def test_auc_is_the_chance_of_the_right_order() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(scores[labels], scores[~labels])]
    assert roc_auc(scores, labels) == pytest.approx(np.mean(pairs))
    assert math.isnan(roc_auc(scores, np.zeros(40, bool)))


def slices_with(infected: list[int], of_lung: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """A mask and lungs with so many pixels in each slice; every slice's first pixel is no lung."""
    mask, lungs = np.zeros((2, len(infected), 1, 11), bool)
    for z, (found, area) in enumerate(zip(infected, of_lung, strict=True)):
        mask[z, 0, 1 : 1 + found] = True
        lungs[z, 0, 1 : 1 + area] = True
    return mask, lungs


def test_the_auc_of_slices_is_that_of_the_infected_share_of_their_lung() -> None:
    # Shares 0.5, 0.25, 0.1, 0, and a slice without lung between; by pixels, 1, 2, 1, 0, the order is another.
    mask, lungs = slices_with([1, 2, 0, 1, 0], [2, 8, 0, 10, 4])
    sick, well = [0.5, 0.1], [0.25, 0.0]
    by_hand = np.mean([one > other for one, other in itertools.product(sick, well)])
    labels = np.array([True, False, False, True, False])
    assert by_hand == 0.75
    assert slice_auc(mask, lungs, labels) == pytest.approx(by_hand)
    assert slice_auc(mask, lungs, ~labels) == pytest.approx(1 - by_hand)


def test_slices_in_the_right_order_have_an_auc_of_one_in_the_wrong_of_zero_and_level_of_a_half() -> None:
    mask, lungs = slices_with([6, 5, 1, 0], [10, 8, 10, 2])
    labels = np.array([True, True, False, False])
    assert slice_auc(mask, lungs, labels) == 1
    assert slice_auc(mask, lungs, ~labels) == 0
    assert slice_auc(np.zeros_like(mask), lungs, labels) == 0.5
    assert slice_auc(~lungs, lungs, labels) == 0.5, "what lies outside the lung does not count"
    assert math.isnan(slice_auc(mask, lungs, np.ones(4, bool)))


def a_histogram() -> tuple[ProbabilityHistogram, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    probability = rng.integers(0, LEVELS, (4, 20, 20)).astype(np.uint8)
    truth = rng.random(probability.shape) < probability / 300
    lungs = rng.random(probability.shape) < 0.9
    return ProbabilityHistogram.of_scan(probability, truth, lungs), probability, truth & lungs | truth


def test_the_histogram_gives_the_scores_of_every_threshold_and_the_auc() -> None:
    histogram, probability, truth = a_histogram()
    for threshold in (0.1, 0.5, 0.83):
        counts = histogram.at(threshold)
        found = probability >= threshold * 255
        assert counts.both == (found & truth).sum()
        assert counts.truth_only == (~found & truth).sum()
        assert counts.found_only + counts.neither == histogram.healthy.sum()
    scores = np.repeat(np.arange(LEVELS), histogram.lesion + histogram.healthy).astype(float)
    labels = np.concatenate(
        [np.repeat([True, False], [a, b]) for a, b in zip(histogram.lesion, histogram.healthy, strict=True)]
    )
    assert histogram.auc() == pytest.approx(roc_auc(scores, labels))


def test_healthy_voxels_count_within_the_lung_and_lesions_wherever_they_are() -> None:
    probability = np.array([[[10, 20, 0, 0]]], np.uint8)
    truth, lungs = np.array([[[1, 0, 1, 0]]], bool), np.array([[[1, 1, 0, 0]]], bool)
    histogram = ProbabilityHistogram.of_scan(probability, truth, lungs)
    assert np.flatnonzero(histogram.lesion).tolist() == [0, 10]
    assert np.flatnonzero(histogram.healthy).tolist() == [20]


def test_every_voxel_lies_in_one_of_ten_bins_of_a_tenth_each() -> None:
    lesion, healthy = np.zeros((2, LEVELS), np.int64)
    lesion[255], lesion[250], healthy[0], healthy[24], healthy[26] = 3, 1, 5, 7, 2
    bins = ProbabilityHistogram(lesion, healthy).reliability()
    assert [(one.voxels, one.observed) for one in bins] == [(12, 0), (2, 0), (4, 1)]


def test_saying_too_much_here_and_too_little_there_is_no_calibration() -> None:
    lesion, healthy = np.zeros((2, LEVELS), np.int64)
    lesion[51], healthy[51] = 40, 60  # says 0.2, is 0.4
    lesion[204], healthy[204] = 60, 40  # says 0.8, is 0.6
    assert ProbabilityHistogram(lesion, healthy).calibration_error() == pytest.approx(0.2)


def test_calibration_by_hand() -> None:
    lesion, healthy = np.zeros((2, LEVELS), np.int64)
    lesion[51], healthy[51] = 20, 80  # says 0.2, is 0.2
    lesion[204], healthy[204] = 40, 60  # says 0.8, is 0.4
    histogram = ProbabilityHistogram(lesion, healthy)
    low, high = histogram.reliability()
    assert (low.stated, low.observed, low.voxels) == (pytest.approx(0.2), pytest.approx(0.2), 100)
    assert (high.stated, high.observed) == (pytest.approx(0.8), pytest.approx(0.4))
    assert histogram.calibration_error() == pytest.approx(0.2)
    doubled = histogram + histogram
    assert doubled.calibration_error() == pytest.approx(0.2)
    assert doubled.reliability()[0].voxels == 200


@pytest.mark.parametrize("count", [2, 4, 30])
def test_the_interval_of_a_mean_holds_it_19_times_of_20_however_few_scans_there_are(count: int) -> None:
    rng = np.random.default_rng(3)
    summaries = [summarise(rng.normal(0.6, 0.1, count)) for _ in range(1000)]
    assert np.mean([one.low < 0.6 < one.high for one in summaries]) == pytest.approx(0.95, abs=0.02)


def test_one_scan_has_no_interval() -> None:
    summary = summarise([0.7])
    assert summary.mean == 0.7
    assert math.isnan(summary.low)
    assert math.isnan(summary.high)


def test_undefined_values_are_counted_apart() -> None:
    summary = summarise([0.5, float("nan"), 0.7])
    assert (summary.count, summary.undefined, summary.mean) == (2, 1, pytest.approx(0.6))
    assert math.isnan(summarise([]).mean)


def test_the_interval_of_slices_counts_patients_and_not_slices() -> None:
    """Of slices that agree within each patient, it holds the mean as often as that of the patients' means."""
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(10), 12)
    holds, plain_holds = [], []
    for _ in range(500):
        dice = rng.normal(0.6, 0.15, 10)[patients] + rng.normal(0, 0.05, len(patients))
        one, plain = summarise_clusters(dice, patients.tolist()), summarise(dice)
        assert one.mean == plain.mean
        holds.append(one.low < 0.6 < one.high)
        plain_holds.append(plain.low < 0.6 < plain.high)
    assert np.mean(holds) == pytest.approx(0.95, abs=0.03)
    assert np.mean(plain_holds) < 0.6


def test_slices_of_a_patient_each_are_summed_up_as_independent_ones() -> None:
    dice = [0.2, 0.9, float("nan"), 0.4]
    one, plain = summarise_clusters(dice, "abcd"), summarise(dice)
    assert (one.count, one.undefined, one.mean) == (plain.count, plain.undefined, plain.mean)
    assert (one.low, one.high) == (pytest.approx(plain.low), pytest.approx(plain.high))
    assert math.isnan(summarise_clusters(dice, "aaaa").low)


def test_one_scan_far_off_moves_the_mean_and_not_the_median() -> None:
    summary = summarise([0.1, 0.2, 0.9])
    assert (summary.mean, summary.median) == (pytest.approx(0.4), 0.2)


def a_chest() -> tuple[sitk.Image, sitk.Image, np.ndarray]:
    """Lungs that fill their box, lesions in four of six slices, of 163, 400, 164 and very many pixels."""
    lungs = np.ones((6, 128, 128), np.uint8)
    truth = np.zeros_like(lungs)
    lungs[1, ::2] = 0  # too few pixels, though more than 1 % of this slice's lung
    truth[1].flat[:163] = 1
    truth[3].flat[:164] = 1  # enough
    truth[2, :20, :20] = 1
    truth[4, :64] = 1
    found = truth.copy()
    found[2, :20, 10:20] = 0
    found[3] = 0
    found[3, 100:110, :16] = 1  # and elsewhere
    images = [sitk.GetImageFromArray(array) for array in (found, truth, lungs)]
    return images[0], images[2], truth


def test_the_papers_protocol_takes_slices_with_enough_disease_and_averages_over_them() -> None:
    found, lungs, truth = a_chest()
    scores = score_slices(found, sitk.GetImageFromArray(truth), lungs)
    assert [score.dice for score in scores] == [pytest.approx(2 / 3), 0.0, 1.0]
    assert [score.sensitivity for score in scores] == [0.5, 0.0, 1.0]
    assert [score.precision for score in scores] == [1.0, 0.0, 1.0]
    of_frame = 128 * 128 - 164
    assert [score.specificity for score in scores] == [1.0, pytest.approx(1 - 160 / of_frame), 1.0]


def test_the_papers_protocol_stretches_the_lungs_to_its_plane() -> None:
    lungs, truth = np.ones((2, 64, 128), np.uint8), np.zeros((2, 64, 128), np.uint8)
    truth[0, :5, :20] = 1  # 100 pixels, 200 of the plane's
    truth[1, :4, :20] = 1  # 80, of which 160 are too few
    images = [sitk.GetImageFromArray(array) for array in (truth, truth, lungs)]
    assert len(score_slices(*images)) == 1


def test_the_scan_protocol_takes_every_slice() -> None:
    found, lungs, truth = a_chest()
    lungs.SetSpacing((1.0, 2.0, 5.0))
    mask = sitk.GetArrayFromImage(found) > 0
    lungs_voxels = (sitk.GetArrayFromImage(lungs) > 0).sum()
    scores, counts = score_scan(mask, truth > 0, lungs)
    assert counts.truth == truth.sum()
    both = (mask & (truth > 0)).sum()
    assert scores.dice == pytest.approx(2 * both / (mask.sum() + truth.sum()))
    assert (scores.sensitivity, scores.precision) == pytest.approx((both / truth.sum(), both / mask.sum()))
    assert scores.volume_error_ml == pytest.approx((364 - 160) * 0.01)
    assert scores.share_error == pytest.approx(100 * (364 - 160) / lungs_voxels)


def test_the_scan_protocols_specificity_is_of_the_lung_alone() -> None:
    lungs = np.zeros((2, 10, 10), np.uint8)
    lungs[0] = 1
    truth, found = np.zeros(lungs.shape, bool), np.zeros(lungs.shape, bool)
    truth[0, :2] = True
    found[0, :4] = True
    scores, _ = score_scan(found, truth, sitk.GetImageFromArray(lungs))
    assert scores.specificity == pytest.approx(60 / 80)


def test_the_scan_protocols_distances_are_in_millimetres_along_the_scans_own_axes() -> None:
    truth, lungs = np.zeros((20, 30, 30), bool), sitk.Image((30, 30, 20), sitk.sitkUInt8) + 1
    lungs.SetSpacing((1.0, 2.0, 4.0))
    truth[8:12, 5:25, 5:25] = True
    moved = np.roll(truth, 1, axis=0)  # by 4 mm; above and below lies most of the surface
    moved[:, 28, 28] = True  # a speck far off
    scores, _ = score_scan(moved, truth, lungs)
    assert scores.hd95_mm == pytest.approx(4.0)
    assert scores.surface_dice_5mm > 0.97
    assert scores.surface_dice_3mm < 0.6
