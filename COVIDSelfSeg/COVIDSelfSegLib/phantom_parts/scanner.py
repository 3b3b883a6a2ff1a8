"""How a phantom is scanned: grid, thickness, sharpness, dose, tilt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..frame import LungFrame
from .anatomy import Axes


@dataclass(frozen=True)
class Acquisition:
    """How a phantom is scanned.

    Attributes:
        size: voxels (x, y, z).
        pixel_mm: in-plane voxel size.
        slice_mm: slice thickness and distance.
        blur_mm: standard deviation of the in-plane point spread.
        noise_hu: standard deviation of the noise.
        grain_mm: correlation length of the noise in plane; 0 is white.
        offset_hu: calibration error of the scanner.
        tilt: how the scan axes are turned against the world's, about x and then about z, in radians.
    """

    size: tuple[int, int, int] = (512, 512, 160)
    pixel_mm: float = 0.72
    slice_mm: float = 2.0
    blur_mm: float = 0.5
    noise_hu: float = 18.0
    grain_mm: float = 0.7
    offset_hu: float = 0.0
    tilt: tuple[float, float] = (0.0, 0.0)

    def grid(self, middle_mm: float) -> sitk.Image:
        """An empty image that carries the geometry; ``middle_mm`` is the height of its middle slice."""
        grid = sitk.Image(self.size, sitk.sitkUInt8)
        grid.SetSpacing((self.pixel_mm, self.pixel_mm, self.slice_mm))
        turn = sitk.Euler3DTransform((0.0, 0.0, 0.0), self.tilt[0], 0.0, self.tilt[1])
        grid.SetDirection(turn.GetMatrix())
        z, y, x = (float(axis[0]) for axis in self._own_axes_mm(middle_mm))
        grid.SetOrigin(turn.TransformPoint((x, y, z)))
        return grid

    def axes_mm(self, frame: LungFrame, middle_mm: float) -> Axes:
        """Patient coordinates (z, y, x) along the axes of a frame over the whole scan."""
        own = (self.slice_mm, self.pixel_mm, self.pixel_mm)
        z, y, x = (
            (axis[0] - mm / 2 + (np.arange(count) + 0.5) * step).astype(np.float32)
            for axis, mm, step, count in zip(
                self._own_axes_mm(middle_mm), own, frame.voxel_mm, frame.shape, strict=True
            )
        )
        return z, y, x

    def _own_axes_mm(self, middle_mm: float) -> Axes:
        """Patient coordinates (z, y, x) of the voxel centres; the body lies a little above the middle row."""
        columns, rows, slices = self.size
        x = (np.arange(columns) - (columns - 1) / 2) * self.pixel_mm
        y = (np.arange(rows) - (rows - 1) / 2) * self.pixel_mm + 6
        z = (np.arange(slices) - (slices - 1) / 2) * self.slice_mm + middle_mm
        return z.astype(np.float32), y.astype(np.float32), x.astype(np.float32)


def draw_acquisition(rng: np.random.Generator) -> Acquisition:
    """Draw a scanner: thin and thick slices, soft and sharp kernels, low and full dose, tilted or not."""
    slice_mm = float(rng.choice([1.0, 1.25, 2.0, 2.5, 3.0, 5.0, 8.0]))
    pixel_mm = float(rng.uniform(0.62, 0.85))
    across = round(rng.uniform(380, 430) / pixel_mm)
    sharp = rng.random() < 0.4
    tilted = rng.random() < 0.3
    return Acquisition(
        size=(across, across, round(rng.uniform(300, 350) / slice_mm)),
        pixel_mm=pixel_mm,
        slice_mm=slice_mm,
        blur_mm=float(rng.uniform(0.25, 0.45) if sharp else rng.uniform(0.5, 0.95)),
        noise_hu=float(rng.uniform(15, 60) if sharp else rng.uniform(6, 28)),
        grain_mm=float(rng.uniform(0.3, 0.6) if sharp else rng.uniform(0.6, 1.1)),
        offset_hu=float(rng.normal(0, 8)),
        tilt=(float(rng.normal(0, 0.08)), float(rng.normal(0, 0.08))) if tilted else (0.0, 0.0),
    )
