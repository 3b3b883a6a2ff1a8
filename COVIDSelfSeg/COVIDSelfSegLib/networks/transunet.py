"""A compact TransUNet (after Chen et al. 2021, arXiv 2102.04306): convolutions, a small ViT, skips."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .slice_network import SliceNetwork, every


class CompactTransUNet(SliceNetwork):
    """Residual stages to 1/16, a ViT on that grid, an upsampler with a skip at every finer level.

    Differs from the full R50-ViT-B/16 (105 M parameters, useless without pretrained weights) in size and
    in what lets it learn from scratch: GroupNorm, pre-norm blocks whose last projections start at zero (so
    that it starts as a U-Net), and a position table that is interpolated to any grid.

    Args:
        in_channels: neighbouring slices and the lung mask.
        width: channels of the first stage at half resolution; the stages have 1, 2, 4, 8 times that.
        blocks: transformer blocks.
        heads: attention heads.
        mlp: hidden width of a transformer block's perceptron.
        position_grid: grid (rows, columns) of the position table, in tokens.
        projection: width of the contrastive embedding.
    """

    def __init__(
        self,
        *,
        in_channels: int = 4,
        width: int = 32,
        blocks: int = 6,
        heads: int = 8,
        mlp: int = 512,
        position_grid: tuple[int, int] = (12, 16),
        projection: int = 128,
    ) -> None:
        super().__init__(in_channels)
        stages = [width // 2, width, 2 * width, 4 * width, 8 * width]
        self.stem = nn.Conv2d(in_channels, stages[0], 3, padding=1)
        self.stages = nn.ModuleList(_ResidualStage(before, after) for before, after in pairwise(stages))
        deepest = stages[-1]
        self.positions = nn.Parameter(torch.zeros(1, deepest, *position_grid))
        self.blocks = nn.ModuleList(_TransformerBlock(deepest, heads, mlp) for _ in range(blocks))
        self.norm = nn.LayerNorm(deepest)
        self.ups = nn.ModuleList(_UpStage(below, skip, skip) for below, skip in pairwise(reversed(stages)))
        self.head = nn.Conv2d(stages[0], 1, 1)
        self.project = nn.Linear(deepest, projection)

    def forward_with_embedding(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`.SliceNetwork.forward_with_embedding`; sides are multiples of 16."""
        x = self.stem(x)
        skips = []
        for stage in self.stages:
            skips.append(x)
            x = stage(x)
        x = self._attend(x)
        embedding = functional.normalize(self.project(x.mean(dim=(2, 3))), dim=1)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = up(x, skip)
        return self.head(x), embedding

    def _attend(self, x: Tensor) -> Tensor:
        """Run the transformer on the deepest grid."""
        grid = x.shape[2:]
        positions = functional.interpolate(self.positions, size=grid, mode="bilinear", align_corners=False)
        tokens = (x + positions).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return (
            self.norm(tokens).transpose(1, 2).unflatten(2, grid).contiguous(memory_format=torch.channels_last)
        )


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(8, channels // 2), channels)


class _ResidualStage(nn.Module):
    """Two pre-activated residual blocks; the first halves the grid."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_ResidualBlock(before, after, stride=2), _ResidualBlock(after, after))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class _ResidualBlock(nn.Module):
    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.norm1 = _norm(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm2 = _norm(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.stride = stride
        self.shortcut = (
            nn.Identity() if before == after and stride == 1 else nn.Conv2d(before, after, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        activated = functional.silu(self.norm1(x))
        kept = x if isinstance(self.shortcut, nn.Identity) else self.shortcut(every(self.stride, activated))
        return kept + self.conv2(functional.silu(self.norm2(self.conv1(activated))))


class _UpStage(nn.Module):
    """Double the grid, join the skip, convolve twice."""

    def __init__(self, below: int, skip: int, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(below, width, 1, bias=False)
        self.conv1 = nn.Conv2d(width + skip, width, 3, padding=1, bias=False)
        self.norm1 = _norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = _norm(width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = functional.interpolate(self.reduce(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        x = functional.silu(self.norm1(self.conv1(torch.cat([x, skip], 1))))
        return functional.silu(self.norm2(self.conv2(x)))


class _TransformerBlock(nn.Module):
    """Pre-norm attention and perceptron; both last projections start at zero."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.from_attention = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, mlp)
        self.narrow = nn.Linear(mlp, width)
        for last in (self.from_attention, self.narrow):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        qkv = self.to_qkv(self.norm1(tokens)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.from_attention(attended.transpose(1, 2).reshape(batch, count, width))
        return tokens + self.narrow(functional.gelu(self.widen(self.norm2(tokens))))
