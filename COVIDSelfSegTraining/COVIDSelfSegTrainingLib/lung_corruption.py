"""Disease so dense that a threshold loses it, painted into lungs whose mask is known (z, y, x; about 5 mm).

The mask stays what it was: so a network learns, without a drawn label, that consolidated, collapsed or
drowned lung is lung.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_HEALTHY_SHARE = 0.25
_KINDS = (0.45, 0.2, 0.15, 0.2)
"""Shares of foci, layers, parts of a lung, and rinds."""
_RIND_MM, _THINNING_MM = (4.0, 30.0), (10.0, 40.0)
"""Thickness of a rind at the back, and length over which it thins out towards the front, from and to."""
_DENSEST_HU = 90.0


def paint_dense_disease(
    hu: FloatArray,
    labels: npt.NDArray[np.uint8],
    voxel_mm: tuple[float, float, float],
    rng: np.random.Generator,
) -> FloatArray:
    """Paint random dense disease; a quarter of the scans stay as they are.

    Args:
        hu: (z, y, x), z up, y back, x left.
        labels: lung mask, 1 right and 2 left.
        voxel_mm: (z, y, x).
        rng: draws all that is random.

    Returns:
        HU with disease inside the mask only.
    """
    if rng.random() < _HEALTHY_SHARE or not labels.any():
        return hu
    painted = hu.copy()
    kinds = rng.choice(len(_KINDS), size=rng.integers(1, 4), p=_KINDS)
    for kind in kinds:
        paint = (_foci, _layer, _part_of_a_lung, _rind)[kind]
        region = paint(labels, voxel_mm, rng)
        _fill(painted, region & (labels > 0), paint in (_layer, _rind), rng)
    return painted


def _foci(labels: npt.NDArray[np.uint8], voxel_mm: tuple[float, ...], rng: np.random.Generator) -> BoolArray:
    """A few rough balls that like the border, the back and the base."""
    places = np.argwhere(labels > 0)
    depth = ndimage.distance_transform_edt(labels > 0, sampling=voxel_mm)[tuple(places.T)]
    spread = np.ptp(places, axis=0) + 1
    back = (places[:, 1] - places[:, 1].min()) / spread[1]
    low = 1 - (places[:, 0] - places[:, 0].min()) / spread[0]
    weights = (0.1 + np.exp(-depth / 10)) * (0.3 + back) * (0.3 + low)
    region = np.zeros(labels.shape, bool)
    rough = _smooth_noise(labels.shape, voxel_mm, rng.uniform(8, 20), rng)
    grid = np.meshgrid(
        *(np.arange(n) * mm for n, mm in zip(labels.shape, voxel_mm, strict=True)), indexing="ij"
    )
    for _ in range(rng.integers(1, 6)):
        centre = places[rng.choice(len(places), p=weights / weights.sum())] * np.array(voxel_mm)
        radius = np.exp(rng.uniform(np.log(10), np.log(75)))
        stretch = rng.uniform(0.7, 1.5, 3)
        distance = sum(((axis - at) / s) ** 2 for axis, at, s in zip(grid, centre, stretch, strict=True))
        region |= np.sqrt(distance) < radius * (1 + 0.3 * rough)
    return region


def _layer(labels: npt.NDArray[np.uint8], voxel_mm: tuple[float, ...], rng: np.random.Generator) -> BoolArray:
    """What gravity collects: everything below a plane that tilts to the back or to the base."""
    chosen = _sides(labels, rng)
    towards = np.array([-rng.uniform(0, 1), rng.uniform(0, 1), rng.normal(0, 0.15)])
    height = _along(labels.shape, voxel_mm, towards)
    height += rng.uniform(0, 12) * _smooth_noise(labels.shape, voxel_mm, 25, rng)
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
    height += rng.uniform(0, 10) * _smooth_noise(labels.shape, voxel_mm, 15, rng)
    return chosen & (height > np.quantile(height[chosen], 1 - rng.uniform(0.15, 0.75)))


def _rind(labels: npt.NDArray[np.uint8], voxel_mm: tuple[float, ...], rng: np.random.Generator) -> BoolArray:
    """An effusion: a crescent along the pleura of the back, mediastinal too, thinning out to the front."""
    chosen = _sides(labels, rng)
    depth = ndimage.distance_transform_edt(chosen, sampling=voxel_mm)
    back = _along(labels.shape, voxel_mm, np.array([0.0, 1.0, rng.normal(0, 0.3)]))
    start = np.quantile(back[chosen], rng.uniform(0.1, 0.8))
    thickness = rng.uniform(*_RIND_MM) * np.clip((back - start) / rng.uniform(*_THINNING_MM), 0, 1)
    thickness *= np.clip(1 + 0.4 * _smooth_noise(labels.shape, voxel_mm, 20, rng), 0.2, None)
    return chosen & (depth <= thickness)


def _fill(hu: FloatArray, region: BoolArray, fluid: bool, rng: np.random.Generator) -> None:
    """Make a region dense, from ground glass to consolidation, in place."""
    count = int(region.sum())
    if count == 0:
        return
    if not fluid and rng.random() < 0.3:
        hu[region] = np.minimum(hu[region] + rng.uniform(150, 500), _DENSEST_HU)
        return
    dense = rng.normal(10 if fluid else 30, 15) + rng.normal(0, rng.uniform(5, 30), count)
    mix = np.clip(rng.uniform(0.75, 1.1), 0, 1)
    filled = (1 - mix) * hu[region] + mix * dense
    if not fluid and rng.random() < 0.5:  # bronchi that still hold air
        holes = rng.random(count) < rng.uniform(0, 0.15)
        filled[holes] -= rng.uniform(100, 500)
    hu[region] = np.clip(filled, -1024, _DENSEST_HU)


def _sides(labels: npt.NDArray[np.uint8], rng: np.random.Generator, *, both: bool = True) -> BoolArray:
    present = [side for side in (1, 2) if (labels == side).any()]
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


def _smooth_noise(
    shape: tuple[int, ...], voxel_mm: tuple[float, ...], scale_mm: float, rng: np.random.Generator
) -> FloatArray:
    noise = rng.standard_normal(shape).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, [scale_mm / mm for mm in voxel_mm], mode="wrap")
    result: FloatArray = smooth / max(float(smooth.std()), 1e-6)
    return result
