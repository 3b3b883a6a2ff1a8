"""Enhanced CT: the places, the order and the HU of its frames are those of its functional groups."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.volume import read_scan
from pydicom.dataset import FileDataset

from ..dicom_files import UID, write_series
from ..enhanced_dicom_files import CT, LEGACY_CONVERTED_CT, group, write_enhanced


@pytest.fixture
def hu() -> np.ndarray:
    return np.random.default_rng(2).integers(-1000, 900, (10, 40, 48)).astype(np.int16)


def at(*heights: float) -> list[tuple[float, float, float]]:
    return [(-90.5, -80.25, height) for height in heights]


def refused(scan: Path, saying: str) -> UserError:
    with pytest.raises(UserError, match=saying) as caught:
        read_scan(scan)
    assert caught.value.why
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("name", ["scan.dcm", "scan"])
def test_frames_are_read_with_their_places_and_hu(hu: np.ndarray, tmp_path: Path, name: str) -> None:
    write_enhanced(tmp_path / name, hu)
    for path in (tmp_path, tmp_path / name):
        scan = read_scan(path)
        assert np.array_equal(sitk.GetArrayFromImage(scan), hu)
        assert scan.GetSpacing() == pytest.approx((1.25, 1.5, 2.0))
        assert scan.GetOrigin() == pytest.approx((-90.5, -80.25, 0.0))
        assert scan.GetDirection() == pytest.approx(np.eye(3).ravel())
        assert scan.GetPixelID() == sitk.sitkInt16


def test_legacy_converted_frames_are_read_likewise(hu: np.ndarray, tmp_path: Path) -> None:
    write_enhanced(tmp_path / "scan.dcm", hu, sop_class=LEGACY_CONVERTED_CT)
    scan = read_scan(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(scan), hu)
    assert scan.GetSpacing() == pytest.approx((1.25, 1.5, 2.0))


def test_frames_are_stacked_by_their_places_not_by_their_order(hu: np.ndarray, tmp_path: Path) -> None:
    for order in (range(9, -1, -1), [3, 0, 8, 1, 9, 4, 2, 7, 6, 5]):
        write_enhanced(tmp_path / "scan.dcm", hu[list(order)], at(*(2.0 * z for z in order)))
        scan = read_scan(tmp_path)
        assert np.array_equal(sitk.GetArrayFromImage(scan), hu)
        assert scan.GetOrigin()[2] == 0
        assert scan.GetSpacing()[2] == pytest.approx(2)


@pytest.mark.parametrize("spacing", [0.625, 2 / 3, 0.7, 5.0])
def test_distances_that_differ_by_rounding_keep_their_spacing(
    hu: np.ndarray, tmp_path: Path, spacing: float
) -> None:
    heights = [round(-312.34375 + spacing * z, 2) for z in range(10)]
    write_enhanced(tmp_path / "scan.dcm", hu, at(*heights))
    assert read_scan(tmp_path).GetSpacing() == pytest.approx((1.25, 1.5, spacing), abs=0.002)


def test_the_orientation_of_coronal_frames_is_kept(hu: np.ndarray, tmp_path: Path) -> None:
    def turn(header: FileDataset) -> None:
        plane = header.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
        plane.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]

    positions = [(-90.5, 20.0 + 3 * y, 100.0) for y in range(10)]
    write_enhanced(tmp_path / "scan.dcm", hu, positions, change=turn)
    scan = read_scan(tmp_path)
    assert scan.TransformIndexToPhysicalPoint((2, 4, 5)) == pytest.approx((-88.0, 35.0, 94.0))
    assert np.array_equal(sitk.GetArrayFromImage(scan), hu)


def test_each_frame_has_its_own_rescale(hu: np.ndarray, tmp_path: Path) -> None:
    for intercepts in ([-1024.0] * 10, [-1024.0 - 10 * z for z in range(10)]):
        write_enhanced(tmp_path / "scan.dcm", hu, intercepts=intercepts)
        scan = read_scan(tmp_path)
        assert np.array_equal(sitk.GetArrayFromImage(scan), hu)
        assert scan.GetPixelID() == sitk.sitkInt16


def test_slopes_of_the_frames_are_applied_to_what_is_stored(hu: np.ndarray, tmp_path: Path) -> None:
    def stretch(header: FileDataset) -> None:
        for number, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
            frame.PixelValueTransformationSequence[0].RescaleSlope = 0.3 if number % 2 else 0.7

    write_enhanced(tmp_path / "scan.dcm", hu, intercepts=[-1024.0] * 10, change=stretch)
    expected = (hu + 1024) * np.where(np.arange(10) % 2, 0.3, 0.7)[:, None, None] - 1024
    assert np.allclose(sitk.GetArrayFromImage(read_scan(tmp_path)), expected, atol=1e-3)


def test_what_a_frame_says_goes_before_what_is_shared(hu: np.ndarray, tmp_path: Path) -> None:
    def smaller(header: FileDataset) -> None:
        for frame in header.PerFrameFunctionalGroupsSequence:
            own = group(PixelMeasuresSequence={"PixelSpacing": [0.9, 0.8]})
            frame.PixelMeasuresSequence = own.PixelMeasuresSequence

    write_enhanced(tmp_path / "scan.dcm", hu, change=smaller)
    assert read_scan(tmp_path).GetSpacing() == pytest.approx((0.8, 0.9, 2.0))


def test_a_missing_frame_is_refused(hu: np.ndarray, tmp_path: Path) -> None:
    write_enhanced(tmp_path / "scan.dcm", hu, at(0, 2, 4, 6, 8, 12, 14, 16, 18, 20))
    refused(tmp_path, r"'Chest enhanced' has uneven slices: 4.00 mm after slice 5")


def test_two_phases_are_refused(hu: np.ndarray, tmp_path: Path) -> None:
    write_enhanced(tmp_path / "scan.dcm", hu, at(0, 2, 4, 6, 8, 0, 2, 4, 6, 8))
    refused(tmp_path, "several slices at one position")


def test_a_tilted_gantry_is_refused(hu: np.ndarray, tmp_path: Path) -> None:
    write_enhanced(tmp_path / "scan.dcm", hu, [(0.0, 0.3 * z, 2.0 * z) for z in range(10)])
    refused(tmp_path, "tilted gantry")


def _two_ids(header: FileDataset) -> None:
    for frame in header.PerFrameFunctionalGroupsSequence[5:]:
        frame.FrameContentSequence[0].StackID = "2"


def _two_orientations(header: FileDataset) -> None:
    own = group(PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]})
    header.PerFrameFunctionalGroupsSequence[4].PlaneOrientationSequence = own.PlaneOrientationSequence


def _two_pixel_sizes(header: FileDataset) -> None:
    own = group(PixelMeasuresSequence={"PixelSpacing": [1.5, 1.26]})
    header.PerFrameFunctionalGroupsSequence[4].PixelMeasuresSequence = own.PixelMeasuresSequence


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        (_two_ids, "its frames name 2"),
        (_two_orientations, "the orientations of its frames differ"),
        (_two_pixel_sizes, "the pixel sizes of its frames differ"),
    ],
)
def test_several_stacks_in_one_file_are_refused(
    hu: np.ndarray, tmp_path: Path, change: object, saying: str
) -> None:
    write_enhanced(tmp_path / "scan.dcm", hu, change=change)
    refused(tmp_path, f"holds several stacks of slices: {saying}")


def _no_groups(header: FileDataset) -> None:
    del header.SharedFunctionalGroupsSequence
    del header.PerFrameFunctionalGroupsSequence


def _a_frame_without_place(header: FileDataset) -> None:
    del header.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence


def _a_group_too_few(header: FileDataset) -> None:
    del header.PerFrameFunctionalGroupsSequence[9]


def _no_pixel_size(header: FileDataset) -> None:
    header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0, 1.5]


def _half_an_orientation(header: FileDataset) -> None:
    header.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0]


def _slanted_axes(header: FileDataset) -> None:
    plane = header.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = [1, 0, 0, 0.5, 0.8, 0]


@pytest.mark.parametrize(
    "change",
    [
        _no_groups,
        _a_frame_without_place,
        _a_group_too_few,
        _no_pixel_size,
        _half_an_orientation,
        _slanted_axes,
    ],
)
def test_frames_whose_places_are_not_known_are_refused(
    hu: np.ndarray, tmp_path: Path, change: object
) -> None:
    write_enhanced(tmp_path / "scan.dcm", hu, change=change)
    error = refused(tmp_path, "'Chest enhanced' does not say where each frame lies")
    assert "series of single slices" in error.fix


def test_a_file_of_frames_that_is_no_enhanced_ct_is_no_ct_series(hu: np.ndarray, tmp_path: Path) -> None:
    write_enhanced(tmp_path / "frames.dcm", np.concatenate([hu, hu]), sop_class=CT, change=_no_groups)
    error = refused(tmp_path, "holds no CT series")
    assert "Chest enhanced  (a file of many frames that is no Enhanced CT)" in error.why
    with pytest.raises(UserError, match="is a file of many frames that is no Enhanced CT"):
        read_scan(tmp_path, f"{UID}.1")
    write_series(tmp_path, hu, series="2", description="Soft 5.0")
    assert read_scan(tmp_path).GetSize()[2] == 10


def test_a_scan_in_several_files_of_frames_is_one_volume(hu: np.ndarray, tmp_path: Path) -> None:
    for name, part in (("c", range(4)), ("a", range(4, 9)), ("b", range(9, 10))):
        write_enhanced(tmp_path / f"{name}.dcm", hu[list(part)], at(*(2.0 * z for z in part)))
    scan = read_scan(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(scan), hu)
    assert scan.GetSpacing()[2] == pytest.approx(2)
    (tmp_path / "a.dcm").unlink()
    refused(tmp_path, "uneven slices: 12.00 mm after slice 4")


def test_two_volumes_of_frames_under_one_id_are_refused(hu: np.ndarray, tmp_path: Path) -> None:
    for frames in (hu, hu[:1]):
        for name in "ab":
            write_enhanced(tmp_path / f"{name}.dcm", frames)
        refused(tmp_path, "several slices at one position")


def test_voxels_that_are_cut_off_are_refused(hu: np.ndarray, tmp_path: Path) -> None:
    write_enhanced(tmp_path / "scan.dcm", hu)
    whole = (tmp_path / "scan.dcm").read_bytes()
    (tmp_path / "scan.dcm").write_bytes(whole[:-20_000])
    refused(tmp_path, "scan.dcm is damaged")


def test_what_reads_functional_groups_is_imported_only_for_a_file_of_frames(
    hu: np.ndarray, tmp_path: Path
) -> None:
    write_series(tmp_path / "slices", hu)
    write_enhanced(tmp_path / "frames" / "scan.dcm", hu)
    code = (
        "import sys; from pathlib import Path\n"
        "from COVIDSelfSegTrainingLib.cli import main\n"
        "from COVIDSelfSegLib.volume import read_scan\n"
        "try: main(['doctor', '--help'])\n"
        "except SystemExit: pass\n"
        "read_scan(Path(sys.argv[1]))\n"
        "assert 'pydicom' not in sys.modules\n"
        "read_scan(Path(sys.argv[2]))\n"
        "assert 'pydicom' in sys.modules\n"
    )
    paths = [str(tmp_path / name) for name in ("slices", "frames")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True, stdout=subprocess.DEVNULL)
