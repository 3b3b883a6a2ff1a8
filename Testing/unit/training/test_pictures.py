"""Pictures are made as other programs make them, and read back as HU, errors and all, as the reader does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.painting import FILLED_HU
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.volume import array_view
from COVIDSelfSegTrainingLib.evaluation.annotated_slices import approximate_hu
from COVIDSelfSegTrainingLib.pictures import DARK_LUNG_HU, TISSUE_HU, equalise, equalised_hu, windowed_hu
from scipy import ndimage
from skimage import exposure


def a_textured_picture() -> np.ndarray:
    rng = np.random.default_rng(4)
    smooth = ndimage.gaussian_filter(rng.normal(size=(192, 256)), 12)
    texture = ndimage.gaussian_filter(rng.normal(size=(192, 256)), 1)
    picture = smooth / np.ptp(smooth) + 0.15 * texture / np.ptp(texture)
    return ((picture - picture.min()) / np.ptp(picture)).astype(np.float32)


@pytest.mark.parametrize("clip", [1.5, 3.0, 10.0])
def test_it_equalises_as_scikit_image_does(clip: float) -> None:
    picture = a_textured_picture()
    ours = equalise(torch.from_numpy(picture)[None], torch.tensor([clip]))[0].numpy()
    theirs = exposure.equalize_adapthist(picture, kernel_size=(32, 32), clip_limit=clip / 128, nbins=128)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99
    assert np.abs(ours - theirs).mean() < 0.04


def test_the_least_limit_leaves_the_picture_as_it_is() -> None:
    picture = torch.from_numpy(a_textured_picture())[None]
    assert (equalise(picture, torch.tensor([1.0])) - picture).abs().max() < 0.03


def test_dark_lung_and_soft_tissue_come_back_to_their_hu_and_noise_is_lifted() -> None:
    rng = np.random.default_rng(1)
    hu = torch.full((2, 3, 192, 256), 40.0)
    lungs = torch.zeros(2, 1, 192, 256)
    lungs[:, :, 40:150, 30:220] = 1
    hu = torch.where(lungs > 0, -850.0, hu) + torch.from_numpy(rng.normal(0, 25, hu.shape)).float()
    seen = equalised_hu(hu, lungs, torch.tensor([600.0, 1800.0]), torch.tensor([6.0, 6.0]))
    inside, tissue = (lungs > 0).expand_as(hu), (lungs == 0).expand_as(hu)
    for number in range(2):
        smooth = ndimage.uniform_filter(seen[number].numpy(), (0, 5, 5))
        dark = np.quantile(smooth[inside[number].numpy()], 0.08)
        assert dark == pytest.approx(DARK_LUNG_HU, abs=15)
        assert seen[number][tissue[number]].mean() == pytest.approx(TISSUE_HU, abs=60)
    assert seen[inside].std() > 2 * hu[inside].std()


@pytest.mark.parametrize("window", [(-1350.0, 150.0), (-1100.0, -100.0)])
@pytest.mark.parametrize("filled", [0.0, 0.3])
def test_a_window_is_read_back_as_the_reader_of_pictures_reads_it(
    window: tuple[float, float], filled: float, a_phantom: Phantom
) -> None:
    hu = array_view(a_phantom.healthy_twin)[30].astype(np.float32)
    lungs = array_view(a_phantom.lungs)[30] > 0
    hu[lungs] += filled * np.maximum(FILLED_HU - hu[lungs], 0)  # ground glass everywhere
    low, high = window
    gray = np.rint(255 * np.clip((hu - low) / (high - low), 0, 1)).astype(np.uint8)
    given = torch.from_numpy(hu)[None, None], torch.from_numpy(lungs.astype(np.float32))[None, None]
    ours = windowed_hu(*given, *(torch.tensor([value]) for value in (low, high, 256.0)))[0, 0].numpy()
    theirs = approximate_hu(gray)
    assert np.abs(ours - theirs)[lungs].mean() < 30
    if filled:  # dark lung is where the reader looks for it, though none is left
        assert np.median(ours[lungs]) < np.median(hu[lungs]) - 60


def test_without_gray_levels_a_wide_window_changes_hu_by_a_line_alone() -> None:
    rng = np.random.default_rng(2)
    hu = torch.from_numpy(rng.normal(-800, 60, (1, 1, 40, 40)).astype(np.float32))
    hu[..., :10] = torch.from_numpy(rng.normal(40, 10, (40, 10)).astype(np.float32))
    lungs = torch.ones(1, 1, 40, 40)
    lungs[..., :10] = 0
    wide = (torch.tensor([value]) for value in (-2000.0, 2000.0, 0.0))
    seen = windowed_hu(hu, lungs, *wide)
    assert np.corrcoef(seen.flatten(), hu.flatten())[0, 1] == pytest.approx(1, abs=1e-6)
    assert np.quantile(seen[lungs > 0], 0.08) == pytest.approx(DARK_LUNG_HU, abs=1)
    assert seen[lungs == 0].mean() == pytest.approx(TISSUE_HU, abs=1)


def test_a_slice_without_lung_is_left_alone() -> None:
    hu, lungs = torch.zeros(1, 3, 96, 128), torch.zeros(1, 1, 96, 128)
    assert torch.equal(equalised_hu(hu, lungs, torch.tensor([900.0]), torch.tensor([4.0])), hu)
    window = (torch.tensor([value]) for value in (-1000.0, 200.0, 256.0))
    assert torch.equal(windowed_hu(hu, lungs, *window), hu)
