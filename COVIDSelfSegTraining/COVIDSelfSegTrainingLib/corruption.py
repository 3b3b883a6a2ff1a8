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
    scans: list[CohortScan],
    indices: list[int],
    hu: Tensor,
    depths: Tensor,
    rng: np.random.Generator,
    *,
    rows: slice = slice(None),
    together: Sequence[int] | None = None,
) -> Painted:
    """Paint lesions on slices and their neighbours.

    Args:
        scans: the healthy scan of each slice of the joint batch.
        indices: which slice of it.
        hu: (batch, 3, y, x): below, the slice, above; this process's rows of the joint batch.
        depths: (batch, 3, y, x) distance to the pleura in mm, likewise.
        rng: draws the lesions of the joint batch.
        rows: which rows are this process's.
        together: how many slices of the scan each one is the mean of (1 if left out); see
            :meth:`CohortScan.places`. A lesion then fills the mean of what it fills in them.
    """
    together = together or [1] * len(scans)
    records, heights = [], []
    for scan, index, count in zip(scans, indices, together, strict=True):
        z_mm = index * scan.slice_mm[0]
        records.append(_foci_of_slice(scan, z_mm, rng))
        heights.append(_heights(scan, z_mm, count))
    phase = _rows_of(draw_phase(len(scans), rng), rows).to(hu.device)
    filled_hu = FILLED_HU + rng.normal(0, 15)
    if not len(hu):
        return Painted(hu, hu.new_zeros(hu.shape))
    scans, records, heights = scans[rows], records[rows], heights[rows]
    lines, columns = hu.shape[2:]
    shape = (3, lines // _COARSER, columns // _COARSER)
    pixels = [tuple(_COARSER * mm for mm in scan.slice_mm) for scan in scans]
    _, y, x = _places(pixels, shape)
    # Coarse pixel centres, in the coordinates of fine ones.
    half = torch.tensor([(_COARSER - 1) / 2 * scan.slice_mm[1] for scan in scans])[:, None]
    coarse_depths = functional.max_pool2d(depths, _COARSER)
    filling = torch.zeros_like(coarse_depths)
    for height_count in {len(one) for one in heights}:
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


def _heights(scan: CohortScan, z_mm: float, together: int) -> list[float]:
    """Where to lay out lesions for a slice and its neighbours, in mm: 3 heights, or 9 if they are thick."""
    if together == 1:
        step = scan.neighbour * scan.slice_mm[0]
        return [z_mm - step, z_mm, z_mm + step]
    middle = z_mm - (0 if together % 2 else scan.slice_mm[0] / 2)  # of an even number the later one is named
    third = together * scan.slice_mm[0] / 3
    return [middle + place * third for place in range(-4, 5)]


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
