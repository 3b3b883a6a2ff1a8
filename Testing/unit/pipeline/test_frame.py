"""LungFrame: scan grid to network grid and back, exactly, for any orientation."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.frame import LungFrame

DIRECTIONS = {
    "as it is": np.eye(3),
    "feet first, on the belly": np.diag([1.0, -1.0, -1.0]),
    "coronal slices": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float),
    "sagittal slices": np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float),
    "oblique": np.array(sitk.Euler3DTransform((0, 0, 0), 0.25, -0.1, 0.3).GetMatrix()).reshape(3, 3),
}


def make_ramp(direction: np.ndarray, axis: int) -> sitk.Image:
    """An image whose value is its own position along one patient axis, in mm."""
    image = sitk.Image((40, 52, 30), sitk.sitkFloat32)
    image.SetSpacing((1.3, 0.8, 2.2))
    image.SetOrigin((-20.0, 35.0, 110.0))
    image.SetDirection(direction.ravel())
    grid = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()
    )
    ramp = sitk.Cast(sitk.VectorIndexSelectionCast(grid, axis), sitk.sitkFloat32)
    ramp.CopyInformation(image)
    return ramp


def make_lungs(like: sitk.Image) -> sitk.Image:
    """A box of ones away from the borders."""
    mask = np.zeros(like.GetSize()[::-1], np.uint8)
    mask[6:24, 10:43, 8:33] = 1
    image = sitk.GetImageFromArray(mask)
    image.CopyInformation(like)
    return image


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_network_axes_run_up_back_and_left(direction: np.ndarray) -> None:
    for network_axis, patient_axis in enumerate((2, 1, 0)):
        ramp = make_ramp(direction, patient_axis)
        frame = LungFrame.around_lungs(make_lungs(ramp), (16, 24, 32))
        seen = frame.to_network(ramp)
        steps = np.diff(seen, axis=network_axis)
        assert steps.min() > 0


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
@pytest.mark.parametrize("shape", [(12, 20, 28), (18, 64, 70), (None, 24, 32)])
def test_there_and_back_moves_nothing_by_a_voxel(
    direction: np.ndarray, shape: tuple[int | None, int, int]
) -> None:
    for axis, square in itertools.product(range(3), (False, True)):
        ramp = make_ramp(direction, axis)
        lungs = make_lungs(ramp)
        frame = LungFrame.around_lungs(lungs, shape, margin_mm=6, square_pixels=square)
        back = frame.to_scan(frame.to_network(ramp))
        inside = sitk.GetArrayFromImage(lungs) > 0
        error = np.abs(sitk.GetArrayFromImage(back) - sitk.GetArrayFromImage(ramp))[inside]
        # Only the outermost half network voxel, which has nothing to interpolate with, moves by more.
        assert error.max() < 0.6 * max(*ramp.GetSpacing(), *frame.voxel_mm)
        assert np.median(error) < 0.1


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_the_result_lies_on_the_scans_own_grid(direction: np.ndarray) -> None:
    ramp = make_ramp(direction, 0)
    frame = LungFrame.around_lungs(make_lungs(ramp), (8, 16, 16))
    back = frame.to_scan(np.ones((8, 16, 16)), dtype=np.uint8)
    assert (back.GetSize(), back.GetSpacing(), back.GetOrigin()) == (
        ramp.GetSize(),
        ramp.GetSpacing(),
        ramp.GetOrigin(),
    )
    assert back.GetDirection() == pytest.approx(ramp.GetDirection())
    assert back.GetPixelID() == sitk.sitkUInt8


def test_interpolation_equals_simpleitk_where_the_network_is_finer() -> None:
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.normal(size=(10, 12, 14)).astype(np.float32))
    frame = LungFrame.whole_scan(image, 0.0)
    finer = LungFrame(**{**vars(frame), "shape": (25, 30, 41)})
    mm = finer.voxel_mm
    reference = sitk.Image(finer.shape[::-1], sitk.sitkFloat32)
    reference.SetSpacing(mm[::-1])
    reference.SetOrigin([size / 2 - 0.5 for size in mm[::-1]])
    oracle = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, 0.0)
    inner = (slice(2, -2),) * 3
    assert np.allclose(finer.to_network(image)[inner], sitk.GetArrayFromImage(oracle)[inner], atol=1e-5)


def test_pooling_by_whole_numbers_is_the_mean_of_blocks() -> None:
    values = np.random.default_rng(1).normal(size=(6, 8, 10)).astype(np.float32)
    frame = LungFrame.whole_scan(sitk.GetImageFromArray(values), 2.0)
    assert frame.shape == (3, 4, 5)
    blocks = values.reshape(3, 2, 4, 2, 5, 2).mean(axis=(1, 3, 5))
    assert np.allclose(frame.to_network(sitk.GetImageFromArray(values)), blocks, atol=1e-5)


@pytest.mark.parametrize("mm", [0.6, 0.7, 1.1, 2.3])
def test_a_scan_on_its_own_voxels_keeps_them_all_and_none_is_finer_than_asked(mm: float) -> None:
    for count in (12, 24, 29, 58, 96):
        scan = sitk.Image((count, count, 3), sitk.sitkUInt8)
        scan.SetSpacing((mm, mm, mm))
        for asked_mm in (0.0, mm):
            assert LungFrame.whole_scan(scan, asked_mm).shape == (3, count, count)
        assert min(LungFrame.whole_scan(scan, 1.7 * mm).voxel_mm) >= 1.7 * mm


def test_the_slices_of_the_margin_are_whole_ones_and_not_too_few() -> None:
    lungs = np.zeros((20, 8, 8), np.uint8)
    lungs[6:14] = 1
    image = sitk.GetImageFromArray(lungs)
    image.SetSpacing((1.0, 1.0, 2.0))
    frame = LungFrame.around_lungs(image, (None, 8, 8), margin_mm=5)
    assert (frame.start[0], frame.stop[0], frame.shape[0]) == (3, 17, 14), "5 mm are more than two slices"


def test_lungs_flatter_than_the_grid_keep_all_of_its_rows() -> None:
    lungs = np.zeros((3, 60, 80), np.uint8)
    lungs[1, 20:30, 8:72] = 1
    frame = LungFrame.around_lungs(
        sitk.GetImageFromArray(lungs), (None, 48, 64), margin_mm=0, square_pixels=True, taller=True
    )
    assert frame.shape == (1, 48, 64)


def test_a_slice_is_told_by_its_number_in_the_file() -> None:
    for upwards, numbers in ((1.0, [1, 5, 30]), (-1.0, [30, 26, 1])):
        scan = make_ramp(np.diag([1.0, 1.0, upwards]), 2)
        frame = LungFrame.whole_scan(scan, 0.0)
        assert [frame.stored_slice(z) for z in (0, 4, 29)] == numbers
        stored, turned = sitk.GetArrayFromImage(scan), frame.turned(scan)
        assert [turned[z].mean() for z in (0, 4, 29)] == [stored[number - 1].mean() for number in numbers]
        assert turned[0].mean() < turned[29].mean(), "counted from below"


def test_thick_slices_are_divided_where_that_is_asked_for() -> None:
    scan = sitk.GetImageFromArray(np.float32([0, 100, 200]).repeat(24).reshape(3, 4, 6))
    scan.SetSpacing((2.0, 2.0, 8.0))
    assert LungFrame.whole_scan(scan, 4.0).shape == (3, 2, 3)
    frame = LungFrame.whole_scan(scan, 4.0, divide_slices=True)
    assert frame.shape == (6, 2, 3)
    assert frame.voxel_mm == pytest.approx((4.0, 4.0, 4.0))
    assert np.allclose(frame.to_network(scan)[:, 0, 0], [0, 25, 75, 125, 175, 200])


def test_pooling_keeps_the_mean_whatever_the_sizes() -> None:
    values = np.random.default_rng(1).normal(size=(7, 33, 45)).astype(np.float32)
    frame = LungFrame.whole_scan(sitk.GetImageFromArray(values), 1.9)
    assert frame.to_network(sitk.GetImageFromArray(values)).mean() == pytest.approx(values.mean(), abs=1e-5)


def test_square_pixels_are_square_and_hold_the_lungs() -> None:
    ramp = make_ramp(np.eye(3), 0)
    lungs = make_lungs(ramp)
    frame = LungFrame.around_lungs(lungs, (None, 48, 64), square_pixels=True)
    assert frame.voxel_mm[1] == pytest.approx(frame.voxel_mm[2])
    assert frame.voxel_mm[0] == pytest.approx(ramp.GetSpacing()[2])
    ml_there = frame.to_network(lungs, "nearest", fill=0).sum() * np.prod(frame.voxel_mm)
    ml_here = sitk.GetArrayFromImage(lungs).sum() * np.prod(ramp.GetSpacing())
    assert ml_there == pytest.approx(ml_here, rel=0.06)


@pytest.mark.parametrize(
    ("height", "rows", "pixel_mm"),
    [(40, 48, 1.0), (48, 48, 1.0), (50, 64, 1.0), (64, 64, 1.0), (96, 64, 1.5)],
)
def test_lungs_too_tall_for_the_grid_get_more_rows_up_to_a_square(
    height: int, rows: int, pixel_mm: float
) -> None:
    mask = np.zeros((3, 120, 100), np.uint8)
    mask[1, 10 : 10 + height, 20:84] = 1
    lungs = sitk.GetImageFromArray(mask)
    frame = LungFrame.around_lungs(lungs, (None, 48, 64), margin_mm=0, square_pixels=True, taller=True)
    assert frame.shape == (1, rows, 64)
    assert frame.voxel_mm == pytest.approx((1, pixel_mm, pixel_mm))
    # A spacing that was read from a file is one of float32.
    lungs.SetSpacing((1.0, float(np.float32(1.0 + 1e-7)), 1.0))
    again = LungFrame.around_lungs(lungs, (None, 48, 64), margin_mm=0, square_pixels=True, taller=True)
    assert again.shape == (1, rows, 64)
    lungs.SetSpacing((1.0, 1.0, 1.0))
    # Nothing of them is cut off.
    assert frame.to_network(lungs).sum() * pixel_mm**2 == pytest.approx(mask.sum())
    asked = LungFrame.around_lungs(lungs, (None, 48, 64), margin_mm=0, square_pixels=True)
    assert asked.shape == (1, 48, 64)
    assert asked.voxel_mm[1] == pytest.approx(max(1.0, height / 48))


def test_beyond_the_scan_there_is_air() -> None:
    image = sitk.GetImageFromArray(np.zeros((4, 10, 40), np.int16))
    lungs = sitk.GetImageFromArray(np.ones((4, 10, 40), np.uint8))
    frame = LungFrame.around_lungs(lungs, (None, 40, 40), square_pixels=True)
    seen = frame.to_network(image)
    assert set(np.unique(seen)) == {-1024.0, 0.0}
    assert (seen[:, 15:25] == 0).all()


def test_labels_stay_labels() -> None:
    labels = np.random.default_rng(3).integers(0, 3, (9, 31, 33)).astype(np.uint8)
    frame = LungFrame.whole_scan(sitk.GetImageFromArray(labels), 2.1)
    assert set(np.unique(frame.to_network(sitk.GetImageFromArray(labels), "nearest"))) <= {0.0, 1.0, 2.0}


def test_from_one_frame_onto_another_a_ramp_stays_where_it_is() -> None:
    ramp = make_ramp(DIRECTIONS["oblique"], 1)
    lungs = make_lungs(ramp)
    coarse = LungFrame.around_lungs(lungs, (12, 20, 20), margin_mm=9)
    fine = LungFrame.around_lungs(lungs, (None, 40, 56), margin_mm=0)
    moved = coarse.onto(fine, coarse.to_network(ramp))
    assert np.abs(moved - fine.to_network(ramp)).max() < 0.1


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_lungs_that_fill_the_scan_come_back_from_its_own_voxels_as_they_are(
    direction: np.ndarray,
) -> None:
    hu = np.random.default_rng(6).integers(-1000, 400, (5, 6, 7)).astype(np.int16)
    scan = sitk.GetImageFromArray(hu)
    scan.SetDirection(direction.ravel())
    frame = LungFrame.around_lungs(scan > -2000, LungFrame.whole_scan(scan, 0.0).shape)
    back = frame.to_scan(frame.to_network(scan), dtype=np.int16)
    assert np.array_equal(sitk.GetArrayFromImage(back), hu)


def test_slice_by_slice_is_the_same_as_all_at_once() -> None:
    scan = sitk.GetImageFromArray(np.random.default_rng(4).normal(0, 300, (23, 31, 29)).astype(np.float32))
    scan.SetSpacing((0.8, 0.9, 2.5))
    frame = LungFrame.whole_scan(scan, 6.0)
    coarse = frame.to_network(scan)
    whole = sitk.GetArrayFromImage(frame.to_scan(coarse))
    planes = list(frame.planes(coarse))
    assert np.allclose(np.stack(planes), whole[frame.box], atol=1e-3)
    for z, plane in enumerate(planes):
        assert np.allclose(plane, frame.plane(coarse, frame.box[0].start + z), atol=1e-3)


def test_outside_a_mask_there_is_nothing() -> None:
    scan = sitk.GetImageFromArray(np.zeros((6, 7, 8), np.int16))
    frame = LungFrame.whole_scan(scan, 1.0)
    labels = np.random.default_rng(5).integers(0, 3, (6, 7, 8)).astype(np.uint8)
    mask = sitk.GetImageFromArray(labels)
    back = frame.to_scan(np.full(frame.shape, 5.0), dtype=np.uint8, within=mask)
    assert np.array_equal(sitk.GetArrayFromImage(back), np.where(labels > 0, 5, 0))


def test_whole_numbers_are_the_nearest_and_stay_within_their_type() -> None:
    scan = sitk.Image((4, 3, 2), sitk.sitkInt16)
    frame = LungFrame.whole_scan(scan, 0.0)
    told = np.array([-3.0, 0.4, 126.6, 300.0]) + np.zeros(frame.shape)
    assert sitk.GetArrayFromImage(frame.to_scan(told, dtype=np.uint8))[0, 0].tolist() == [0, 0, 127, 255]


def test_a_frame_survives_json() -> None:
    frame = LungFrame.around_lungs(make_lungs(make_ramp(DIRECTIONS["oblique"], 0)), (12, 20, 20))
    assert LungFrame.from_dict(json.loads(json.dumps(asdict(frame)))) == frame


def test_an_array_of_another_shape_is_not_taken() -> None:
    frame = LungFrame.whole_scan(sitk.Image((8, 8, 8), sitk.sitkInt16), 1.0)
    with pytest.raises(ValueError, match="not on a frame"):
        frame.to_scan(np.zeros((7, 8, 8)))
    with pytest.raises(ValueError, match="empty"):
        LungFrame.around_lungs(sitk.Image((8, 8, 8), sitk.sitkUInt8), (4, 4, 4))
