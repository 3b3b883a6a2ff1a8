"""The 2D U-Net of the 2022 paper, in the form of BCDU-Net (Azad et al. 2019, arXiv 1909.00166)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .slice_network import SliceNetwork


class DenseLstmUNet(SliceNetwork):
    """A U-Net with densely connected bottleneck blocks and convolutional LSTMs that join the skips.

    With ``width`` 32 it has about 5 M parameters, as the paper's.

    Args:
        in_channels: slices (and lung mask) that go in.
        width: channels of the first level, doubled at each.
        projection: width of the contrastive embedding.
    """

    def __init__(self, *, in_channels: int = 1, width: int = 32, projection: int = 128) -> None:
        super().__init__(in_channels)
        levels = [width, 2 * width, 4 * width]
        deepest = 8 * width
        self.encoders = nn.ModuleList()
        channels = in_channels
        for level in levels:
            self.encoders.append(_two_convolutions(channels, level))
            channels = level
        self.dense1 = _two_convolutions(channels, deepest)
        self.dense2 = _two_convolutions(deepest, deepest)
        self.dense3 = _two_convolutions(2 * deepest, deepest)
        self.drop = nn.Dropout2d(0.5)
        self.ups = nn.ModuleList()
        self.joins = nn.ModuleList()
        self.decoders = nn.ModuleList()
        channels = deepest
        for level in reversed(levels):
            up = nn.ConvTranspose2d(channels, level, 2, stride=2)
            self.ups.append(nn.Sequential(up, nn.BatchNorm2d(level), nn.ReLU()))
            self.joins.append(_ConvLstm(level, level // 2))
            self.decoders.append(_two_convolutions(level // 2, level))
            channels = level
        # Leaky: a ReLU on two channels can die everywhere, and then nothing is ever learned.
        self.head = nn.Sequential(nn.Conv2d(width, 2, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(2, 1, 1))
        self.project = nn.Linear(deepest, projection)
        self.apply(_start)
        last = self.head[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        # Most of a lung is healthy. To learn this first would cost hundreds of steps, and the signal with it.
        nn.init.constant_(last.bias, -2.0)

    def forward_with_embedding(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`.SliceNetwork.forward_with_embedding`; sides are multiples of 8."""
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        first = self.drop(self.dense1(x))
        second = self.drop(self.dense2(first))
        x = self.drop(self.dense3(torch.cat([first, second], 1)))
        embedding = functional.normalize(self.project(x.mean(dim=(2, 3))), dim=1)
        for up, join, decoder, skip in zip(self.ups, self.joins, self.decoders, reversed(skips), strict=True):
            x = decoder(join([skip, up(x)]))
        return self.head(x), embedding


def _start(part: nn.Module) -> None:
    """He's initialisation, as in BCDU-Net: without norms, torch's own lets the signal die on the way down."""
    # Without memory there is nothing to draw, and torch would import its compiler to say so.
    if isinstance(part, nn.Conv2d) and not part.weight.is_meta:
        nn.init.kaiming_normal_(part.weight)
        if part.bias is not None:
            nn.init.zeros_(part.bias)


def _two_convolutions(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()
    )


class _ConvLstm(nn.Module):
    """A convolutional LSTM (Shi et al. 2015) run over a short list of maps; returns its last state."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates_of_input = nn.Conv2d(channels, 4 * hidden, 3, padding=1)
        self.gates_of_state = nn.Conv2d(hidden, 4 * hidden, 3, padding=1, bias=False)

    def forward(self, steps: list[Tensor]) -> Tensor:
        batch, _, rows, columns = steps[0].shape
        state = steps[0].new_zeros(batch, self.hidden, rows, columns)
        memory = torch.zeros_like(state)
        for x in steps:
            gates = self.gates_of_input(x) + self.gates_of_state(state)
            enter, forget, candidate, leave = gates.chunk(4, 1)
            memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(candidate)
            state = torch.sigmoid(leave) * torch.tanh(memory)
        return state
