"""Airways that stay open where painted disease is dense."""

from __future__ import annotations

import numpy as np
import torch
from COVIDSelfSegTrainingLib.airways import draw_airways, hold_open, lumen
from scipy import ndimage

MM = 1.0


def grid(samples: int, *points: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    z, y, x = (torch.arange(count, dtype=torch.float32).expand(samples, -1) * MM for count in points)
    return z, y, x


def test_airways_are_tubes_of_some_millimetres_that_run_a_long_way() -> None:
    drawn = draw_airways(6, 1.0, np.random.default_rng(3))
    share = lumen(drawn, grid(6, 48, 80, 80)).numpy()
    for tube, radius in zip(share > 0.5, drawn.radii.tolist(), strict=True):
        assert 0.02 < tube.mean() < 0.3
        parts, _ = ndimage.label(tube, np.ones((3, 3, 3)))
        longest = max(side.stop - side.start for part in ndimage.find_objects(parts) for side in part)
        assert longest * MM > 20
        depth = ndimage.distance_transform_edt(tube, sampling=MM)
        assert 0.8 * radius < np.quantile(depth[tube], 0.95) < 1.5 * radius + 0.75


def test_lungs_without_open_airways_have_none() -> None:
    drawn = draw_airways(40, 0.5, np.random.default_rng(0))
    share = lumen(drawn, grid(40, 8, 60, 60)).amax(dim=(1, 2, 3))
    assert 10 < (drawn.radii == 0).sum() < 30
    assert torch.equal(share > 0, drawn.radii > 0)
    filling = torch.full((40, 8, 60, 60), 0.9)
    assert drawn.showing(filling) == torch.nonzero(drawn.radii)[:, 0].tolist()
    assert drawn.showing(filling / 4) == []


def test_air_stays_in_what_is_dense_and_ground_glass_is_left_as_it_is() -> None:
    share = torch.tensor([0.0, 0.5, 1.0])
    dense, glass = torch.full((3,), -30.0), torch.full((3,), -600.0)
    assert hold_open(dense, torch.full((3,), 0.9), share, -950).tolist() == [-30, -490, -950]
    assert torch.equal(hold_open(glass, torch.full((3,), 0.25), share, -950), glass)
    assert torch.equal(hold_open(dense, torch.zeros(3), share, -950), dense)
    air = torch.full((3,), -1000.0)
    assert torch.equal(hold_open(air, torch.full((3,), 0.9), share, -950), air)
