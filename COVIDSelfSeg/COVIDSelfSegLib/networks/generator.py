"""The 3D generator: a lung volume in, its pseudo-healthy twin out (2022 paper, section 2.2, figure 1)."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

LATENT_CHANNELS = 10
SHRINKAGE = 16
"""Grid points of the input along an axis for one of the bottleneck; input sides are multiples of it."""


class Healthy(NamedTuple):
    """What the generator makes of a volume; both (batch, 1, z, y, x).

    Attributes:
        volume: pseudo-healthy volume in unit HU (0 .. 1, rarely above).
        share: how much of each voxel was painted anew, 0 .. 1; all one without ``composite``.
    """

    volume: Tensor
    share: Tensor


class Encoded(NamedTuple):
    """What a generator's encoder sees in a volume; no latent block is in it, so several may share it.

    Attributes:
        volume: the volume itself (batch, 1, z, y, x), unit HU.
        levels: features that the decoder joins, each (batch, channels, z, y, x), the grid halved from one to
            the next.
        deepest: what goes into the bottleneck, on a grid halved once more.
    """

    volume: Tensor
    levels: list[Tensor]
    deepest: Tensor


class VolumeGenerator(nn.Module):
    """What the generators have in common: what goes in, and what their last layer makes of it.

    Args:
        lung_channel: also take the lung mask in; outside the lung is not the same as air in it.
        composite: also predict a soft mask S and return S * G(x) + (1 - S) * x, so that healthy tissue is
            copied instead of painted anew (the idea of GASNet, Xu et al. 2021).
    """

    head: nn.Conv3d

    def __init__(self, *, lung_channel: bool, composite: bool) -> None:
        super().__init__()
        self.lung_channel = lung_channel
        self.composite = composite

    def forward(self, x: Tensor, latent: Tensor) -> Healthy:
        """Paint a volume healthy.

        Args:
            x: (batch, 1 or 2, z, y, x): unit HU, zero outside the lung, then the lung mask if it takes
                one. Sides are multiples of 16.
            latent: (batch, 10, z / 16, y / 16, x / 16), uniform in [-0.5, 0.5]; see :func:`draw_latent`.
        """
        return self.decode(self.encode(x), latent)

    @abstractmethod
    def encode(self, x: Tensor) -> Encoded:
        """All of :meth:`forward` that no latent block takes part in."""

    @abstractmethod
    def decode(self, seen: Encoded, latent: Tensor) -> Healthy:
        """The rest of it; ``latent`` as in :meth:`forward`."""

    def _make_head(self, channels: int) -> nn.Conv3d:
        head = nn.Conv3d(channels, 2 if self.composite else 1, 1)
        assert head.bias is not None
        # Start by painting what healthy lung is like: 0.1, as sigmoid(-2.2), is -860 HU; and by copying most.
        # The plain head ends in a ReLU, which could otherwise be dead everywhere from the first step on.
        with torch.no_grad():
            head.bias.copy_(torch.tensor([-2.2, -1.5] if self.composite else [0.1]))
        return head

    def _healthy(self, features: Tensor, volume: Tensor) -> Healthy:
        painted = self.head(features)
        if not self.composite:
            return Healthy(functional.relu(painted), torch.ones_like(volume))
        share = torch.sigmoid(painted[:, 1:])
        # A ReLU that is dead at first would teach the share to copy everything for ever.
        fresh = torch.sigmoid(painted[:, :1])
        return Healthy(share * fresh + (1 - share) * volume, share)


class Generator(VolumeGenerator):
    """A dense 3D U-Net with a random latent block at its bottleneck.

    Every channel count follows ``base_width``; with 8 and neither option it is the paper's network with
    7,861,643 parameters.

    Args:
        base_width: width of the first level.
        lung_channel: see :class:`VolumeGenerator`.
        composite: likewise.
    """

    def __init__(self, *, base_width: int = 8, lung_channel: bool = False, composite: bool = False) -> None:
        super().__init__(lung_channel=lung_channel, composite=composite)
        widths = [base_width * 2**level for level in range(4)]
        self.encoders = nn.ModuleList()
        channels = 2 if lung_channel else 1
        for width in widths:
            self.encoders.append(_DensePair(channels, width))
            channels += width
        self.bottleneck = NoisyBottleneck(channels, 16 * base_width)
        self.ups = nn.ModuleList()
        self.decoders = nn.ModuleList()
        # Level 4 hands over all it has, the finer levels their second convolution alone.
        skips = [*widths[:3], channels]
        channels += 16 * base_width
        for width, skip in zip(reversed(widths), reversed(skips), strict=True):
            self.ups.append(nn.ConvTranspose3d(channels, 4 * width, 2, stride=2))
            self.decoders.append(_DensePair(4 * width + skip, width))
            channels = 5 * width + skip
        self.head = self._make_head(channels)

    def encode(self, x: Tensor) -> Encoded:
        """See :meth:`VolumeGenerator.encode`."""
        volume = x[:, :1]
        levels = []
        for encoder in self.encoders:
            x, second = encoder(x)
            levels.append(second)
            whole = x
            x = functional.max_pool3d(x, 2)
        levels[-1] = whole
        return Encoded(volume, levels, x)

    def decode(self, seen: Encoded, latent: Tensor) -> Healthy:
        """See :meth:`VolumeGenerator.decode`."""
        x = self.bottleneck(seen.deepest, latent)
        for up, decoder, skip in zip(self.ups, self.decoders, reversed(seen.levels), strict=True):
            x, _ = decoder(torch.cat([up(x), skip], 1))
        return self._healthy(x, seen.volume)


def draw_latent(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw the latent block for a batch of volumes, uniform in [-0.5, 0.5], on their device.

    The numbers are drawn on the generator's own device, so a CPU generator gives the same ones everywhere.
    """
    shape = (x.shape[0], LATENT_CHANNELS, *(side // SHRINKAGE for side in x.shape[2:]))
    device = generator.device if generator is not None else x.device
    return (torch.rand(shape, generator=generator, device=device) - 0.5).to(x)


def act(x: Tensor) -> Tensor:
    """The activation of every convolution."""
    return functional.leaky_relu(x, 0.3)


class _DensePair(nn.Module):
    """Two convolutions, the second of which sees the input again; returns [x, b] and b."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, width, 3, padding=1)
        self.second = nn.Conv3d(channels + width, width, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a = act(self.first(x))
        b = act(self.second(torch.cat([x, a], 1)))
        return torch.cat([x, b], 1), b


class NoisyBottleneck(nn.Module):
    """A dense pair whose middle takes in the latent block through kernels of 1, 3 and 5, added to it."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        middle = channels + width
        third = middle // 3
        self.first = nn.Conv3d(channels, width, 3, padding=1)
        self.mixers = nn.ModuleList(
            nn.Conv3d(middle + LATENT_CHANNELS, filters, kernel, padding=kernel // 2)
            for filters, kernel in ((middle - 2 * third, 1), (third, 3), (third, 5))
        )
        self.second = nn.Conv3d(middle, width, 3, padding=1)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """Features and latent block (batch, channels, z, y, x) to [x, b]."""
        h = torch.cat([x, act(self.first(x))], 1)
        mixed = torch.cat([h, latent], 1)
        h = h + torch.cat([act(mixer(mixed)) for mixer in self.mixers], 1)
        return torch.cat([x, act(self.second(h))], 1)
