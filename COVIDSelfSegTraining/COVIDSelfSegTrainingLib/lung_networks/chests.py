"""What the shipped lung networks learn from: phantoms, and the real scans that may train them.

Of a healthy lung a threshold knows the mask. Of a diseased one a network for whole chests that was trained
before can say it, where it is sure: so the diseased teach without a drawn label too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.lung_labels import LEFT, RIGHT
from COVIDSelfSegLib.lung_masks.classical import builtin_lung_mask
from COVIDSelfSegLib.lung_masks.network import LungNetwork
from COVIDSelfSegLib.phantom import make_phantom
from COVIDSelfSegLib.phantom_parts.scanner import Acquisition
from COVIDSelfSegLib.volume import read_scan
from scipy import ndimage

from ..cohorts.shipped import shipped_sources
from ..cohorts.sources import Source
from .batches import Chest

_SEEDS = range(3000, 3080)
"""Held apart from those of the other networks, and from evaluation, which is below 1000."""
_THICKNESSES_MM = (2.0, 3.0, 5.0, 8.0)
_SEVERITIES = (0, 0, 1, 2, 3, 4, 4)
_HEIGHT_MM = 360
_UNSURE = (0.15, 0.5)
"""Between these probabilities a teacher says nothing about dense tissue outside of the mask that it gives."""
_AERATED_HU = -500


def shipped_chests(
    data: Path | None, grid_mm: float, teacher: LungNetwork | None = None
) -> Iterator[tuple[Chest, str]]:
    """Every chest with its licence, on voxels of about ``grid_mm``; thicker slices stay as thick as they are.

    Phantoms alone where the real scans are absent. The lungs of a healthy scan are what a threshold finds.
    Of a scan of which one lung alone is healthy, the other half is unknown: there a threshold loses the
    tumour, and the network would learn that dense lung is none.

    Args:
        data: folder of the real scans.
        grid_mm: size of the voxels.
        teacher: for whole chests; diseased scans come too, with the lungs that it finds in them.
    """
    real = [source for source in shipped_sources(data) if source.path]
    for source in sorted((one for one in real if one.group == "healthy"), key=lambda one: one.name):
        yield _of_scan(source, grid_mm), source.licence
    for seed in _SEEDS:
        yield _of_phantom(seed, grid_mm), "none needed (made from a seed)"
    if teacher is not None:
        for source in real:
            if source.group == "diseased":
                yield _of_patient(source, grid_mm, teacher), source.licence


def shipped_chest_names(data: Path | None, *, taught: bool) -> set[str]:
    """Names of the chests that :func:`shipped_chests` gives, without making them.

    Args:
        data: folder of the real scans.
        taught: with a teacher.
    """
    real = [source for source in shipped_sources(data) if source.path]
    names = {source.name for source in real if taught or source.group == "healthy"}
    return names | {_phantom_name(seed) for seed in _SEEDS}


def _phantom_name(seed: int) -> str:
    return f"phantom_{seed}"


def _of_scan(source: Source, grid_mm: float) -> Chest:
    scan = read_scan(Path(str(source.path)))
    chest = _chest(source.name, True, scan, builtin_lung_mask(scan), grid_mm)
    return _half_known(chest, source.only_side) if source.only_side else chest


def _of_patient(source: Source, grid_mm: float, teacher: LungNetwork) -> Chest:
    """A diseased chest; what the teacher takes for lung is lung, what it may have missed is unknown."""
    scan = read_scan(Path(str(source.path)))
    chest = _chest(source.name, True, scan, builtin_lung_mask(scan, teacher), grid_mm)
    seen = LungFrame.whole_scan(scan, teacher.grid_mm, divide_slices=True)
    frame = LungFrame.whole_scan(scan, grid_mm)
    probability = seen.onto(frame, teacher.probability(seen.to_network(scan)))
    low, high = _UNSURE
    unsure = (probability > low) & (probability <= high) & (chest.hu > _AERATED_HU) & (chest.lungs == 0)
    return replace(chest, unknown=unsure.astype(np.uint8))


def _half_known(chest: Chest, side: int) -> Chest:
    """Without what lies nearer to the other lung than to that of ``side``."""
    to_known, to_other = (
        ndimage.distance_transform_edt(chest.lungs != label, sampling=chest.voxel_mm)
        for label in (side, LEFT if side == RIGHT else RIGHT)
    )
    lungs = np.where(chest.lungs == side, chest.lungs, 0).astype(np.uint8)
    return replace(chest, lungs=lungs, unknown=(to_other < to_known).astype(np.uint8))


def _of_phantom(seed: int, grid_mm: float) -> Chest:
    rng = np.random.default_rng([seed, 8])
    slice_mm = float(rng.choice(_THICKNESSES_MM))
    acquisition = Acquisition(
        size=(168, 168, int(_HEIGHT_MM / slice_mm)),
        pixel_mm=2.4,
        slice_mm=slice_mm,
        noise_hu=float(rng.uniform(5, 25)),
        offset_hu=float(rng.normal(0, 10)),
    )
    phantom = make_phantom(seed, int(rng.choice(_SEVERITIES)), acquisition)
    return _chest(_phantom_name(seed), False, phantom.scan, phantom.lungs, grid_mm)


def _chest(name: str, real: bool, scan: sitk.Image, lungs: sitk.Image, grid_mm: float) -> Chest:
    frame = LungFrame.whole_scan(scan, grid_mm)
    labels = frame.to_network(lungs, "nearest", fill=0).astype(np.uint8)
    hu = frame.to_network(scan).astype(np.int16)
    return Chest(name, real, hu, labels, np.zeros_like(labels), frame.voxel_mm)
