"""Air in the airways of painted consolidation: the air bronchogram.

Disease fills alveoli; the bronchi between them often stay open (Hansell 2008, the Fleischner Society's
glossary), and in scarred lung they widen. Among healthy
lungs only a hilum shows air amid dense tissue, so a network that sees consolidation filled throughout takes
every consolidation with open airways for a hilum (docs/steps.md, step 35).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from COVIDSelfSegLib.perlin import perlin
from torch import Tensor

_CELL_MM = (12.0, 28.0)
"""Spacing of the lattices whose noise the airways follow: about as far apart as they run."""
_RADIUS = (0.04, 0.12)
"""Of the airways, in lattice cells: a millimetre, and some millimetres where they are widened."""
_LUMEN_HU = -950.0
_NOISE_SLOPE = 1.9
"""Mean slope of one octave of noise where it crosses zero, in 1 / lattice cell."""
_DENSE = (0.3, 0.6)
"""Filling between which painted airways begin to show: in ground glass the lung around holds air too."""


@dataclass(frozen=True)
class Airways:
    """Random airways of a batch of slices; float32 tensors.

    They run where two fields of noise are both zero: curves through the whole lung.

    Attributes:
        radii: (samples,) in mm; 0 where none are open.
        cells: (samples,) of the noise, in mm.
        phases: (samples, 2, 3) offsets of both fields in lattice units.
        hu: of the air in them, one value.
    """

    radii: Tensor
    cells: Tensor
    phases: Tensor
    hu: float

    def of(self, rows: slice | list[int], device: torch.device) -> Airways:
        """Those of some samples, on a device."""
        radii, cells, phases = (part[rows].to(device) for part in (self.radii, self.cells, self.phases))
        return Airways(radii, cells, phases, self.hu)

    def showing(self, filling: Tensor) -> list[int]:
        """Samples in which airways show, by the filling of their lesions (samples, z, y, x)."""
        dense = filling.amax(dim=(1, 2, 3)) > _DENSE[0]
        shown: list[int] = torch.nonzero(dense & (self.radii > 0))[:, 0].tolist()
        return shown


def draw_airways(samples: int, share: float, rng: np.random.Generator) -> Airways:
    """Draw the airways of a batch, of which a ``share`` (0 .. 1) has open ones."""
    are_open = rng.random(samples) < share
    cells, radii = rng.uniform(*_CELL_MM, samples), rng.uniform(*_RADIUS, samples)
    return Airways(
        torch.from_numpy(np.where(are_open, radii * cells, 0).astype(np.float32)),
        torch.from_numpy(cells.astype(np.float32)),
        torch.from_numpy(rng.uniform(0, 200, (samples, 2, 3)).astype(np.float32)),
        _LUMEN_HU + float(rng.normal(0, 20)),
    )


def lumen(airways: Airways, places: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Share of each voxel that lies in a painted airway, whose border is a millimetre soft.

    Args:
        airways: on the places' device.
        places: positions of the grid's planes, rows and columns in mm, (samples, points) each.

    Returns:
        (samples, z, y, x), 0 .. 1.
    """
    off_axis = torch.zeros((), device=airways.radii.device)
    for field in range(2):
        axes = [
            axis / airways.cells[:, None] + airways.phases[:, field, number, None]
            for number, axis in enumerate(places)
        ]
        off_axis = off_axis + perlin(axes) ** 2
    cells, radii = (values.view(-1, 1, 1, 1) for values in (airways.cells, airways.radii))
    distance = off_axis.sqrt() * cells / _NOISE_SLOPE
    return (radii - distance + 0.5).clamp(0, 1) * (radii > 0)


def hold_open(hu: Tensor, filling: Tensor, share: Tensor, air_hu: float) -> Tensor:
    """Let air stay in the airways of what is dense.

    Args:
        hu: (samples, z, y, x) of painted lungs.
        filling: of the lesions, 0 .. 1.
        share: of each voxel that lies in an airway, 0 .. 1; see :func:`lumen`.
        air_hu: of the air in them.

    Returns:
        HU, nowhere higher; as they are where the filling is low.
    """
    low, high = _DENSE
    share = share * ((filling - low) / (high - low)).clamp(0, 1)
    return hu + share * (air_hu - hu).clamp_max(0)
