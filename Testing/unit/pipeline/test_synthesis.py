"""The heatmap is what the generator takes away, in HU, on the scan's own grid."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.hounsfield import to_hu
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.networks.generator import Encoded, Healthy, VolumeGenerator, draw_latent
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.synthesis import Synthesis, generator_input, heatmap, synthesise
from COVIDSelfSegLib.volume import grid_difference, image_like
from scipy import ndimage
from torch import Tensor

CPU = Device(torch.device("cpu"), torch.float32, "CPU")
SHAPE = (16, 64, 64)


def perfect_synthesis(phantom: Phantom) -> Synthesis:
    """What a generator that knows the healthy twin would say."""
    frame = LungFrame.around_lungs(phantom.lungs, SHAPE)
    lungs = (frame.to_network(phantom.lungs, "nearest", fill=0) > 0).astype(np.float32)
    scan, twin = frame.to_network(phantom.scan), frame.to_network(phantom.healthy_twin)
    return Synthesis(frame, scan, twin, np.full(SHAPE, 12.0, np.float32), lungs)


def test_a_generator_that_knows_the_truth_removes_most_of_the_lesions(a_phantom: Phantom) -> None:
    made = heatmap(perfect_synthesis(a_phantom), a_phantom.scan, a_phantom.lungs, 0.0)
    scan, twin, healthy = (
        sitk.GetArrayFromImage(image).astype(float)
        for image in (a_phantom.scan, a_phantom.healthy_twin, made.pseudo_healthy)
    )
    lesions = sitk.GetArrayFromImage(a_phantom.lesions) > 0
    assert np.abs(healthy - twin)[lesions].mean() < 0.45 * np.abs(scan - twin)[lesions].mean()


def test_dense_disease_is_taken_out_nearly_whole_and_vessels_that_run_through_it_are_not(
    a_phantom: Phantom,
) -> None:
    """The coarse grid flattens the one; the scan's own height over the lung would take the others too."""
    made = heatmap(perfect_synthesis(a_phantom), a_phantom.scan, a_phantom.lungs, 0.0)
    excess, scan, twin = (
        sitk.GetArrayFromImage(image).astype(float)
        for image in (made.excess, a_phantom.scan, a_phantom.healthy_twin)
    )
    lesions = sitk.GetArrayFromImage(a_phantom.lesions) > 0
    dense = lesions & (scan - twin > 400)
    assert excess[dense].mean() > 0.72 * (scan - twin)[dense].mean()
    vessels = lesions & (twin > -300)
    assert excess[vessels].mean() < 380, "less than half of what they stand out by"


def test_what_a_generator_says_outside_the_lung_is_no_heat_at_its_rim(a_phantom: Phantom) -> None:
    perfect = perfect_synthesis(a_phantom)
    nothing_done = np.where(perfect.lungs > 0, perfect.scan, np.float32(-1000))
    made = heatmap(
        Synthesis(**vars(perfect) | {"healthy": nothing_done}), a_phantom.scan, a_phantom.lungs, 0.0
    )
    assert not sitk.GetArrayFromImage(made.excess).any()


def test_lesions_beside_the_pleura_have_their_full_heat_though_nothing_is_known_beyond_it(
    a_phantom: Phantom,
) -> None:
    perfect = perfect_synthesis(a_phantom)
    beyond = np.where(perfect.lungs > 0, perfect.healthy, np.float32(0))
    made = heatmap(Synthesis(**vars(perfect) | {"healthy": beyond}), a_phantom.scan, a_phantom.lungs, 0.0)
    excess, scan, twin, lungs, lesions = (
        sitk.GetArrayFromImage(image).astype(float)
        for image in (made.excess, a_phantom.scan, a_phantom.healthy_twin, a_phantom.lungs, a_phantom.lesions)
    )
    voxel_mm = a_phantom.scan.GetSpacing()[::-1]
    depth_mm = ndimage.distance_transform_edt(lungs > 0, voxel_mm)
    beside = (lesions > 0) & (depth_mm < 4)
    assert np.count_nonzero(beside) > 100
    assert excess[beside].mean() > 0.8 * (scan - twin)[beside].mean()


def test_the_generator_sees_nothing_outside_the_lung_and_where_it_lies_if_it_is_told() -> None:
    hu, lungs = torch.full((1, 4, 4, 4), -300.0), torch.zeros(1, 4, 4, 4)
    lungs[:, 1:3, 1:3, 1:3] = 1
    told, untold = (generator_input(hu, lungs, lung_channel=channel) for channel in (True, False))
    assert torch.allclose(untold, 0.5 * lungs[:, None])
    assert torch.equal(told, torch.stack([untold[:, 0], lungs], 1))


def test_heatmap_and_pseudo_healthy_add_up_to_the_scan(a_phantom: Phantom) -> None:
    made = heatmap(perfect_synthesis(a_phantom), a_phantom.scan, a_phantom.lungs, 10.0)
    scan, healthy, excess = (
        sitk.GetArrayFromImage(image).astype(int)
        for image in (a_phantom.scan, made.pseudo_healthy, made.excess)
    )
    assert np.array_equal(healthy + excess, scan)
    assert excess.min() == 0
    inside = sitk.GetArrayFromImage(a_phantom.lungs) > 0
    assert (excess[~inside] == 0).all()
    for image in vars(made).values():
        assert grid_difference(image, a_phantom.scan) is None
    assert np.median(sitk.GetArrayFromImage(made.uncertainty)[inside]) == 12


def test_fractions_of_hu_and_large_uncertainties_are_stored_as_the_nearest_that_fits() -> None:
    hu = np.array([-800.4, -799.6, -300.3, -699.7], np.float32).reshape(1, 2, 2).repeat(2, 0)
    scan = sitk.GetImageFromArray(hu)
    lungs = sitk.GetImageFromArray(np.array([1, 1, 2, 0], np.uint8).reshape(1, 2, 2).repeat(2, 0))
    frame = LungFrame.whole_scan(scan, 0.0)
    spread = np.full(hu.shape, 300, np.float32)
    made = heatmap(Synthesis(frame, hu, 0 * hu - 800, spread, np.ones_like(hu)), scan, lungs, 10.0)
    healthy, excess, uncertainty = (sitk.GetArrayFromImage(image)[0].ravel() for image in vars(made).values())
    assert healthy.tolist() == [-800, -800, -800, -700]
    assert excess.tolist() == [0, 0, 500, 0]
    assert uncertainty.tolist() == [255, 255, 255, 0]


def test_what_is_half_trusted_is_half_taken_off_where_the_grid_is_as_fine_as_the_scan() -> None:
    hu = np.array([-771, -755, -740, -600], np.int16).reshape(1, 2, 2)
    scan, lungs = sitk.GetImageFromArray(hu), sitk.GetImageFromArray(np.ones(hu.shape, np.uint8))
    expected, none = np.full(hu.shape, -800, np.float32), np.zeros(hu.shape, np.float32)
    frame = LungFrame.whole_scan(scan, 0.0)
    synthesis = Synthesis(frame, hu.astype(np.float32), expected, none, none + 1)
    assert synthesis.excess(30.0).ravel().tolist() == [0, 30, 60, 200]
    made = heatmap(synthesis, scan, lungs, 30.0)
    assert sitk.GetArrayFromImage(made.excess).ravel().tolist() == [0, 30, 60, 200]


@pytest.mark.parametrize(
    ("expected", "healthy"), [(-850, [-990, -910, -850]), (-1000, [-1024, -1024, -1000])]
)
def test_air_in_a_lesion_is_hardly_heat_and_no_darker_than_a_scan_holds(
    expected: float, healthy: list[int]
) -> None:
    hu = np.array([-990, -880, -300], np.int16).reshape(1, 1, 3)
    scan, lungs = sitk.GetImageFromArray(hu), sitk.GetImageFromArray(np.ones(hu.shape, np.uint8))
    around, none = np.full(hu.shape, -500, np.float32), np.zeros(hu.shape, np.float32)
    frame = LungFrame.whole_scan(scan, 0.0)
    made = heatmap(Synthesis(frame, around, none + expected, none, none + 1), scan, lungs, 10.0)
    assert sitk.GetArrayFromImage(made.pseudo_healthy).ravel().tolist() == healthy
    assert sitk.GetArrayFromImage(made.excess).ravel().tolist() == (hu.ravel() - healthy).tolist()


@pytest.mark.parametrize("metal_hu", [20000, 32767])
def test_metal_in_the_lung_leaves_hu_that_a_chest_can_have(a_phantom: Phantom, metal_hu: int) -> None:
    hu = sitk.GetArrayFromImage(a_phantom.scan)
    inside = sitk.GetArrayViewFromImage(a_phantom.lungs) > 0
    z, y, x = np.argwhere(inside)[np.count_nonzero(inside) // 2]
    hu[z - 1 : z + 2, y - 2 : y + 3, x - 2 : x + 3] = metal_hu
    for kind in (np.int16, np.float32):
        scan = image_like(hu.astype(kind), a_phantom.scan)
        frame = LungFrame.around_lungs(a_phantom.lungs, SHAPE)
        perfect = perfect_synthesis(a_phantom)
        made = heatmap(
            Synthesis(**vars(perfect) | {"scan": frame.to_network(scan)}), scan, a_phantom.lungs, 10.0
        )
        healthy, excess = (sitk.GetArrayFromImage(image) for image in (made.pseudo_healthy, made.excess))
        assert excess.min() == 0
        assert healthy.min() >= -1024
        assert healthy[inside].max() < 1000
        assert np.array_equal(healthy + excess, hu.clip(-1024, 3071))


def test_what_a_generator_leaves_on_healthy_lung_is_not_heat(a_phantom: Phantom) -> None:
    synthesis = perfect_synthesis(a_phantom)
    shifted = Synthesis(**{**vars(synthesis), "healthy": synthesis.healthy - 25})
    clean = sitk.GetArrayFromImage(a_phantom.lungs) > 0
    clean &= sitk.GetArrayFromImage(a_phantom.lesions) == 0
    heat = [
        sitk.GetArrayFromImage(heatmap(shifted, a_phantom.scan, a_phantom.lungs, residual).excess)[clean]
        for residual in (0.0, 30.0)
    ]
    assert np.median(heat[0]) == pytest.approx(25, abs=3)
    assert np.median(heat[1]) == 0


def test_a_dense_lesion_keeps_its_full_height_and_noise_is_cut_off() -> None:
    above = np.array([-40.0, 0, 30, 45, 60, 400], np.float32).reshape(1, 1, 6)
    ones = np.ones_like(above)
    frame = LungFrame.whole_scan(sitk.Image(6, 1, 1, sitk.sitkInt16), 1.0)
    synthesis = Synthesis(frame, above - 800, 0 * above - 800, 0 * above, ones)
    assert synthesis.excess(30.0).ravel().tolist() == [0, 0, 0, 30, 60, 400]


def test_the_same_seed_paints_the_same_and_draws_differ(a_phantom: Phantom, a_package: ModelPackage) -> None:
    generator = a_package.generator()
    made = [
        synthesise(
            generator,
            a_phantom.scan,
            a_phantom.lungs,
            shape=SHAPE,
            margin_mm=5,
            draws=2,
            device=CPU,
            seed=seed,
        )
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(made[0].healthy, made[1].healthy)
    assert not np.array_equal(made[0].healthy, made[2].healthy)
    assert made[0].spread.max() > 0


def test_the_scan_is_encoded_once_for_all_draws(
    a_phantom: Phantom, a_package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = a_package.generator()
    encoded = []
    encode = generator.encode
    monkeypatch.setattr(generator, "encode", lambda x: encoded.append(x) or encode(x))
    made = synthesise(
        generator, a_phantom.scan, a_phantom.lungs, shape=(16, 32, 32), margin_mm=9, draws=3, device=CPU
    )
    assert len(encoded) == 1
    latents = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        volumes = [generator(encoded[0], draw_latent(encoded[0], latents)).volume for _ in range(3)]
    mean = to_hu(torch.stack(volumes)).mean(0)[0, 0].numpy()
    assert np.allclose(made.healthy, mean, atol=0.1)
    assert made.frame == LungFrame.around_lungs(a_phantom.lungs, (16, 32, 32), margin_mm=9)
    both = made.frame.to_network(a_phantom.lungs, "nearest", fill=0) > 0
    assert np.array_equal(made.lungs, both)


class Undecided(VolumeGenerator):
    """Paints the lung with -860, -720 and -580 HU in turn."""

    def __init__(self) -> None:
        super().__init__(lung_channel=True, composite=False)
        self.said = iter((0.1, 0.2, 0.3))

    def encode(self, x: Tensor) -> Encoded:
        return Encoded(x[:, :1], [], x)

    def decode(self, seen: Encoded, _latent: Tensor) -> Healthy:
        return Healthy(torch.full_like(seen.volume, next(self.said)), torch.ones_like(seen.volume))


def test_the_uncertainty_is_the_standard_deviation_in_hu(a_phantom: Phantom) -> None:
    made = synthesise(
        Undecided(), a_phantom.scan, a_phantom.lungs, shape=(8, 8, 8), margin_mm=5, draws=3, device=CPU
    )
    assert np.allclose(made.healthy, -720, atol=0.01)
    assert np.allclose(made.spread, np.std([-860, -720, -580]), atol=0.01)
