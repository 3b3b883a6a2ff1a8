"""From slices to a probability on the scan's grid, and from it to lesions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib import pipeline
from COVIDSelfSegLib.array_types import FloatArray
from COVIDSelfSegLib.devices import Device, choose_device
from COVIDSelfSegLib.lungs import LungMask
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.networks.slice_network import SliceNetwork
from COVIDSelfSegLib.networks.transunet import CompactTransUNet
from COVIDSelfSegLib.package_card import Inference
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.segmentation import (
    MARKS,
    Calibration,
    LungSlices,
    ValueKind,
    lesion_logits,
    lesion_mask,
    predict_logits,
    probability_image,
    relative_probability,
    segmenter_input,
    slice_and_neighbours,
    smooth_along_z,
)
from COVIDSelfSegLib.threshold_curve import level_of
from COVIDSelfSegLib.volume import grid_difference, image_like
from torch import nn

from ..conftest import SMALL, SQUARE

CPU = Device(torch.device("cpu"), torch.float32, "CPU")


class DensityNetwork(nn.Module):
    """Says lesion where the middle slice is denser than -700 HU: a network whose answer is known."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(100.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * (x[:, 1:2] - 300 / 1400) * x[:, 3:]


def slices_of(phantom: Phantom) -> LungSlices:
    return LungSlices.of_scan(phantom.scan, phantom.lungs, plane=(96, 128), margin_mm=5, neighbour_mm=2.5)


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.25, -0.2)])
def test_a_known_network_comes_back_on_the_scans_own_grid(tilt: tuple[float, float]) -> None:
    phantom = make_phantom(3, 2, replace(SMALL, size=SQUARE, noise_hu=0.0, tilt=tilt))
    slices = slices_of(phantom)
    logits = predict_logits(DensityNetwork(), slices, batch=7, device=CPU)
    image = probability_image(logits, slices, Calibration(), phantom.lungs, "absolute")
    assert grid_difference(image, phantom.scan) is None
    found = sitk.GetArrayFromImage(lesion_mask(image, 0.5, 0.0)) > 0
    inside = sitk.GetArrayFromImage(phantom.lungs) > 0
    dense = (sitk.GetArrayFromImage(phantom.scan) > -700) & inside
    assert (found & dense).sum() / dense.sum() > 0.9
    assert not found[~inside].any()


def test_the_outcome_does_not_depend_on_the_batch(a_phantom: Phantom) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 1, 3, padding=1)).eval()
    slices = slices_of(a_phantom)
    one, many = (predict_logits(network, slices, batch=batch, device=CPU) for batch in (1, 16))
    assert np.allclose(one, many, atol=1e-4)
    assert (one[~slices.lungs.any(axis=(1, 2))] == -20).all()


class Counting(DensityNetwork):
    """Remembers how many slices it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shown += len(x)
        return super().forward(x)


def test_of_thin_slices_only_some_are_looked_at_and_the_lesions_stay() -> None:
    thin = make_phantom(3, 3, replace(SMALL, size=(96, 96, 260), slice_mm=1.0, noise_hu=0.0))
    slices = slices_of(thin)
    some, all_of_them = Counting(), Counting()
    logits = predict_logits(some, slices, batch=7, device=CPU)
    every = predict_logits(all_of_them, slices, batch=7, device=CPU, step_mm=0)
    holding = int(slices.lungs.any(axis=(1, 2)).sum())
    assert all_of_them.shown == holding
    assert some.shown <= holding // 2 + 2
    inside = slices.lungs > 0
    found, wanted = (smooth_along_z(one, slices)[inside] > 0 for one in (logits, every))
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.97
    assert (logits[~inside.any(axis=(1, 2))] == -20).all()


def fading_slices(slice_mm: float) -> LungSlices:
    """Twelve slices of lung that get evenly denser upwards."""
    lungs = np.ones((12, 4, 8), np.uint8)
    hu = np.linspace(-980, -100, 12, dtype=np.float32)[:, None, None] * lungs
    images = [sitk.GetImageFromArray(array) for array in (hu, lungs)]
    for image in images:
        image.SetSpacing((2.0, 2.0, slice_mm))
    return LungSlices.of_scan(*images, plane=(4, 8), margin_mm=0, neighbour_mm=2.5)


@pytest.mark.parametrize(("slice_mm", "shown"), [(2.0, 12), (1.5, 12), (1.2, 12), (1.0 + 1e-7, 7), (0.6, 5)])
def test_slices_that_lie_two_millimetres_apart_are_all_looked_at(slice_mm: float, shown: int) -> None:
    network = Counting()
    predict_logits(network, fading_slices(slice_mm), batch=16, device=CPU)
    assert network.shown == shown, "the last one always"


class RightHalf(SliceNetwork):
    """Says lesion in the right half of the picture, beside what it sees of the slice itself."""

    def __init__(self) -> None:
        super().__init__(in_channels=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1] == 1
        half = torch.zeros_like(x)
        half[..., x.shape[3] // 2 :] = 8
        return half


@pytest.mark.parametrize(("mirrored", "left", "right"), [(False, 0, 8), (True, 4, 4)])
def test_a_network_of_the_slice_alone_looks_at_it_once_or_in_the_mirror_too(
    mirrored: bool, left: float, right: float
) -> None:
    logits = predict_logits(RightHalf(), fading_slices(2.0), batch=5, device=CPU, mirrored=mirrored)
    assert (logits[..., :4] == left).all()
    assert (logits[..., 4:] == right).all()


@pytest.mark.parametrize("values", ["hu", "picture", "equalised"])
def test_the_network_is_told_what_the_values_of_slices_are(values: ValueKind) -> None:
    network, told = DensityNetwork(), []
    network.register_forward_pre_hook(lambda _network, given: told.append(given[0][:, 3].unique().tolist()))
    predict_logits(network, fading_slices(2.0), batch=16, device=CPU, mark=MARKS[values])
    assert told == [[MARKS[values]]]


def test_what_gets_evenly_denser_is_found_to_do_so_though_few_slices_are_looked_at() -> None:
    slices = fading_slices(0.4)
    some, every = (
        predict_logits(DensityNetwork(), slices, batch=16, device=CPU, step_mm=step) for step in (2.0, 0.0)
    )
    assert np.allclose(some, every, atol=1e-3)


def test_between_two_slices_the_lung_of_either_counts_alone() -> None:
    """Outside the lung the network's answer means nothing."""
    lungs = np.ones((3, 4, 8), np.uint8)
    lungs[0, :, :4] = 0
    image = sitk.GetImageFromArray(lungs)
    image.SetSpacing((2.0, 2.0, 1.0))
    scan = sitk.GetImageFromArray(
        np.array([-900, 0, -300], np.int16)[:, None, None] + np.zeros_like(lungs, np.int16)
    )
    scan.CopyInformation(image)
    slices = LungSlices.of_scan(scan, image, plane=(4, 8), margin_mm=0, neighbour_mm=1)
    logits = predict_logits(DensityNetwork(), slices, batch=2, device=CPU)
    below, above = logits[0, 0, -1], logits[2, 0, -1]
    assert below < 0 < above
    assert np.allclose(logits[1, :, 4:], (below + above) / 2)
    assert np.allclose(logits[1, :, :4], above)


def test_the_plane_holds_the_lungs_and_as_much_around_them_as_is_asked_for() -> None:
    lungs = np.zeros((3, 60, 80), np.uint8)
    lungs[1, 20:40, 20:60] = 1
    image = sitk.GetImageFromArray(lungs)
    image.SetSpacing((2.0, 2.0, 5.0))
    slices = LungSlices.of_scan(image, image, plane=(30, 60), margin_mm=10, neighbour_mm=2.5)
    assert slices.frame.voxel_mm == pytest.approx((5.0, 2.0, 2.0)), "square, though the lungs are not as wide"
    assert np.array_equal(slices.lungs[1], lungs[1, 15:45, 10:70])


def test_neighbours_lie_about_as_far_as_asked_and_stay_inside() -> None:
    assert slice_and_neighbours(np.arange(4), 1, 4).tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
    assert slice_and_neighbours(np.array([0, 3]), 3, 4).tolist() == [[0, 0, 3], [0, 3, 3]]


@pytest.mark.parametrize(("slice_mm", "distance"), [(0.6, 4), (0.9, 3), (1.0, 2), (2.0, 1), (8.0, 1)])
def test_thin_slices_have_farther_neighbours(slice_mm: float, distance: int) -> None:
    lungs = sitk.Image((20, 20, 30), sitk.sitkUInt8) + 1
    lungs.SetSpacing((2.0, 2.0, slice_mm))
    scan = sitk.Cast(lungs, sitk.sitkInt16)
    made = LungSlices.of_scan(scan, lungs, plane=(16, 16), margin_mm=0, neighbour_mm=2.5)
    assert made.neighbour == distance


def test_the_network_sees_nothing_outside_the_lung() -> None:
    hu, lungs = torch.full((1, 3, 8, 8), 300.0), torch.zeros(1, 8, 8)
    lungs[:, 2:5, 2:5] = 1
    x = segmenter_input(hu, lungs)
    assert x.shape == (1, 4, 8, 8)
    assert (x[:, :3][:, :, lungs[0] == 0] == 0).all()
    assert x[0, 1, 3, 3] == pytest.approx(1300 / 1400)
    assert torch.equal(x[:, 3], lungs)


def test_a_network_of_one_channel_sees_the_slice_itself_within_the_lung() -> None:
    hu = torch.tensor([-900.0, -300.0, 100.0])[None, :, None, None].expand(1, 3, 8, 8)
    lungs = torch.zeros(1, 8, 8)
    lungs[:, 2:5, 2:5] = 1
    assert torch.allclose(segmenter_input(hu, lungs, channels=1), 0.5 * lungs[None])


def test_a_mark_tells_the_network_and_changes_no_hu() -> None:
    hu = torch.full((2, 3, 8, 8), -500.0)
    lungs = torch.zeros(2, 8, 8)
    lungs[:, 2:5, 2:5] = 1
    plain = segmenter_input(hu, lungs)
    marked = segmenter_input(hu, lungs, marks=torch.tensor([1.0, 0.5]))
    assert torch.equal(marked[0], plain[0])
    assert torch.equal(marked[1, :3], plain[1, :3])
    assert torch.equal(marked[1, 3], 0.5 * lungs[1])
    alone = segmenter_input(hu, lungs, channels=1, marks=torch.tensor([1.0, 0.5]))
    assert torch.equal(alone, segmenter_input(hu, lungs, channels=1))


def test_looking_at_the_mirror_image_too_finds_the_same_in_a_mirrored_slice() -> None:
    torch.manual_seed(0)
    network = CompactTransUNet(width=8, blocks=1, heads=2, mlp=16).eval()
    x = torch.rand(2, 4, 32, 48)
    with torch.inference_mode():
        once, twice = (lesion_logits(network, x, mirrored=mirrored) for mirrored in (False, True))
        of_mirror = lesion_logits(network, x.flip(3), mirrored=True)
        expected = (network(x) + network(x.flip(3)).flip(3)) / 2
    assert torch.allclose(twice, expected, atol=1e-5)
    assert torch.allclose(of_mirror.flip(3), twice, atol=1e-5)
    assert not torch.allclose(once, twice, atol=1e-5)


def test_a_slice_in_whose_lung_nothing_is_seen_is_not_looked_at_in_the_mirror() -> None:
    """Dense tissue beside the lung does not count: the network's answer means nothing there."""
    hu = torch.full((3, 3, 8, 8), -850.0)
    lungs = torch.ones(3, 8, 8)
    lungs[:, :, :2] = 0
    hu[0, :, :, :2] = 0
    hu[1, :, 4, 5] = 0
    network = Counting()
    with torch.inference_mode():
        logits = lesion_logits(network, segmenter_input(hu, lungs), mirrored=True)
        once = lesion_logits(DensityNetwork(), segmenter_input(hu, lungs), mirrored=False)
    assert network.shown == 3 + 1, "three slices, and the mirror image of one"
    assert torch.equal(logits, once)
    assert once[1].max() > 0 > once[[0, 2]][..., 2:].max()


def test_a_calibration_is_platts() -> None:
    logits = np.array([-2.0, 0.0, 3.0], np.float32)
    assert Calibration().probability(logits) == pytest.approx(1 / (1 + np.exp(-logits)))
    assert Calibration(0.5, -1).probability(logits) == pytest.approx(1 / (1 + np.exp(-(0.5 * logits - 1))))


def test_equalised_slices_have_a_calibration_of_their_own_where_a_package_has_one() -> None:
    plain = Inference(calibration_slope=2.0, calibration_shift=-1.0)
    both = replace(plain, calibration_equalised_slope=0.5, calibration_equalised_shift=0.3)
    assert Calibration.of(both, "equalised") == Calibration(0.5, 0.3)
    for inference, values in ((both, "hu"), (both, "picture"), (plain, "equalised")):
        assert Calibration.of(inference, values) == Calibration(2.0, -1.0)


def test_a_probability_is_stored_as_its_share_of_255() -> None:
    lungs = sitk.Image((8, 4, 3), sitk.sitkUInt8) + 1
    slices = LungSlices.of_scan(lungs, lungs, plane=(4, 8), margin_mm=0, neighbour_mm=2.5)
    for probability, stored in ((0.001, 0), (0.2, 51), (0.6, 153), (0.8, 204), (0.9999, 255)):
        logits = np.full(slices.hu.shape, np.log(probability / (1 - probability)), np.float32)
        image = probability_image(logits, slices, Calibration(), lungs, "absolute")
        assert (sitk.GetArrayFromImage(image) == stored).all()


def test_a_threshold_is_a_share_of_what_its_kind_says() -> None:
    probability = np.array([[0.1, 0.2, 0.8], [0.05, 0.4, 0.9], [0.0, 0.0, 0.5]], np.float32)[:, None]
    lungs = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0]], np.uint8)[:, None]
    assert relative_probability(probability, lungs, "absolute") == pytest.approx(probability)
    # Nothing outside the lung is a maximum, and nothing there comes out above 1.
    of_slice = [[0.5, 1, 1], [0.125, 1, 1], [0, 0, 1]]
    assert relative_probability(probability, lungs, "slice")[:, 0] == pytest.approx(np.array(of_slice))
    of_volume = [[0.25, 0.5, 1], [0.125, 1, 1], [0, 0, 1]]
    assert relative_probability(probability, lungs, "volume")[:, 0] == pytest.approx(np.array(of_volume))


def test_small_components_are_dropped_by_their_volume() -> None:
    values = np.zeros((5, 20, 20), np.uint8)
    values[1, 2:4, 2:4] = 200  # 4 voxels of 10 mm3: 0.04 ml
    values[3, 8:12, 8:12] = 200  # 16 voxels: 0.16 ml
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1, 1, 10))
    kept = sitk.GetArrayFromImage(lesion_mask(image, 0.5, 0.05))
    assert kept.sum() == 16
    assert kept[3, 9, 9] == 1
    assert sitk.GetArrayFromImage(lesion_mask(image, 0.5, 0.0)).sum() == 20


def test_more_specks_than_16_bits_can_number_are_all_counted() -> None:
    values = np.zeros((84, 84, 84), np.uint8)
    values[::2, ::2, ::2] = 255  # 74,088 single voxels
    values[40:44, 40:44, 40:44] = 255
    image = sitk.GetImageFromArray(values)
    assert sitk.GetArrayFromImage(lesion_mask(image, 0.5, 0.001)).sum() == (values > 0).sum()
    kept = sitk.GetArrayFromImage(lesion_mask(image, 0.5, 0.01)) > 0
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(image), 10)
    assert np.array_equal(kept, sitk.GetArrayFromImage(parts) > 0)
    assert kept.any()


def test_where_nothing_reaches_the_threshold_there_is_no_lesion() -> None:
    image = sitk.GetImageFromArray(np.full((9, 8, 7), 100, np.uint8))
    assert not sitk.GetArrayFromImage(lesion_mask(image, 0.5, 0.0)).any()


def test_a_threshold_means_the_same_on_stored_bytes() -> None:
    image = image_like(
        np.arange(256, dtype=np.uint8).reshape(1, 16, 16), sitk.Image((16, 16, 1), sitk.sitkUInt8)
    )
    for threshold in (0.01, 0.5, 0.73, 0.999):
        mask = sitk.GetArrayFromImage(lesion_mask(image, threshold, 0.0)).ravel()
        assert np.array_equal(mask > 0, np.arange(256) >= threshold * 255)
    assert level_of(0.0001) == 1


def test_lungs_taller_than_the_plane_are_seen_in_more_rows(
    a_phantom: Phantom, a_package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = []

    def watch(network: nn.Module, slices: LungSlices, **options: Any) -> FloatArray:
        planes.append(slices.hu.shape[1:])
        return predict_logits(network, slices, **options)

    monkeypatch.setattr(pipeline, "predict_logits", watch)
    labels = sitk.GetArrayFromImage(a_phantom.lungs)
    half = labels.copy()
    half[:, : labels.shape[1] // 2] = 0
    for lungs in (half, labels):
        mask = LungMask(image_like(lungs, a_phantom.lungs), "given")
        found, _ = pipeline.find_lesions(a_phantom.scan, mask, a_package, CPU, pipeline.StageClock())
        assert grid_difference(found, a_phantom.scan) is None
    assert planes == [(48, 64), (64, 64)]
    assert a_package.card.inference.slice_plane == (48, 64)


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    from COVIDSelfSegLib.errors import UserError

    with pytest.raises(UserError, match="No CUDA device"):
        choose_device("cuda")
    assert choose_device("auto").handle.type == "cpu"


def test_neighbouring_thin_slices_agree_and_thick_ones_keep_their_own(a_phantom: Phantom) -> None:
    slices = LungSlices.of_scan(
        a_phantom.scan, a_phantom.lungs, plane=(32, 48), margin_mm=5, neighbour_mm=2.5
    )
    logits = np.full(slices.hu.shape, -3.0, np.float32)
    middle = len(logits) // 2
    logits[middle] = 3.0
    assert np.array_equal(smooth_along_z(logits, slices), logits), "slices of 5 mm"
    thin = replace(slices, frame=replace(slices.frame, spacing=(2.3, 2.3, 1.0)))
    smooth = smooth_along_z(logits, thin)
    lung = slices.lungs > 0
    assert smooth[middle][lung[middle]].max() < 0
    assert np.allclose(smooth[: middle - 6], -3)
    steady = np.full_like(logits, 2.0)
    assert np.allclose(smooth_along_z(steady, thin), steady)


@pytest.mark.parametrize("spike", [0, 6, 11])
def test_a_spike_of_one_slice_is_smoothed_wherever_it_lies_in_slices_thinner_than_5_mm(spike: int) -> None:
    for slice_mm, stays in ((1.0, False), (2.5, False), (5.0, True)):
        slices = fading_slices(slice_mm)
        logits = np.full(slices.hu.shape, -3.0, np.float32)
        logits[spike] = 3.0
        assert (smooth_along_z(logits, slices)[spike] == 3.0).all() == stays


@pytest.mark.parametrize("plane", [(48, 64), (192, 256)], ids=["coarser than the scan", "finer"])
def test_what_the_network_says_of_tissue_outside_the_lung_never_gets_into_it(plane: tuple[int, int]) -> None:
    """It has learnt nothing there, and slices are smoothed along z and interpolated at the lung's rim."""
    thin = make_phantom(3, 1, replace(SMALL, size=(96, 96, 130), slice_mm=2.0))
    slices = LungSlices.of_scan(thin.scan, thin.lungs, plane=plane, margin_mm=5, neighbour_mm=2.5)
    inside = slices.lungs > 0
    told = np.random.default_rng(0).normal(-1, 2, inside.shape).astype(np.float32)
    images = []
    for outside in (-15.0, 15.0):
        logits = np.where(inside, told, np.float32(outside))
        smooth = smooth_along_z(logits, slices)
        image = probability_image(smooth, slices, Calibration(), thin.lungs, "absolute")
        images.append(sitk.GetArrayFromImage(image).astype(int))
    lung = sitk.GetArrayFromImage(thin.lungs) > 0
    assert images[0][lung].max() > 200
    assert (images[0] != images[1])[lung].mean() < 1e-4
