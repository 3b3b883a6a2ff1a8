"""Synthetic chest CT from a seed: anatomy, vessels, lesions, acquisition, and a healthy twin.

Nobody's data: the repository ships none. A phantom has exact lung and lesion masks and a healthy twin (the
same patient without lesions), so pseudo-healthy synthesis itself can be scored. Phantom scores show that
the machinery works; they are not clinical performance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from scipy import ndimage

from .array_types import FloatArray
from .frame import LungFrame
from .painting import LungSites, draw_foci, draw_phase, lesion_filling
from .phantom_parts.anatomy import Anatomy, Axes, Body, body, draw_anatomy, smooth_noise
from .phantom_parts.render import Scene, render
from .phantom_parts.scanner import Acquisition
from .phantom_parts.vessels import Tubes, draw_vessels
from .volume import array_view

SEVERITY_SHARES = (0.0, 0.02, 0.12, 0.35, 0.60)
"""Infected share of the lung that each severity aims at; not MosMedData's classes, see :mod:`.severity`."""

_COARSE_MM = 2.5
_LESION_MM = 1.6


@dataclass(frozen=True)
class Phantom:
    """A synthetic scan and everything that is true about it, all on one grid.

    Attributes:
        scan: int16 HU.
        healthy_twin: int16 HU: the same patient, scanner and noise without lesions; equal to the scan
            outside the lesion mask.
        lungs: uint8 label map, 1 right and 2 left; holds vessels and lesions, no trachea or main bronchi.
        lesions: uint8, 1 inside a lesion.
    """

    scan: sitk.Image
    healthy_twin: sitk.Image
    lungs: sitk.Image
    lesions: sitk.Image

    @property
    def infected_share(self) -> float:
        """Share of the lung volume that is lesion, 0 .. 1."""
        lungs = array_view(self.lungs)
        lesions = array_view(self.lesions)
        return float(np.count_nonzero(lesions) / np.count_nonzero(lungs))


def make_phantom(seed: int, severity: int = 2, acquisition: Acquisition | None = None) -> Phantom:
    """Make a chest CT from a seed.

    Args:
        seed: the only source of randomness; the same seed gives the same voxels.
        severity: 0 (healthy) .. 4 (about 60 % of the lung infected), see :data:`SEVERITY_SHARES`.
        acquisition: the scanner; a plain 2 mm chest CT by default.
    """
    acquisition = acquisition or Acquisition()
    rng = np.random.default_rng([seed, severity])
    anatomy = draw_anatomy(np.random.default_rng(seed))
    grid = acquisition.grid(anatomy.height / 2)
    coarse = LungFrame.whole_scan(grid, _COARSE_MM)
    axes = acquisition.axes_mm(coarse, anatomy.height / 2)
    rough = smooth_noise(axes, 36.0, anatomy.noise_phase[0], octaves=3)
    fields = body(anatomy, axes, rough)
    fine = LungFrame.whole_scan(grid, _LESION_MM)
    share = SEVERITY_SHARES[severity]
    filling = np.zeros(fine.shape, np.float32)
    if share > 0:
        fine_axes = acquisition.axes_mm(fine, anatomy.height / 2)
        filling = _grow_lesions(fields.lungs, axes, fine_axes, share, rng)
    scene = Scene(
        anatomy=anatomy,
        acquisition=acquisition,
        grid=grid,
        coarse=coarse,
        fields=fields,
        rough=rough,
        fine=fine,
        filling=filling,
        vessels=_grow_vessels(anatomy, fields, axes, np.random.default_rng([seed, 7])),
    )
    images = render(scene, seed)
    return Phantom(*images)


def _grow_vessels(
    anatomy: Anatomy, fields: Body, axes: Axes, rng: np.random.Generator
) -> list[tuple[Tubes, Tubes]]:
    """Arteries and veins of the right and the left lung."""
    origin = np.array([axis[0] for axis in axes])
    step = np.array([axis[1] - axis[0] for axis in axes])
    trees = []
    for hilum, outwards, lung in zip(anatomy.hila, (-1.0, 1.0), (fields.right, fields.left), strict=True):

        def depth(places: npt.NDArray[np.float64], lung: FloatArray = lung) -> npt.NDArray[np.float64]:
            return ndimage.map_coordinates(lung, ((places - origin) / step).T, order=1, mode="nearest")

        arteries = draw_vessels(hilum, outwards, depth, rng)
        veins = draw_vessels((hilum[0] - 12, hilum[1] - 8, hilum[2]), outwards, depth, rng)
        trees.append((arteries, veins))
    return trees


def _grow_lesions(
    lungs: FloatArray, axes: Axes, fine_axes: Axes, share: float, rng: np.random.Generator
) -> FloatArray:
    """Filling on the fine axes, its borders moved until it covers ``share`` of the lung.

    Args:
        lungs: depth field of both lungs on ``axes``.
        axes: coordinates of the coarse grid in mm.
        fine_axes: coordinates of the grid of the result.
        share: 0 .. 1.
        rng: draws the lesions.
    """
    step = tuple(float(axis[1] - axis[0]) for axis in axes)
    distances = ndimage.distance_transform_edt(lungs > 0, sampling=step)
    sites = LungSites.of_depths(distances, (step[0], step[1], step[2]))
    corner = np.array([axis[0] for axis in axes], np.float32)
    sites = LungSites(sites.places + corner, sites.depths, sites.weights)
    foci = draw_foci(sites, int(rng.integers(4, 16)), rng, severity=min(1.0, 0.25 + share))
    phase = draw_phase(1, rng)

    def filling(on: Axes, depth: FloatArray, growth: float) -> FloatArray:
        z, y, x = (torch.from_numpy(np.ascontiguousarray(axis))[None] for axis in on)
        inside = torch.from_numpy(np.ascontiguousarray(depth))[None]
        return lesion_filling(foci, phase, (z, y, x), inside, growth=growth)[0].numpy()

    depth = distances.astype(np.float32)
    box = ndimage.find_objects((depth > 0).astype(np.uint8))[0]
    # The share hardly changes when it is counted on every second voxel.
    sparse = tuple(slice(part.start, part.stop, 2) for part in box)
    few = (axes[0][sparse[0]], axes[1][sparse[1]], axes[2][sparse[2]])
    few_depths = depth[sparse]
    low, high = -40.0, 90.0
    for _ in range(9):
        growth = (low + high) / 2
        covered = np.count_nonzero(filling(few, few_depths, growth)) / np.count_nonzero(few_depths)
        low, high = (growth, high) if covered < share else (low, growth)
    return _on_fine_axes(filling, np.where(lungs > 0, depth, -1), axes, fine_axes, (low + high) / 2)


def _on_fine_axes(
    filling: Callable[[Axes, FloatArray, float], FloatArray],
    depth: FloatArray,
    axes: Axes,
    fine_axes: Axes,
    growth: float,
) -> FloatArray:
    """Evaluate a filling on the fine axes, around the lungs alone."""
    zoom = [len(fine) / len(coarse) for fine, coarse in zip(fine_axes, axes, strict=True)]
    fine_depth = ndimage.zoom(depth, zoom, order=1, grid_mode=True, mode="nearest")
    box = ndimage.find_objects((fine_depth > 0).astype(np.uint8))[0]
    around = (fine_axes[0][box[0]], fine_axes[1][box[1]], fine_axes[2][box[2]])
    whole = np.zeros(fine_depth.shape, np.float32)
    whole[box] = filling(around, fine_depth[box], growth)
    return whole
