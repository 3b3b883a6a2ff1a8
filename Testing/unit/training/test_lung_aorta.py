"""Aortas that are painted for the lung networks: where they run, how they look, and that they are no lung."""

from __future__ import annotations

import numpy as np
import pytest
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.lung_network import LUNG_GRID_MM
from COVIDSelfSegLib.phantom import make_phantom
from COVIDSelfSegTrainingLib import lung_aorta
from COVIDSelfSegTrainingLib.lung_aorta import paint_aorta
from COVIDSelfSegTrainingLib.lung_batches import Chest
from scipy import ndimage

from ..conftest import SMALL

Painted = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def a_chest() -> Chest:
    """Of a healthy phantom, on the voxels of the network for chests."""
    phantom = make_phantom(4, severity=0, acquisition=SMALL)
    frame = LungFrame.whole_scan(phantom.scan, LUNG_GRID_MM)
    lungs = frame.to_network(phantom.lungs, "nearest", fill=0).astype(np.uint8)
    hu = frame.to_network(phantom.scan).astype(np.int16)
    return Chest("a phantom", False, hu, lungs, np.zeros_like(lungs), frame.voxel_mm)


@pytest.fixture
def painted(a_chest: Chest, monkeypatch: pytest.MonkeyPatch) -> list[Painted]:
    """HU and mask of a chest with an aorta in the left lung, thirty times."""
    monkeypatch.setattr(lung_aorta, "_SHARE", 1.0)
    monkeypatch.setattr(lung_aorta, "_LEFT_SHARE", 1.0)
    hu, rng = a_chest.hu.astype(np.float32), np.random.default_rng(6)
    return [paint_aorta(hu, a_chest.lungs, a_chest.voxel_mm, rng) for _ in range(30)]


def gone(chest: Chest, labels: np.ndarray) -> np.ndarray:
    return (chest.lungs > 0) & (labels == 0)


def test_what_is_painted_is_soft_tissue_and_no_lung_and_all_else_stays(
    a_chest: Chest, painted: list[Painted]
) -> None:
    for hu, labels in painted:
        tube = gone(a_chest, labels)
        assert np.array_equal(labels[~tube], a_chest.lungs[~tube])
        core = ndimage.binary_erosion(tube)
        assert ((hu[core] > -120) & (hu[core] < 90)).all()
        changed = hu != a_chest.hu
        beside = ndimage.binary_dilation(tube | (a_chest.lungs == 0), np.ones((3, 3, 3)), iterations=4)
        assert not changed[~beside].any()
        assert not changed[a_chest.hu > 300].any(), "bone"
        assert (hu >= a_chest.hu - 1e-3).all(), "nothing gets thinner"


def test_it_lies_behind_the_heart_at_the_inner_border_of_the_left_lung(
    a_chest: Chest, painted: list[Painted]
) -> None:
    left = np.argwhere(a_chest.lungs == 2)
    inner, middle = np.quantile(left[:, 2], 0.35), left[:, 1].mean()
    places = [np.argwhere(gone(a_chest, labels)) for _, labels in painted]
    centres = np.array([one.mean(axis=0) for one in places if len(one)])
    assert len(centres) > 25
    assert (centres[:, 2] < inner).mean() > 0.9
    assert (centres[:, 1] > middle).mean() > 0.8
    assert not any((labels == 1).sum() < (a_chest.lungs == 1).sum() for _, labels in painted)


def test_it_goes_on_for_a_hands_breadth(a_chest: Chest, painted: list[Painted]) -> None:
    height = np.flatnonzero(a_chest.lungs.any(axis=(1, 2))).size
    wide = [
        labels for _, labels in painted if gone(a_chest, labels).sum() > 0.02 * (a_chest.lungs == 2).sum()
    ]
    assert len(wide) > 10
    for labels in wide:
        assert gone(a_chest, labels).any(axis=(1, 2)).sum() > 0.5 * height


def test_in_a_single_slice_it_is_a_disc(a_chest: Chest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lung_aorta, "_SHARE", 1.0)
    monkeypatch.setattr(lung_aorta, "_RADIUS_MM", (20.0, 20.0))
    monkeypatch.setattr(lung_aorta, "_DEPTH", (1.2, 1.2))
    z = int((a_chest.lungs > 0).sum(axis=(1, 2)).argmax())
    voxel_mm = (a_chest.voxel_mm[0], 2.5, 2.5)
    section = a_chest.lungs[z : z + 1].repeat(2, axis=1).repeat(2, axis=2)
    hu = np.where(section > 0, -850, 40).astype(np.float32)
    areas = []
    for seed in range(8):
        _, labels = paint_aorta(hu, section, voxel_mm, np.random.default_rng(seed))
        disc = (section > 0) & (labels == 0)
        areas.append(disc.sum() * 2.5**2)
        sides = np.ptp(np.argwhere(disc[0]), axis=0) + 1
        assert 0.6 < sides[0] / sides[1] < 1.6
    assert 0.7 < np.median(areas) / (np.pi * 20**2) < 1.2


def test_most_chests_stay_without_and_most_aortas_are_on_the_left(a_chest: Chest) -> None:
    hu, rng = a_chest.hu.astype(np.float32), np.random.default_rng(8)
    lost = []
    for _ in range(150):
        _, labels = paint_aorta(hu, a_chest.lungs, a_chest.voxel_mm, rng)
        lost.append([((a_chest.lungs == side) & (labels == 0)).sum() for side in (1, 2)])
    right, left = (np.array(lost) > 0).mean(axis=0)
    assert 0.2 < left < 0.5
    assert 0.01 < right < left / 2


def test_it_repeats_with_its_seed(a_chest: Chest) -> None:
    def once(seed: int) -> Painted:
        hu = a_chest.hu.astype(np.float32)
        return paint_aorta(hu, a_chest.lungs, a_chest.voxel_mm, np.random.default_rng(seed))

    for seed in range(5):
        assert all(np.array_equal(a, b) for a, b in zip(once(seed), once(seed), strict=True))
