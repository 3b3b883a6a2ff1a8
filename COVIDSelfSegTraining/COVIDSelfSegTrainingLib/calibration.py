"""After phase 3: what a logit means as a probability, and from which probability on a voxel is lesion.

Both come from lesions painted anew, so no label is needed. Platt scaling (Platt 1999) maps logits to
probabilities; the threshold is the one with the best Dice, which for calibrated probabilities lies below one
half (Lipton 2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from COVIDSelfSegLib.array_types import BoolArray
from scipy.optimize import minimize

DoubleArray = npt.NDArray[np.float64]

_STEEPEST = 20.0
"""Slope allowed at most: logits that separate perfectly would otherwise give certainty."""
_BINS = 10


@dataclass(frozen=True)
class Judged:
    """Voxels inside lungs.

    Attributes:
        logits: (voxels,) what the network says of each.
        lesion: (voxels,) whether each is lesion.
    """

    logits: npt.NDArray[np.floating]
    lesion: BoolArray

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All voxels of some."""
        return cls(
            np.concatenate([part.logits for part in parts]), np.concatenate([part.lesion for part in parts])
        )


@dataclass(frozen=True)
class Calibrated:
    """How logits become lesions.

    Attributes:
        slope: probability = sigmoid(slope * logit + shift).
        shift: likewise.
        threshold: probability 0 .. 1 with the best Dice on painted lesions.
        dice: that Dice.
        error: expected calibration error, 0 .. 1: mean distance of probability and frequency over ten bins.
    """

    slope: float
    shift: float
    threshold: float
    dice: float
    error: float


def calibrate(judged: Judged) -> Calibrated:
    """Fit a calibration and choose a threshold.

    Raises:
        ValueError: there is no lesion, or nothing else.
    """
    logits, lesion = judged.logits, judged.lesion
    if lesion.all() or not lesion.any():
        raise ValueError("calibration needs lesion and healthy voxels")
    values, truth = logits.astype(np.float64), lesion.astype(np.float64)
    slope, shift = _platt(values, truth)
    probability = _sigmoid(slope * values + shift)
    threshold, dice = _best_threshold(probability, lesion)
    return Calibrated(slope, shift, threshold, dice, expected_calibration_error(probability, lesion))


def stored_threshold(threshold: float) -> float:
    """A threshold in four digits, rounded down: rounded up it would leave out the level that was chosen."""
    return math.floor(1e4 * threshold) / 1e4


def expected_calibration_error(probability: DoubleArray, lesion: BoolArray) -> float:
    """Mean over ten bins of |mean probability - frequency|, weighted by their voxels (Guo 2017)."""
    place = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    expected = np.bincount(place, probability, _BINS)
    found = np.bincount(place, lesion.astype(float), _BINS)
    return float(np.abs(expected - found).sum() / len(probability))


def _platt(logits: DoubleArray, truth: DoubleArray) -> tuple[float, float]:
    """Slope and shift with the least cross-entropy."""

    def cross_entropy(parameters: DoubleArray) -> tuple[float, DoubleArray]:
        scores = parameters[0] * logits + parameters[1]
        excess = _sigmoid(scores) - truth
        loss = np.logaddexp(0, scores) - truth * scores
        return float(loss.mean()), np.array([(excess * logits).mean(), excess.mean()])

    found = minimize(cross_entropy, np.array([1.0, 0.0]), jac=True, bounds=[(0.05, _STEEPEST), (-20, 20)])
    return float(found.x[0]), float(found.x[1])


def _best_threshold(probability: DoubleArray, lesion: BoolArray) -> tuple[float, float]:
    """Threshold, in steps of the stored 8-bit probability, with the best Dice, and that Dice."""
    levels = np.minimum((probability * 255).round().astype(int), 255)
    above = np.cumsum(np.bincount(levels, minlength=256)[::-1])[::-1]
    hits = np.cumsum(np.bincount(levels[lesion], minlength=256)[::-1])[::-1]
    dice = 2 * hits / (above + lesion.sum())
    best = int(dice[1:].argmax()) + 1
    return best / 255, float(dice[best])


def _sigmoid(values: DoubleArray) -> DoubleArray:
    result: DoubleArray = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    return result
