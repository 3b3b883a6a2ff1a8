"""What all 2D networks have in common."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


def every(stride: int, x: Tensor) -> Tensor:
    """Every ``stride``-th row and column of (batch, channels, y, x).

    A 1 x 1 convolution of it is one with that stride. That one's backward pass in bfloat16 writes beyond its
    memory for few channels, where the CPU has AVX512-BF16 and no AMX (seen with torch 2.13).
    """
    return x if stride == 1 else x[:, :, ::stride, ::stride]


class SliceNetwork(nn.Module):
    """A 2D network that finds lesions in slices and embeds them for the contrastive loss.

    Args:
        in_channels: 4 are the slice, its two neighbours and the lung mask; 1 is the slice alone.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Lesion logits (batch, 1, y, x) of slices (batch, in_channels, y, x)."""
        return self.forward_with_embedding(x)[0]

    @abstractmethod
    def forward_with_embedding(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Lesion logits and the unit-length embedding (batch, projection) for the contrastive loss.

        One encoder serves both, so that the contrastive loss shapes what the segmentation uses.
        """
