"""Patterns that disease has in a slice: which lesions are painted together, and where they may lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from COVIDSelfSegLib.painting import LesionFoci, draw_foci
from torch import Tensor

from .cohorts.cohort import CohortScan

_SHARES = {
    "foci": 0.33,
    "scattered": 0.22,
    "fields": 0.18,
    "nets": 0.13,
    "consolidation": 0.14,
}
"""How many slices have a few foci, many small ones, foci and large faint fields, nets of septa, and foci and
consolidation."""
_REACH_MM, _SHORT_REACH_MM = 22.0, 8.0
"""How far from the slice the centres of lesions may lie; of small ones."""
_SCATTERED_LEVEL = 0.6
"""Share of the small lesions that may lie anywhere: they follow vessels and airways into the lung."""


def foci_of_slice(scan: CohortScan, z_mm: float, rng: np.random.Generator) -> LesionFoci:
    """Lesions of a slice, in one of the patterns: a batch of one. The height is in mm of the slices' grid."""
    near = scan.slice_sites(z_mm, max(_REACH_MM, scan.slice_mm[0]))
    pattern = rng.choice(list(_SHARES), p=list(_SHARES.values()))
    if pattern == "scattered":
        close = scan.slice_sites(z_mm, max(_SHORT_REACH_MM, scan.slice_mm[0])).levelled(_SCATTERED_LEVEL)
        return draw_foci(close, int(rng.integers(5, 20)), rng, size=rng.uniform(0.3, 0.7))
    foci = draw_foci(near, int(rng.integers(1, 7)), rng, size=rng.uniform(0.5, 1.5))
    if pattern == "nets":
        return _as_nets(foci, rng)
    if pattern == "fields":
        count = int(rng.integers(1, 4))
        wide = draw_foci(near.levelled(0.5), count, rng, size=rng.uniform(2.5, 5), severity=0.1)
        return foci.beside(wide)
    if pattern == "consolidation":
        solid = draw_foci(near.levelled(0.5), int(rng.integers(1, 3)), rng, size=rng.uniform(1, 3))
        return foci.beside(_as_consolidation(solid, rng))
    return foci


def _as_nets(foci: LesionFoci, rng: np.random.Generator) -> LesionFoci:
    """The same lesions as nets of thick septa in faint ground glass: the reticular pattern of later weeks."""
    faint, paving, patchiness = (_like(foci, rng, *span) for span in ((0.09, 0.2), (0.25, 0.6), (0.0, 0.3)))
    return replace(foci, fillings=faint, cores=faint, paving=paving, patchiness=patchiness)


def _as_consolidation(foci: LesionFoci, rng: np.random.Generator) -> LesionFoci:
    """The same lesions filled to their borders, which are sharp."""
    dense, edges, patchiness = (_like(foci, rng, *span) for span in ((0.75, 1.0), (1.0, 5.0), (0.0, 0.3)))
    paving = torch.zeros_like(dense)
    return replace(foci, fillings=dense, cores=dense, edges=edges, paving=paving, patchiness=patchiness)


def _like(foci: LesionFoci, rng: np.random.Generator, low: float, high: float) -> Tensor:
    """A value for each of the foci."""
    return torch.from_numpy(rng.uniform(low, high, tuple(foci.radii.shape)).astype(np.float32))
