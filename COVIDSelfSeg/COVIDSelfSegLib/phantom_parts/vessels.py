"""Pulmonary vessels and bronchi of a phantom: trees that branch from the hila, drawn as tapering tubes.

Vessels are what makes the task hard: like a lesion they are bright things in a dark lung.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Depth = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

_LEAST_RADIUS_MM = 0.36
_VOXELS_AT_ONCE = 1 << 17
"""Whose distances to tubes are computed in one go, so that memory stays small."""


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
        return self.chosen(np.flatnonzero(self.radii >= radius))

    def chosen(self, which: npt.NDArray[np.intp]) -> Tubes:
        """Some of the segments."""
        return Tubes(self.starts[which], self.ends[which], self.radii[which])

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
    reach = (tubes.radii + soft)[:, None]
    low = np.floor((np.minimum(tubes.starts, tubes.ends) - reach - origin) / voxel_mm).astype(int)
    high = np.ceil((np.maximum(tubes.starts, tubes.ends) + reach - origin) / voxel_mm).astype(int) + 1
    low, high = np.clip(low, 0, shape), np.clip(high, 0, shape)
    inside = np.flatnonzero((low < high).all(1))
    if not len(inside):
        return covered
    # Tens of thousands of tubes, a box of voxels each: those whose boxes have one size are computed together.
    sizes, kinds = np.unique((high - low)[inside], axis=0, return_inverse=True)
    for kind, size in enumerate(sizes):
        same = inside[kinds.ravel() == kind]
        for some in np.array_split(same, 1 + len(same) * int(size.prod()) // _VOXELS_AT_ONCE):
            shares = _shares(tubes.chosen(some), low[some], size, origin, voxel_mm)
            for corner, share in zip(low[some], shares, strict=True):
                box = tuple(slice(first, first + length) for first, length in zip(corner, size, strict=True))
                np.maximum(covered[box], share, out=covered[box])
    return covered


def _shares(
    tubes: Tubes,
    low: npt.NDArray[np.intp],
    size: npt.NDArray[np.intp],
    origin: npt.NDArray[np.float64],
    voxel_mm: npt.NDArray[np.float64],
) -> npt.NDArray[np.uint8]:
    """Share (n, z, y, x) of voxels that each tube covers, 0 .. 255, in boxes of one size from ``low`` on."""
    soft = float(voxel_mm[1:].mean())
    z, y, x = (
        ((low[:, a, None] + np.arange(size[a])) * voxel_mm[a] + origin[a] - tubes.starts[:, a, None]).astype(
            np.float32
        )
        for a in range(3)
    )
    z, y, x = z[:, :, None, None], y[:, None, :, None], x[:, None, None, :]
    axes = (tubes.ends - tubes.starts).astype(np.float32)
    radii, length_squared = (values.reshape(-1, 1, 1, 1) for values in (tubes.radii, (axes**2).sum(1)))
    along_z, along_y, along_x = (axes[:, a].reshape(-1, 1, 1, 1) for a in range(3))
    product = along_z * z + along_y * y + along_x * x
    along = np.clip(product / length_squared, 0, 1)
    off = z**2 + y**2 + x**2 - along * (2 * product - along * length_squared)
    share = 0.5 + (radii - np.sqrt(np.maximum(off, 0))) / soft
    # A tube thinner than a pixel never covers one whole.
    share = np.clip(share, 0, 1) * np.minimum(1.0, 2 * radii / soft)
    return (255 * share).astype(np.uint8)
