"""Slices as 8-bit pictures show them, mapped back to approximate HU.

A picture is a window of the HU, and collections of pictures often pass each slice through contrast-limited
adaptive histogram equalisation too (CLAHE; Zuiderveld 1994), which lifts the noise of the lung to the
contrast of its lesions. The map back is the one that the reader of such pictures uses: dark lung and soft
tissue go where they belong; see :func:`.evaluation.annotated_slices.approximate_hu`. It errs where the
darkest lung is diseased and where the window ends below soft tissue, and what a network is trained on must
err likewise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

DARK_LUNG_HU, TISSUE_HU = -880.0, 40.0
DARK_SHARE = 0.08
"""Share of the lung that is darker than ``DARK_LUNG_HU``."""
_AERATED_HU = -400.0
"""Below it the reader, who parts dark from bright, looks for dark lung."""
_SOFT_HU = (-50.0, 150.0)
_TILES = (6, 8)
_LEVELS = 128
_ROUNDS = 6
_SMOOTHING = 5


def windowed_hu(hu: Tensor, lungs: Tensor, low: Tensor, high: Tensor, steps: Tensor) -> Tensor:
    """HU as read back from pictures of a window.

    Args:
        hu: (batch, channels, y, x); each channel is a picture of its own.
        lungs: (batch, 1, y, x), 0 or 1; says where dark lung is.
        low: (batch,) HU that is black.
        high: (batch,) HU that is white.
        steps: (batch,) number of gray levels; 0 keeps them continuous.

    Returns:
        Approximate HU, of the shape of ``hu``.
    """
    low, high, steps = (values.view(-1, 1, 1, 1) for values in (low, high, steps))
    gray = ((hu - low) / (high - low)).clamp(0, 1)
    gray = torch.where(steps > 0, torch.round(gray * (steps - 1)) / (steps - 1).clamp_min(1), gray)
    dark = (lungs > 0) & (hu < _AERATED_HU)
    anchored = [_anchored(*one, smoothing=1) for one in zip(gray, hu, dark, strict=True)]
    return torch.stack(anchored)


def equalised_hu(hu: Tensor, lungs: Tensor, brightest: Tensor, clip: Tensor) -> Tensor:
    """HU as read back from equalised 8-bit pictures.

    Args:
        hu: (batch, channels, y, x); each channel is a picture of its own.
        lungs: (batch, 1, y, x), 0 or 1; says where dark lung is.
        brightest: (batch,) HU that becomes white.
        clip: (batch,) how often as frequent as the mean a gray level may count.

    Returns:
        Approximate HU, of the shape of ``hu``.
    """
    darkest = hu.amin(dim=(2, 3), keepdim=True).clamp(-1200, -900)
    white = brightest.view(-1, 1, 1, 1)
    gray = torch.round(((hu - darkest) / (white - darkest)).clamp(0, 1) * 255) / 255
    pictures = equalise(gray.flatten(0, 1), clip.repeat_interleave(hu.shape[1])).view_as(gray)
    # Dark lung is that of a smoothed copy, as the reader of noisy pictures has it: else it would be a
    # percentile of the noise.
    dark = (lungs > 0).expand_as(hu)
    anchored = [_anchored(*one, smoothing=_SMOOTHING) for one in zip(pictures, hu, dark, strict=True)]
    return torch.stack(anchored)


def equalise(pictures: Tensor, clip: Tensor) -> Tensor:
    """Contrast-limited adaptive histogram equalisation of (batch, y, x) pictures, 0 .. 1.

    Each tile's gray levels are spread by the sum of its histogram, whose peaks are cut at ``clip`` times the
    mean and shared out; between the centres of tiles the maps are interpolated.

    Args:
        pictures: gray values 0 .. 1.
        clip: (batch,) 1 leaves the contrast as it is; infinity equalises fully.
    """
    batch, rows, columns = pictures.shape
    down, across = _TILES
    level = (pictures * _LEVELS).long().clamp(0, _LEVELS - 1)
    # Tiles of equal size: the nearest tile of each pixel.
    tile_row = torch.arange(rows, device=pictures.device) * down // rows
    tile_column = torch.arange(columns, device=pictures.device) * across // columns
    tile = (tile_row[:, None] * across + tile_column).expand(batch, -1, -1)
    counts = pictures.new_zeros(batch, down * across * _LEVELS)
    counts.scatter_add_(1, (tile * _LEVELS + level).flatten(1), torch.ones_like(pictures).flatten(1))
    counts = counts.view(batch, down * across, _LEVELS)
    share = counts / counts.sum(2, keepdim=True).clamp_min(1)
    limit = clip.view(-1, 1, 1) / _LEVELS
    for _ in range(_ROUNDS):  # what is cut off is shared out, and may again rise above the limit
        share = torch.minimum(share, limit)
        share = share + (1 - share.sum(2, keepdim=True)) / _LEVELS
    maps = share.cumsum(2).flatten(1)

    low_row, high_row, weight_row = _between_tiles(rows, down, pictures.device)
    low_column, high_column, weight_column = _between_tiles(columns, across, pictures.device)
    result = torch.zeros_like(pictures)
    for row, row_weight in ((low_row, 1 - weight_row), (high_row, weight_row)):
        for column, column_weight in ((low_column, 1 - weight_column), (high_column, weight_column)):
            place = (row[:, None] * across + column) * _LEVELS + level
            mapped = maps.gather(1, place.flatten(1)).view_as(pictures)
            result += row_weight[:, None] * column_weight * mapped
    return result


def _between_tiles(points: int, tiles: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The tiles whose centres lie on both sides of each point, and the weight of the second one."""
    place = ((torch.arange(points, device=device) + 0.5) * tiles / points - 0.5).clamp(0, tiles - 1)
    low = place.floor().long()
    return low, (low + 1).clamp_max(tiles - 1), place - low


def _anchored(pictures: Tensor, hu: Tensor, dark: Tensor, *, smoothing: int) -> Tensor:
    """Send the dark lung and the soft tissue of (channels, y, x) pictures to their HU.

    Args:
        pictures: gray values.
        hu: what they show.
        dark: where dark lung may be.
        smoothing: side, in pixels, of the mean in which it is looked up.
    """
    smooth = functional.avg_pool2d(pictures[None], smoothing, 1, smoothing // 2)[0]
    mapped = []
    for picture, seen, before, inside in zip(pictures, smooth, hu, dark, strict=True):
        if not inside.any():
            mapped.append(before)
            continue
        lung = torch.quantile(seen[inside], DARK_SHARE)
        soft = (before > _SOFT_HU[0]) & (before < _SOFT_HU[1])
        tissue = picture[soft].mean() if soft.any() else picture.new_ones(())
        scale = (TISSUE_HU - DARK_LUNG_HU) / (tissue - lung).clamp_min(0.05)
        mapped.append(DARK_LUNG_HU + (picture - lung) * scale)
    return torch.stack(mapped)
