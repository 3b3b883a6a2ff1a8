"""The network that finds dense lung: what it learns from, how it is run, and what it finds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.lung_masks.network import (
    SHIPPED_WEIGHTS,
    SLICE_WEIGHTS,
    LungCard,
    LungNetwork,
)
from COVIDSelfSegLib.lungs import WITHOUT_NETWORK, find_lungs
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.volume import array_view, image_like
from COVIDSelfSegLib.weight_file import check_weights, read_weights, write_weights
from COVIDSelfSegTrainingLib.evaluation import slice_lungs
from COVIDSelfSegTrainingLib.evaluation.annotated_slices import AnnotatedSlice
from COVIDSelfSegTrainingLib.evaluation.slice_lungs import lungs_of_slice
from COVIDSelfSegTrainingLib.lung_networks import corruption
from COVIDSelfSegTrainingLib.lung_networks.batches import Chest, LungBatches
from COVIDSelfSegTrainingLib.lung_networks.training import LungPreset, LungTrainer

from ..conftest import SMALL

TINY = LungPreset(window=(16, 32, 40), iterations=24, warm_up=5, batch=1)


def test_a_training_goes_on_to_the_same_weights(a_chest: Chest, tmp_path: Path) -> None:
    device = replace(choose_device("cpu"), precision=torch.float32)
    whole = LungTrainer(TINY, [a_chest], device)
    for _ in range(4):
        whole.step()
    first = LungTrainer(TINY, [a_chest], device)
    for _ in range(2):
        first.step()
    first.save(tmp_path / "half.safetensors")
    second = LungTrainer(TINY, [a_chest], device)
    second.load(tmp_path / "half.safetensors")
    for _ in range(2):
        second.step()
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, second.average.state_dict()[name]), name


def test_the_network_learns_to_tell_lung(a_chest: Chest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corruption, "_HEALTHY_SHARE", 1.0)  # as easy at the start as at the end
    trainer = LungTrainer(TINY, [a_chest], choose_device("cpu", training=True))
    losses = [trainer.step()["entropy"] for _ in range(TINY.iterations)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_a_chest_of_any_size_gets_a_probability_of_its_size() -> None:
    network = LungNetwork.shipped(choose_device("cpu"))
    assert network is not None
    found = network.probability(np.full((13, 41, 50), -1000, np.float32))
    assert found.shape == (13, 41, 50)
    assert found.min() >= 0
    assert found.max() <= 1


def test_beyond_a_chest_the_network_sees_air() -> None:
    network = LungNetwork.shipped(choose_device("cpu"))
    assert network is not None
    hu = np.random.default_rng(2).uniform(-1000, 100, (13, 41, 50)).astype(np.float32)
    padded = np.pad(hu, [(0, 3), (0, 7), (0, 6)], constant_values=-1000)
    assert np.allclose(network.probability(hu), network.probability(padded)[:13, :41, :50], atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"schema": None},
        {"widths": None},
        {"widths": []},
        {"widths": [[12], 24, 48, 96]},
        {"widths": [12.0, 24, 48, 96]},
        {"widths": [10**9]},
        {"widths": 9 * [12]},
        {"trained_on": [[["a"], "CC0"]]},
        {"command": None},
        {"recipe": []},
        {"flat": "no"},
        {"grid_mm": [5.0]},
        {"grid_mm": "5"},
        {"grid_mm": True},
        {"grid_mm": float("nan")},
        {"grid_mm": 0.1},
        {"grid_mm": 100},
        {"unheard_of": 1},
    ],
    ids=str,
)
def test_weights_whose_card_is_not_understood_are_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, object]
) -> None:
    about, _ = check_weights(SHIPPED_WEIGHTS)
    card = json.loads(about["card"]) | change
    write_weights(tmp_path / "lungs.safetensors", read_weights(SHIPPED_WEIGHTS), {"card": json.dumps(card)})
    assert LungNetwork.shipped(weights=tmp_path / "lungs.safetensors") is None
    assert "lung model card" in caplog.text


def test_a_card_that_is_nested_too_deeply_is_not_read() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        LungCard.from_json("[" * 200_000)


def test_a_network_has_the_voxels_and_the_scans_of_its_card() -> None:
    about, digest = check_weights(SHIPPED_WEIGHTS)
    card = replace(LungCard.from_json(about["card"]), grid_mm=4.0, trained_on=(("a", "CC0"), ("b", "CC BY")))
    assert LungCard.from_json(card.to_json()) == card
    network = LungNetwork.of_weights(card, read_weights(SHIPPED_WEIGHTS), digest, choose_device("cpu"))
    assert (network.grid_mm, network.sha256, network.trained_on) == (4.0, digest, {"a", "b"})


@pytest.mark.parametrize("weights", [SHIPPED_WEIGHTS, SLICE_WEIGHTS])
def test_the_shipped_weights_say_what_they_were_made_from(weights: Path) -> None:
    about, _ = check_weights(weights)
    card = LungCard.from_json(about["card"])
    parts = card.recipe.get("mean_of", [])
    assert card.command.startswith("covidselfseg mean-lungs" if parts else "covidselfseg train-lungs")
    assert all(part["command"].startswith("covidselfseg train-lungs") for part in parts)
    assert card.flat == (weights == SLICE_WEIGHTS)
    assert weights.stat().st_size < 5e6
    assert not [licence for _, licence in card.trained_on if "NC" in licence]
    assert not [name for name, _ in card.trained_on if name.startswith(("medseg", "radiopaedia", "lung1"))]


@pytest.mark.parametrize("damage", ["missing", "cut short", "another network", "no card"])
def test_without_usable_weights_the_lungs_are_found_without_them(
    a_phantom: Phantom,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    path = tmp_path / "lungs.safetensors"
    content = SHIPPED_WEIGHTS.read_bytes()
    if damage == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "another network":
        about, _ = check_weights(SHIPPED_WEIGHTS)
        write_weights(path, {"nothing": torch.zeros(3)}, {"card": about["card"]})
    elif damage == "no card":
        write_weights(path, {"nothing": torch.zeros(3)}, {})
    assert LungNetwork.shipped(weights=path) is None
    assert "not used" in caplog.text
    monkeypatch.setattr(LungNetwork, "shipped", lambda *_, **__: None)
    found = find_lungs(a_phantom.scan, builtin=True)
    assert (found.source, found.sha256) == (WITHOUT_NETWORK, "")
    assert array_view(found.image).any()


def test_a_damaged_network_of_ones_own_gives_way_to_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lungs").mkdir()
    (tmp_path / "lungs" / SHIPPED_WEIGHTS.name).write_bytes(SHIPPED_WEIGHTS.read_bytes()[:5000])
    monkeypatch.setenv("COVIDSELFSEG_MODELS", str(tmp_path))
    network = LungNetwork.shipped()
    assert network is not None
    assert network.sha256 == check_weights(SHIPPED_WEIGHTS)[1]


@pytest.mark.parametrize(
    ("other", "asked"),
    [(SLICE_WEIGHTS, SHIPPED_WEIGHTS), (SHIPPED_WEIGHTS, SLICE_WEIGHTS)],
    ids=["of slices", "of chests"],
)
def test_a_network_for_slices_under_the_name_of_one_for_chests_is_not_taken_for_it_nor_the_other_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Path, asked: Path
) -> None:
    """It would run, and find half as much again in a real chest."""
    (tmp_path / "lungs").mkdir()
    (tmp_path / "lungs" / asked.name).write_bytes(other.read_bytes())
    monkeypatch.setenv("COVIDSELFSEG_MODELS", str(tmp_path))
    network = LungNetwork.shipped(choose_device("cpu"), weights=asked)
    assert network is not None
    assert network.sha256 == check_weights(asked)[1]


def test_dense_disease_of_an_unseen_phantom_stays_inside_the_lung_mask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    phantom = make_phantom(3, severity=4, acquisition=SMALL)
    lesions, lungs = array_view(phantom.lesions) > 0, array_view(phantom.lungs) > 0
    found = array_view(find_lungs(phantom.scan, builtin=True).image) > 0
    monkeypatch.setattr(LungNetwork, "shipped", lambda *_, **__: None)
    without = array_view(find_lungs(phantom.scan, builtin=True).image) > 0
    assert found[lesions].mean() > 0.85
    assert found[lesions].mean() > without[lesions].mean() + 0.15
    assert (found & ~lungs).sum() < 0.06 * lungs.sum()


def test_the_network_for_single_slices_sees_each_slice_by_itself() -> None:
    network = LungNetwork.shipped(choose_device("cpu"), weights=SLICE_WEIGHTS)
    assert network is not None
    rng = np.random.default_rng(1)
    stack = rng.uniform(-1000, 100, (3, 64, 64)).astype(np.float32)
    others = stack.copy()
    others[[0, 2]] = -850
    assert np.allclose(network.probability(stack)[1], network.probability(others)[1], atol=1e-4)


def test_a_window_of_one_slice_holds_a_slice_as_a_picture_shows_it(a_chest: Chest) -> None:
    batches = LungBatches([a_chest], size=12, window=(1, 32, 40), real_share=1.0, picture_share=1.0)
    batch = batches.draw(np.random.default_rng(3))
    hu, lungs = batch.hu, batch.lungs
    assert hu.shape == lungs.shape == batch.known.shape == (12, 1, 1, 32, 40)
    assert (lungs.flatten(1).any(dim=1)).sum() >= 10, "most hold lung"
    assert hu.max() < 700, "clipped as a picture's window does, before noise and contrast"
    tissue = hu[(lungs == 0) & (hu > -300)]
    assert tissue.std() > 20


def test_a_drowned_lung_is_found_in_a_single_slice() -> None:
    phantom = make_phantom(5, severity=3, acquisition=SMALL)
    network = LungNetwork.shipped(choose_device("cpu"), weights=SLICE_WEIGHTS)
    assert network is not None
    lesions, lungs = array_view(phantom.lesions) > 0, array_view(phantom.lungs) > 0
    z = int(lesions.sum(axis=(1, 2)).argmax())
    single = AnnotatedSlice("one", phantom.scan[:, :, z : z + 1], None, lesions[z])
    found, without = lungs_of_slice(single.hu, network).labels > 0, single.lungs_of_stack() > 0
    assert found[lesions[z]].mean() > 0.9
    assert found[lesions[z]].mean() > without[lesions[z]].mean()
    assert (found & ~lungs[z]).sum() < 0.1 * lungs[z].sum()


def test_lung_in_a_slice_is_what_is_likely_enough_and_no_speck() -> None:
    """From 0.6 on, and 2 cm² at least; what the network says is told by the HU here."""

    class Told:
        grid_mm = 2.5

        def probability(self, hu: np.ndarray) -> np.ndarray:
            return np.interp(hu, [-900, -800, -700], [0.66, 0.54, 0.0]).astype(np.float32)

    hu = np.full((1, 100, 100), 40, np.int16)  # pixels of 2.5 mm
    likely, doubtful, small, speck = (
        np.s_[20:50, 20:45],
        np.s_[20:50, 55:80],
        np.s_[70:78, 20:28],
        np.s_[70:74, 60:64],
    )
    for place, value in ((likely, -900), (doubtful, -800), (small, -900), (speck, -900)):
        hu[0][place] = value
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((2.5, 2.5, 6.0))
    found = lungs_of_slice(image, cast(LungNetwork, Told())).labels
    shares = [found[place].mean() for place in (likely, doubtful, small, speck)]
    assert shares[0] > 0.9
    assert shares[2] > 0.6, "4 cm², less its rim"
    assert shares[1::2] == [0, 0]


def test_a_slice_is_looked_at_as_if_it_were_smaller_and_larger_too() -> None:
    phantom = make_phantom(5, severity=2, acquisition=SMALL)
    network = LungNetwork.shipped(choose_device("cpu"), weights=SLICE_WEIGHTS)
    assert network is not None
    z = phantom.scan.GetDepth() // 2
    single = phantom.scan[:, :, z : z + 1]
    looks = []
    for larger in (1 / 0.9, 1.0, 1 / 1.1):
        scaled = image_like(array_view(single), single)
        scaled.SetSpacing([mm * larger for mm in single.GetSpacing()])
        frame = LungFrame.whole_scan(scaled, network.grid_mm)
        looks.append(array_view(frame.to_scan(network.probability(frame.to_network(scaled))))[0])
    assert max(np.abs(look - looks[1]).max() for look in looks) > 0.2, "each look sees something else"
    found = lungs_of_slice(single, network).probability
    assert found is not None
    assert np.allclose(found, np.mean(looks, axis=0), atol=0.02)


def test_a_breast_and_a_table_are_no_lungs() -> None:
    hu = np.full((120, 160), -1000, np.int16)
    hu[10:105, 10:150] = 40
    hu[12:30, 60:80] = -100
    hu[30:90, 20:70] = hu[30:90, 90:140] = -850
    hu[80:90, 20:70] = 30  # consolidated, of one piece with the lung
    given = np.zeros(hu.shape, bool)
    given[30:90, 20:70] = given[30:90, 90:140] = True
    wanted = given.copy()
    given[14:26, 62:76] = True  # fat
    given[110:118, 40:80] = True  # air below the table
    assert np.array_equal(slice_lungs._without_strays(given, hu), wanted)
    small = np.zeros(hu.shape, bool)
    small[34:40, 24:30] = True
    assert np.array_equal(slice_lungs._without_strays(given | small, hu), wanted)
    edge = np.zeros(hu.shape, bool)
    edge[7:14, 30:45] = True  # of a breast, half of it and the air before it
    assert np.array_equal(slice_lungs._without_strays(given | edge, hu), wanted)
    large = np.zeros(hu.shape, bool)
    large[106:120] = True  # nearly as large as a lung, below the body
    assert np.array_equal(slice_lungs._without_strays(given | large, hu), wanted)
    assert np.array_equal(slice_lungs._without_strays(small, hu), small), "all that there is"


def test_a_lung_that_reaches_the_border_of_a_picture_cut_within_the_body_stays() -> None:
    hu = np.full((100, 140), 40, np.int16)
    hu[10:90, 20:60] = hu[20:90, 100:140] = -850
    given = hu < -500
    assert np.array_equal(slice_lungs._without_strays(given, hu), given)
    air = np.pad(hu, 20, constant_values=-1000)
    beside = np.pad(given, 20)
    beside[50:110, :15] = True  # beside the body
    assert not slice_lungs._without_strays(beside, air)[:, :15].any()


def test_a_liver_is_no_lung_and_a_consolidation_that_holds_air_is() -> None:
    hu = np.full((150, 150), 40, np.int16)
    hu[10:60, 20:130] = -850
    liver, small, bronchi = (np.zeros(hu.shape, bool) for _ in range(3))
    liver[70:130, 75:145] = True  # 94 cm2
    small[62:100, 2:30] = True  # 24 cm2
    bronchi[62:140, 34:72] = True  # 67 cm2
    hu[66:136:14, 36:70] = hu[62:140, 52:54] = -900
    noise = np.random.default_rng(4).normal(0, 40, hu.shape)
    picture = sitk.GetImageFromArray((hu + noise).astype(np.int16)[None])
    picture.SetSpacing((1.5, 1.5, 5.0))
    given = (hu < -500) | liver | small | bronchi
    kept = slice_lungs._without_organs(given, picture)
    assert kept[liver].mean() < 0.05
    assert kept[given & ~liver].all()
