"""The two protocols of scoring (section 9 of the method): ``scan`` is ours, ``paper`` the 2022 paper's.

Figures of one cannot be compared with figures of the other: the paper leaves slices with little disease
out and averages over the rest, so each figure names its protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from COVIDSelfSegLib.array_types import BoolArray
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.volume import array_view, voxel_volume_ml

from .overlap import Overlap, overlap
from .surface import surface_distances

SCAN_PROTOCOL = "per scan, native grid, every slice"
PAPER_PROTOCOL = "mean over slices with > 163 lesion pixels of 128 x 128 and > 1 % of the lung infected"

_PAPER_PLANE = (128, 128)
_LEAST_PIXELS = 163
"""1 % of 128 x 128, and so of any lung on this plane."""


@dataclass(frozen=True)
class ScanScores:
    """Of one scan against its lesion mask, on the scan's own grid.

    Attributes:
        dice: of the lesions.
        sensitivity: share of the true lesion that was found.
        precision: share of the found lesion that is true.
        specificity: inside the lung.
        surface_dice_5mm: normalised surface Dice.
        surface_dice_3mm: the same, stricter.
        hd95_mm: 95th percentile Hausdorff distance.
        volume_error_ml: absolute difference of the lesion volumes.
        share_error: absolute difference of the infected shares of the lung, in percentage points.
    """

    dice: float
    sensitivity: float
    precision: float
    specificity: float
    surface_dice_5mm: float
    surface_dice_3mm: float
    hd95_mm: float
    volume_error_ml: float
    share_error: float


@dataclass(frozen=True)
class SliceScores:
    """Of one slice under the paper's protocol; specificity is over the whole frame."""

    dice: float
    sensitivity: float
    precision: float
    specificity: float


def score_scan(found: BoolArray, truth: BoolArray, lungs: sitk.Image) -> tuple[ScanScores, Overlap]:
    """Score a scan.

    Args:
        found: (z, y, x).
        truth: (z, y, x).
        lungs: label map that carries the grid.
    """
    inside = array_view(lungs) > 0
    counts = overlap(found, truth, within=inside)
    x, y, z = lungs.GetSpacing()
    distances = surface_distances(found, truth, (z, y, x))
    difference = abs(counts.found - counts.truth)
    lung_voxels = max(1, int(np.count_nonzero(inside)))
    scores = ScanScores(
        dice=counts.dice,
        sensitivity=counts.sensitivity,
        precision=counts.precision,
        specificity=counts.specificity,
        surface_dice_5mm=distances.surface_dice(5.0),
        surface_dice_3mm=distances.surface_dice(3.0),
        hd95_mm=distances.hausdorff(),
        volume_error_ml=difference * voxel_volume_ml(lungs),
        share_error=100 * difference / lung_voxels,
    )
    return scores, counts


def score_slices(found: sitk.Image, truth: sitk.Image, lungs: sitk.Image) -> list[SliceScores]:
    """Score the slices that the paper's protocol takes, on its plane of 128 x 128 around the lungs.

    Args:
        found: non-zero inside a lesion, on the scan's grid.
        truth: the same.
        lungs: label map on the same grid.
    """
    frame = LungFrame.around_lungs(lungs, (None, *_PAPER_PLANE))
    of_found, of_truth = (frame.to_network(image, "nearest", fill=0) > 0 for image in (found, truth))
    scores = []
    for one_found, one_truth in zip(of_found, of_truth, strict=True):
        if one_truth.sum() > _LEAST_PIXELS:
            counts = overlap(one_found, one_truth)
            scores.append(SliceScores(counts.dice, counts.sensitivity, counts.precision, counts.specificity))
    return scores
