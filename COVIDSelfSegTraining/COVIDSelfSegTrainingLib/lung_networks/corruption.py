"""Disease so dense that a threshold loses it, painted into lungs whose mask is known (z, y, x; about 5 mm).

The mask stays what it was: so a network learns, without a drawn label, that consolidated, collapsed or
drowned lung is lung. Voxels just outside the mask hold some lung too, and what is painted takes its place
there as well: left grey, they would part every painted rind from the chest wall by a dark line, and a network
that learns to look for that line finds no effusion of a patient, who has none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from COVIDSelfSegLib.array_types import BoolArray, FloatArray
from COVIDSelfSegLib.lung_labels import LEFT, RIGHT
from scipy import ndimage

_HEALTHY_SHARE = 0.4
"""Of the chests: what is dense in these is heart, hilum and liver, which a lung mask leaves out."""
_MOST_KINDS = 2
"""In one chest."""
_KINDS = (0.6, 0.08, 0.07, 0.25)
"""Shares of foci, layers, parts of a lung, and rinds: dense lobes are rare, and look much like a liver."""
_RIND_MM, _THINNING_MM = (4.0, 30.0), (10.0, 40.0)
"""Thickness of a rind at the back, and length over which it thins out towards the front, from and to."""
_DENSEST_HU = 90.0
_LUNG_HU, _TISSUE_HU = -850.0, -30.0
"""What a voxel at the border of a healthy lung is a mixture of."""
_LEAST_MIXED_HU = -750.0
"""Beside the mask, what is thinner is an air way."""
_EDGE_VOXELS = 0.6
"""Standard deviation of the blur of what is painted."""


def paint_dense_disease(
    hu: FloatArray,
    labels: npt.NDArray[np.uint8],
    voxel_mm: tuple[float, float, float],
    rng: np.random.Generator,
) -> FloatArray:
    """Paint random dense disease; many scans stay as they are.

    Args:
        hu: (z, y, x), z up, y back, x left.
        labels: lung mask, 1 right and 2 left.
        voxel_mm: (z, y, x).
        rng: draws all that is random.

    Returns:
        HU with disease inside the mask, and in the share of lung that voxels at its border hold.
    """
    if rng.random() < _HEALTHY_SHARE or not labels.any():
        return hu
    painted = hu.copy()
    lungs = labels > 0
    kinds = rng.choice(len(_KINDS), size=rng.integers(1, _MOST_KINDS + 1), p=_KINDS)
    for kind in kinds:
        paint = (_foci, _layer, _part_of_a_lung, _rind)[kind]
        region = paint(labels, voxel_mm, rng) & lungs
        if region.any():
            # Of what is painted so far: where a second disease lies over a first, no lung is left beside it.
            weight = _lung_share(painted, lungs) * _softened(region, lungs)
            _fill(painted, weight, lungs, voxel_mm, rng, fluid=paint in (_layer, _rind))
    return painted


def _lung_share(hu: FloatArray, lungs: BoolArray) -> FloatArray:
    """How much of each voxel is lung, 0 .. 1: all of it in the mask, and beside it what its grey tells."""
    share = lungs.astype(np.float32)
    beside = ndimage.binary_dilation(lungs, np.ones((3, 3, 3))) & ~lungs
    mixed = beside & (hu > _LEAST_MIXED_HU) & (hu < _TISSUE_HU)
    share[mixed] = _aerated(hu[mixed])
    return share


def _aerated(hu: FloatArray) -> FloatArray:
    """How much of a voxel is healthy lung, 0 .. 1, if the rest is tissue."""
    share: FloatArray = np.clip((_TISSUE_HU - hu) / (_TISSUE_HU - _LUNG_HU), 0, 1)
    return share


def _softened(region: BoolArray, lungs: BoolArray) -> FloatArray:
    """A region with edges as a scanner blurs them, but towards lung alone: beyond the lung it goes on."""
    beyond = ndimage.binary_dilation(region, np.ones((3, 3, 3)), iterations=2) & ~lungs
    soft: FloatArray = ndimage.gaussian_filter((region | beyond).astype(np.float32), _EDGE_VOXELS)
    return soft


def _foci(labels: npt.NDArray[np.uint8], voxel_mm: tuple[float, ...], rng: np.random.Generator) -> BoolArray:
    """A few rough balls that like the back, the base and the pleura, above all that of the ribs."""
    places = np.argwhere(labels > 0)
    depth = ndimage.distance_transform_edt(labels > 0, sampling=voxel_mm)[tuple(places.T)]
    spread = np.ptp(places, axis=0) + 1
    back = (places[:, 1] - places[:, 1].min()) / spread[1]
    low = 1 - (places[:, 0] - places[:, 0].min()) / spread[0]
    lateral = np.abs(2 * (places[:, 2] - places[:, 2].min()) / spread[2] - 1)
    weights = (0.1 + np.exp(-depth / 10)) * (0.3 + back) * (0.3 + low) * (0.2 + lateral)
    region = np.zeros(labels.shape, bool)
    rough = smooth_noise(labels.shape, voxel_mm, rng.uniform(8, 20), rng)
    grid = np.meshgrid(
        *(np.arange(n) * mm for n, mm in zip(labels.shape, voxel_mm, strict=True)), indexing="ij"
    )
    for _ in range(rng.integers(1, 6)):
        centre = places[rng.choice(len(places), p=weights / weights.sum())] * np.array(voxel_mm)
        radius = np.exp(rng.uniform(np.log(10), np.log(60)))
        stretch = rng.uniform(0.7, 1.5, 3)
        distance = sum(((axis - at) / s) ** 2 for axis, at, s in zip(grid, centre, stretch, strict=True))
        region |= np.sqrt(distance) < radius * (1 + 0.3 * rough)
    return region


def _layer(labels: npt.NDArray[np.uint8], voxel_mm: tuple[float, ...], rng: np.random.Generator) -> BoolArray:
    """What gravity collects: everything below a plane that tilts to the back or to the base."""
    chosen = _sides(labels, rng)
    towards = np.array([-rng.uniform(0, 1), rng.uniform(0, 1), rng.normal(0, 0.15)])
    height = _along(labels.shape, voxel_mm, towards)
    height += rng.uniform(0, 12) * smooth_noise(labels.shape, voxel_mm, 25, rng)
    cut = np.quantile(height[chosen], 1 - rng.uniform(0.05, 0.7))
    return chosen & (height > cut)


def _part_of_a_lung(
    labels: npt.NDArray[np.uint8], voxel_mm: tuple[float, ...], rng: np.random.Generator
) -> BoolArray:
    """About a lobe: one lung on one side of a slanted plane; now and then the whole lung."""
    chosen = _sides(labels, rng, both=False)
    if rng.random() < 0.15:
        return chosen
    height = _along(
        labels.shape, voxel_mm, np.array([rng.normal(0, 1), rng.normal(0, 0.6), rng.normal(0, 0.3)])
    )
    height += rng.uniform(0, 10) * smooth_noise(labels.shape, voxel_mm, 15, rng)
    return chosen & (height > np.quantile(height[chosen], 1 - rng.uniform(0.15, 0.75)))


def _rind(labels: npt.NDArray[np.uint8], voxel_mm: tuple[float, ...], rng: np.random.Generator) -> BoolArray:
    """An effusion: a crescent along the pleura of the back, mediastinal too, thinning out to the front."""
    chosen = _sides(labels, rng)
    depth = ndimage.distance_transform_edt(chosen, sampling=voxel_mm)
    back = _along(labels.shape, voxel_mm, np.array([0.0, 1.0, rng.normal(0, 0.3)]))
    start = np.quantile(back[chosen], rng.uniform(0.1, 0.8))
    thickness = rng.uniform(*_RIND_MM) * np.clip((back - start) / rng.uniform(*_THINNING_MM), 0, 1)
    thickness *= np.clip(1 + 0.4 * smooth_noise(labels.shape, voxel_mm, 20, rng), 0.2, None)
    return chosen & (depth <= thickness)


def _fill(
    hu: FloatArray,
    weight: FloatArray,
    lungs: BoolArray,
    voxel_mm: tuple[float, ...],
    rng: np.random.Generator,
    *,
    fluid: bool,
) -> None:
    """Make lung dense by a weight 0 .. 1, from ground glass to consolidation, in place."""
    if not fluid and rng.random() < 0.3:
        air = np.where(lungs, _aerated(hu), 1)
        denser = hu + weight * air * np.float32(rng.uniform(150, 500))
    else:
        dense = rng.normal(10 if fluid else 30, 15) + rng.uniform(0, 10) * smooth_noise(
            hu.shape, voxel_mm, rng.uniform(3, 15), rng
        )
        dense += rng.standard_normal(hu.shape).astype(np.float32) * np.float32(rng.uniform(0, 12))
        if not fluid and rng.random() < 0.5:  # bronchi that still hold air
            holes = smooth_noise(hu.shape, voxel_mm, rng.uniform(1, 3), rng) > rng.uniform(1, 3)
            dense[holes] -= np.float32(rng.uniform(100, 700))
        mix = np.float32(np.clip(rng.uniform(0.75, 1.1), 0, 1))
        denser = hu + mix * weight * (dense - np.where(lungs, hu, np.float32(_LUNG_HU)))
    # What was denser before, as bone is, stays so.
    hu[:] = np.clip(denser, -1024, np.maximum(hu, np.float32(_DENSEST_HU)))


def _sides(labels: npt.NDArray[np.uint8], rng: np.random.Generator, *, both: bool = True) -> BoolArray:
    present = [side for side in (RIGHT, LEFT) if (labels == side).any()]
    if both and rng.random() < 0.5:
        return labels > 0
    return labels == rng.choice(present)


def _along(
    shape: tuple[int, ...], voxel_mm: tuple[float, ...], direction: npt.NDArray[np.floating]
) -> FloatArray:
    """Distance in mm along a direction (z, y, x)."""
    unit = direction / max(float(np.linalg.norm(direction)), 1e-6)
    axes = np.ix_(*(np.arange(n) * mm * u for n, mm, u in zip(shape, voxel_mm, unit, strict=True)))
    return (axes[0] + axes[1] + axes[2]).astype(np.float32)


def smooth_noise(
    shape: tuple[int, ...], voxel_mm: tuple[float, ...], scale_mm: float, rng: np.random.Generator
) -> FloatArray:
    """White noise (z, y, x) under a Gaussian of ``scale_mm``, with a standard deviation of one."""
    noise = rng.standard_normal(shape).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, [scale_mm / mm for mm in voxel_mm], mode="wrap")
    result: FloatArray = smooth / max(float(smooth.std()), 1e-6)
    return result
