"""Slices as pictures with equalised contrast show them, mapped back to approximate HU.

Collections of pictures often pass each slice through contrast-limited adaptive histogram equalisation (CLAHE;
Zuiderveld 1994). It lifts the noise of the lung to the contrast of its lesions, which a network must have
seen. The map back is the one that readers of such pictures use: dark lung and soft tissue go where they
belong; see :func:`.annotated_slices.approximate_hu`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

DARK_LUNG_HU, TISSUE_HU = -880.0, 40.0
DARK_SHARE = 0.08
"""Share of the lung that is darker than ``DARK_LUNG_HU``."""
_TILES = (6, 8)
_LEVELS = 128
_ROUNDS = 6
_SMOOTHING = 5


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
    anchored = [
        _anchored(picture, before, inside > 0)
        for picture, before, inside in zip(pictures, hu, lungs[:, 0], strict=True)
    ]
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


def _anchored(pictures: Tensor, hu: Tensor, lungs: Tensor) -> Tensor:
    """Send the dark lung and the soft tissue of (channels, y, x) pictures to their HU."""
    if not lungs.any():
        return hu
    # Of a smoothed copy, as the reader of noisy pictures does: else it would be a percentile of the noise.
    smooth = functional.avg_pool2d(pictures[None], _SMOOTHING, 1, _SMOOTHING // 2)[0]
    dark = torch.quantile(smooth[:, lungs], DARK_SHARE, dim=1).view(-1, 1, 1)
    soft = (hu > -50) & (hu < 150)
    tissue = (pictures * soft).sum((1, 2)) / soft.sum((1, 2)).clamp_min(1)
    tissue = torch.where(soft.sum((1, 2)) > 0, tissue, 1.0).view(-1, 1, 1)
    scale = (TISSUE_HU - DARK_LUNG_HU) / (tissue - dark).clamp_min(0.05)
    return DARK_LUNG_HU + (pictures - dark) * scale
