"""Phase 2: the generator's difference becomes a target for the 2D network (2022 paper, section 2.4).

The difference lies on the generator's coarse grid; the slices say where in it the dense tissue is. Vessels
are taken out, since they are the main false positive of a difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.frame import FloatArray
from COVIDSelfSegLib.hounsfield import to_hu
from COVIDSelfSegLib.networks.generator import Generator, draw_latent
from COVIDSelfSegLib.synthesis import generator_input
from scipy import ndimage

from .cohort import CohortScan
from .presets import PseudoMaskPreset

_NOISE_HU = 60.0
"""Tissue must stand out of the expected healthy lung by this much to belong to a lesion."""
_VESSEL_HU = 120.0


@dataclass(frozen=True)
class PseudoMask:
    """Targets of one scan.

    Attributes:
        target: uint8 (z, y, x) on the slices' grid; 255 is certain lesion.
        burden: (z,) mean target over the lung of each slice, 0 .. 1.
    """

    target: npt.NDArray[np.uint8]
    burden: npt.NDArray[np.float64]


def expected_healthy(generator: Generator, scan: CohortScan, draws: int, device: Device) -> FloatArray:
    """Pseudo-healthy HU on the generator's grid, mean over latent draws."""
    hu = torch.from_numpy(scan.volume.astype(np.float32))[None].to(device.handle)
    lungs = torch.from_numpy((scan.volume_depths > 0).astype(np.float32))[None].to(device.handle)
    x = generator_input(hu, lungs, lung_channel=generator.lung_channel)
    latents = torch.Generator().manual_seed(0)
    with torch.inference_mode(), device.autocast():
        made = [generator(x, draw_latent(x, latents)).volume[0, 0].float() for _ in range(draws)]
    return to_hu(torch.stack(made).mean(0)).cpu().numpy()


def residual_hu(generator: Generator, healthy: list[CohortScan], draws: int, device: Device) -> float:
    """Excess that the generator leaves on healthy lungs: the 90th percentile, median over scans."""
    left = []
    for scan in healthy:
        excess = scan.volume - expected_healthy(generator, scan, draws, device)
        left.append(np.percentile(np.maximum(excess, 0)[scan.volume_depths > 0], 90))
    return float(np.median(left))


def make_pseudo_mask(
    generator: Generator, scan: CohortScan, residual: float, preset: PseudoMaskPreset, device: Device
) -> PseudoMask:
    """Turn what the generator changes in a diseased scan into a target for the 2D network."""
    healthy = expected_healthy(generator, scan, preset.draws, device)
    lungs = scan.volume_depths > 0
    excess = np.maximum(scan.volume - healthy - residual, 0) * lungs
    # The difference is noisier than the disease: lesions are larger than one coarse voxel.
    excess = ndimage.median_filter(excess, preset.median)
    expected = scan.volume_frame.onto(scan.slice_frame, np.where(lungs, healthy, np.median(healthy[lungs])))
    target = scan.volume_frame.onto(scan.slice_frame, excess) / preset.full_hu
    inside = scan.slice_depths > 0
    stands_out = ndimage.gaussian_filter(scan.slices - expected, (0, 1, 1)) > _NOISE_HU
    target = np.clip(target, 0, 1) * inside * stands_out
    size = max(3, round(preset.vessel_mm / scan.slice_mm[1]) | 1)
    hat = ndimage.white_tophat(np.asarray(scan.slices), size=(1, size, size))
    target[hat > _VESSEL_HU] = 0
    target = ndimage.median_filter(target, (1, preset.median, preset.median))
    burden = target.sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    return PseudoMask((255 * target).astype(np.uint8), burden)
