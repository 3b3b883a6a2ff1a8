"""Aortas of other patients, for the lung networks: a tube beside the spine bulges into a lung and is none.

The few healthy scans show the aortas of a few. That of an old patient is wide and winds into the left lung,
and is as dense, and as bordered by lung, as a consolidation; what tells it is that it is round and goes on
for a hand's breadth. So such ones are painted, and taken out of the mask.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .lung_corruption import BoolArray, FloatArray, smooth_noise

_SHARE, _LEFT_SHARE = 0.4, 0.85
"""Of the chests; and of these, in which it bulges into the left lung."""
_RADIUS_MM = (10.0, 22.0)
_DEPTH = (-0.2, 1.1)
"""How far its axis lies in the lung, in radii."""
_BACKWARDS, _UPWARDS = (0.55, 0.9), (0.6, 0.9)
"""Where it descends, between the front of the lung (0) and its back, and how high it rises in it."""
_ARCH_SHARE, _ARCH_MM, _ARCH_INWARDS = 0.6, (20.0, 70.0), 0.5
"""How many go on forwards from there, how far, and how far inwards for that."""
_BLOOD_HU, _BONE_HU = (20.0, 65.0), 200.0
_WINDING_MM, _ROUGH = 20.0, 0.08
_EDGE_VOXELS = 0.6


def paint_aorta(
    hu: FloatArray,
    labels: npt.NDArray[np.uint8],
    voxel_mm: tuple[float, float, float],
    rng: np.random.Generator,
) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """Paint an aorta into some chests; into a single slice its section.

    Args:
        hu: (z, y, x), z up, y back, x left.
        labels: lung mask, 1 right and 2 left.
        voxel_mm: (z, y, x).
        rng: draws all that is random.

    Returns:
        HU, and the lung mask without the aorta.
    """
    side = 2 if rng.random() < _LEFT_SHARE else 1
    lung = labels == side
    if rng.random() >= _SHARE or not lung.any():
        return hu, labels
    outwards = 1 if side == 2 else -1
    radius = rng.uniform(*_RADIUS_MM)
    depth = rng.uniform(*_DEPTH) * radius
    axis = _axis(lung[:, :, ::outwards], voxel_mm, depth, rng)[:, :, ::outwards]
    apart = ndimage.distance_transform_edt(~axis, sampling=voxel_mm)
    rough = 1 + _ROUGH * smooth_noise(hu.shape, voxel_mm, _WINDING_MM, rng)
    tube = (apart < radius * rough) & (hu < _BONE_HU)
    weight = ndimage.gaussian_filter(tube.astype(np.float32), _EDGE_VOXELS)
    blood = np.float32(rng.uniform(*_BLOOD_HU))
    return hu + weight * (blood - np.minimum(hu, blood)), np.where(tube, 0, labels).astype(np.uint8)


def _axis(
    lung: BoolArray, voxel_mm: tuple[float, float, float], depth_mm: float, rng: np.random.Generator
) -> BoolArray:
    """The voxels of its axis, in a lung whose inner border is that of low x."""
    z_mm, y_mm, x_mm = voxel_mm
    z = np.flatnonzero(lung.any(axis=(1, 2)))
    z = z[: max(1, round(rng.uniform(*_UPWARDS) * len(z)))]
    back = rng.uniform(*_BACKWARDS)
    y, x = np.array([_inner_border(lung[one], back, 8 / y_mm) for one in z]).T
    x = x + depth_mm / x_mm
    if len(z) > 1:
        y, x = (ndimage.gaussian_filter1d(line, _WINDING_MM / z_mm) for line in (y, x))
        if rng.random() < _ARCH_SHARE:
            steps = np.arange(0.0, rng.uniform(*_ARCH_MM), min(voxel_mm))
            z = np.append(z, np.full(len(steps), z[-1]))
            x = np.append(x, x[-1] - rng.uniform(0, _ARCH_INWARDS) * steps / x_mm)
            y = np.append(y, y[-1] - steps / y_mm)
    axis = np.zeros(lung.shape, bool)
    places = np.rint([z, y, x]).astype(int)
    axis[tuple(np.clip(line, 0, n - 1) for line, n in zip(places, lung.shape, strict=True))] = True
    return axis


def _inner_border(section: BoolArray, back: float, reach: float) -> tuple[float, float]:
    """Row, a share ``back`` of the way from front to back, and lowest column of the lung around that row."""
    rows = np.flatnonzero(section.any(axis=1))
    row = rows[0] + back * (rows[-1] - rows[0])
    near = rows[np.abs(rows - row) <= max(reach, 0.5 + np.abs(rows - row).min())]
    return float(row), float(section[near].argmax(axis=1).min())
