"""The 3D discriminator: tells really healthy lung volumes from painted ones (2022 paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

Form = Literal["text", "reference", "patch"]


class Discriminator(nn.Module):
    """Strided convolutions, a lung-masked average, four dense layers and one logit.

    Args:
        form: ``text`` has five convolutions and four dense layers, as the paper says; ``reference`` three
            convolutions, as the authors' released code effectively has; ``patch`` has no global pool and
            judges every place by itself, since lesions are local.
        base_width: width of the first convolution, doubled at each.
        dropout: of the dense layers' outputs; 0.5 in the released code. ``patch`` has none.
    """

    def __init__(self, form: Form = "text", *, base_width: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        self.form = form
        depth = {"text": 5, "reference": 3, "patch": 4}[form]
        widths = [1, *(base_width * 2**level for level in range(depth))]
        self.convolutions = nn.ModuleList(
            _normed(nn.Conv3d(before, after, 3, stride=2, padding=1)) for before, after in pairwise(widths)
        )
        if form == "patch":
            self.judge: nn.Module = _normed(nn.Conv3d(widths[-1], 1, 1))
        else:
            layers: list[nn.Module] = []
            dense = [widths[-1], 32, 16, 8]
            for before, after in pairwise(dense):
                layers += [_normed(nn.Linear(before, after)), nn.LeakyReLU(0.2)]
                if dropout:
                    layers.append(nn.Dropout(dropout))
            self.judge = nn.Sequential(*layers, _normed(nn.Linear(8, 1)))

    def forward(self, volume: Tensor, lungs: Tensor) -> Tensor:
        """Judge volumes.

        Args:
            volume: (batch, 1, z, y, x) in unit HU, zero outside the lung.
            lungs: (batch, 1, z, y, x), 1 inside the lung.

        Returns:
            Logits, high for healthy: (batch, 1), or (batch, 1, z', y', x') for ``patch``, where places
            without lung are exactly zero.
        """
        x = volume
        for convolution in self.convolutions:
            x = functional.leaky_relu(convolution(x), 0.2)
        share = functional.adaptive_avg_pool3d(lungs, (x.shape[2], x.shape[3], x.shape[4]))
        if self.form == "patch":
            judged: Tensor = self.judge(x)
            return judged * (share > 0)
        pooled = (x * share).sum(dim=(2, 3, 4)) / share.sum(dim=(2, 3, 4)).clamp_min(1e-6)
        return self.judge(pooled)


_normed: Callable[[nn.Module], nn.Module] = spectral_norm
