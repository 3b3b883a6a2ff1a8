"""Scores of masks and of per-slice ratings; each says what it is over."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from COVIDSelfSegLib.array_types import BoolArray


def roc_auc(scores: npt.NDArray[np.floating], labels: BoolArray) -> float:
    """Area under the ROC curve: chance that a positive scores above a negative, ties counting half.

    NaN where there are no positives or no negatives.
    """
    positive, negative = scores[labels], scores[~labels]
    if not positive.size or not negative.size:
        return float("nan")
    above = (positive[:, None] > negative[None]).mean()
    level = (positive[:, None] == negative[None]).mean()
    return float(above + 0.5 * level)


def share_per_slice(mask: BoolArray, lungs: BoolArray) -> npt.NDArray[np.float64]:
    """Infected share of the lung, slice by slice (z,); NaN where a slice holds no lung."""
    area = lungs.sum(axis=(1, 2)).astype(float)
    infected = (mask & lungs).sum(axis=(1, 2))
    return np.divide(infected, area, out=np.full(len(area), np.nan), where=area > 0)


def slice_auc(mask: BoolArray, lungs: BoolArray, labels: BoolArray) -> float:
    """AUC of the infected share of the lung against slice labels, over the slices that hold lung."""
    shares = share_per_slice(mask, lungs)
    holds = ~np.isnan(shares)
    return roc_auc(shares[holds], labels[holds])
