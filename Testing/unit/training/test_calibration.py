"""Calibration: probabilities that are frequencies, and the threshold with the best Dice."""

from __future__ import annotations

import numpy as np
import pytest
from COVIDSelfSegLib.threshold_curve import LEVELS, level_of
from COVIDSelfSegTrainingLib.calibration import (
    Judged,
    calibrate,
    expected_calibration_error,
    stored_threshold,
)


def drawn(slope: float, shift: float, count: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and lesions that appear as often as sigmoid(slope * logit + shift) says."""
    rng = np.random.default_rng(1)
    logits = rng.normal(-1.0, 2.5, count).astype(np.float32)
    return logits, rng.random(count) < 1 / (1 + np.exp(-(slope * logits + shift)))


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.5, -1.0), (2.0, 1.5)])
def test_the_law_that_drew_the_lesions_is_found_again(slope: float, shift: float) -> None:
    found = calibrate(Judged(*drawn(slope, shift)))
    assert found.slope == pytest.approx(slope, rel=0.03)
    assert found.shift == pytest.approx(shift, abs=0.03)
    assert found.error < 0.005


def test_no_other_threshold_has_a_better_dice() -> None:
    logits, lesion = drawn(0.7, 0.2)
    found = calibrate(Judged(logits, lesion))
    probability = 1 / (1 + np.exp(-(found.slope * logits + found.shift)))
    for threshold in np.linspace(0.02, 0.98, 49):
        mask = probability >= threshold
        assert 2 * (mask & lesion).sum() / (mask.sum() + lesion.sum()) <= found.dice + 1e-4
    # Lipton 2014: the best threshold of calibrated probabilities is half of the best F1.
    assert found.threshold == pytest.approx(found.dice / 2, abs=0.02)


def test_a_stored_threshold_takes_in_the_level_that_was_chosen_and_none_below() -> None:
    levels = range(1, LEVELS)
    assert [level_of(stored_threshold(level / (LEVELS - 1))) for level in levels] == list(levels)


def test_overconfidence_is_an_error_of_calibration() -> None:
    honest = np.full(1000, 0.5)
    lesion = np.arange(1000) % 2 == 0
    assert expected_calibration_error(honest, lesion) == pytest.approx(0, abs=1e-9)
    assert expected_calibration_error(np.where(lesion, 0.9, 0.9), lesion) == pytest.approx(0.4)


def test_perfect_separation_does_not_end_in_certainty() -> None:
    logits = np.concatenate([np.full(50, -3.0), np.full(50, 3.0)])
    found = calibrate(Judged(logits, logits > 0))
    assert found.slope <= 20
    assert found.dice == 1


def test_without_lesions_there_is_nothing_to_calibrate() -> None:
    with pytest.raises(ValueError, match="lesion"):
        calibrate(Judged(np.zeros(4), np.zeros(4, bool)))
