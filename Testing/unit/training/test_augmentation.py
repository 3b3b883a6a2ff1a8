"""Each part of the scanner's variety does what it says, alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.segmentation import MARKS
from COVIDSelfSegTrainingLib.augmentation import Variation, draw_variation, vary_intensity, warp
from COVIDSelfSegTrainingLib.pictures import equalised_hu, windowed_hu
from scipy import ndimage

LUNGS = torch.ones(1, 1, 60, 80)


def variation(**changed: float) -> Variation:
    """Of one slice: nothing varies but what is named."""
    nothing = dict.fromkeys(("blur", "noise", "grain", "offset", "low", "high", "steps", "white", "clip"), 0)
    values = nothing | {"gain": 1, "marks": 1} | changed
    drawn = {name: torch.tensor([value], dtype=torch.float32) for name, value in values.items()}
    return Variation(pose=torch.eye(2, 3)[None], **drawn)


@pytest.fixture
def a_slice() -> torch.Tensor:
    texture = np.random.default_rng(0).normal(0, 100, (1, 3, 60, 80))
    return torch.from_numpy(-850 + ndimage.gaussian_filter(texture, (0, 0, 1, 1))).float()


def test_what_does_not_vary_stays_as_it_is(a_slice: torch.Tensor) -> None:
    assert torch.allclose(vary_intensity(variation(), a_slice, LUNGS, 1), a_slice, atol=1e-3)
    assert torch.allclose(warp(variation(), a_slice, fill=-1000), a_slice, atol=1e-2)


def test_gain_stretches_about_healthy_lung_and_offset_adds(a_slice: torch.Tensor) -> None:
    varied = vary_intensity(variation(gain=1.1, offset=20), a_slice, LUNGS, 1)
    assert torch.allclose(varied, -850 + 1.1 * (a_slice + 850) + 20, atol=1e-2)


@pytest.mark.parametrize("grain", [0.0, 1.0])
def test_noise_has_the_drawn_strength_however_coarse_it_is(grain: float) -> None:
    flat = torch.full((1, 3, 60, 80), -850.0)
    varied = vary_intensity(variation(noise=30, grain=grain), flat, LUNGS, 1)
    assert not torch.allclose(varied, vary_intensity(variation(noise=30, grain=grain), flat, LUNGS, 2))
    assert varied.std().item() == pytest.approx(30, rel=0.02)
    assert varied.mean().item() == pytest.approx(-850, abs=5)
    edge = torch.cat([varied[:, :, [0, -1]].flatten(), varied[..., [0, -1]].flatten()])
    assert edge.std().item() == pytest.approx(30, rel=0.1)
    neighbours = np.corrcoef(varied[..., 1:].flatten(), varied[..., :-1].flatten())[0, 1]
    assert neighbours == pytest.approx(
        0.78 if grain else 0, abs=0.06
    )  # exp(-1 / 4) of a Gaussian of one pixel


def test_a_blur_is_scipys_gaussian_and_a_negative_one_sharpens(a_slice: torch.Tensor) -> None:
    blurred, sharpened = (vary_intensity(variation(blur=blur), a_slice, LUNGS, 1) for blur in (1.1, -0.8))
    expected = ndimage.gaussian_filter(a_slice.numpy(), (0, 0, 1.1, 1.1), mode="nearest")
    assert np.allclose(blurred, expected, atol=0.5), "to the edge, where half of the slices have lung"
    assert blurred.std() < 0.8 * a_slice.std()
    assert sharpened.std() > 1.1 * a_slice.std()


def test_a_patient_who_lies_askew_keeps_the_shape_on_a_plane_that_is_no_square() -> None:
    y, x = np.ogrid[:192, :256]
    disc = torch.from_numpy(np.hypot(y - 95.5, x - 127.5) < 70)[None, None].float()
    turned = variation()
    turned.pose[0, :, :2] = torch.from_numpy(rotation(12.0))
    moved = warp(turned, disc, fill=0)[0, 0].numpy() > 0.5
    rows, columns = np.nonzero(moved)
    semi_axes = 2 * np.sqrt(np.linalg.eigvalsh(np.cov(rows, columns)))
    assert semi_axes == pytest.approx([70, 70], abs=0.5)
    point = torch.zeros(1, 1, 192, 256)
    point[0, 0, 95:97, 187:189] = 1  # right of the middle by 60 pixels
    row, column = ndimage.center_of_mass(warp(turned, point, fill=0)[0, 0].numpy())
    assert np.hypot(row - 95.5, column - 127.5) == pytest.approx(60, abs=0.3)
    assert abs(np.degrees(np.arctan2(row - 95.5, column - 127.5))) == pytest.approx(12, abs=0.3)


def rotation(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)


def test_what_comes_in_from_outside_is_air(a_slice: torch.Tensor) -> None:
    aside = variation()
    aside.pose[0, 0, 2] = 0.5  # a quarter of the width
    moved = warp(aside, a_slice, fill=-1000)
    assert torch.allclose(moved[..., :60], a_slice[..., 20:], atol=1e-2)
    assert torch.allclose(moved[..., 60:], torch.tensor(-1000.0))


def test_patients_lie_a_little_askew_half_are_mirrored_and_none_is_sheared_or_upside_down() -> None:
    pose, shift = np.split(draw_variation(1000, np.random.default_rng(2)).pose.numpy(), [2], axis=2)
    zoom = np.linalg.norm(pose, axis=2)
    assert 0.05 < np.abs(np.log(zoom)).mean() < 0.15
    turned = pose / zoom[..., None]
    assert np.abs((turned[:, 0] * turned[:, 1]).sum(1)).max() < 1e-5
    assert np.mean(np.linalg.det(turned) < 0) == pytest.approx(0.5, abs=0.06)
    degrees = np.degrees(np.arccos(turned[:, 1, 1].clip(-1, 1)))
    assert 3 < degrees.mean() < 8
    assert degrees.max() < 30
    assert 0.02 < shift.std() < 0.08, "in halves of the plane: what is shifted stays in view"


def test_half_of_the_slices_stay_ct_of_hard_and_soft_kernels_and_low_dose_good_to_some_twenty_hu() -> None:
    drawn = draw_variation(4000, np.random.default_rng(3))
    shares = [float((drawn.marks == MARKS[kind]).float().mean()) for kind in ("hu", "picture", "equalised")]
    assert shares == pytest.approx([0.52, 0.28, 0.2], abs=0.03)
    noisy, other_kernel = drawn.noise > 0, drawn.blur != 0
    assert noisy.float().mean() == pytest.approx(0.5, abs=0.04)
    assert drawn.noise[noisy].mean() == pytest.approx(33, abs=3)
    assert other_kernel.float().mean() == pytest.approx(0.5, abs=0.04)
    assert (drawn.blur[other_kernel] < 0).float().mean() == pytest.approx(0.4, abs=0.05), "hard ones"
    assert (850 - 40) * drawn.gain.log().std() == pytest.approx(34, abs=4), "of tissue"
    assert drawn.offset.std() == pytest.approx(17, abs=2)
    assert abs(drawn.offset.mean()) < 2
    for name, low, high in (
        ("low", -1350, -950),
        ("high", -150, 300),
        ("white", 200, 2000),
        ("clip", 1.5, 10),
        ("grain", 0, 1),
        ("blur", -0.8, 1.2),
    ):
        values, edge = getattr(drawn, name), 0.02 * (high - low)
        assert low - 1e-4 <= values.min() < low + edge, name
        assert high - edge < values.max() <= high + 1e-4, name
    assert set(drawn.steps.unique().tolist()) == {0.0, 256.0}
    assert (drawn.steps == 256).float().mean() == pytest.approx(0.7, abs=0.04), "most are of 8 bits"


def test_each_slice_is_the_picture_that_was_drawn_for_it(a_slice: torch.Tensor) -> None:
    hu, lungs = a_slice.repeat(3, 1, 1, 1), LUNGS.repeat(3, 1, 1, 1)
    hu[..., :20], lungs[..., :20] = 40, 0
    drawn = [
        variation(marks=MARKS["equalised"], white=900, clip=4),
        variation(marks=MARKS["hu"], low=-1000, high=0, white=300, clip=2),
        variation(marks=MARKS["picture"], low=-1300, high=100, steps=64),
    ]
    joint = Variation(**{name: torch.cat([getattr(one, name) for one in drawn]) for name in vars(drawn[0])})
    varied = vary_intensity(joint, hu, lungs, 1)
    expected = [
        equalised_hu(hu[:1], lungs[:1], torch.tensor([900.0]), torch.tensor([4.0])),
        hu[1:2],
        windowed_hu(hu[2:], lungs[2:], *(torch.tensor([value]) for value in (-1300.0, 100.0, 64.0))),
    ]
    assert torch.allclose(varied, torch.cat(expected), atol=1e-2)
