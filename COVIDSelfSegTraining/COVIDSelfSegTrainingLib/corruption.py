"""Corrupting healthy lungs: painted lesions whose mask is known, for both networks.

The paper adds Perlin noise to whole slices (section 2.3); here Perlin fields shape lesions that lie, look and
fill alveoli as COVID-19's do, so that the same painting trains the generator (undo it) and the 2D network
(find it). See ``COVIDSelfSegLib.painting``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from COVIDSelfSegLib.painting import (
    FILLED_HU,
    LesionFoci,
    NoisePhase,
    draw_foci,
    draw_phase,
    lesion_filling,
    paint,
)
from torch import Tensor
from torch.nn import functional

from .airways import Airways, draw_airways, hold_open, lumen
from .cohorts.cohort import CohortScan
from .cohorts.slabs import Slab
from .patterns import foci_of_slice

_COARSER = 2
"""Lesions are laid out on every second pixel and interpolated: they are smooth, and it costs a quarter."""
_AT_THE_PLEURA_MM = 0.1
"""Depth of coarse pixels just outside of the lung, for interpolation."""
_BORDER, _BORDER_HU = 2, (-850.0, -150.0)
"""Pixels around the lung mask that can hold lung in part; with more HU they are tissue, with less airways."""
_OPEN = 0.6
"""Share of the slices in which airways are drawn through what is dense."""


@dataclass(frozen=True)
class Painted:
    """Healthy lungs with lesions painted on.

    Attributes:
        hu: what it looks like now.
        filling: 0 .. 1, the lesions.
    """

    hu: Tensor
    filling: Tensor


def paint_volumes(
    scans: list[CohortScan],
    hu: Tensor,
    depths: Tensor,
    rng: np.random.Generator,
    *,
    rows: slice = slice(None),
) -> Painted:
    """Paint lesions on generator-grid volumes.

    Args:
        scans: the healthy scans of the joint batch; they say where lesions may lie.
        hu: (batch, z, y, x), this process's rows of it.
        depths: (batch, z, y, x) distance to the pleura in mm, likewise.
        rng: draws the lesions of the joint batch.
        rows: which rows are this process's.
    """
    foci = [
        draw_foci(scan.volume_sites(), int(rng.integers(2, 14)), rng, size=rng.uniform(0.8, 1.8))
        for scan in scans
    ]
    phase = _rows_of(draw_phase(len(scans), rng), rows).to(hu.device)
    places = _places(scans[rows], hu.shape[1:], hu.device)
    filled_hu = FILLED_HU + rng.normal(0, 12)
    filling = lesion_filling(LesionFoci.batch(foci[rows]).to(hu.device), phase, places, depths)
    return Painted(paint(hu, filling, filled_hu), filling)


def paint_slabs(
    slabs: Sequence[Slab],
    hu: Tensor,
    depths: Tensor,
    rng: np.random.Generator,
    *,
    rows: slice = slice(None),
) -> Painted:
    """Paint lesions on slices and their neighbours; what fills a thick one is the mean over its thirds.

    Beside the lung HU change too, in pixels half lung, half tissue; the filling is 0 there.

    Args:
        slabs: the slices of the joint batch, of healthy scans.
        hu: (batch, 3, y, x): below, the slice, above; this process's rows of the joint batch.
        depths: (batch, 3, y, x) distance to the pleura in mm, likewise.
        rng: draws the lesions of the joint batch.
        rows: which rows are this process's.
    """
    records = [foci_of_slice(slab.scan, slab.index * slab.scan.slice_mm[0], rng) for slab in slabs]
    airways = draw_airways(len(slabs), _OPEN, rng)
    phase = _rows_of(draw_phase(len(slabs), rng), rows).to(hu.device)
    filled_hu = FILLED_HU + rng.normal(0, 15)
    if not len(hu):
        return Painted(hu, hu.new_zeros(hu.shape))
    slabs = slabs[rows]
    filling = _filling(slabs, records[rows], phase, depths)
    painted = paint(hu, _across_the_border(filling, hu, depths), filled_hu)
    air = _air(slabs, airways.of(rows, hu.device), filling)
    return Painted(hold_open(painted, filling, air, airways.hu), filling)


def _filling(slabs: Sequence[Slab], foci: list[LesionFoci], phase: NoisePhase, depths: Tensor) -> Tensor:
    """Filling of the lesions (batch, 3, y, x), 0 outside the lung."""
    y, x = _pixels(slabs, depths.shape[2:], depths.device, step=_COARSER)
    coarse = functional.max_pool2d(depths, _COARSER)
    # One more pixel around, lest interpolation thins what lies at the lung's border.
    around = functional.max_pool2d(coarse, 3, 1, 1).clamp(max=_AT_THE_PLEURA_MM)
    coarse = torch.where(coarse > 0, coarse, around)

    def layers(alike: list[int], z: Tensor) -> Tensor:
        return lesion_filling(
            LesionFoci.batch([foci[row] for row in alike]).to(z.device),
            NoisePhase(phase.coarse[alike], phase.fine[alike]),
            (z, y[alike], x[alike]),
            coarse[alike].repeat_interleave(z.shape[1] // 3, 1),
        )

    filling = _mean_over_thirds(slabs, layers, depths.device)
    filling = functional.interpolate(filling, size=depths.shape[2:], mode="bilinear", align_corners=False)
    return filling * (depths > 0)


def _air(slabs: Sequence[Slab], airways: Airways, filling: Tensor) -> Tensor:
    """Share of each pixel (batch, 3, y, x) that lies in an airway; slabs where none would show have 0."""
    air = torch.zeros_like(filling)
    shown = airways.showing(filling)
    if shown:
        some, device = airways.of(shown, filling.device), filling.device
        slabs = [slabs[row] for row in shown]
        y, x = _pixels(slabs, filling.shape[2:], device)
        air[shown] = _mean_over_thirds(
            slabs, lambda alike, z: lumen(some.of(alike, device), (z, y[alike], x[alike])), device
        )
    return air


def _mean_over_thirds(
    slabs: Sequence[Slab], layers: Callable[[list[int], Tensor], Tensor], device: torch.device
) -> Tensor:
    """What there is in each of three slices; in thick ones the mean over their thirds.

    Args:
        slabs: the slices with their neighbours.
        layers: of some of the slabs at heights (slabs, layers) in mm what there is, (slabs, layers, y, x).
        device: for the heights.
    """
    heights = [slab.heights_mm() for slab in slabs]
    means: dict[int, Tensor] = {}
    for count in {len(one) for one in heights}:  # thin slices together, and thick ones
        alike = [row for row, one in enumerate(heights) if len(one) == count]
        z = torch.tensor([heights[row] for row in alike], dtype=torch.float32, device=device)
        found = layers(alike, z)
        found = found.view(len(alike), 3, count // 3, *found.shape[2:]).mean(2)
        means.update(zip(alike, found, strict=True))
    return torch.stack([means[row] for row in range(len(slabs))])


def _pixels(
    slabs: Sequence[Slab], shape: Sequence[int], device: torch.device, *, step: int = 1
) -> tuple[Tensor, Tensor]:
    """Positions in mm of rows and columns of each plane, (slabs, points): the middle of every ``step``."""
    mm = torch.tensor([slab.scan.slice_mm for slab in slabs], dtype=torch.float32)
    y, x = (
        mm[:, axis, None] * (step * torch.arange(points // step) + (step - 1) / 2)
        for axis, points in zip((1, 2), shape, strict=True)
    )
    return y.to(device), x.to(device)


def _across_the_border(filling: Tensor, hu: Tensor, depths: Tensor) -> Tensor:
    """Filling that goes on into the pixels half lung, half tissue around the lung mask.

    Left as they are they would be a dark line around every consolidation at the pleura, which no patient has
    and a network would look for.
    """
    around = functional.max_pool2d(filling, 2 * _BORDER + 1, 1, _BORDER)
    low, high = _BORDER_HU
    mixed = ((high - hu) / 100).clamp(0, 1) * (hu > low)
    return torch.where(depths > 0, filling, around * mixed)


def _rows_of(phase: NoisePhase, rows: slice) -> NoisePhase:
    return NoisePhase(phase.coarse[rows], phase.fine[rows])


def _places(
    scans: list[CohortScan], shape: Sequence[int], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Positions in mm of the planes, rows and columns of each scan's generator grid, (scans, points)."""
    mm = torch.tensor([scan.volume_mm for scan in scans], dtype=torch.float32, device=device)
    z, y, x = (mm[:, axis, None] * torch.arange(points, device=device) for axis, points in enumerate(shape))
    return z, y, x
