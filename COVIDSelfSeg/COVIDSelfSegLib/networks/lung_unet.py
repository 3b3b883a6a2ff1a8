"""A small 3D U-Net (Cicek et al. 2016) that sees a whole chest at once, to tell dense lung from its walls."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

SHRINKAGE = 8
"""Input sides are multiples of this."""
WIDTHS = (12, 24, 48, 96)
"""Channels of the levels, from fine to coarse."""


class LungUNet(nn.Module):
    """Lung logits of a chest on a coarse grid; any size that is a multiple of :data:`SHRINKAGE`.

    Args:
        widths: channels of the levels, from fine to coarse.
    """

    def __init__(self, *, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(_block(before, after) for before, after in pairwise((1, *widths)))
        self.decoders = nn.ModuleList(
            _block(below + skip, skip) for below, skip in pairwise(reversed(widths))
        )
        self.head = nn.Conv3d(widths[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Lung logits (batch, 1, z, y, x) of unit HU (batch, 1, z, y, x)."""
        skips = []
        for number, encoder in enumerate(self.encoders):
            x = encoder(x if number == 0 else functional.max_pool3d(x, 2))
            skips.append(x)
        skips.pop()
        for decoder in self.decoders:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = decoder(torch.cat([x, skips.pop()], 1))
        logits: Tensor = self.head(x)
        return logits


def _block(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv3d(channels, after, 3, padding=1, bias=False), nn.GroupNorm(4, after), nn.SiLU()]
    return nn.Sequential(*layers)
