"""Variety that scanners, hospitals and file formats bring, drawn per slice and applied on the device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from .equalisation import equalised_hu

_KERNEL = 4
"""Half-width of blur kernels in pixels."""


@dataclass(frozen=True)
class Variation:
    """Random parameters of a batch, one value a slice.

    Attributes:
        pose: (n, 2, 3) affine maps of the plane, as ``torch.nn.functional.affine_grid`` takes them.
        blur: standard deviation of a Gaussian in pixels; negative values sharpen.
        noise: standard deviation of the noise in HU.
        grain: correlation length of the noise in pixels.
        gain: stretches HU about -850.
        offset: added HU.
        low: HU below which values are clipped, as a window does.
        high: HU above which values are clipped.
        steps: number of gray levels left; 0 leaves HU as they are.
        equalised: how strongly contrast is equalised, see :func:`.equalisation.equalise`; 0 leaves it.
        white: HU that is white in an equalised picture.
    """

    pose: Tensor
    blur: Tensor
    noise: Tensor
    grain: Tensor
    gain: Tensor
    offset: Tensor
    low: Tensor
    high: Tensor
    steps: Tensor
    equalised: Tensor
    white: Tensor


def draw_variation(count: int, rng: np.random.Generator) -> Variation:
    """Draw the parameters of ``count`` slices.

    About half stay near clean CT; the rest see what 8-bit exports, windows, hard kernels, low dose and
    equalised pictures do to a slice.
    """
    angle = rng.normal(0, np.deg2rad(6), count)
    zoom = np.exp(rng.normal(0, 0.12, (count, 2)))
    mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    pose = np.zeros((count, 2, 3))
    pose[:, 0, 0] = np.cos(angle) * zoom[:, 0] * mirror
    pose[:, 0, 1] = -np.sin(angle) * zoom[:, 0]
    pose[:, 1, 0] = np.sin(angle) * zoom[:, 1] * mirror
    pose[:, 1, 1] = np.cos(angle) * zoom[:, 1]
    pose[:, :, 2] = rng.normal(0, 0.04, (count, 2))
    windowed = rng.random(count) < 0.35
    return Variation(
        pose=_tensor(pose),
        blur=_tensor(_sometimes(0.5, rng.uniform(-0.8, 1.2, count), rng)),
        noise=_tensor(_sometimes(0.5, rng.gamma(1.5, 22, count), rng)),
        grain=_tensor(rng.uniform(0.0, 1.0, count)),
        gain=_tensor(np.exp(_sometimes(0.6, rng.normal(0, 0.12, count), rng))),
        offset=_tensor(_sometimes(0.6, rng.normal(0, 35, count), rng)),
        low=_tensor(np.where(windowed, rng.uniform(-1350, -900, count), -3000)),
        high=_tensor(np.where(windowed, rng.uniform(-150, 300, count), 3000)),
        steps=_tensor(np.where(windowed & (rng.random(count) < 0.7), 256, 0)),
        equalised=_tensor(_sometimes(0.2, np.exp(rng.uniform(np.log(1.5), np.log(10), count)), rng)),
        white=_tensor(rng.uniform(200, 2000, count)),
    )


def rows_of(variation: Variation, rows: slice) -> Variation:
    """The parameters of some of the slices."""
    return Variation(**{name: value[rows] for name, value in vars(variation).items()})


def warp(variation: Variation, images: Tensor, *, fill: float, nearest: bool = False) -> Tensor:
    """Move (batch, channels, y, x) images by the drawn poses; ``fill`` comes in from outside."""
    grid = functional.affine_grid(variation.pose.to(images.device), list(images.shape), align_corners=False)
    mode = "nearest" if nearest else "bilinear"
    return functional.grid_sample(images - fill, grid, mode=mode, align_corners=False) + fill


def vary_intensity(
    variation: Variation, hu: Tensor, lungs: Tensor, seed: int, *, rows: slice = slice(None), count: int = 0
) -> Tensor:
    """Change HU (batch, channels, y, x) as the drawn scanner and file format would.

    Args:
        variation: drawn parameters.
        hu: slices with their neighbours.
        lungs: (batch, 1, y, x), 0 or 1.
        seed: of the noise.
        rows: which rows of the joint batch these are.
        count: rows of the joint batch; 0 means that these are all.
    """
    columns = {name: _column(value, hu) for name, value in vars(variation).items() if name != "pose"}
    blurred = _blur(hu, columns["blur"].abs().clamp_min(0.05).flatten())
    hu = torch.where(columns["blur"] >= 0, blurred, hu + (hu - blurred) * 0.8)
    draw = torch.Generator(hu.device).manual_seed(seed)
    noise = torch.randn((count or len(hu), *hu.shape[1:]), generator=draw, device=hu.device)[rows]
    noise = _blur(noise, columns["grain"].clamp_min(0.05).flatten())
    noise = noise / noise.std(dim=(2, 3), keepdim=True).clamp_min(1e-6)
    hu = hu + columns["noise"] * noise
    chosen = variation.equalised > 0
    if chosen.any():
        pictures = hu[chosen], lungs[chosen], variation.white[chosen], variation.equalised[chosen]
        hu[chosen] = equalised_hu(*(part.to(hu.device) for part in pictures))
    hu = (hu + 850) * columns["gain"] - 850 + columns["offset"]
    hu = hu.clamp(columns["low"], columns["high"])
    step = (columns["high"] - columns["low"]) / columns["steps"].clamp_min(1)
    return torch.where(
        columns["steps"] > 0, columns["low"] + torch.round((hu - columns["low"]) / step) * step, hu
    )


def vary_mask(
    lungs: Tensor, rng: np.random.Generator, *, rows: slice = slice(None), count: int = 0
) -> Tensor:
    """Move the border of some lung masks (batch, 1, y, x) by a pixel or two, as another lung mask would.

    ``rows`` and ``count`` are as in :func:`vary_intensity`.
    """
    larger = functional.max_pool2d(lungs, 3, 1, 1)
    smaller = -functional.max_pool2d(-lungs, 3, 1, 1)
    smallest = -functional.max_pool2d(-lungs, 5, 1, 2)
    choices = rng.choice(4, count or len(lungs), p=[0.55, 0.15, 0.2, 0.1])[rows]
    chosen = torch.from_numpy(choices).to(lungs.device)
    options = torch.stack([lungs, larger, smaller, smallest])
    return options[chosen, torch.arange(len(lungs), device=lungs.device)]


def _blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Gaussian blur with one standard deviation (in pixels) for each sample."""
    batch, channels, rows, columns = images.shape
    offsets = torch.arange(-_KERNEL, _KERNEL + 1, device=images.device)
    kernels = torch.exp(-0.5 * (offsets / sigmas[:, None]) ** 2)
    kernels = kernels / kernels.sum(1, keepdim=True)
    flat = images.transpose(0, 1)
    kernels = kernels[:, None]
    flat = functional.conv2d(flat, kernels[:, :, None], padding=(0, _KERNEL), groups=batch)
    flat = functional.conv2d(flat, kernels[..., None], padding=(_KERNEL, 0), groups=batch)
    return flat.transpose(0, 1).reshape(batch, channels, rows, columns)


def _sometimes(
    chance: float, values: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    return np.where(rng.random(len(values)) < chance, values, 0.0)


def _tensor(values: npt.NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device).view(-1, 1, 1, 1)
