"""DICOM folders: order by position, several series, compression, what is no CT."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.scan_files.dicom import list_series
from COVIDSelfSegLib.volume import read_scan
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from ..dicom_files import UID, read_as_on_windows, write_colour_picture, write_series


@pytest.fixture
def hu() -> np.ndarray:
    return np.random.default_rng(2).integers(-1000, 900, (10, 40, 48)).astype(np.int16)


def test_slices_are_stacked_by_position_not_by_file_name(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path, hu)
    scan = read_scan(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(scan), hu)
    assert scan.GetSpacing() == pytest.approx((1.5, 1.5, 2.0))
    assert scan.GetOrigin() == pytest.approx((-90.5, -80.25, 0.0))
    assert scan.GetPixelID() == sitk.sitkInt16


@pytest.mark.parametrize("count", [10, 1])
def test_slices_in_a_folder_with_any_letters_are_read_on_windows(
    count: int, hu: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path / "Müller", hu[:count])
    read_as_on_windows(tmp_path / "Müller", tmp_path / "MLLER~1", monkeypatch)
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(tmp_path / "Müller")), hu[:count])


def test_letters_that_the_readers_of_windows_do_not_find_are_not_called_damage(
    hu: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Müller"
    write_series(folder, hu)
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(folder / "scan.nii.gz"))
    (folder / "cut.nii.gz").write_bytes((folder / "scan.nii.gz").read_bytes()[:5000])
    with monkeypatch.context() as as_on_windows:
        read_as_on_windows(folder, None, as_on_windows)
        for path in (folder, folder / "scan.nii.gz"):
            with pytest.raises(UserError, match=r"Müller.* cannot be read") as refused:
                read_scan(path)
            assert "letters like" in refused.value.why
    read_as_on_windows(folder, tmp_path / "MLLER~1", monkeypatch)
    with pytest.raises(UserError, match="truncated"):
        read_scan(folder / "cut.nii.gz")


def test_one_file_of_a_series_stands_for_the_whole(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path, hu)
    write_series(tmp_path, hu[:3], series="2")
    assert read_scan(tmp_path / "IM1004.dcm").GetSize() == (48, 40, 10)


def test_of_several_series_the_chest_ct_is_taken_and_others_by_id(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path / "a" / "b", hu, series="11", description="Chest lung 2.0")
    write_series(tmp_path / "a", hu[:9], series="22", description="Abdomen 5.0")
    write_series(tmp_path / "c", hu[:2], series="33", image_type="ORIGINAL\\PRIMARY\\LOCALIZER")
    write_series(tmp_path / "d", hu, series="44", modality="MR")
    assert [series.slice_count for series in list_series(tmp_path)] == [10, 10, 9, 2]
    assert read_scan(tmp_path).GetSize()[2] == 10
    assert read_scan(tmp_path, f"{UID}.22").GetSize()[2] == 9
    with pytest.raises(UserError, match="0 series") as caught:
        read_scan(tmp_path, "9.9")
    assert f"{UID}.22" in caught.value.fix


def test_a_scan_goes_before_a_few_slices_that_are_called_chest(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path / "scan", hu, series="1", description="1.25 mm STND")
    write_series(tmp_path / "more", np.concatenate([hu, hu]), series="2", description="5 mm")
    write_series(tmp_path / "report", hu[:1], series="3", description="Dose report chest")
    assert read_scan(tmp_path).GetSize()[2] == 20
    write_series(tmp_path / "chest", hu[:8], series="4", description="Thorax")
    assert read_scan(tmp_path).GetSize()[2] == 8
    assert read_scan(tmp_path / "report").GetSize()[2] == 1


def test_a_series_asked_for_is_its_scan_where_a_scout_and_a_reformat_share_its_id(
    hu: np.ndarray, tmp_path: Path
) -> None:
    write_series(tmp_path / "scan", hu)
    scouts = np.concatenate([hu, hu])[:12, :, :30]
    write_series(tmp_path / "scout", scouts, image_type="ORIGINAL\\PRIMARY\\LOCALIZER")
    write_series(tmp_path / "reformat", hu[:9, :20])
    write_series(tmp_path / "other", np.concatenate([hu, hu]), series="2")
    assert [series.slice_count for series in list_series(tmp_path)] == [20, 12, 10, 9]
    assert read_scan(tmp_path, f"{UID}.1").GetSize() == (48, 40, 10)


def test_a_whole_id_is_that_series_though_another_one_begins_with_it(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path / "a", hu, series="1")
    write_series(tmp_path / "b", hu[:9], series="12")
    assert read_scan(tmp_path, f"{UID}.1").GetSize()[2] == 10
    with pytest.raises(UserError, match="2 series"):
        read_scan(tmp_path, UID)


def test_a_folder_without_ct_is_refused_and_says_what_it_holds(hu: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("hello")
    with pytest.raises(UserError, match="no CT series") as caught:
        read_scan(tmp_path)
    assert "no DICOM file" in caught.value.why
    write_series(tmp_path, hu, modality="MR", description="T2 axial")
    with pytest.raises(UserError, match="no CT series") as caught:
        read_scan(tmp_path)
    assert "T2 axial" in caught.value.why


def test_a_picture_in_colour_is_no_ct_though_it_is_called_one(hu: np.ndarray, tmp_path: Path) -> None:
    write_colour_picture(tmp_path / "report.dcm")
    with pytest.raises(UserError, match="holds no CT series") as caught:
        read_scan(tmp_path)
    assert "Dose report chest  (in colour)" in caught.value.why
    with pytest.raises(UserError, match="'Dose report chest' is in colour") as caught:
        read_scan(tmp_path, f"{UID}.9")
    assert "CT slices themselves" in caught.value.fix
    write_series(tmp_path, hu[:2], description="Soft 5.0")
    assert read_scan(tmp_path).GetSize()[2] == 2


def test_a_picture_in_colour_is_no_slice_of_the_series_whose_id_it_shares(
    hu: np.ndarray, tmp_path: Path
) -> None:
    write_series(tmp_path, hu)
    write_colour_picture(tmp_path / "report.dcm", series="1")
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(tmp_path, f"{UID}.1")), hu)


def test_a_missing_slice_is_refused(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path, hu, heights=[0, 2, 4, 6, 8, 12, 14, 16, 18, 20])
    with pytest.raises(UserError, match=r"uneven slices: 4.00 mm after slice 5"):
        read_scan(tmp_path)


def test_a_refused_series_names_the_others_that_could_be_taken(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path / "a", hu, heights=[0, 2, 4, 6, 8, 12, 14, 16, 18, 20])
    write_series(tmp_path / "b", hu[:3], series="2")
    write_series(tmp_path / "c", hu, series="3", modality="MR")
    with pytest.raises(UserError, match="uneven slices") as caught:
        read_scan(tmp_path)
    assert "--series" not in caught.value.fix, "no other series shows a lung"
    write_series(tmp_path / "d", hu[:9], series="4", description="Soft 5.0")
    with pytest.raises(UserError, match="uneven slices") as caught:
        read_scan(tmp_path)
    assert caught.value.fix.endswith(f"--series of segment and doctor: {UID}.4 (9 slices, Soft 5.0).")
    for series in range(5, 9):
        write_series(tmp_path / f"{series}", hu[:8], series=f"{series}")
    with pytest.raises(UserError, match="uneven slices") as caught:
        read_scan(tmp_path)
    assert caught.value.fix.endswith(", and 2 more.")


def test_two_volumes_under_one_id_are_refused(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path, hu, heights=[0, 2, 4, 6, 8, 0, 2, 4, 6, 8])
    with pytest.raises(UserError, match="several slices at one position"):
        read_scan(tmp_path)


def test_slices_with_pixels_of_two_sizes_under_one_id_are_refused(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path, hu)
    write_series(tmp_path / "wider", hu[:4], heights=[20, 22, 24, 26], pixel_mm=1.6)
    with pytest.raises(UserError, match="several stacks of slices: the pixel sizes of its slices differ"):
        read_scan(tmp_path)


@pytest.mark.parametrize("size", [None, "", "0\\0", "0,75\\0,75", "0.75", "nan\\nan"])
def test_pixels_of_no_known_size_are_refused(hu: np.ndarray, tmp_path: Path, size: str | None) -> None:
    """Else they would be of 1 mm, or of what is made of a decimal comma."""
    write_series(tmp_path, hu[:8])
    for file in tmp_path.iterdir():
        header = pydicom.dcmread(file)
        del header.PixelSpacing
        if size is not None:
            header._dict[Tag("PixelSpacing")] = RawDataElement(
                Tag("PixelSpacing"), "DS", len(size), size.encode(), 0, False, True
            )
        header.save_as(file)
    with pytest.raises(UserError, match="does not say how large its pixels are") as caught:
        read_scan(tmp_path)
    assert "decimal comma" in caught.value.fix


def test_gray_values_that_the_reader_would_turn_round_are_refused(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path, hu[:8])
    one = tmp_path / "IM1003.dcm"  # is enough: as bone full of air it would lie among the others
    header = pydicom.dcmread(one)
    header.PhotometricInterpretation = "MONOCHROME1"
    header.save_as(one)
    with pytest.raises(UserError, match="stores its gray values inverted"):
        read_scan(tmp_path)


def test_a_slice_that_is_cut_short_is_refused(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path, hu)
    path = tmp_path / "IM1003.dcm"
    path.write_bytes(path.read_bytes()[:1800])
    with pytest.raises(UserError):
        read_scan(tmp_path)


def test_a_losslessly_compressed_series_of_a_scanner_is_read(real_scans: Path, tmp_path: Path) -> None:
    source = real_scans / "dicom" / "covidctmd_cap001_slab"
    for number, file in enumerate(sorted(source.iterdir(), key=lambda file: hash(file.name))):
        shutil.copy(file, tmp_path / f"{number}")
    scan = read_scan(tmp_path)
    assert scan.GetSize() == (512, 512, 24)
    assert scan.GetPixelID() == sitk.sitkInt16
    assert scan.GetOrigin()[2] == pytest.approx(-291.9)
    assert scan.GetSpacing() == pytest.approx((0.58984375, 0.58984375, 2.0))
    # The same slices, averaged 2 x 2 in plane and cropped, are slices 55..78 of the stored volume.
    stored = sitk.ReadImage(str(real_scans / "ct_cropped" / "covidctmd_cap001.nii.gz"))[:, :, 55:79]
    again = sitk.Resample(scan, stored, sitk.Transform(), sitk.sitkLinear, -1024.0, sitk.sitkFloat32)
    difference = sitk.GetArrayFromImage(again) - np.clip(sitk.GetArrayFromImage(stored), -1024, 1000)
    assert abs(np.median(difference)) < 5
