"""Variety that scanners, hospitals and file formats bring, drawn per slice and applied on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from COVIDSelfSegLib.segmentation import MARKS
from torch import Tensor
from torch.nn import functional

from .pictures import equalised_hu, windowed_hu

_KERNEL = 4
"""Half-width of blur kernels in pixels."""
_EQUALISED, _WINDOWED = 0.2, 0.35
"""Share of slices that are equalised pictures, and share of the others that are windowed ones."""
_CLOSINGS = (5, 9, 13)
"""Half-widths in pixels."""
_MASK_CHANCES = (0.3, 0.1, 0.1, 0.1, 0.05, 0.1, 0.25)
"""Of a lung mask as it is, its border moved out by 1 and 3 pixels and in by 1 and 2, closed, with patches."""
_BESIDE, _PATCH, _PATCH_LEVELS = 24, 16, (0.0, 1.2)
"""Of tissue that a lung mask takes in: pixels from the lung, size of its patches, and how few they are."""


@dataclass(frozen=True)
class Variation:
    """Random parameters of a batch, one value a slice.

    Attributes:
        pose: (n, 2, 3) affine maps of the plane: a matrix that is a rotation in millimetres, and a shift in
            halves of the plane's sides.
        blur: standard deviation of a Gaussian in pixels; negative values sharpen.
        noise: standard deviation of the noise in HU.
        grain: correlation length of the noise in pixels.
        gain: stretches HU about -850.
        offset: added HU.
        marks: what the values then are; see :data:`COVIDSelfSegLib.segmentation.MARKS`.
        low: of a picture's window; see :func:`.pictures.windowed_hu`.
        high: likewise.
        steps: likewise.
        white: of an equalised picture; see :func:`.pictures.equalised_hu`.
        clip: likewise.
    """

    pose: Tensor
    blur: Tensor
    noise: Tensor
    grain: Tensor
    gain: Tensor
    offset: Tensor
    marks: Tensor
    low: Tensor
    high: Tensor
    steps: Tensor
    white: Tensor
    clip: Tensor


def draw_variation(count: int, rng: np.random.Generator) -> Variation:
    """Draw the parameters of ``count`` slices.

    Half stay CT, of hard and soft kernels and low dose, whose HU are good to some 20; the rest are pictures:
    windows that clip, mostly of 8 bits, or equalised contrast, mapped back to HU as well as that can be done.
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
    equalised = rng.random(count) < _EQUALISED
    windowed = (rng.random(count) < _WINDOWED) & ~equalised
    return Variation(
        pose=_tensor(pose),
        blur=_tensor(_sometimes(0.5, rng.uniform(-0.8, 1.2, count), rng)),
        noise=_tensor(_sometimes(0.5, rng.gamma(1.5, 22, count), rng)),
        grain=_tensor(rng.uniform(0.0, 1.0, count)),
        gain=_tensor(np.exp(_sometimes(0.7, rng.normal(0, 0.05, count), rng))),
        offset=_tensor(_sometimes(0.7, rng.normal(0, 20, count), rng)),
        marks=_tensor(np.select([equalised, windowed], [MARKS["equalised"], MARKS["picture"]], MARKS["hu"])),
        low=_tensor(rng.uniform(-1350, -950, count)),
        high=_tensor(rng.uniform(-150, 300, count)),
        steps=_tensor(np.where(rng.random(count) < 0.7, 256, 0)),
        white=_tensor(rng.uniform(200, 2000, count)),
        clip=_tensor(np.exp(rng.uniform(np.log(1.5), np.log(10), count))),
    )


def rows_of(variation: Variation, rows: slice) -> Variation:
    """The parameters of some of the slices."""
    return Variation(**{name: value[rows] for name, value in vars(variation).items()})


def warp(variation: Variation, images: Tensor, *, fill: float, nearest: bool = False) -> Tensor:
    """Move images (batch, channels, y, x) by the drawn poses; ``fill`` comes in from outside.

    Their pixels are square.
    """
    rows, columns = images.shape[2:]
    # affine_grid counts both sides from -1 to 1, so that on a plane that is no square a rotation would shear.
    sides = torch.tensor([[1.0, rows / columns, 1.0], [columns / rows, 1.0, 1.0]])
    pose = (variation.pose * sides).to(images.device)
    grid = functional.affine_grid(pose, list(images.shape), align_corners=False)
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
    names = ("blur", "noise", "grain", "gain", "offset")
    columns = {name: _column(getattr(variation, name), hu) for name in names}
    blurred = _blur(hu, columns["blur"].abs().clamp_min(0.05).flatten())
    hu = torch.where(columns["blur"] >= 0, blurred, hu + (hu - blurred) * 0.8)
    draw = torch.Generator(hu.device).manual_seed(seed)
    noise = torch.randn((count or len(hu), *hu.shape[1:]), generator=draw, device=hu.device)[rows]
    # Of white noise one edge goes on at the other, so that it is as strong there as within.
    noise = _blur(noise, columns["grain"].clamp_min(0.05).flatten(), beyond="circular")
    noise = noise / noise.std(dim=(2, 3), keepdim=True).clamp_min(1e-6)
    hu = hu + columns["noise"] * noise
    hu = _as_pictures(variation, hu, lungs)
    return (hu + 850) * columns["gain"] - 850 + columns["offset"]


def _as_pictures(variation: Variation, hu: Tensor, lungs: Tensor) -> Tensor:
    """Pass those slices that are to be pictures through a picture and back."""
    result = hu.clone()
    for mark, read_back, parameters in (
        (MARKS["equalised"], equalised_hu, (variation.white, variation.clip)),
        (MARKS["picture"], windowed_hu, (variation.low, variation.high, variation.steps)),
    ):
        chosen = torch.eq(variation.marks, mark)
        if chosen.any():
            drawn = (values[chosen].to(hu.device) for values in parameters)
            chosen = chosen.to(hu.device)
            result[chosen] = read_back(hu[chosen], lungs[chosen], *drawn)
    return result


def vary_mask(
    lungs: Tensor, rng: np.random.Generator, *, rows: slice = slice(None), count: int = 0
) -> Tensor:
    """Change some lung masks (batch, 1, y, x) as another method would have them.

    Some borders move by a pixel or two, or take in a rim of the chest wall. Others do as a method that keeps
    dense lung: closed, they hold the vessels of the hilum and what lies between the lungs; or they take in
    patches of what lies beside, as the aorta or a dome of the diaphragm. Healthy tissue is no lesion there.

    ``rows`` and ``count`` are as in :func:`vary_intensity`.
    """
    width = int(rng.choice(_CLOSINGS))
    count = count or len(lungs)
    patches = _draw_patches(lungs, rng, rows, count)
    choices = torch.from_numpy(rng.choice(7, count, p=_MASK_CHANCES)[rows]).to(lungs.device)
    kinds: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda masks: _dilated(masks, 1),
        lambda masks: _dilated(masks, 3),
        lambda masks: -_dilated(-masks, 1),
        lambda masks: -_dilated(-masks, 2),
        lambda masks: _closed(masks, width),
    )
    result = lungs.clone()
    for number, varied in enumerate(kinds, start=1):
        chosen = choices == number
        if chosen.any():
            result[chosen] = varied(lungs[chosen])
    chosen = choices == len(kinds) + 1
    if chosen.any():
        beside = patches[chosen] & (_dilated(lungs[chosen], _BESIDE) > 0)
        result[chosen] = torch.maximum(lungs[chosen], beside.to(lungs.dtype))
    return result


def _closed(masks: Tensor, width: int) -> Tensor:
    wider = functional.pad(masks, [2 * width] * 4)  # a closing must not stick to the edge of the image
    closed = -_dilated(-_dilated(wider, width), width)
    return closed[:, :, 2 * width : -2 * width, 2 * width : -2 * width]


def _draw_patches(lungs: Tensor, rng: np.random.Generator, rows: slice, count: int) -> Tensor:
    """Patches on a plane as large as that of the lung masks; rows of a joint batch of ``count``."""
    lines, columns = lungs.shape[2:]
    cells = rng.standard_normal((count, 1, lines // _PATCH + 2, columns // _PATCH + 2))[rows]
    levels = rng.uniform(*_PATCH_LEVELS, count)[rows]
    field = functional.interpolate(_tensor(cells).to(lungs.device), (lines, columns), mode="bicubic")
    return field > _column(_tensor(levels), lungs)


def _dilated(masks: Tensor, width: int) -> Tensor:
    """Maximum over a square of ``width`` pixels to each side."""
    along = functional.max_pool2d(masks, (2 * width + 1, 1), 1, (width, 0))
    return functional.max_pool2d(along, (1, 2 * width + 1), 1, (0, width))


def _blur(images: Tensor, sigmas: Tensor, beyond: str = "replicate") -> Tensor:
    """Gaussian blur with one standard deviation (in pixels) for each sample.

    ``beyond`` is what lies beyond the edge, as :func:`torch.nn.functional.pad` calls it. Zeros would be
    tissue: a bright line along every lung that the plane cuts off.
    """
    batch, channels, rows, columns = images.shape
    offsets = torch.arange(-_KERNEL, _KERNEL + 1, device=images.device)
    kernels = torch.exp(-0.5 * (offsets / sigmas[:, None]) ** 2)
    kernels = kernels / kernels.sum(1, keepdim=True)
    flat = images.transpose(0, 1)
    kernels = kernels[:, None]
    flat = functional.pad(flat, [_KERNEL] * 4, mode=beyond)
    flat = functional.conv2d(flat, kernels[:, :, None], groups=batch)
    flat = functional.conv2d(flat, kernels[..., None], groups=batch)
    return flat.transpose(0, 1).reshape(batch, channels, rows, columns)


def _sometimes(
    chance: float, values: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    return np.where(rng.random(len(values)) < chance, values, 0.0)


def _tensor(values: npt.NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device).view(-1, 1, 1, 1)
