"""Pseudo-healthy synthesis: what this lung would look like healthy, and the difference as a heatmap in HU.

The generator sees the lung on its own coarse grid. Only its difference from the scan is interpolated back
and taken off the scan, so the pseudo-healthy volume is as sharp as the scan and equal to it wherever the
generator changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from torch import Tensor

from .array_types import BoolArray, FloatArray
from .devices import Device
from .frame import LungFrame
from .hounsfield import STORED_HU, to_hu, to_unit
from .networks.generator import VolumeGenerator, draw_latent
from .resampling import with_rim
from .volume import array_view

_SHARPENING = 2.0
"""A voxel may lie this many times higher over the expected lung than the coarse grid around it says."""
_BELOW_EXPECTED_HU = 60.0
"""How far texture may make a mended voxel darker than the expected healthy lung."""


class Expectation(NamedTuple):
    """What the generator expects of a healthy lung, on its grid; HU (z, y, x).

    Attributes:
        mean: over latent draws.
        spread: standard deviation over them.
    """

    mean: FloatArray
    spread: FloatArray


@dataclass(frozen=True)
class Synthesis:
    """What the generator says of a scan, on the generator's grid; HU arrays (z, y, x).

    Attributes:
        frame: where the grid lies in the scan.
        scan: the scan on this grid.
        healthy: pseudo-healthy, mean over the latent draws.
        spread: standard deviation of the pseudo-healthy HU over the draws: the uncertainty.
        lungs: the lung mask on this grid, 0 or 1.
    """

    frame: LungFrame
    scan: FloatArray
    healthy: FloatArray
    spread: FloatArray
    lungs: FloatArray

    def excess(self, residual_hu: float) -> FloatArray:
        """HU above expected healthy in the lung, where it is more than the generator leaves on healthy lung.

        Nothing up to ``residual_hu``, all of it from twice that on, and a straight line between (firm
        shrinkage, Gao and Bruce 1997): so a dense lesion keeps its full height.
        """
        above = np.maximum(self.scan - self.healthy, 0)
        return np.clip(2 * (above - residual_hu), 0, above) * self.lungs


@dataclass(frozen=True)
class Heatmap:
    """Images on the scan's grid.

    Attributes:
        pseudo_healthy: int16 HU; the scan itself outside the lung, clipped to :data:`~.hounsfield.STORED_HU`.
        excess: int16, HU above expected healthy, 0 or more, 0 outside the lung.
        uncertainty: uint8, spread of the expected HU over latent draws.
    """

    pseudo_healthy: sitk.Image
    excess: sitk.Image
    uncertainty: sitk.Image


def generator_input(hu: Tensor, lungs: Tensor, *, lung_channel: bool) -> Tensor:
    """Input of the generator (batch, 1 or 2, z, y, x) of HU and lung mask (batch, z, y, x) each."""
    volume = to_unit(hu) * lungs
    stacked = torch.stack([volume, lungs], 1) if lung_channel else volume[:, None]
    return stacked.contiguous(memory_format=torch.channels_last_3d)


def expected_lung(
    generator: VolumeGenerator,
    hu: npt.NDArray[np.generic],
    lungs: BoolArray,
    *,
    draws: int,
    device: Device,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> Expectation:
    """Run the generator on what lies on its grid already.

    Args:
        generator: in evaluation mode, on ``device``.
        hu: (z, y, x).
        lungs: where the lungs are (z, y, x).
        draws: latent draws.
        device: where to run, and how precisely.
        seed: of the latent draws; the same seed gives the same result.
        progress: called with the fraction done.
    """
    x = generator_input(
        torch.from_numpy(hu.astype(np.float32))[None].to(device.handle),
        torch.from_numpy(lungs.astype(np.float32))[None].to(device.handle),
        lung_channel=generator.lung_channel,
    )
    latents = torch.Generator().manual_seed(seed)
    healthy = []
    with torch.inference_mode(), device.autocast():
        seen = generator.encode(x)
        for draw in range(draws):
            made = generator.decode(seen, draw_latent(x, latents))
            healthy.append(to_hu(made.volume[0, 0].float()).cpu())
            progress((draw + 1) / draws)
    stacked = torch.stack(healthy)
    return Expectation(stacked.mean(0).numpy(), stacked.std(0, correction=0).numpy())


def synthesise(
    generator: VolumeGenerator,
    scan: sitk.Image,
    lungs: sitk.Image,
    *,
    shape: tuple[int, int, int],
    margin_mm: float,
    draws: int,
    device: Device,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> Synthesis:
    """Paint the lungs of a scan healthy.

    Args:
        generator: in evaluation mode, on ``device``.
        scan: HU.
        lungs: label map on the scan's grid, non-zero inside.
        shape: grid of the generator (z, y, x).
        margin_mm: around the lungs' bounding box, as the generator was trained.
        draws: latent draws to average.
        device: where to run, and how precisely.
        seed: of the latent draws; the same seed gives the same result.
        progress: called with the fraction done.
    """
    frame = LungFrame.around_lungs(lungs, shape, margin_mm=margin_mm)
    hu = frame.to_network(scan)
    inside = frame.to_network(lungs, "nearest", fill=0) > 0
    healthy, spread = expected_lung(
        generator, hu, inside, draws=draws, device=device, seed=seed, progress=progress
    )
    return Synthesis(frame, hu, healthy, spread, inside.astype(np.float32))


def heatmap(synthesis: Synthesis, scan: sitk.Image, lungs: sitk.Image, residual_hu: float) -> Heatmap:
    """Bring a synthesis to the scan's grid, slice by slice.

    Args:
        synthesis: of this scan.
        scan: HU, int16 or float32.
        lungs: label map on the scan's grid.
        residual_hu: see :meth:`Synthesis.excess`.
    """
    frame = synthesis.frame
    coarse_excess = synthesis.excess(residual_hu)
    above = np.maximum(synthesis.scan - synthesis.healthy, 1.0)
    coarse_trust = np.clip(coarse_excess / above, 0, 1)
    whole = np.zeros(scan.GetSize()[::-1], np.int16)
    spread = np.zeros(whole.shape, np.uint8)
    healthy = np.empty(whole.shape, np.int16)
    for z, plane in enumerate(array_view(scan)):
        whole_hu = plane if np.issubdtype(plane.dtype, np.integer) else np.rint(plane)
        np.clip(whole_hu, *STORED_HU, out=healthy[z], casting="unsafe")
    of_scan, of_lungs = (frame.turned(image)[frame.box] for image in (scan, lungs))
    in_box = [frame.turn(array)[frame.box] for array in (whole, spread, healthy)]
    said = (synthesis.healthy, coarse_excess, coarse_trust, synthesis.spread)
    # Or what lies beside the pleura would lose heat towards cells of which nothing is known.
    coarse = [with_rim(values, synthesis.lungs > 0, (3, 3, 3)) for values in said]
    for z, planes in enumerate(zip(*map(frame.planes, coarse), strict=True)):
        inside = of_lungs[z] > 0
        expected, less, trust, uncertain = (plane[inside] for plane in planes)
        # As the pseudo-healthy volume holds it, from which the excess is taken off again.
        hu = of_scan[z][inside].astype(np.float32).clip(*STORED_HU)
        # The coarse difference flattens lesions smaller than its voxels; the scan's own height over the
        # expected lung does not, but it takes vessels for lesion too, hence the limit.
        own = np.clip(trust * (hu - expected), 0, _SHARPENING * less)
        lowest = np.minimum(hu, np.maximum(expected - _BELOW_EXPECTED_HU, STORED_HU[0]))
        mended = np.maximum(hu - np.maximum(less, own), lowest)
        excess = np.rint(hu - mended).astype(np.int16)
        in_box[0][z][inside] = excess
        in_box[1][z][inside] = np.clip(np.rint(uncertain), 0, 255)
        in_box[2][z][inside] -= excess
    del in_box
    # Each array goes as soon as there is an image of it: on 1,000 slices they are gigabytes.
    pseudo_healthy = frame.image(healthy)
    del healthy
    above_healthy = frame.image(whole)
    del whole
    return Heatmap(pseudo_healthy, above_healthy, frame.image(spread))
