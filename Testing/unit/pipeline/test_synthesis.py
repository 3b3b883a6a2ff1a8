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
from COVIDSelfSegLib.networks.generator import draw_latent
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.synthesis import Synthesis, heatmap, synthesise
from COVIDSelfSegLib.volume import grid_difference, image_like

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
        generator, a_phantom.scan, a_phantom.lungs, shape=(16, 32, 32), margin_mm=5, draws=3, device=CPU
    )
    assert len(encoded) == 1
    latents = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        volumes = [generator(encoded[0], draw_latent(encoded[0], latents)).volume for _ in range(3)]
    mean = to_hu(torch.stack(volumes)).mean(0)[0, 0].numpy()
    assert np.allclose(made.healthy, mean, atol=0.1)
