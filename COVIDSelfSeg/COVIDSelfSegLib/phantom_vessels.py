"""Pulmonary vessels and bronchi of a phantom: trees that branch from the hila, drawn as tapering tubes.

Vessels are what makes the task hard: like a lesion they are bright things in a dark lung.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Depth = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

_LEAST_RADIUS_MM = 0.36


@dataclass(frozen=True)
class Tubes:
    """Straight tube segments; positions (n, 3) as (z, y, x) in mm, radii (n,) in mm."""

    starts: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]
    radii: npt.NDArray[np.float64]

    @staticmethod
    def join(parts: list[Tubes]) -> Tubes:
        """All segments of several trees."""
        return Tubes(
            np.concatenate([part.starts for part in parts]),
            np.concatenate([part.ends for part in parts]),
            np.concatenate([part.radii for part in parts]),
        )

    def thicker_than(self, radius: float) -> Tubes:
        """The segments with at least this radius."""
        keep = self.radii >= radius
        return Tubes(self.starts[keep], self.ends[keep], self.radii[keep])

    def moved(self, offset_mm: npt.NDArray[np.float64], scale: float) -> Tubes:
        """The segments shifted by ``offset_mm`` times their radius, their radius scaled."""
        shift = offset_mm * self.radii[:, None]
        return Tubes(self.starts + shift, self.ends + shift, self.radii * scale)


def draw_vessels(
    hilum: tuple[float, float, float], outwards: float, depth: Depth, rng: np.random.Generator
) -> Tubes:
    """Grow one tree (arteries or veins) from a hilum into its lung.

    Args:
        hilum: where it starts, (z, y, x) in mm.
        outwards: -1 for the right lung, 1 for the left: the side away from the heart.
        depth: gives the depth inside the lung in mm (negative outside) at (n, 3) positions.
        rng: the only source of randomness.

    Returns:
        Segments, thick ones first; radii follow Murray's law (cubes add up) with random asymmetry.
    """
    start = np.array(hilum)
    count = 16
    turn = rng.uniform(0, 2 * np.pi) + np.arange(count) * 2.4  # golden angle: trunks spread evenly
    lean = rng.uniform(0.35, 1.55, count)
    directions = np.stack([np.cos(turn) * 1.2, np.sin(turn), outwards * np.tan(np.pi / 2 - lean)], 1)
    places = start + rng.normal(0, 4, (count, 3))
    radii = rng.uniform(1.5, 3.7, count)
    collected = []
    for _ in range(60):
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        ends = places + directions * (2.4 * radii + 3.2)[:, None]
        collected.append(Tubes(places, ends, radii))
        # Trunks start in the mediastinum and may cross it; twigs end at the pleura.
        alive = (depth(ends) > np.where(radii > 1.6, -18.0, 1.0)) & (radii > _LEAST_RADIUS_MM)
        places, directions, radii = ends[alive], directions[alive], radii[alive]
        if not len(radii):
            break
        places, directions, radii = _branch(places, directions, radii, start, rng)
    return Tubes.join(collected)


def _branch(
    places: npt.NDArray[np.float64],
    directions: npt.NDArray[np.float64],
    radii: npt.NDArray[np.float64],
    root: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Divide every tip into a larger and a smaller child, or let it run on a little thinner."""
    count = len(radii)
    divides = rng.random(count) < 0.42
    share = rng.uniform(0.08, 0.5, count)
    aside = np.cross(directions, rng.normal(size=(count, 3)))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    away = places - root
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    ahead = directions + 0.12 * away + rng.normal(0, 0.16, (count, 3))
    small = np.cbrt(share) * radii
    large = np.where(divides, np.cbrt(1 - share), 0.97) * radii
    bend = (0.35 * small / radii * divides)[:, None]
    first = ahead - bend * aside
    second = (ahead + rng.uniform(0.6, 1.1, (count, 1)) * aside)[divides]
    return (
        np.concatenate([places, places[divides]]),
        np.concatenate([first, second]),
        np.concatenate([large, small[divides]]),
    )


def rasterise(
    tubes: Tubes,
    shape: tuple[int, int, int],
    origin: npt.NDArray[np.float64],
    voxel_mm: npt.NDArray[np.float64],
) -> npt.NDArray[np.uint8]:
    """Share of each voxel that tubes cover, 0 .. 255.

    Args:
        tubes: segments in mm.
        shape: grid (z, y, x).
        origin: centre of the first voxel in mm.
        voxel_mm: voxel size.
    """
    covered = np.zeros(shape, np.uint8)
    soft = float(voxel_mm[1:].mean())
    for start, end, radius in zip(tubes.starts, tubes.ends, tubes.radii, strict=True):
        reach = radius + soft
        low = np.floor((np.minimum(start, end) - reach - origin) / voxel_mm).astype(int)
        high = np.ceil((np.maximum(start, end) + reach - origin) / voxel_mm).astype(int) + 1
        low, high = np.clip(low, 0, shape), np.clip(high, 0, shape)
        if (low >= high).any():
            continue
        z, y, x = (
            (np.arange(low[a], high[a]) * voxel_mm[a] + origin[a] - start[a]).astype(np.float32)
            for a in range(3)
        )
        axis = (end - start).astype(np.float32)
        length_squared = float(axis @ axis)
        product = (axis[0] * z)[:, None, None] + (axis[1] * y)[:, None] + axis[2] * x
        along = np.clip(product / length_squared, 0, 1)
        off = (z**2)[:, None, None] + (y**2)[:, None] + x**2 - along * (2 * product - along * length_squared)
        share = 0.5 + (radius - np.sqrt(np.maximum(off, 0))) / soft
        # A tube thinner than a pixel never covers one whole.
        share = np.clip(share, 0, 1) * min(1.0, 2 * radius / soft)
        box = tuple(slice(low[a], high[a]) for a in range(3))
        np.maximum(covered[box], (255 * share).astype(np.uint8), out=covered[box])
    return covered
