"""Phase 2: the generator's difference becomes a target for the 2D network (2022 paper, section 2.4).

The difference lies on the generator's coarse grid; the slices say where in it the dense tissue is. Vessels
are taken out, since they are the main false positive of a difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from COVIDSelfSegLib.array_types import BoolArray, FloatArray
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.hounsfield import to_unit
from COVIDSelfSegLib.networks.generator import VolumeGenerator
from COVIDSelfSegLib.synthesis import Expectation, expected_lung
from scipy import ndimage

from .cohorts.cohort import CohortScan
from .options import PseudoMaskPreset
from .training_run.distributed import gathered_lists, rows

_VESSEL_HU = 120.0


@dataclass(frozen=True)
class PseudoMask:
    """Targets of one scan.

    Attributes:
        target: uint8 (z, y, x) on the slices' grid; 255 is certain lesion.
        burden: (z,) mean target over the lung of each slice, 0 .. 1.
        spread: uint8 (z, y, x), standard deviation in HU of the expected healthy lung over latent draws: how
            unsure the generator is.
    """

    target: npt.NDArray[np.uint8]
    burden: npt.NDArray[np.float64]
    spread: npt.NDArray[np.uint8]


def expected_healthy(generator: VolumeGenerator, scan: CohortScan, draws: int, device: Device) -> Expectation:
    """Pseudo-healthy lung of a scan."""
    return expected_lung(generator, scan.volume, scan.volume_depths > 0, draws=draws, device=device)


def residual_hu(generator: VolumeGenerator, healthy: list[CohortScan], draws: int, device: Device) -> float:
    """Excess that the generator leaves on healthy lungs: the 90th percentile, median over scans.

    Several processes share the scans.
    """
    left = []
    for scan in healthy[rows()]:
        excess = scan.volume - expected_healthy(generator, scan, draws, device).mean
        left.append(float(np.percentile(np.maximum(excess, 0)[scan.volume_depths > 0], 90)))
    return float(np.median(gathered_lists(left)))


def make_pseudo_mask(
    generator: VolumeGenerator, scan: CohortScan, residual: float, preset: PseudoMaskPreset, device: Device
) -> PseudoMask:
    """Turn what the generator changes in a diseased scan into a target for the 2D network.

    Args:
        generator: in evaluation mode, on ``device``.
        scan: of a diseased lung.
        residual: excess in HU that the generator leaves on healthy lung; 0 takes nothing off.
        preset: how.
        device: where to run.
    """
    healthy, spread = expected_healthy(generator, scan, preset.draws, device)
    lungs = scan.volume_depths > 0
    if preset.rescale == "min-max":
        excess = np.maximum(_stretched(scan.volume, lungs) - _stretched(healthy, lungs), 0)
    else:
        # Soft, not firm as in the heatmap: a target that jumps at the residual would teach its noise.
        excess = np.maximum(scan.volume - healthy - residual, 0) * lungs
    if preset.median > 1:
        # The difference is noisier than the disease: lesions are larger than one coarse voxel.
        excess = ndimage.median_filter(excess, preset.median)
    full = preset.full_hu if preset.full == "hu" else _percentile(excess, preset.full_percentile)
    target = scan.volume_frame.onto(scan.slice_frame, excess) / full
    inside = scan.slice_depths > 0
    target = np.clip(target, 0, 1) * inside
    if preset.stands_out_hu > 0:
        around = np.where(lungs, healthy, np.median(healthy[lungs]))
        expected = scan.volume_frame.onto(scan.slice_frame, around)
        target *= ndimage.gaussian_filter(scan.slices - expected, (0, 1, 1)) > preset.stands_out_hu
    if preset.vessel_mm > 0:
        size = max(3, round(preset.vessel_mm / scan.slice_mm[1]) | 1)
        hat = ndimage.white_tophat(np.asarray(scan.slices), size=(1, size, size))
        target[hat > _VESSEL_HU] = 0
    if preset.median > 1:
        target = ndimage.median_filter(target, (1, preset.median, preset.median))
    burden = target.sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    unsure = scan.volume_frame.onto(scan.slice_frame, spread)
    return PseudoMask(
        (255 * target).astype(np.uint8), burden, np.clip(np.rint(unsure), 0, 255).astype(np.uint8)
    )


def _stretched(hu: npt.NDArray[np.generic], lungs: BoolArray) -> FloatArray:
    """Unit HU, zero outside the lung, stretched to 0 .. 1."""
    unit = to_unit(torch.from_numpy(np.asarray(hu, np.float32))).numpy() * lungs
    stretched: FloatArray = (unit - unit.min()) / max(unit.max() - unit.min(), 1e-6)
    return stretched


def _percentile(excess: FloatArray, percentile: float) -> float:
    """Of the positive excess of a scan; a scan without any has an empty target."""
    positive = excess[excess > 0]
    return float(np.percentile(positive, percentile)) if positive.size else 1.0
