"""A generator with nested skips (UNet++, Zhou et al. 2018, arXiv 1807.10165), as the papers name theirs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .generator import Encoded, Healthy, NoisyBottleneck, VolumeGenerator, act


class NestedGenerator(VolumeGenerator):
    """A 3D UNet++ with the reference generator's widths, latent block and head.

    Node (i, j) sees all earlier nodes of its level and the node below: X(i, j) = H([X(i, 0 .. j-1),
    up(X(i+1, j-1))]) (equation 1 of UNet++). The papers call their generator so; what they release is the
    dense U-Net of :class:`~.generator.Generator`.

    Args:
        base_width: width of the first level.
        lung_channel: see :class:`~.generator.VolumeGenerator`.
        composite: likewise.
    """

    def __init__(self, *, base_width: int = 8, lung_channel: bool = False, composite: bool = False) -> None:
        super().__init__(lung_channel=lung_channel, composite=composite)
        widths = [base_width * 2**level for level in range(4)]
        self.encoders = nn.ModuleList()
        channels = 2 if lung_channel else 1
        for width in widths:
            self.encoders.append(_Pair(channels, width))
            channels = width
        self.bottleneck = NoisyBottleneck(channels, 16 * base_width)
        below = [*widths[1:], widths[-1] + 16 * base_width]
        self.ups = nn.ModuleDict()
        self.nodes = nn.ModuleDict()
        for column in range(1, 5):
            for level in range(5 - column):
                width = widths[level]
                self.ups[f"{level}-{column}"] = nn.ConvTranspose3d(below[level], width, 2, stride=2)
                self.nodes[f"{level}-{column}"] = _Pair(width * (column + 1), width)
        self.head = self._make_head(widths[0])

    def encode(self, x: Tensor) -> Encoded:
        """See :meth:`~.generator.VolumeGenerator.encode`."""
        volume = x[:, :1]
        levels = []
        for encoder in self.encoders:
            x = encoder(x)
            levels.append(x)
            x = functional.max_pool3d(x, 2)
        return Encoded(volume, levels, x)

    def decode(self, seen: Encoded, latent: Tensor) -> Healthy:
        """See :meth:`~.generator.VolumeGenerator.decode`."""
        rows = [[level] for level in [*seen.levels, self.bottleneck(seen.deepest, latent)]]
        for column in range(1, 5):
            for level in range(5 - column):
                up = self.ups[f"{level}-{column}"](rows[level + 1][column - 1])
                rows[level].append(self.nodes[f"{level}-{column}"](torch.cat([*rows[level], up], 1)))
        return self._healthy(rows[0][-1], seen.volume)


class _Pair(nn.Module):
    """Two convolutions."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, width, 3, padding=1)
        self.second = nn.Conv3d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return act(self.second(act(self.first(x))))
