"""Pictures of what the networks do now, for the page that grows during training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from COVIDSelfSegLib.array_types import BoolArray, FloatArray
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.networks.generator import VolumeGenerator
from COVIDSelfSegLib.networks.slice_network import SliceNetwork
from COVIDSelfSegLib.segmentation import segmenter_input
from COVIDSelfSegLib.synthesis import expected_lung
from PIL import Image

from .cohorts.cohort import CohortScan
from .cohorts.slabs import Slab
from .corruption import paint_volumes
from .pseudo_masks import expected_healthy
from .slice_selection import MaskedSlice

Picture = npt.NDArray[np.uint8]
"""(rows, columns, 3)."""

_LOWEST, _HIGHEST = -1000.0, 0.0
_EXCESS_HU = 400.0


def gan_picture(
    generator: VolumeGenerator, healthy: CohortScan, diseased: CohortScan, device: Device
) -> Image.Image:
    """A diseased scan's densest slice and painted lesions mended; see :data:`.training_run.curves.PANELS`.

    Args:
        generator: in evaluation mode.
        healthy: a scan to paint lesions on, always the same ones.
        diseased: a scan.
        device: where to run.
    """
    mended = expected_healthy(generator, diseased, 1, device).mean
    lungs = diseased.volume_depths > 0
    place = int((np.where(lungs, diseased.volume, -1000) > -650).sum(axis=(1, 2)).argmax())
    scan, made = np.asarray(diseased.volume[place], np.float32), mended[place]
    inside = lungs[place]

    hu = torch.from_numpy(healthy.volume.astype(np.float32))[None]
    depths = torch.from_numpy(healthy.volume_depths.astype(np.float32))[None]
    painted = paint_volumes([healthy], hu, depths, np.random.default_rng(1))
    whole = healthy.volume_depths > 0
    restored = expected_lung(generator, painted.hu[0].numpy(), whole, draws=1, device=device).mean
    which = int(painted.filling[0].sum(dim=(1, 2)).argmax())
    there = whole[which]
    return _strip(
        [
            _gray(scan, inside),
            _gray(made, inside),
            _hot(np.maximum(scan - made, 0) / _EXCESS_HU * inside),
            _gray(painted.hu[0, which].numpy(), there),
            _gray(restored[which], there),
            _gray(np.asarray(healthy.volume[which], np.float32), there),
        ]
    )


def segmenter_picture(network: SliceNetwork, chosen: MaskedSlice, device: Device) -> Image.Image:
    """A diseased slice; panels as in :data:`.training_run.curves.PANELS`.

    Args:
        network: in evaluation mode.
        chosen: the slice.
        device: where to run.
    """
    hu, depths = Slab(chosen.scan, chosen.place).stack()
    lungs = depths[1] > 0
    x = segmenter_input(
        torch.from_numpy(hu)[None].to(device.handle),
        torch.from_numpy(lungs.astype(np.float32))[None].to(device.handle),
        channels=network.in_channels,
    )
    with torch.inference_mode(), device.autocast():
        probability = torch.sigmoid(network(x)[0, 0].float()).cpu().numpy()
    target = np.asarray(chosen.mask.target[chosen.place], np.float32) / 255
    return _strip([_gray(hu[1], lungs), _hot(target), _hot(probability * lungs)])


def _gray(hu: FloatArray, inside: BoolArray) -> Picture:
    shade = np.clip((hu - _LOWEST) / (_HIGHEST - _LOWEST), 0, 1) * inside
    return np.repeat((255 * shade).astype(np.uint8)[..., None], 3, axis=-1)


def _hot(share: npt.NDArray[np.floating]) -> Picture:
    """Black, red, yellow, white for 0 .. 1."""
    levels = [np.clip(3 * share - number, 0, 1) for number in range(3)]
    return (255 * np.stack(levels, -1)).astype(np.uint8)


def _strip(panels: list[Picture]) -> Image.Image:
    gap = np.full((panels[0].shape[0], 2, 3), 255, np.uint8)
    parts = [part for panel in panels for part in (panel, gap)][:-1]
    return Image.fromarray(np.concatenate(parts, axis=1))
