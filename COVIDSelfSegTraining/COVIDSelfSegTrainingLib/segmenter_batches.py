"""What the 2D network sees in a step: drawn for the joint batch, made for this process's rows of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.segmentation import MARKS
from torch import Tensor

from .augmentation import draw_variation, rows_of, vary_intensity, vary_mask, warp
from .cohorts.cohort import CohortScan
from .cohorts.slabs import Slab
from .corruption import paint_slabs
from .options import SegmenterPreset
from .slice_selection import (
    CLASSES,
    PAINTED,
    Diseased,
    MaskedSlice,
    any_slice,
    high_slices,
    low_slices,
    scan_chances,
    some,
)
from .training_run.distributed import rows
from .training_run.residence import Residence

log = logging.getLogger(__name__)

_LEAST_TARGET = 0.07
"""Filling from which on a painted voxel is lesion: some 60 HU in healthy lung, as a reader outlines it."""
_SINGLE_SLICE = 0.15
"""Share of slices that stand in for their own neighbours, as in a scan of one slice; pictures always do."""
_THICK, _THICK_MM = 0.3, (4.0, 9.0)
"""Share of slices that are the mean of those around, with neighbours that are so too, as in a scan of thick
slices; and how thick."""
_AIR_HU = -1000.0
_UNSURE_HU = 40.0
"""Spread of the expected healthy lung at which the teacher's word counts 1 / e."""


@dataclass(frozen=True)
class SegmenterBatch:
    """Slices of one step; tensors are (batch, channels, y, x).

    Attributes:
        hu: below, the slice, above; as another scanner would give them.
        plain_hu: the same, moved but otherwise as they are; what the teacher sees.
        lungs: 0 or 1; some as another method would have them.
        plain_lungs: 0 or 1, moved but otherwise as they are; what the teacher sees.
        marks: (batch,) see :data:`COVIDSelfSegLib.segmentation.MARKS`.
        target: 0 .. 1.
        certainty: 0 .. 1, how far the generator's draws agree.
        classes: (batch,) see :data:`.slice_selection.CLASSES`.
        joint_classes: those of the joint batch.
    """

    hu: Tensor
    plain_hu: Tensor
    lungs: Tensor
    plain_lungs: Tensor
    marks: Tensor
    target: Tensor
    certainty: Tensor
    classes: Tensor
    joint_classes: Tensor


@dataclass(frozen=True)
class _Slices:
    """Slices as they are in the cohort, or means of some, painted."""

    hu: Tensor
    depths: Tensor
    target: Tensor
    certainty: Tensor

    def first(self, count: int) -> _Slices:
        """The first ones."""
        return _Slices(self.hu[:count], self.depths[:count], self.target[:count], self.certainty[:count])


@dataclass(frozen=True)
class _Chosen:
    """What makes up a joint batch, in this order: slices to paint, clean ones, and slices with pseudo-masks.

    Attributes:
        slabs: all of them.
        kinds: (batch,) their classes.
        masked: of the last ones, their pseudo-masks.
    """

    slabs: list[Slab]
    kinds: npt.NDArray[np.int64]
    masked: list[MaskedSlice]


class SegmenterBatches:
    """Draws the batches of phase 3.

    Args:
        preset: of phase 3.
        healthy: scans of healthy lungs, on which lesions are painted.
        diseased: scans of diseased lungs with their pseudo-masks.
        device: where to train.
    """

    def __init__(
        self,
        preset: SegmenterPreset,
        healthy: list[CohortScan],
        diseased: Diseased,
        device: Device,
    ) -> None:
        self.preset, self.healthy = preset, healthy
        self._chances = scan_chances(healthy, preset.real_share)
        self.high = high_slices(diseased, preset.high_share)
        self.low = low_slices(diseased, preset.high_share, preset.low_factor)
        if diseased and preset.high and not self.high:
            log.warning(
                "No slice of the diseased scans is infected: the generator changes next to nothing in them. "
                "The 2D network learns from painted lesions alone"
            )
        self._residence = Residence([*healthy, *(scan for scan, _ in diseased)], device, volumes=False)

    def draw(self, rng: np.random.Generator) -> tuple[SegmenterBatch, list[str]]:
        """This process's rows of a joint batch, and what the joint batch is made of, for messages."""
        chosen = self._choose(rng)
        slices = self._slices(chosen, rng, rows())
        return self._varied(slices, chosen.kinds, rng, rows()), [str(slab) for slab in chosen.slabs]

    def draw_known(self, rng: np.random.Generator) -> SegmenterBatch:
        """A whole batch of those slices alone whose target is known exactly, painted and clean ones.

        Their lung masks stay as they are: how often a training spoils them says nothing of how often they
        are wrong.
        """
        chosen = self._choose(rng)
        known = self.preset.painted + self.preset.clean
        slices = self._slices(chosen, rng, slice(None)).first(known)
        return self._varied(slices, chosen.kinds[:known], rng, slice(None), spoil_lungs=False)

    def _choose(self, rng: np.random.Generator) -> _Chosen:
        phase = self.preset
        healthy = [any_slice(self.healthy, self._chances, rng) for _ in range(phase.painted + phase.clean)]
        high = some(self.high, phase.high, rng)
        low = some(self.low, phase.low, rng)
        slices = healthy + [(one.scan, one.place) for one in high + low]
        kinds = [PAINTED] * phase.painted + [CLASSES["clean"]] * phase.clean
        kinds += [CLASSES["high"]] * len(high) + [CLASSES["low"]] * len(low)
        thick, thickness = rng.random(len(kinds)) < _THICK, rng.uniform(*_THICK_MM, len(kinds))
        if phase.augmentation != "scanner":
            thick[:] = False
        wanted = np.where(thick, thickness, 0) / [scan.slice_mm[0] for scan, _ in slices]
        slabs = [
            Slab(scan, index, together=max(1, round(count)))
            for (scan, index), count in zip(slices, wanted, strict=True)
        ]
        return _Chosen(slabs, np.array(kinds), high + low)

    def _slices(self, chosen: _Chosen, rng: np.random.Generator, mine: slice) -> _Slices:
        hu, depths = self._residence.stacks(chosen.slabs[mine])
        target = torch.zeros_like(hu[:, :1])
        certainty = torch.ones_like(hu[:, :1])
        painted = chosen.slabs[: self.preset.painted]
        if painted:
            count = len(painted[mine])
            result = paint_slabs(painted, hu[:count], depths[:count], rng, rows=mine)
            hu[:count] = result.hu
            target[:count] = (result.filling[:, 1:2] > _LEAST_TARGET).float()
        masks = [None] * (len(chosen.slabs) - len(chosen.masked)) + chosen.masked
        for row, (one, slab) in enumerate(zip(masks[mine], chosen.slabs[mine], strict=True)):
            if one is not None:
                _, places, _ = slab.places()
                target[row] = _mean_on(one.mask.target[places], hu) / 255
                certainty[row, 0] = torch.exp(-_mean_on(one.mask.spread[places], hu) / _UNSURE_HU)
        return _Slices(hu, depths, target, certainty)

    def _varied(
        self,
        slices: _Slices,
        kinds: npt.NDArray[np.int64],
        rng: np.random.Generator,
        mine: slice,
        *,
        spoil_lungs: bool = True,
    ) -> SegmenterBatch:
        """HU, lung mask and target as another scanner, position and lung mask would give them."""
        hu, target, certainty = slices.hu, slices.target, slices.certainty
        lungs = (slices.depths[:, 1:2] > 0).float()
        count = len(kinds)
        if self.preset.augmentation != "none":
            variation = rows_of(draw_variation(count, rng), mine)
            hu = warp(variation, hu, fill=_AIR_HU)
            target, certainty = (warp(variation, image, fill=0.0) for image in (target, certainty))
            lungs = warp(variation, lungs, fill=0.0, nearest=True)
        plain, plain_lungs, marks = hu, lungs, hu.new_full((len(hu),), MARKS["hu"])
        if self.preset.augmentation == "scanner":
            single = torch.from_numpy(rng.random(count)[mine] < _SINGLE_SLICE)
            single = (single | (variation.marks != MARKS["hu"])).to(hu.device)
            seed = int(rng.integers(2**62))
            hu = vary_intensity(variation, hu, lungs, seed, rows=mine, count=count)
            # Last of all: a slice that stands in for its neighbours has their noise too.
            hu = torch.where(single[:, None, None, None], hu[:, 1:2], hu)
            if spoil_lungs:
                lungs = vary_mask(lungs, rng, rows=mine, count=count)
            marks = variation.marks.to(hu.device)
        classes = torch.from_numpy(kinds).to(hu.device)
        return SegmenterBatch(
            hu, plain, lungs, plain_lungs, marks, target * lungs, certainty, classes[mine], classes
        )


def _mean_on(slices: npt.NDArray[np.uint8], like: Tensor) -> Tensor:
    """Mean (y, x) of the slices that a slab is the mean of."""
    return torch.from_numpy(np.array(slices)).to(like.device).float().mean(0)
