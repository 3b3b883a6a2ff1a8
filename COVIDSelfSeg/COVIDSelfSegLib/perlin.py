"""Perlin noise on regular grids, vectorised in torch, on any device.

The values equal those of the ``noise`` package (``pnoise2``, ``pnoise3``: the improved noise of Perlin 2002
with its permutation and gradients) within 1e-5 for the same arguments, at a fraction of its cost.

One difference, on purpose: ``noise`` adds ``base`` to indices into a table of 512 entries and reads beyond
its end from ``base`` 2 on, so its values there depend on whatever lies behind the table in memory. Here
indices wrap, so every base has one meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# The permutation of Perlin's reference implementation (2002).
_PERMUTATION = bytes.fromhex(
    "97a0895b5a0f830dc95f6035c2e907e18c24671e458e086325f0150a17be0694f778ea4b001ac53e5efcdbcb75230b20"
    "39b12158ed953857ae147d88aba844af4aa547868b301ba64d929ee7536fe57a3cd385e6dc695c29372ef528f4668f36"
    "41193fa101d85049d14c84bbd05912a9c8c4878274bc9f56a4646dc6adba034034d9e2fa7c7b05ca2693767eff5255d4"
    "cfce3be32f103a11b6bd1c2adfb7aad577f898022c9aa346dd99659ba72bac09811627fd13626c6e4f71e0e8b2b97068"
    "daf661e4fb22f2c1eed2900cbfb3a2f1513391ebf90eef6b31c0d61fb5c76a9db854ccb07379322d7f0496fe8aeccd5d"
    "de72431d1848f38d80c34e42d73d9cb4"
)
# The twelve edge directions of a cube, four of them twice (Perlin 2002, section 3).
_GRADIENTS = (
    (1, 1, 0), (-1, 1, 0), (1, -1, 0), (-1, -1, 0),
    (1, 0, 1), (-1, 0, 1), (1, 0, -1), (-1, 0, -1),
    (0, 1, 1), (0, -1, 1), (0, 1, -1), (0, -1, -1),
    (1, 0, -1), (-1, 0, -1), (0, -1, 1), (0, 1, 1),
)  # fmt: skip


def lattice_axes(
    shape: Sequence[int], scale: Sequence[float] | float, phase: Tensor | None = None
) -> list[Tensor]:
    """Coordinates of a regular grid in lattice units, for :func:`perlin`.

    Args:
        shape: grid points per axis.
        scale: grid points per lattice cell, one value for each sample of the batch (or one for all).
        phase: (samples, axes) offset in lattice units. Without one the noise is exactly zero at every
            lattice point of every sample, as in the paper's corruption.

    Returns:
        One (samples, points) float32 tensor per axis. The division is done in double precision and then
        rounded, as ``noise`` rounds its arguments.
    """
    scales = np.atleast_1d(np.asarray(scale, np.float64))[:, None]
    axes = []
    for axis, points in enumerate(shape):
        places = np.arange(points) / scales
        if phase is not None:
            places = places + phase[:, axis, None].double().cpu().numpy()
        axes.append(torch.from_numpy(places.astype(np.float32)))
    return axes


def perlin(
    axes: Sequence[Tensor],
    *,
    octaves: int = 1,
    persistence: Tensor | float = 0.5,
    lacunarity: float = 2.0,
    repeat: float = 1024,
    base: Tensor | int = 0,
) -> Tensor:
    """Fractal Perlin noise on a batch of regular 2D or 3D grids.

    Args:
        axes: two or three (samples, points) tensors of coordinates in lattice units, all on the device
            where the noise is to be made; the first is the ``x`` of ``noise``.
        octaves: layers of noise, each ``lacunarity`` times finer and ``persistence`` times weaker.
        persistence: amplitude ratio between octaves; one value or one for each sample. May be negative.
        lacunarity: frequency ratio between octaves.
        repeat: period in lattice units along every axis.
        base: shifts the permutation (another noise field for each value); one value or one a sample.

    Returns:
        (samples, points of axis 0, points of axis 1[, points of axis 2]), about -1 .. 1.

    Raises:
        ValueError: other than two or three axes, or no octaves.
    """
    if len(axes) not in (2, 3) or octaves < 1:
        raise ValueError(f"Perlin noise needs 2 or 3 axes and an octave, not {len(axes)} and {octaves}")
    device, samples = axes[0].device, axes[0].shape[0]
    persistence = torch.as_tensor(persistence, dtype=torch.float32, device=device).expand(samples)
    base = torch.as_tensor(base, device=device).expand(samples)
    column = (samples,) + (1,) * len(axes)
    total = torch.zeros(samples, *(axis.shape[1] for axis in axes), device=device)
    amplitude = torch.ones(samples, device=device)
    sum_of_amplitudes = torch.zeros(samples, device=device)
    frequency = 1.0
    for _ in range(octaves):
        total += amplitude.view(column) * _octave(axes, frequency, repeat, base)
        sum_of_amplitudes = sum_of_amplitudes + amplitude
        amplitude = amplitude * persistence
        frequency *= lacunarity
    return total / sum_of_amplitudes.view(column)


@dataclass(frozen=True)
class _Lattice:
    """The lattice points that the places along one axis fall between, and how they weigh.

    Attributes:
        index: (samples, lattice points) index into the permutation, base added.
        weight: (samples, places, lattice points) fade weights; two are not zero in a row.
        lever: the same, times the offset of the place from the lattice point.
    """

    index: Tensor
    weight: Tensor
    lever: Tensor


def _octave(axes: Sequence[Tensor], frequency: float, repeat: float, base: Tensor) -> Tensor:
    """One layer of noise.

    Noise is the sum over a place's lattice corners of weight times (gradient . offset). On a regular grid
    weights and offsets belong to one axis each, so the sum falls apart into one matrix product per axis,
    from the small lattice to the grid.
    """
    count = len(axes)
    period = float(int(repeat * frequency)) if count == 3 else repeat * frequency  # noise3 takes integers
    lattices = [_lattice(axis * frequency, period, base) for axis in axes]
    gradients = _gradients([lattice.index for lattice in lattices])
    *first, last = lattices
    bent = gradients[-1] @ _over(last.lever, count)
    straight = [gradient @ _over(last.weight, count) for gradient in gradients[:-1]]
    if count == 3:
        middle = first.pop()
        weight, lever = middle.weight[:, None], middle.lever[:, None]
        bent = weight @ bent + lever @ straight.pop()
        straight = [weight @ straight[0]]
    outer = first[0]
    flat = [part.flatten(2) for part in (straight[0], bent)]
    value = outer.lever @ flat[0] + outer.weight @ flat[1]
    return value.view(value.shape[0], *(axis.shape[1] for axis in axes))


def _over(matrix: Tensor, count: int) -> Tensor:
    """Transpose (samples, places, lattice points) for a product along the last of ``count`` axes."""
    transposed = matrix.transpose(1, 2)
    return transposed if count == 2 else transposed[:, None]


def _gradients(indices: Sequence[Tensor]) -> list[Tensor]:
    """Gradients at all lattice points: one (samples, points, points[, points]) tensor per axis."""
    device, count = indices[0].device, len(indices)
    permutation = torch.tensor(list(_PERMUTATION), device=device)
    hashed = torch.zeros((), dtype=torch.long, device=device)
    for axis, index in enumerate(indices):
        shape = [index.shape[0]] + [1] * count
        shape[axis + 1] = index.shape[1]
        hashed = permutation[(hashed + index.view(shape)) & 255]
    if count == 2:
        hashed = permutation[hashed]
    components = torch.tensor(_GRADIENTS, dtype=torch.float32, device=device).T.contiguous()
    return [components[axis][hashed & 15] for axis in range(count)]


def _lattice(places: Tensor, period: float, base: Tensor) -> _Lattice:
    below = torch.floor(places)
    offset = places - below
    fade = offset**3 * (offset * (offset * 6 - 15) + 10)
    start = below.amin(dim=1, keepdim=True)
    points = int((below - start).max()) + 2
    if points < 2 * places.shape[1] and period == int(period):
        lattice = start + torch.arange(points, device=places.device)
        lower = (below - start).long()
        index = torch.floor(torch.fmod(lattice, period))
    else:  # finer than the grid: every place has its own two lattice points
        points = 2 * places.shape[1]
        lower = torch.arange(0, points, 2, device=places.device).expand(places.shape)
        wrapped = torch.floor(torch.fmod(places, period))
        index = torch.stack([wrapped, torch.fmod(wrapped + 1, period)], -1).flatten(1)
    weight = torch.zeros(*places.shape, points, device=places.device)
    weight.scatter_(2, lower[..., None], (1 - fade)[..., None])
    lever = weight * offset[..., None]
    weight.scatter_(2, lower[..., None] + 1, fade[..., None])
    lever.scatter_(2, lower[..., None] + 1, (fade * (offset - 1))[..., None])
    return _Lattice((index.long() & 255) + base[:, None], weight, lever)
