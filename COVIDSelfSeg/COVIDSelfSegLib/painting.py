"""Synthetic COVID-19 lesions: where they lie, their shape and texture, and how they change the CT.

A lesion fills alveoli. Its ``filling`` a, 0 .. 1, is the share of the lung's air that fluid has replaced:
HU becomes (1 - a) HU + a * 35. Ground glass (a about 0.2 to 0.5) so leaves vessels visible, consolidation
(a near 1) hides them, and nothing rises beyond soft tissue, as in a real lung. Random parameters are drawn
once from a seeded generator into a record; painting from the record is pure and runs on any device.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .array_types import FloatArray
from .perlin import perlin

FILLED_HU = 35.0
"""HU of a voxel whose air is all replaced by fluid and cells."""
LEAST_FILLING = 0.045
"""Filling below this (about 40 HU in healthy lung) is not a lesion; it would be invisible in the noise."""

_FAR_MM = 1e5


@dataclass(frozen=True)
class LungSites:
    """Points inside a lung where lesions may start, with their prior, in mm of one coordinate system.

    Attributes:
        places: (n, 3) positions (z, y, x) in mm.
        depths: (n,) distance to the pleura in mm.
        weights: (n,) chance of a lesion's centre, summing to 1: more at the pleura, at the back and at
            the base, as COVID-19 lies (Bernheim 2020).
    """

    places: FloatArray
    depths: FloatArray
    weights: npt.NDArray[np.float64]

    @classmethod
    def of_depths(
        cls,
        depth: npt.NDArray[Any],
        voxel_mm: tuple[float, float, float],
        *,
        first: int = 0,
        extent: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]] | None = None,
    ) -> LungSites:
        """Sites of a map of distances to the pleura, or of some of its slices; places are index times size.

        Args:
            depth: (z, y, x) in mm, 0 outside the lung; z up, y back, x left.
            voxel_mm: (z, y, x).
            first: index of the first of these slices in the whole map.
            extent: of the lung in the whole map; see :func:`extent_of`. By default that of these slices.
        """
        indices = np.argwhere(depth > 0) + np.array([first, 0, 0])
        low, high = extent_of(depth) if extent is None else extent
        height = (indices[:, 0] - low[0]) / (high[0] - low[0])
        back = (indices[:, 1] - low[1]) / (high[1] - low[1])
        depths = depth[depth > 0].astype(np.float32)
        weights = (0.15 + np.exp(-depths / 8.0)) * (0.35 + back) * (1.35 - height)
        places = (indices * np.array(voxel_mm)).astype(np.float32)
        return cls(places, depths, weights / weights.sum())

    def levelled(self, share: float) -> LungSites:
        """The same points, of whose prior a ``share`` (0 .. 1) is spread evenly over all of them."""
        return replace(self, weights=(1 - share) * self.weights + share / len(self.weights))


def extent_of(depth: npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First index of the lung along each axis, and the one after its last."""
    indices = np.argwhere(depth > 0)
    return indices.min(axis=0), indices.max(axis=0) + 1


@dataclass(frozen=True)
class LesionFoci:
    """Random parameters of the lesions of a batch of lungs; (samples, foci, ...) float32 tensors.

    Attributes:
        centres: (..., 3) positions (z, y, x) in mm.
        shapes: (..., 3, 3) maps an offset in mm to the unit ball.
        radii: mean radius in mm.
        hugging: how strictly the lesion keeps to the pleura: its 1 / thickness in 1/mm, 0 where it does not.
        edges: width of the border in mm, over which filling rises.
        fillings: filling of the rim, ground glass.
        cores: filling of the core, up to consolidation.
        core_starts: depth inside the lesion, in mm, at which the core begins.
        roughness: how far, in mm, noise moves the border.
        paving: strength of the net of thickened septa (crazy paving).
        patchiness: how much noise thins the filling inside.
    """

    centres: Tensor
    shapes: Tensor
    radii: Tensor
    hugging: Tensor
    edges: Tensor
    fillings: Tensor
    cores: Tensor
    core_starts: Tensor
    roughness: Tensor
    paving: Tensor
    patchiness: Tensor

    def to(self, device: torch.device) -> LesionFoci:
        """The same record on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def beside(self, other: LesionFoci) -> LesionFoci:
        """The foci of both records, sample by sample."""
        joined = {f.name: torch.cat([getattr(self, f.name), getattr(other, f.name)], 1) for f in fields(self)}
        return LesionFoci(**joined)

    @staticmethod
    def batch(records: list[LesionFoci]) -> LesionFoci:
        """Join records of one sample each; shorter ones are padded with foci that paint nothing."""
        most = max(record.radii.shape[1] for record in records)
        joined = {}
        for f in fields(LesionFoci):
            parts = []
            for record in records:
                values = getattr(record, f.name)
                padding = values[:, :1].expand(-1, most - values.shape[1], *values.shape[2:])
                parts.append(torch.cat([values, padding + _FAR_MM * (f.name == "centres")], 1))
            joined[f.name] = torch.cat(parts)
        return LesionFoci(**joined)


@dataclass(frozen=True)
class NoisePhase:
    """Random offsets of the two noise fields that roughen lesions; (samples, 3) each, in lattice units."""

    coarse: Tensor
    fine: Tensor

    def to(self, device: torch.device) -> NoisePhase:
        """The same record on another device."""
        return NoisePhase(self.coarse.to(device), self.fine.to(device))


def draw_foci(
    sites: LungSites,
    count: int,
    rng: np.random.Generator,
    *,
    size: float = 1.0,
    severity: float | None = None,
) -> LesionFoci:
    """Draw the lesions of one lung.

    Args:
        sites: where they may lie.
        count: number of foci.
        rng: the only source of randomness.
        size: scales all radii.
        severity: 0 .. 1, how dense and confluent the disease is; drawn when not given.

    Returns:
        Foci of a batch of one.
    """
    severity = float(rng.beta(1.2, 2.0)) if severity is None else severity
    chosen = rng.choice(len(sites.weights), count, p=sites.weights)
    radii = size * np.clip(rng.lognormal(np.log(11 + 9 * severity), 0.55, count), 3, 60)
    kinds = rng.choice(4, count, p=[0.55, 0.2, 0.1, 0.15])  # patch, pleural crescent, band, round
    shapes = np.stack([_shape(kind, radius, rng) for kind, radius in zip(kinds, radii, strict=True)])
    hugging = np.where(kinds == 1, 1 / rng.uniform(6, 18, count), 0)
    fillings = rng.uniform(0.12, 0.4, count) + 0.12 * severity * rng.random(count)
    dense = rng.random(count) < 0.15 + 0.5 * severity
    cores = np.where(dense, rng.uniform(0.6, 1.0, count), fillings)
    solid = dense & (rng.random(count) < 0.3)
    fillings = np.where(solid, rng.uniform(0.55, 0.95, count), fillings)
    soft_edges = np.clip(radii * rng.uniform(0.1, 0.6, count), 1.5, 9)
    return LesionFoci(
        centres=_tensor(sites.places[chosen]),
        shapes=_tensor(shapes),
        radii=_tensor(radii),
        hugging=_tensor(hugging),
        edges=_tensor(np.where(solid, rng.uniform(1.0, 3.0, count), soft_edges)),
        fillings=_tensor(fillings),
        cores=_tensor(np.maximum(cores, fillings)),
        core_starts=_tensor(radii * rng.uniform(0.15, 0.7, count)),
        roughness=_tensor(radii * rng.uniform(0.25, 0.9, count)),
        paving=_tensor(np.where(rng.random(count) < 0.3, rng.uniform(0.1, 0.4, count), 0)),
        patchiness=_tensor(rng.uniform(0, 0.9, count)),
    )


def draw_phase(samples: int, rng: np.random.Generator) -> NoisePhase:
    """Draw the noise offsets of a batch."""
    draw = [torch.from_numpy(rng.uniform(0, 200, (samples, 3)).astype(np.float32)) for _ in range(2)]
    return NoisePhase(*draw)


def lesion_filling(
    foci: LesionFoci,
    phase: NoisePhase,
    places: tuple[Tensor, Tensor, Tensor],
    depth: Tensor,
    *,
    growth: Tensor | float = 0.0,
) -> Tensor:
    """Filling of the lesions on a regular grid.

    Args:
        foci: the lesions of each sample.
        phase: the noise of each sample.
        places: positions of the grid's planes, rows and columns in mm, (samples, points) each.
        depth: (samples, z, y, x) distance to the pleura in mm, 0 or less outside the lung.
        growth: moves every border outwards by so many mm; one value or one for each sample.

    Returns:
        (samples, z, y, x), 0 .. 1: zero outside the lung and wherever there is no lesion.
    """
    coarse = _noise(places, 16.0, phase.coarse, octaves=3)
    fine = _noise(places, 6.0, phase.fine, octaves=2)
    rough = coarse + 0.35 * fine
    septa = torch.exp(-((fine / 0.08) ** 2))
    free = torch.ones_like(depth)
    for index in range(foci.radii.shape[1]):
        inside = _depth_in_focus(foci, index, places, depth) + growth_view(growth, depth)
        inside = inside + _of(foci.roughness, index) * rough
        cover = _smoothstep(inside / _of(foci.edges, index))
        filling = _of(foci.fillings, index) * (1 + _of(foci.patchiness, index) * 2 * coarse)
        filling = filling + _of(foci.paving, index) * septa
        core = _smoothstep((inside - _of(foci.core_starts, index)) / 6.0)
        filling = filling + (_of(foci.cores, index) - filling) * core
        free = free * (1 - cover * filling.clamp(0.06, 1.0))
    filled = (1 - free) * (depth > 0)
    return torch.where(filled > LEAST_FILLING, filled, 0.0)


def paint(hu: Tensor, filling: Tensor, filled_hu: float = FILLED_HU) -> Tensor:
    """Replace a share of the air by fluid: HU of the painted lung; voxels denser than fluid stay."""
    return hu + filling * (filled_hu - hu).clamp_min(0)


def growth_view(growth: Tensor | float, like: Tensor) -> Tensor | float:
    """Let one value for each sample broadcast over a grid."""
    return growth.view(-1, *[1] * (like.dim() - 1)) if isinstance(growth, Tensor) else growth


def _depth_in_focus(
    foci: LesionFoci, index: int, places: tuple[Tensor, Tensor, Tensor], depth: Tensor
) -> Tensor:
    """How deep, in mm, each grid point lies inside one focus; negative outside."""
    shape, centre = foci.shapes[:, index], foci.centres[:, index]
    z, y, x = (
        (axis - centre[:, None, number]).view(
            axis.shape[0], *[axis.shape[1] if place == number else 1 for place in range(3)]
        )
        for number, axis in enumerate(places)
    )
    squared = torch.zeros_like(depth)
    for row in range(3):
        of_z, of_y, of_x = (shape[:, row, column].view(-1, 1, 1, 1) for column in range(3))
        squared = squared + (of_z * z + of_y * y + of_x * x) ** 2
    squared = squared + (_of(foci.hugging, index) * depth) ** 2
    return _of(foci.radii, index) * (1 - squared.sqrt())


def _of(values: Tensor, index: int) -> Tensor:
    return values[:, index].view(-1, 1, 1, 1)


def _smoothstep(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def _noise(places: tuple[Tensor, Tensor, Tensor], cell_mm: float, phase: Tensor, *, octaves: int) -> Tensor:
    """Perlin noise with lattice cells of ``cell_mm``, about -1 .. 1."""
    axes = [axis / cell_mm + phase[:, number, None] for number, axis in enumerate(places)]
    return 1.6 * perlin(axes, octaves=octaves)


def _shape(kind: int, radius: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Matrix that maps an ellipsoid of mean radius ``radius`` and random pose to the unit ball."""
    if kind == 2:  # a band: long, and a few millimetres thin
        semi_axes = radius * np.array([rng.uniform(1.5, 3), rng.uniform(0.8, 1.5), rng.uniform(0.15, 0.35)])
    else:
        spread = 0.15 if kind == 3 else 0.4
        semi_axes = radius * np.exp(rng.normal(0, spread, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return (rotation / semi_axes).T


def _tensor(values: npt.NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))[None]
