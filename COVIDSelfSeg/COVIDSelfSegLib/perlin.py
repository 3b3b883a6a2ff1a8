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
from torch.nn import functional

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

_FEW_POINTS = 32
"""Lattice points along an axis up to which a small matrix product is cheaper than a table."""
_CHUNK_BYTES = 4 << 20
"""Of the summed table; it stays in the processor's cache."""


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
    amplitudes, frequencies = _layers(octaves, persistence, lacunarity)
    total = torch.zeros(samples, *(axis.shape[1] for axis in axes), device=device)
    fine = []
    for octave, frequency in enumerate(frequencies):
        period = float(int(repeat * frequency)) if len(axes) == 3 else repeat * frequency  # as noise3 does
        lattices = [_lattice(axis * frequency, period, base) for axis in axes]
        if len(axes) == 2 and max(lattice.index.shape[1] for lattice in lattices) > _FEW_POINTS:
            fine.append((lattices, amplitudes[:, octave]))
        else:
            total += _column(amplitudes[:, octave], total) * _coarse_octave(lattices)
    if fine:
        _add_fine_octaves(total, fine)
    return total


def _layers(octaves: int, persistence: Tensor, lacunarity: float) -> tuple[Tensor, list[float]]:
    """Amplitudes (samples, octaves), which sum to one, and frequencies of the octaves."""
    powers = torch.arange(octaves, device=persistence.device)
    amplitudes = persistence[:, None] ** powers
    return amplitudes / amplitudes.sum(1, keepdim=True), [lacunarity**octave for octave in range(octaves)]


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))


@dataclass(frozen=True)
class _Lattice:
    """The lattice points that the places along one axis fall between.

    Attributes:
        index: (samples, lattice points) index into the permutation, base added, 0 .. 255.
        below: (samples, places) which lattice point lies below each place; the next one lies above it.
        offset: (samples, places) distance from the point below, 0 .. 1.
        fade: (samples, places) weight of the point above; the one below has the rest.
    """

    index: Tensor
    below: Tensor
    offset: Tensor
    fade: Tensor

    def corners(self) -> tuple[Tensor, Tensor, Tensor]:
        """Lattice point, weight and offset of the points below and above, (samples, places, 2) each."""
        points = torch.stack([self.below, self.below + 1], -1)
        weights = torch.stack([1 - self.fade, self.fade], -1)
        return points, weights, torch.stack([self.offset, self.offset - 1], -1)


def _lattice(places: Tensor, period: float, base: Tensor) -> _Lattice:
    floor = torch.floor(places)
    offset = places - floor
    fade = offset**3 * (offset * (offset * 6 - 15) + 10)
    start = floor.amin(dim=1, keepdim=True)
    points = int((floor - start).max()) + 2
    if points < 2 * places.shape[1] and period == int(period):
        index = torch.floor(torch.fmod(start + torch.arange(points, device=places.device), period))
        below = (floor - start).int()
    else:  # finer than the grid: every place has its own two lattice points
        wrapped = torch.floor(torch.fmod(places, period))
        index = torch.stack([wrapped, torch.fmod(wrapped + 1, period)], -1).flatten(1)
        steps = torch.arange(0, index.shape[1], 2, device=places.device, dtype=torch.int32)
        below = steps.expand(places.shape)
    return _Lattice((index.int() + base[:, None]) & 255, below, offset, fade)


def _coarse_octave(lattices: list[_Lattice]) -> Tensor:
    """One layer of noise on a 2D or 3D grid that is finer than its lattice.

    Noise is the sum over a place's lattice corners of weight times (gradient . offset). On a regular grid
    weights and offsets belong to one axis each, so the sum falls apart into one matrix product per axis,
    from the small lattice to the grid.
    """
    gradients = _gradients([lattice.index for lattice in lattices])
    matrices = [_matrices(lattice) for lattice in lattices]
    weight, lever = (matrix.transpose(1, 2) for matrix in matrices[-1])
    if len(lattices) == 3:
        weight, lever = weight[:, None], lever[:, None]
    bent = gradients[-1] @ lever
    straight = [gradient @ weight for gradient in gradients[:-1]]
    if len(lattices) == 3:
        weight, lever = (matrix[:, None] for matrix in matrices[1])
        bent = weight @ bent + lever @ straight[1]
        straight = [weight @ straight[0]]
    weight, lever = matrices[0]
    value = lever @ straight[0].flatten(2) + weight @ bent.flatten(2)
    return value.view(len(value), *(lattice.offset.shape[1] for lattice in lattices))


def _matrices(lattice: _Lattice) -> tuple[Tensor, Tensor]:
    """Weights, and weights times offsets, as (samples, places, lattice points) matrices."""
    points, weights, offsets = lattice.corners()
    weight = torch.zeros(*points.shape[:2], lattice.index.shape[1], device=points.device)
    lever = torch.zeros_like(weight)
    weight.scatter_(2, points.long(), weights)
    lever.scatter_(2, points.long(), weights * offsets)
    return weight, lever


def _gradients(indices: Sequence[Tensor]) -> list[Tensor]:
    """Gradients at all lattice points: one (samples, points, points[, points]) tensor per axis."""
    device, count = indices[0].device, len(indices)
    permutation = _permutation(device)
    hashed = torch.zeros((), dtype=torch.int32, device=device)
    for axis, index in enumerate(indices):
        shape = [index.shape[0]] + [1] * count
        shape[axis + 1] = index.shape[1]
        hashed = permutation[(hashed + index.view(shape)) & 255]
    if count == 2:
        hashed = permutation[hashed]
    components = torch.tensor(_GRADIENTS, dtype=torch.float32, device=device).T.contiguous()
    return [components[axis][hashed & 15] for axis in range(count)]


def _permutation(device: torch.device) -> Tensor:
    return torch.tensor(list(_PERMUTATION), dtype=torch.int32, device=device)


def _add_fine_octaves(total: Tensor, layers: list[tuple[list[_Lattice], Tensor]]) -> None:
    """Add layers of 2D noise whose lattice is about as fine as the grid, or finer.

    The gradient at lattice point (i, j) depends on (permutation[i] + j) mod 256 alone. So the columns of
    the grid are first summed up for all 256 values that permutation[i] can take, from one small table; the
    rows then pick what they need. Both are sums of a few table rows with weights: embedding bags, which
    torch runs at the speed of memory.
    """
    samples, rows, columns = total.shape
    count, device = len(layers), total.device
    codes = torch.arange(256, device=device, dtype=torch.int32)
    permutation = _permutation(device)
    hashed = permutation[permutation[(codes[:, None] + codes) & 255]] & 15
    x_part, y_part = torch.tensor(_GRADIENTS, dtype=torch.float32, device=device)[hashed, :2].unbind(-1)
    table = torch.cat([x_part, y_part])  # symmetric in its two codes

    across, down = [], []
    for lattices, amplitude in layers:
        points, weights, offsets = lattices[1].corners()
        code = torch.gather(lattices[1].index, 1, points.flatten(1).long()).view(points.shape)
        across.append((torch.stack([code, code + 256], 1), torch.stack([weights, weights * offsets], 1)))
        points, weights, offsets = lattices[0].corners()
        code = permutation[torch.gather(lattices[0].index, 1, points.flatten(1).long())].view(points.shape)
        weights = weights * amplitude[:, None, None]
        down.append((code, torch.cat([weights * offsets, weights], -1)))
    column_codes = torch.stack([codes for codes, _ in across], 1)  # (samples, layers, 2, columns, 2)
    column_weights = torch.stack([weights for _, weights in across], 1)
    row_codes = torch.stack([codes for codes, _ in down], 2)  # (samples, rows, layers, 2)
    row_weights = torch.stack([weights for _, weights in down], 2)  # (samples, rows, layers, 4)
    # After the transposition the table's rows are (code, layer, part); part 0 is x, 1 is y.
    places = (row_codes * count + torch.arange(count, device=device, dtype=torch.int32)[:, None]) * 2
    places = torch.cat([places, places + 1], -1)

    chunk = max(1, _CHUNK_BYTES // (4 * 256 * 2 * count * columns))
    for start in range(0, samples, chunk):
        part = slice(start, start + chunk)
        size = len(total[part])
        sums = _bags(table, column_codes[part].flatten(), column_weights[part].flatten(), 2)
        summed = _transposed(sums.view(size, count * 2 * columns, 256)).view(-1, columns)
        shift = torch.arange(size, device=device, dtype=torch.int32) * (256 * count * 2)
        picked = (places[part] + shift.view(-1, 1, 1, 1)).flatten()
        added = _bags(summed, picked, row_weights[part].flatten(), 4 * count)
        total[part] += added.view(size, rows, columns)


def _bags(table: Tensor, codes: Tensor, weights: Tensor, size: int) -> Tensor:
    """Sums of ``size`` rows of a table each, with weights."""
    starts = torch.arange(0, len(codes), size, device=codes.device, dtype=codes.dtype)
    return functional.embedding_bag(codes, table, starts, mode="sum", per_sample_weights=weights)


def _transposed(matrices: Tensor) -> Tensor:
    """Transpose a batch of matrices into contiguous memory.

    ``channel_shuffle`` of one pixel is a transposition, and on a CPU the one that torch has vectorised:
    four times as fast as copying a transposed view.
    """
    batch, rows, columns = matrices.shape
    if matrices.device.type != "cpu":
        return matrices.transpose(1, 2).contiguous()
    size = rows * columns
    pixels = torch.as_strided(matrices, (batch, size, 1, 1), (size, 1, size, size))
    return torch.as_strided(torch.channel_shuffle(pixels, rows), (batch, columns, rows), (size, rows, 1))
