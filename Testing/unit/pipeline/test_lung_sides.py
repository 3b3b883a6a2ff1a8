"""Right and left of a mask that does not say which is which; lungs in several parts, and a single one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.lung_masks.classical import builtin_lung_mask
from COVIDSelfSegLib.lung_masks.pooled_scan import PooledScan
from COVIDSelfSegLib.lung_masks.sides import are_told_apart, split_lungs, split_sides
from COVIDSelfSegLib.lungs import find_lungs
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.volume import image_like, read_scan

from ..conftest import SMALL

RIGHT, LEFT = 1, 2


@pytest.fixture(scope="module")
def a_chest() -> Phantom:
    """With lungs of 2.2 l each, in slices 10 to 54 of 5 mm."""
    return make_phantom(11, 1, SMALL)


@pytest.fixture
def true_lungs(a_chest: Phantom) -> sitk.Image:
    return a_chest.lungs


def without_slice(labels: np.ndarray, slice_: int, side: int) -> np.ndarray:
    """As where a dense band was left out of the mask."""
    parted = labels.copy()
    parted[slice_][labels[slice_] == side] = 0
    return parted


def joined_in_front(labels: np.ndarray) -> np.ndarray:
    """Lungs that touch at the anterior junction, each voxel of the bridge of the side that it lies on."""
    joined = labels.copy()
    for plane in joined[38:44]:
        gaps = []
        for row, line in enumerate(plane):
            right, left = np.flatnonzero(line == RIGHT), np.flatnonzero(line == LEFT)
            if right.size and left.size:
                gaps.append((left.min() - right.max(), row, right.max(), left.min()))
        _, row, end, start = min(gaps)
        bridge = plane[row - 2 : row + 3, end - 8 : start + 8]
        sides = np.where(np.arange(end - 8, start + 8) <= (end + start) // 2, RIGHT, LEFT)
        bridge[...] = np.where(bridge == 0, sides, bridge)
    return joined


def wrong_ml(truth: np.ndarray, grid: sitk.Image) -> float:
    """What of a mask without sides is given the wrong one."""
    soft_tissue = image_like(np.full(truth.shape, 40, np.int16), grid)
    split = sitk.GetArrayFromImage(split_lungs(image_like((truth > 0).astype(np.uint8), grid), soft_tissue))
    assert np.array_equal(split > 0, truth > 0)
    return np.count_nonzero(split != truth) * float(np.prod(grid.GetSpacing())) / 1000


@pytest.mark.parametrize("band", [18, 26, 34, 42])
@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_a_lung_that_a_dense_band_parts_stays_one(true_lungs: sitk.Image, band: int, side: int) -> None:
    labels = sitk.GetArrayFromImage(true_lungs)
    assert wrong_ml(without_slice(labels, band, side), true_lungs) < 3


def test_a_small_lung_beside_one_in_two_larger_parts_keeps_its_side(true_lungs: sitk.Image) -> None:
    labels = without_slice(sitk.GetArrayFromImage(true_lungs), 34, RIGHT)
    labels[30:][labels[30:] == LEFT] = 0
    sizes = [np.count_nonzero(part) for part in (labels[:34] == RIGHT, labels[35:] == RIGHT, labels == LEFT)]
    assert min(sizes) == sizes[2]
    assert wrong_ml(labels, true_lungs) < 3


def test_a_tip_that_lies_nearer_to_the_other_lung_keeps_its_side(true_lungs: sitk.Image) -> None:
    """Of the right lung all from slice 28 to 50 is dense; of the left one nothing."""
    labels = sitk.GetArrayFromImage(true_lungs)
    for band in range(28, 51):
        labels = without_slice(labels, band, RIGHT)
    assert np.count_nonzero(labels[51:] == RIGHT) > 0
    assert wrong_ml(labels, true_lungs) < 1


@pytest.mark.parametrize("band", [22, 30, 34, 46])
@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_lungs_that_touch_are_told_apart_where_one_is_in_two_parts(
    true_lungs: sitk.Image, band: int, side: int
) -> None:
    labels = joined_in_front(sitk.GetArrayFromImage(true_lungs))
    assert wrong_ml(labels, true_lungs) < 3
    assert wrong_ml(without_slice(labels, band, side), true_lungs) < 3


def askew(labels: np.ndarray, grid: sitk.Image, degrees: float) -> np.ndarray:
    """Labels of a patient who lies turned about the axis from front to back."""
    image = image_like(labels, grid)
    middle = image.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in image.GetSize()])
    turn = sitk.Euler3DTransform(middle, 0, np.deg2rad(degrees), 0)
    return sitk.GetArrayFromImage(sitk.Resample(image, image, turn, sitk.sitkNearestNeighbor))


def test_a_parted_lung_of_a_patient_who_lies_askew_stays_one(true_lungs: sitk.Image) -> None:
    parted = without_slice(sitk.GetArrayFromImage(true_lungs), 34, RIGHT)
    assert wrong_ml(askew(parted, true_lungs, 25), true_lungs) < 3


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_two_parts_of_a_single_lung_are_not_taken_for_two_lungs(true_lungs: sitk.Image, side: int) -> None:
    parted = without_slice(sitk.GetArrayFromImage(true_lungs), 34, side)
    alone = np.where(parted == side, parted, 0)
    assert wrong_ml(askew(alone, true_lungs, 12), true_lungs) == 0


@pytest.mark.parametrize("side", [RIGHT, LEFT])
@pytest.mark.parametrize("empty_columns", [(0, 120), (120, 0)], ids=["at the right", "at the left"])
def test_a_single_lung_is_on_the_side_of_the_body_wherever_that_lies_in_the_image(
    a_chest: Phantom, tmp_path: Path, side: int, empty_columns: tuple[int, int]
) -> None:
    before, after = ([columns, 0, 0] for columns in empty_columns)
    scan = sitk.ConstantPad(a_chest.scan, before, after, -1000)
    lung = sitk.ConstantPad(a_chest.lungs, before, after, 0) == side
    found = find_lungs(scan, mask_file=written(lung, tmp_path)).image
    assert np.array_equal(sitk.GetArrayFromImage(found), side * sitk.GetArrayFromImage(lung))


@pytest.mark.parametrize("side", [RIGHT, LEFT])
@pytest.mark.parametrize("margins_mm", [(5, 5), (30, 5), (5, 30)], ids=str)
def test_a_lung_that_was_reconstructed_alone_is_on_its_side(
    a_chest: Phantom, tmp_path: Path, side: int, margins_mm: tuple[int, int]
) -> None:
    """Nothing of the middle of the body is known then: the lung fills the picture."""
    assert_on_its_side(a_chest.scan, a_chest.lungs, side, margins_mm, tmp_path)


@pytest.mark.parametrize("side", [RIGHT, LEFT])
@pytest.mark.parametrize("name", ["ct/covidctmd_normal001", "ct_cropped/lidc_0001"])
def test_a_real_lung_that_was_reconstructed_alone_is_on_its_side(
    real_scans: Path, tmp_path: Path, name: str, side: int
) -> None:
    scan = read_scan(real_scans / f"{name}.nii.gz")
    assert_on_its_side(scan, builtin_lung_mask(scan), side, (5, 5), tmp_path)


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_a_lung_beside_the_tip_that_is_left_of_the_other_keeps_its_name_in_a_scan_cut_at_the_sides(
    a_chest: Phantom, side: int
) -> None:
    """As where the other is drowned; one hull around both would be hollow in the middle of the body."""
    labels = sitk.GetArrayFromImage(a_chest.lungs)
    tip = (labels == RIGHT + LEFT - side) & (np.arange(len(labels)) >= 51)[:, None, None]
    lung = labels == side
    assert 0.01 < tip.sum() / lung.sum() < 0.04
    columns = np.flatnonzero((labels > 0).any(axis=(0, 1)))
    kept = slice(int(columns[0]) - 4, int(columns[-1]) + 5)
    both = image_like((lung | tip).astype(np.uint8), a_chest.scan)[kept]
    found = sitk.GetArrayFromImage(split_lungs(both, a_chest.scan[kept]))
    assert (found[lung[:, :, kept]] == side).all()


def assert_on_its_side(
    scan: sitk.Image, lungs: sitk.Image, side: int, margins_mm: tuple[int, int], folder: Path
) -> None:
    columns = np.flatnonzero((sitk.GetArrayFromImage(lungs) == side).any(axis=(0, 1)))
    first, last = columns[[0, -1]] + np.round(np.multiply((-1, 1), margins_mm) / scan.GetSpacing()[0])
    kept = slice(max(0, int(first)), int(last) + 1)
    part, alone = scan[kept], (lungs == side)[kept]
    found = find_lungs(part, mask_file=written(alone, folder)).image
    assert np.array_equal(sitk.GetArrayFromImage(found), side * sitk.GetArrayFromImage(alone))


@pytest.mark.parametrize(("first", "side"), [(39, 1), (56, 2)])
def test_a_single_lung_in_a_body_that_lies_aside_is_named_by_its_side_of_the_body(
    first: int, side: int
) -> None:
    hu, lung = np.full((20, 40, 80), -1000, np.float32), np.zeros((20, 40, 80), bool)
    hu[:, 5:35, 30:72] = 40
    lung[3:17, 10:30, first : first + 12] = True
    hu[lung] = -850
    sides = split_sides(lung, PooledScan(hu, (5.0, 5.0, 5.0)))
    assert np.array_equal(sides, side * lung)


def test_labels_that_do_not_lie_right_and_left_are_noticed(a_chest: Phantom) -> None:
    assert are_told_apart(a_chest.lungs)
    assert are_told_apart(sitk.Cast(a_chest.lungs == LEFT, sitk.sitkUInt8) * LEFT)
    swapped = sitk.ChangeLabel(a_chest.lungs, {RIGHT: LEFT, LEFT: RIGHT})
    assert not are_told_apart(swapped)
    lesions = sitk.Cast((a_chest.lungs > 0) + (a_chest.lesions > 0), sitk.sitkUInt8)
    assert not are_told_apart(lesions)


def test_what_a_given_mask_calls_left_is_left_whatever_its_place_would_say(
    a_chest: Phantom, tmp_path: Path
) -> None:
    named_left = LEFT * (a_chest.lungs == RIGHT)
    found = find_lungs(a_chest.scan, mask_file=written(named_left, tmp_path)).image
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(named_left))


def written(mask: sitk.Image, folder: Path) -> Path:
    path = folder / "mask.nrrd"
    sitk.WriteImage(mask, str(path))
    return path
