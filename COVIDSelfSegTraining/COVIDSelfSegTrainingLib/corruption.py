"""Corrupting healthy lungs: painted lesions whose mask is known, for both networks.

The paper adds Perlin noise to whole slices (section 2.3); here Perlin fields shape lesions that lie, look and
fill alveoli as COVID-19's do, so that the same painting trains the generator (undo it) and the 2D network
(find it). See ``COVIDSelfSegLib.painting``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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

from .cohorts.cohort import CohortScan
from .cohorts.slabs import Slab

_COARSER = 2
"""Lesions are laid out on every second pixel and interpolated: they are smooth, and it costs a quarter."""
_PATTERNS = (0.4, 0.25, 0.2, 0.15)
"""Shares of slices with a few foci, with many small ones, with foci and large faint fields, and with nets."""
_REACH_MM, _SHORT_REACH_MM = 22.0, 8.0
"""How far from the slice the centres of lesions may lie; of small ones."""
_SCATTERED_LEVEL = 0.6
"""Share of the small lesions that may lie anywhere: they follow vessels and airways into the lung."""


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
    places = _places([scan.volume_mm for scan in scans[rows]], hu.shape[1:])
    filled_hu = FILLED_HU + rng.normal(0, 12)
    filling = lesion_filling(
        LesionFoci.batch(foci[rows]).to(hu.device), phase, _on(places, hu.device), depths
    )
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

    Args:
        slabs: the slices of the joint batch, of healthy scans.
        hu: (batch, 3, y, x): below, the slice, above; this process's rows of the joint batch.
        depths: (batch, 3, y, x) distance to the pleura in mm, likewise.
        rng: draws the lesions of the joint batch.
        rows: which rows are this process's.
    """
    records = [_foci_of_slice(slab.scan, slab.index * slab.scan.slice_mm[0], rng) for slab in slabs]
    phase = _rows_of(draw_phase(len(slabs), rng), rows).to(hu.device)
    filled_hu = FILLED_HU + rng.normal(0, 15)
    if not len(hu):
        return Painted(hu, hu.new_zeros(hu.shape))
    slabs, records = slabs[rows], records[rows]
    lines, columns = hu.shape[2:]
    shape = (3, lines // _COARSER, columns // _COARSER)
    pixels = [tuple(_COARSER * mm for mm in slab.scan.slice_mm) for slab in slabs]
    _, y, x = _places(pixels, shape)
    # Coarse pixel centres, in the coordinates of fine ones.
    half = torch.tensor([(_COARSER - 1) / 2 * slab.scan.slice_mm[1] for slab in slabs])[:, None]
    coarse_depths = functional.max_pool2d(depths, _COARSER)
    filling = torch.zeros_like(coarse_depths)
    heights = [slab.heights_mm() for slab in slabs]
    for height_count in {len(one) for one in heights}:  # thin slices together, and thick ones
        alike = [row for row, one in enumerate(heights) if len(one) == height_count]
        z = torch.tensor([heights[row] for row in alike], dtype=torch.float32)
        each = height_count // 3
        layers = lesion_filling(
            LesionFoci.batch([records[row] for row in alike]).to(hu.device),
            NoisePhase(phase.coarse[alike], phase.fine[alike]),
            _on((z, (y + half)[alike], (x + half)[alike]), hu.device),
            coarse_depths[alike].repeat_interleave(each, 1),
        )
        filling[alike] = layers.view(len(alike), 3, each, *shape[1:]).mean(2)
    filling = functional.interpolate(filling, size=(lines, columns), mode="bilinear", align_corners=False)
    filling = filling * (depths > 0)
    return Painted(paint(hu, filling, filled_hu), filling)


def _foci_of_slice(scan: CohortScan, z_mm: float, rng: np.random.Generator) -> LesionFoci:
    """Lesions around the slice at a height, in one of the patterns that disease has in a slice."""
    near = scan.slice_sites(z_mm, max(_REACH_MM, scan.slice_mm[0]))
    pattern = rng.choice(len(_PATTERNS), p=_PATTERNS)
    if pattern == 1:
        close = scan.slice_sites(z_mm, max(_SHORT_REACH_MM, scan.slice_mm[0])).levelled(_SCATTERED_LEVEL)
        return draw_foci(close, int(rng.integers(5, 20)), rng, size=rng.uniform(0.3, 0.7))
    foci = draw_foci(near, int(rng.integers(1, 7)), rng, size=rng.uniform(0.5, 1.5))
    if pattern == 2:
        wide = draw_foci(
            near.levelled(0.5), int(rng.integers(1, 4)), rng, size=rng.uniform(2.5, 5), severity=0.1
        )
        return foci.beside(wide)
    if pattern == 3:
        return _as_nets(foci, rng)
    return foci


def _as_nets(foci: LesionFoci, rng: np.random.Generator) -> LesionFoci:
    """The same lesions as nets of thick septa in faint ground glass: the reticular pattern of later weeks."""
    shape = tuple(foci.radii.shape)

    def drawn(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))

    faint = drawn(0.09, 0.2)
    return replace(foci, fillings=faint, cores=faint, paving=drawn(0.25, 0.6), patchiness=drawn(0, 0.3))


def _rows_of(phase: NoisePhase, rows: slice) -> NoisePhase:
    return NoisePhase(phase.coarse[rows], phase.fine[rows])


def _places(voxel_mm: list[tuple[float, ...]], shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    sizes = torch.tensor(voxel_mm, dtype=torch.float32)
    z, y, x = (sizes[:, axis, None] * torch.arange(points) for axis, points in enumerate(shape))
    return z, y, x


def _on(places: tuple[Tensor, Tensor, Tensor], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    z, y, x = (axis.to(device) for axis in places)
    return z, y, x
