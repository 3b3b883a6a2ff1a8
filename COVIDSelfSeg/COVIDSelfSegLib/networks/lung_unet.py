"""A small 3D U-Net (Cicek et al. 2016) that sees a whole chest at once, to tell dense lung from its walls.

Its flat form is a 2D U-Net: for pictures of a single slice, which have no chest around them.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (12, 24, 48, 96)
"""Channels of the levels, from fine to coarse."""
FLAT_WIDTHS = (*WIDTHS, 128)
"""The same of the flat form. Its pixels are finer: with a level more it sees the whole chest at once, too."""


class LungUNet(nn.Module):
    """Lung logits of a chest on a coarse grid; any size that is a multiple of :attr:`shrinkage`.

    Args:
        widths: channels of the levels, from fine to coarse; those of its form if left out.
        flat: see each slice by itself.
    """

    def __init__(self, *, widths: tuple[int, ...] | None = None, flat: bool = False) -> None:
        super().__init__()
        self.flat, self.widths = flat, widths or widths_of(flat=flat)
        widths = self.widths
        self.encoders = nn.ModuleList(_block(before, after, flat) for before, after in pairwise((1, *widths)))
        self.decoders = nn.ModuleList(
            _block(below + skip, skip, flat) for below, skip in pairwise(reversed(widths))
        )
        self.head = _convolution(flat)(widths[0], 1, 1)

    @property
    def shrinkage(self) -> int:
        """Input sides are multiples of this; in the flat form, those of a slice."""
        return 2 ** (len(self.widths) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Lung logits (batch, 1, z, y, x) of unit HU (batch, 1, z, y, x)."""
        if not self.flat:
            return self._run(x)
        logits = self._run(x.transpose(1, 2).flatten(0, 1))
        return logits.view(len(x), -1, 1, *x.shape[3:]).transpose(1, 2)

    def _run(self, x: Tensor) -> Tensor:
        shrink = functional.max_pool2d if self.flat else functional.max_pool3d
        skips = []
        for number, encoder in enumerate(self.encoders):
            x = encoder(x if number == 0 else shrink(x, 2))
            skips.append(x)
        skips.pop()
        for decoder in self.decoders:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = decoder(torch.cat([x, skips.pop()], 1))
        logits: Tensor = self.head(x)
        return logits


def widths_of(*, flat: bool) -> tuple[int, ...]:
    """Channels of the levels of either form, as it is trained now."""
    return FLAT_WIDTHS if flat else WIDTHS


def _convolution(flat: bool) -> type[nn.Conv2d] | type[nn.Conv3d]:
    return nn.Conv2d if flat else nn.Conv3d


def _block(before: int, after: int, flat: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        convolution = _convolution(flat)(channels, after, 3, padding=1, bias=False)
        layers += [convolution, nn.GroupNorm(4, after), nn.SiLU()]
    return nn.Sequential(*layers)
