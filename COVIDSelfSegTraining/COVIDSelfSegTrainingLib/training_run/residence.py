"""Where a training keeps the cohort's arrays: on the GPU if all fit, else memory-mapped on disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from COVIDSelfSegLib.devices import Device
from torch import Tensor

from ..cohorts.cohort import CohortScan
from ..cohorts.slabs import Slab

log = logging.getLogger(__name__)

_MOST_OF_FREE = 0.5
"""Share of the GPU's free memory that the cohort may take; networks and activations need the rest."""


class Residence:
    """Gives volumes and slices of scans as tensors on the device; the numbers are the same either way.

    Args:
        scans: the cohort.
        device: where to train.
        volumes: keep the generator-grid volumes (else the slices) on a GPU if they fit.
    """

    def __init__(self, scans: Sequence[CohortScan], device: Device, *, volumes: bool) -> None:
        self.device = device.handle
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}
        if self.device.type != "cuda" or not scans:
            return
        needed = sum(_bytes(scan, volumes=volumes) for scan in scans)
        free, _ = torch.cuda.mem_get_info(self.device)
        what = "volumes" if volumes else "slices"
        if needed > _MOST_OF_FREE * free:
            log.info("The cohort's %s (%.1f GB) stay on disk: too large for the GPU", what, needed / 1e9)
            return
        for scan in scans:
            hu, depths = (scan.volume, scan.volume_depths) if volumes else (scan.slices, scan.slice_depths)
            self._kept[scan.source.name] = (self._put(hu), self._put(depths))
        log.info("The cohort's %s (%.1f GB) are on the GPU", what, needed / 1e9)

    def volumes(self, scans: Sequence[CohortScan]) -> tuple[Tensor, Tensor]:
        """HU and distance to the pleura in mm of whole scans, float32 (batch, z, y, x)."""
        if self._kept:
            parts = [self._kept[scan.source.name] for scan in scans]
            return torch.stack([hu for hu, _ in parts]).float(), torch.stack([d for _, d in parts]).float()
        hu = np.stack([scan.volume for scan in scans]).astype(np.float32)
        depths = np.stack([scan.volume_depths for scan in scans]).astype(np.float32)
        return self._put(hu), self._put(depths)

    def stacks(self, slabs: Sequence[Slab]) -> tuple[Tensor, Tensor]:
        """HU and distance to the pleura in mm of slices with neighbours, float32 (batch, 3, y, x)."""
        if self._kept:
            parts = []
            for slab in slabs:
                hu, depths = self._kept[slab.scan.source.name]
                places = torch.from_numpy(slab.places()).to(self.device)
                parts.append((hu[places].float().mean(1), depths[places[:, slab.together // 2]]))
            return torch.stack([hu for hu, _ in parts]), torch.stack([d for _, d in parts]).float()
        stacks = [slab.stack() for slab in slabs]
        hu_array, depth_array = (np.stack([stack[number] for stack in stacks]) for number in range(2))
        return self._put(hu_array), self._put(depth_array).float()

    def _put(self, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
        tensor = torch.from_numpy(np.array(array))
        return tensor.to(self.device, non_blocking=True)


def _bytes(scan: CohortScan, *, volumes: bool) -> int:
    arrays = (scan.volume, scan.volume_depths) if volumes else (scan.slices, scan.slice_depths)
    return sum(array.nbytes for array in arrays)
