"""The full TransUNet R50-ViT-B/16 (Chen et al. 2021, arXiv 2102.04306, figure 1): 105 M parameters.

Without weights pretrained on ImageNet-21k, which are not shipped and not fetched, it learns little from a
small cohort; :class:`~.transunet.CompactTransUNet` is the form to train from scratch. It is here so that the
published architecture can be compared.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .slice_network import SliceNetwork, every


class R50VitTransUNet(SliceNetwork):
    """A ResNet-50 (group norm, standardised weights) to 1/16, a ViT-B on that grid, a cascaded upsampler.

    Args:
        in_channels: neighbouring slices and the lung mask.
        width: channels of the stem; 64 is the published form, everything follows it.
        units: residual units of the three stages.
        blocks: transformer blocks.
        heads: attention heads.
        position_grid: grid (rows, columns) of the position table; interpolated to any other.
        projection: width of the contrastive embedding.
    """

    def __init__(
        self,
        *,
        in_channels: int = 4,
        width: int = 64,
        units: tuple[int, int, int] = (3, 4, 9),
        blocks: int = 12,
        heads: int = 12,
        position_grid: tuple[int, int] = (14, 14),
        projection: int = 128,
    ) -> None:
        super().__init__(in_channels)
        stages = [4 * width, 8 * width, 16 * width]
        self.stem = _StandardConv(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.stem_norm = _norm(width)
        self.stages = nn.ModuleList()
        channels = width
        for number, (stage, count) in enumerate(zip(stages, units, strict=True)):
            self.stages.append(_stage(channels, stage, count, stride=1 if number == 0 else 2))
            channels = stage
        hidden = 12 * width
        self.embed = nn.Conv2d(channels, hidden, 1)
        self.positions = nn.Parameter(torch.zeros(1, hidden, *position_grid))
        layer = nn.TransformerEncoderLayer(
            hidden, heads, 4 * hidden, 0.1, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, blocks, nn.LayerNorm(hidden), enable_nested_tensor=False)
        # Cloned layers would all start from the same weights.
        for part in self.blocks.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
            elif isinstance(part, nn.MultiheadAttention) and part.in_proj_weight is not None:
                nn.init.xavier_uniform_(part.in_proj_weight)
        self.more = _conv_norm(hidden, 8 * width)
        below = [8 * width, 4 * width, 2 * width, width]
        after = [4 * width, 2 * width, width, width // 4]
        skips = [8 * width, 4 * width, width, 0]
        self.ups = nn.ModuleList(
            nn.Sequential(_conv_norm(b + s, a), _conv_norm(a, a))
            for b, s, a in zip(below, skips, after, strict=True)
        )
        self.head = nn.Conv2d(after[-1], 1, 3, padding=1)
        self.project = nn.Linear(hidden, projection)

    def forward_with_embedding(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`.SliceNetwork.forward_with_embedding`; sides are multiples of 16."""
        x = functional.relu(self.stem_norm(self.stem(x)))
        skips = [x]
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        skips.pop()
        x = self.embed(x)
        grid = x.shape[2:]
        positions = functional.interpolate(self.positions, size=grid, mode="bilinear", align_corners=False)
        tokens = self.blocks((x + positions).flatten(2).transpose(1, 2))
        embedding = functional.normalize(self.project(tokens.mean(1)), dim=1)
        x = self.more(tokens.transpose(1, 2).unflatten(2, grid))
        for up, skip in zip(self.ups, [*reversed(skips), None], strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = up(x if skip is None else torch.cat([x, skip], 1))
        return self.head(x), embedding


class _StandardConv(nn.Conv2d):
    """A convolution whose filters have zero mean and unit variance (Qiao et al. 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
        weight = (self.weight - mean) / (variance + 1e-5).sqrt()
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


class _Unit(nn.Module):
    """A bottleneck residual unit: 1x1, 3x3, 1x1."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        middle = after // 4
        self.body = nn.Sequential(
            _StandardConv(before, middle, 1, bias=False),
            _norm(middle),
            nn.ReLU(),
            _StandardConv(middle, middle, 3, stride=stride, padding=1, bias=False),
            _norm(middle),
            nn.ReLU(),
            _StandardConv(middle, after, 1, bias=False),
            _norm(after),
        )
        self.stride = stride
        self.shortcut = (
            nn.Identity()
            if before == after and stride == 1
            else nn.Sequential(_StandardConv(before, after, 1, bias=False), nn.GroupNorm(after, after))
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.shortcut(every(self.stride, x)) + self.body(x))


def _stage(before: int, after: int, units: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(_Unit(before, after, stride), *(_Unit(after, after, 1) for _ in range(units - 1)))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(32, channels // 2), channels, eps=1e-6)


def _conv_norm(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
