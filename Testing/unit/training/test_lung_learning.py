"""What the lung networks learn from: chests of which a half may be unknown, painted, bent and stained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.lung_masks.network import LUNG_GRID_MM
from COVIDSelfSegLib.lungs import lung_volumes_ml
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.phantom_parts.scanner import Acquisition
from COVIDSelfSegTrainingLib.cohorts.shipped import REAL_SCANS, shipped_sources
from COVIDSelfSegTrainingLib.lung_networks import batches, chests, corruption
from COVIDSelfSegTrainingLib.lung_networks.batches import Chest, LungBatch, LungBatches
from COVIDSelfSegTrainingLib.lung_networks.corruption import paint_dense_disease
from COVIDSelfSegTrainingLib.lung_networks.training import LungPreset, LungTrainer
from COVIDSelfSegTrainingLib.lung_networks.variation import View, as_picture, moved, scanned, stained
from scipy import ndimage

from ..conftest import SMALL

WINDOW = (16, 32, 40)


def test_disease_is_painted_where_there_is_lung_and_makes_it_denser(a_chest: Chest) -> None:
    hu, inside = a_chest.hu.astype(np.float32), a_chest.lungs > 0
    holds_lung = ndimage.binary_dilation(inside, np.ones((3, 3, 3))) & (hu < 0)
    rng = np.random.default_rng(2)
    changed = []
    for _ in range(120):
        painted = paint_dense_disease(hu, a_chest.lungs, a_chest.voxel_mm, rng)
        assert np.array_equal(painted[~inside & ~holds_lung], hu[~inside & ~holds_lung])
        assert painted.max() <= max(90, hu.max())
        changed.append((painted[inside] > -300).mean())
    assert np.mean(np.array(changed) < 0.15) > 0.15, "some stay healthy"
    assert np.max(changed) > 0.4, "some are nearly drowned"


@pytest.fixture
def effusions(a_chest: Chest, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """HU of a chest with nothing but an effusion, ten times."""
    monkeypatch.setattr(corruption, "_KINDS", (0, 0, 0, 1))
    monkeypatch.setattr(corruption, "_HEALTHY_SHARE", 0.0)
    hu, rng = a_chest.hu.astype(np.float32), np.random.default_rng(4)
    return [paint_dense_disease(hu, a_chest.lungs, a_chest.voxel_mm, rng) for _ in range(10)]


def test_no_line_parts_a_painted_effusion_from_the_chest_wall(
    a_chest: Chest, effusions: list[np.ndarray]
) -> None:
    hu, inside = a_chest.hu, a_chest.lungs > 0
    before, after = [], []
    for painted in effusions:
        wet = inside & (painted > -100) & (hu < -500)
        beside = ndimage.binary_dilation(wet) & ~inside & (hu < -200) & (hu > -700)
        before.append(hu[beside])
        after.append(painted[beside])
    assert np.mean(np.concatenate(before)) < -300
    assert np.quantile(np.concatenate(after), 0.1) > -200, "no dark one"
    assert np.max(np.concatenate(after)) < 45, "no bright one, where two effusions lie over each other"


def test_an_effusion_lies_along_the_pleura_at_the_back(a_chest: Chest, effusions: list[np.ndarray]) -> None:
    hu, inside = a_chest.hu, a_chest.lungs > 0
    depth = ndimage.distance_transform_edt(inside, sampling=a_chest.voxel_mm)
    rows = np.broadcast_to(np.arange(hu.shape[1])[:, None], hu.shape)
    for painted in effusions:
        wet = inside & (painted > -100) & (hu < -500)
        assert 0 < wet.sum() < 0.8 * inside.sum()
        assert depth[wet].mean() < depth[inside].mean()
        assert rows[wet].mean() > rows[inside].mean()


@pytest.mark.parametrize("kinds", [(1, 0, 0, 0), (0, 1, 0, 0)], ids=["foci", "layers"])
def test_foci_and_what_gravity_collects_lie_at_the_back_and_at_the_base(
    a_chest: Chest, monkeypatch: pytest.MonkeyPatch, kinds: tuple[int, ...]
) -> None:
    monkeypatch.setattr(corruption, "_KINDS", kinds)
    monkeypatch.setattr(corruption, "_HEALTHY_SHARE", 0.0)
    hu, rng = a_chest.hu.astype(np.float32), np.random.default_rng(4)
    middle = np.argwhere(a_chest.lungs > 0).mean(axis=0)
    off = []
    for _ in range(20):
        painted = paint_dense_disease(hu, a_chest.lungs, a_chest.voxel_mm, rng)
        off.append(np.argwhere((painted > hu + 100) & (a_chest.lungs > 0)).mean(axis=0) - middle)
    z, y, _ = np.mean(off, axis=0)
    assert z < -1
    assert y > 1


def test_a_part_of_a_lung_is_of_one_lung_and_much_of_it(
    a_chest: Chest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corruption, "_KINDS", (0, 0, 1, 0))
    monkeypatch.setattr(corruption, "_MOST_KINDS", 1)
    monkeypatch.setattr(corruption, "_HEALTHY_SHARE", 0.0)
    hu, chosen = a_chest.hu.astype(np.float32), []
    aerated = hu < -700
    for seed in range(12):
        painted = paint_dense_disease(hu, a_chest.lungs, a_chest.voxel_mm, np.random.default_rng(seed))
        shares = [(painted > hu + 100)[aerated & (a_chest.lungs == side)].mean() for side in (1, 2)]
        chosen.append(int(np.argmax(shares)))
        assert min(shares) < 0.05
        assert max(shares) > 0.1
    assert set(chosen) == {0, 1}


def test_a_painting_repeats_with_its_seed(a_chest: Chest) -> None:
    hu = a_chest.hu.astype(np.float32)
    one, two = (
        paint_dense_disease(hu, a_chest.lungs, a_chest.voxel_mm, np.random.default_rng(5)) for _ in range(2)
    )
    assert np.array_equal(one, two)


@pytest.fixture
def a_half_known_chest(a_chest: Chest) -> Chest:
    return chests._half_known(a_chest, 2)


def test_of_a_chest_with_one_healthy_lung_the_other_half_is_unknown(
    a_chest: Chest, a_half_known_chest: Chest
) -> None:
    right, left = a_chest.lungs == 1, a_chest.lungs == 2
    assert np.array_equal(a_half_known_chest.lungs > 0, left)
    assert a_half_known_chest.unknown[right].all()
    assert not a_half_known_chest.unknown[left].any()
    heart = (a_chest.hu > 0) & ndimage.binary_dilation(left, iterations=2) & ~left & ~right
    assert a_half_known_chest.unknown[heart].mean() < 0.2, "what is beside the healthy lung is learnt"


def test_all_healthy_lungs_that_may_train_do_and_a_tumour_teaches_nothing(
    a_chest: Chest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chests, "_of_phantom", lambda _seed, _grid_mm: a_chest)
    monkeypatch.setattr(chests, "read_scan", lambda path: path)
    monkeypatch.setattr(chests, "builtin_lung_mask", lambda scan: scan)
    monkeypatch.setattr(chests, "_chest", lambda name, *_: replace(a_chest, name=name, real=True))
    given = {one.name: one for one, _ in chests.shipped_chests(tmp_path, LUNG_GRID_MM) if one.real}
    healthy = {one.name: one for one in REAL_SCANS if one.group == "healthy"}
    assert set(given) == set(healthy)
    for name, source in healthy.items():
        sides = {source.only_side} if source.only_side else {1, 2}
        assert set(np.unique(given[name].lungs)) == sides | {0}, name
        assert given[name].unknown.any() == bool(source.only_side), name


class ATeacher:
    """Finds right lung in front of the middle, is not sure of a slab behind it, and else finds nothing."""

    grid_mm = LUNG_GRID_MM

    def probability(self, hu: np.ndarray) -> np.ndarray:
        half, right = hu.shape[1] // 2, hu.shape[2] // 3
        found = np.full(hu.shape, 0.05, np.float32)
        found[:, half : half + 8] = 0.4
        found[:, half - 8 : half, :right] = 0.9
        return found


def test_of_a_diseased_chest_dense_tissue_is_unknown_where_its_teacher_is_not_sure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = next(one for one in REAL_SCANS if one.group == "diseased")
    phantom = make_phantom(3001, 3, SMALL)
    sitk.WriteImage(phantom.scan, tmp_path / "scan.nii.gz")
    given = replace(source, path=str(tmp_path / "scan.nii.gz"))
    monkeypatch.setattr(chests, "shipped_sources", lambda _: [given])
    monkeypatch.setattr(chests, "_SEEDS", ())
    assert not list(chests.shipped_chests(tmp_path, LUNG_GRID_MM))
    [(chest, licence)] = chests.shipped_chests(tmp_path, LUNG_GRID_MM, ATeacher())  # type: ignore[arg-type]
    assert (chest.name, chest.real, licence) == (source.name, True, source.licence)
    half = chest.hu.shape[1] // 2
    dense = chest.hu > -400
    outside = (dense & (chest.lungs == 0))[:, half : half + 8]
    assert chest.unknown[:, half : half + 8][outside].all()
    assert not chest.unknown[chest.hu < -600].any(), "what is aerated is known without a teacher"
    assert not chest.unknown[chest.lungs > 0].any(), "what the teacher takes for lung is lung"
    assert (chest.lungs > 0)[:, half - 8 : half - 1][dense[:, half - 8 : half - 1]].any()
    assert not chest.unknown[:, : half - 1].any()
    assert not chest.unknown[:, half + 9 :].any()
    assert set(np.unique(chest.lungs)) == {0, 1, 2}


def test_no_phantom_to_learn_from_is_one_of_another_network_or_of_an_evaluation() -> None:
    names = chests.shipped_chest_names(None, taught=True)
    seeds = {int(name.removeprefix("phantom_")) for name in names}
    assert len(seeds) == len(names) == 80
    assert min(seeds) >= 1000, "below, they are held out"
    assert not seeds & {source.seed for source in shipped_sources(None)}


def test_phantoms_to_learn_from_are_of_all_severities_and_thicknesses_with_their_own_lungs(
    a_coarse_phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, Acquisition]] = []

    def noted(_seed: int, severity: int, acquisition: Acquisition) -> Phantom:
        drawn.append((severity, acquisition))
        return a_coarse_phantom

    monkeypatch.setattr(chests, "make_phantom", noted)
    chest = [chests._of_phantom(seed, LUNG_GRID_MM) for seed in range(3000, 3040)][-1]
    severities = [severity for severity, _ in drawn]
    assert set(severities) == {0, 1, 2, 3, 4}
    assert 0.1 < np.mean(np.array(severities) == 0) < 0.5
    assert {one.slice_mm for _, one in drawn} == {2.0, 3.0, 5.0, 8.0}
    assert all(352 <= one.slice_mm * one.size[2] <= 360 for _, one in drawn)
    right, left = (np.argwhere(chest.lungs == side) for side in (1, 2))
    assert right[:, 2].max() < left[:, 2].min() + 3
    litres = (chest.lungs > 0).sum() * np.prod(chest.voxel_mm) / 1e6
    given = sum(lung_volumes_ml(a_coarse_phantom.lungs)) / 1000
    assert litres == pytest.approx(given, rel=0.03)
    assert not chest.real
    assert not chest.unknown.any()


def test_windows_of_a_half_known_chest_are_known_in_part(a_chest: Chest, a_half_known_chest: Chest) -> None:
    def known(chest: Chest) -> torch.Tensor:
        batches = LungBatches([chest], size=4, window=WINDOW, real_share=0.0, picture_share=0.0)
        return batches.draw(np.random.default_rng(2)).known

    assert known(a_chest).all()
    assert 0.3 < known(a_half_known_chest).mean() < 0.95


@pytest.mark.parametrize(("picture_share", "added"), [(0.0, 7.0), (1.0, 15.0)])
def test_each_window_is_painted_stained_and_scanned_and_a_picture_if_asked(
    a_chest: Chest, monkeypatch: pytest.MonkeyPatch, picture_share: float, added: float
) -> None:
    """Each of these adds a number of its own here, to a chest without contrast."""
    flat = replace(a_chest, hu=np.zeros_like(a_chest.hu))
    for name, number in (("paint_dense_disease", 1), ("stained", 2), ("scanned", 4), ("as_picture", 8)):
        monkeypatch.setattr(batches, name, lambda hu, *_, number=number: hu + np.float32(number))
    drawn = LungBatches([flat], size=3, window=WINDOW, real_share=0.0, picture_share=picture_share)
    highest = drawn.draw(np.random.default_rng(1)).hu.amax((1, 2, 3, 4))
    assert highest.tolist() == pytest.approx([added] * 3, abs=0.01)


def test_both_lungs_are_to_be_found_and_real_chests_come_as_often_as_asked(a_chest: Chest) -> None:
    real = replace(a_chest, real=True, unknown=np.ones_like(a_chest.unknown))  # known by nothing being known
    shares = {"real_share": 0.25, "picture_share": 0.0}
    batch = LungBatches([real, a_chest], size=60, window=(1, 32, 40), **shares).draw(np.random.default_rng(1))
    of_phantoms = batch.known[:, 0, 0, 16, 20] == 1
    assert of_phantoms.float().mean() == pytest.approx(0.75, abs=0.15)
    sizes = (a_chest.lungs > 0).sum(axis=(1, 2))
    assert batch.lungs.sum((1, 2, 3, 4)).mean().item() == pytest.approx(sizes[sizes > 0].mean(), rel=0.25)


def test_a_scanner_errs_by_some_hu_and_contrast_lifts_what_is_dense_and_no_lung() -> None:
    hu, lungs = np.full((4, 30, 30), 20, np.float32), np.zeros((4, 30, 30), np.float32)
    hu[:, :10], lungs[:, :20] = -850, 1  # aerated lung, dense lung, and what lies beside it
    found = np.stack([scanned(hu, lungs, np.random.default_rng(seed)) - hu for seed in range(60)])
    aerated, dense, beside = (found[:, :, first : first + 10] for first in (0, 10, 20))
    assert 8 < aerated.mean((1, 2, 3)).std() < 16
    assert 5 < aerated.std((1, 2, 3)).mean() < 20
    lifted = beside.mean((1, 2, 3)) - dense.mean((1, 2, 3))
    assert np.abs(dense.mean((1, 2, 3)) - aerated.mean((1, 2, 3))).max() < 5, "lung is not lifted"
    assert (lifted > 10).mean() == pytest.approx(0.3, abs=0.15)
    assert np.abs(lifted.min()) < 5
    assert 100 < lifted.max() < 155


def test_a_picture_keeps_healthy_lung_about_where_it_was_and_clips_bone() -> None:
    hu = np.full((1, 48, 64), -850, np.float32)
    hu[:, :10], hu[:, 10:20] = 40, 900
    lungs = (hu == -850).astype(np.float32)
    pictures = [as_picture(hu, lungs, np.random.default_rng(seed)) for seed in range(60)]
    assert np.median([picture[0, 30:].mean() for picture in pictures]) == pytest.approx(-850, abs=30)
    assert max(picture.max() for picture in pictures) <= 300
    assert np.std([picture[0, :10].mean() for picture in pictures]) > 40


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_is_unknown_does_not_count(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    torch.manual_seed(0)
    hu, lungs = torch.randn(1, 1, *WINDOW) * 500 - 500, torch.zeros(1, 1, *WINDOW)
    lungs[..., 20:] = 1
    known = torch.ones_like(lungs)
    known[..., :20] = share
    losses = []
    for value in (0.0, 1.0):
        lungs[..., :20] = value
        batch = LungBatch(hu, lungs.clone(), known)
        monkeypatch.setattr(LungBatches, "draw", lambda *_, batch=batch: batch)
        losses.append(LungTrainer(LungPreset(window=WINDOW), [], choose_device("cpu", training=True)).step())
    assert (losses[0] == losses[1]) == (share == 0)


def test_a_moved_chest_keeps_its_mask_on_its_lungs_and_comes_out_otherwise_each_time(a_chest: Chest) -> None:
    lungs = (a_chest.lungs > 0).astype(np.float32)
    whole = View(a_chest.hu.astype(np.float32), lungs, np.zeros_like(lungs))
    rng = np.random.default_rng(1)
    shapes = []
    for _ in range(8):
        view = moved(whole, WINDOW, a_chest.voxel_mm, rng)
        assert view.hu.shape == view.lungs.shape == view.unknown.shape == WINDOW
        assert not view.unknown.any()
        inside = view.lungs > 0
        assert inside.sum() > 300
        assert np.median(view.hu[inside]) < -750
        assert np.median(view.hu[ndimage.binary_dilation(inside, iterations=2) & ~inside]) > -400
        shapes.append(inside)
    assert len({shape.tobytes() for shape in shapes}) == 8
    sizes = [moved(whole, (36, 40, 48), a_chest.voxel_mm, rng).lungs.sum() / lungs.sum() for _ in range(8)]
    assert 0.6 < np.mean(sizes) < 1.05, "many are lower, as of who breathes in little, and hardly one higher"


def test_chests_are_bent_by_some_millimetres() -> None:
    size = (60, 60, 60)
    height = np.broadcast_to(np.arange(60, dtype=np.float32)[:, None], size)
    everywhere = np.ones(size, np.float32)
    rng = np.random.default_rng(2)
    bends = []
    for _ in range(10):
        view = moved(View(height, everywhere, 0 * everywhere), (8, 32, 40), (5.0, 5.0, 5.0), rng)
        places = np.indices(view.hu.shape).reshape(3, -1).T
        flat = np.column_stack([places, np.ones(len(places))])
        straight = flat @ np.linalg.lstsq(flat, view.hu.ravel(), rcond=None)[0]
        bends.append(5.0 * np.std(view.hu.ravel() - straight))
    assert 1 < np.median(bends) < 8  # some are cropped


def test_stains_change_dense_tissue_and_leave_air_and_lung() -> None:
    hu = np.full((10, 40, 40), 30, np.float32)
    hu[:, :20] = -850
    changes = [stained(hu, (5.0, 5.0, 5.0), np.random.default_rng(seed)) - hu for seed in range(10)]
    assert not np.any([change[:, :20] for change in changes])
    spread = np.std([change[:, 20:] for change in changes])
    assert 5 < spread < 40
    step = np.abs(np.diff(changes, axis=3))[..., 20:, :]
    assert step.mean() < spread / 2, "smooth: an organ is stained, not sprinkled"
