"""Which slices the 2D network is shown, and the patterns that are painted on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from COVIDSelfSegTrainingLib import corruption
from COVIDSelfSegTrainingLib.augmentation import vary_mask
from COVIDSelfSegTrainingLib.cohorts import cutting
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan, Source, prepare_cohort
from COVIDSelfSegTrainingLib.corruption import paint_slabs
from COVIDSelfSegTrainingLib.slice_selection import any_slice

from ..conftest import SMALL, SMALL_GRIDS


@pytest.fixture(scope="module")
def a_scan(tmp_path_factory: pytest.TempPathFactory) -> CohortScan:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "draw_acquisition", lambda _rng: SMALL)
        source = Source("healthy", "healthy", "none needed", seed=1)
        return prepare_cohort([source], tmp_path_factory.mktemp("cohort"), SMALL_GRIDS, lambda _name: None)[0]


def test_nets_are_faint_with_bright_lines_and_lesion_between_them_too(
    a_scan: CohortScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corruption, "_PATTERNS", (0, 0, 0, 1))
    index = int(a_scan.holding[len(a_scan.holding) // 2])
    hu, depths = (torch.from_numpy(part.astype(np.float32))[None] for part in a_scan.stack(index))
    painted = [
        paint_slabs([a_scan], [index], hu.clone(), depths, np.random.default_rng(seed)).filling
        for seed in range(8)
    ]
    filling = torch.cat([one[one > 0] for one in painted])
    assert filling.median() < 0.3
    assert filling.quantile(0.99) > 0.35
    assert (filling > 0.07).float().mean() > 0.7


def test_slices_with_much_lung_are_drawn_more_often(a_scan: CohortScan) -> None:
    area = (a_scan.slice_depths[a_scan.holding] > 0).sum(axis=(1, 2))
    chances = a_scan.holding_chances
    assert chances.sum() == pytest.approx(1)
    assert chances[area.argmax()] / chances[area.argmin()] == pytest.approx(np.sqrt(area.max() / area.min()))
    rng = np.random.default_rng(1)
    drawn = [any_slice([a_scan], np.ones(1), rng)[1] for _ in range(300)]
    assert set(drawn) <= set(a_scan.holding)
    of_drawn = np.mean([(a_scan.slice_depths[z] > 0).sum() for z in drawn])
    assert of_drawn == pytest.approx((chances * area).sum(), rel=0.04)
    assert of_drawn > 1.04 * area.mean()


def test_some_lung_masks_take_in_a_rim_of_the_chest_wall() -> None:
    lungs = torch.zeros(200, 1, 100, 120)
    lungs[:, :, 40:60, 40:80] = 1
    varied = vary_mask(lungs, np.random.default_rng(3))
    row, column = torch.meshgrid(torch.arange(100), torch.arange(120), indexing="ij")
    rim = (row >= 37) & (row < 63) & (column >= 37) & (column < 83)
    whole = (varied[:, 0] == rim).all(dim=(1, 2))
    assert 0.04 < whole.float().mean() < 0.2


def test_some_lung_masks_take_in_patches_beside_the_lung_and_lose_nothing() -> None:
    lungs = torch.zeros(200, 1, 100, 120)
    lungs[:, :, 40:60, 40:80] = 1
    varied = vary_mask(lungs, np.random.default_rng(3))
    beside = torch.ones(100, 120, dtype=torch.bool)
    beside[37:63, 37:83] = False
    taken = (varied[:, 0] * beside).sum(dim=(1, 2))
    some = taken > 0
    assert 0.15 < some.float().mean() < 0.35
    assert (varied[some, 0, 40:60, 40:80] == 1).all()
    assert 500 < taken[some].mean() < 3000, "neither specks nor all"
    assert not varied[:, 0, :16].any(), "what is far from the lung stays outside"
