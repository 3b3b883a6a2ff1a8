"""How chests and pictures of them vary: where they lie, what lies beyond, how they are cropped and shown."""

from __future__ import annotations

import numpy as np
import pytest
from COVIDSelfSegLib.array_types import FloatArray
from COVIDSelfSegTrainingLib.lung_networks import variation
from COVIDSelfSegTrainingLib.lung_networks.variation import View, as_picture, moved

MM = (5.0, 5.0, 5.0)


def a_view(lungs: FloatArray, *, unknown: float = 0.0) -> View:
    """A body without contrast, with lungs in it."""
    return View(np.full_like(lungs, 50), lungs, np.full_like(lungs, unknown))


def a_box(shape: tuple[int, int, int], *sides: tuple[int, int]) -> FloatArray:
    box = np.zeros(shape, np.float32)
    box[tuple(slice(*side) for side in sides)] = 1
    return box


def test_beyond_a_chest_there_is_air_that_is_known_to_be_no_lung() -> None:
    whole = a_view(a_box((20, 24, 28), (5, 15), (6, 18), (7, 21)), unknown=1.0)
    for seed in range(6):
        view = moved(whole, (48, 64, 72), MM, np.random.default_rng(seed))
        beyond = view.hu == -1000
        assert beyond.mean() > 0.5
        assert not view.lungs[beyond].any()
        assert not view.unknown[beyond].any()
        assert np.median(view.hu[view.unknown > 0]) == pytest.approx(50, abs=0.1)
        assert np.median(view.hu[view.lungs > 0]) == pytest.approx(50, abs=0.1)


def test_a_third_of_the_chests_are_cropped_to_their_lungs_and_a_small_margin() -> None:
    whole = a_view(a_box((60, 60, 60), (25, 35), (25, 35), (25, 35)))
    views = [moved(whole, (16, 24, 24), MM, np.random.default_rng(seed)) for seed in range(90)]
    cropped = [view for view in views if (view.hu < 49).any()]
    assert 0.2 < len(cropped) / len(views) < 0.5
    for view in cropped:
        inside, kept = np.argwhere(view.lungs > 0), np.argwhere(view.hu > 49)
        margins = np.stack([inside.min(0) - kept.min(0), kept.max(0) - inside.max(0)])
        assert margins.min() >= 0
        assert margins.max() <= 4


def test_chests_lie_askew_and_higher_or_lower_by_more_than_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variation, "_BEND_MM", 0.0)
    whole = a_view(a_box((60, 60, 60), (28, 33), (28, 33), (15, 45)))
    off, degrees = [], []
    for seed in range(60):
        view = moved(whole, (32, 24, 48), MM, np.random.default_rng(seed))
        places = np.argwhere(view.lungs > 0)
        off.append(places.mean(0) - (np.array(view.lungs.shape) - 1) / 2)
        degrees.append(np.degrees(np.arctan(np.polyfit(places[:, 2], places[:, 1], 1)[0])))
    spread = np.std(off, axis=0)
    assert 3 < spread[0] < 7, "of voxels of 5 mm"
    assert np.all((spread[1:] > 1.3) & (spread[1:] < 3.5))
    assert 3 < np.std(degrees) < 7


def test_some_pictures_are_equalised_which_lifts_the_noise_of_the_lung() -> None:
    rng = np.random.default_rng(3)
    lungs = a_box((1, 96, 128), (0, 1), (20, 80), (10, 118))
    hu = np.where(lungs > 0, -850, 40) + rng.normal(0, 25, lungs.shape)
    pictures = [as_picture(hu.astype(np.float32), lungs, np.random.default_rng(seed)) for seed in range(60)]
    lifted = np.array([picture[lungs > 0].std() / 25 for picture in pictures]) > 1.5
    assert 0.2 < lifted.mean() < 0.55
