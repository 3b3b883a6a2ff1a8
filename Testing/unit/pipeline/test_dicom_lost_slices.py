"""Slices that are there and cannot be read are said; what only lies beside them is passed over."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib import file_names
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.scan_files.dicom import list_series
from COVIDSelfSegLib.volume import read_scan

from ..dicom_files import lowest_and_highest, write_series


@pytest.fixture
def hu() -> np.ndarray:
    return np.random.default_rng(2).integers(-1000, 900, (10, 40, 48)).astype(np.int16)


@pytest.fixture
def highest(hu: np.ndarray, tmp_path: Path) -> Path:
    """The file of the last slice of a series, without which the others are as even as before."""
    write_series(tmp_path, hu)
    return lowest_and_highest(tmp_path)[1]


def refused(folder: Path, saying: str) -> UserError:
    with pytest.raises(UserError, match=re.escape(saying)) as caught:
        read_scan(folder)
    assert caught.value.why
    assert "move it out of the folder" in caught.value.fix
    return caught.value


def test_a_slice_that_is_a_link_to_nothing_is_refused_by_its_name(highest: Path) -> None:
    highest.unlink()
    highest.symlink_to("annexed/elsewhere")
    refused(highest.parent, f"{highest} cannot be read: No such file or directory.")
    beside = next(file for file in highest.parent.iterdir() if file != highest)
    refused(beside, f"{highest} cannot be read")


def test_a_path_that_is_too_long_for_windows_is_told_so(
    highest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it is not found, as a link to nothing is not."""
    monkeypatch.setattr(file_names, "sys", SimpleNamespace(platform="win32"))
    study = highest.parent.joinpath(*("1.2.826.0.1.3680043.2.1125" * 2 for _ in range(6)))
    assert len(str(study)) > 259
    with pytest.raises(UserError, match=r"was not found, and its path has \d+ letters"):
        read_scan(study)
    study.mkdir(parents=True)
    (study / "1.dcm").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"1\.dcm was not found, and its path has") as caught:
        read_scan(highest.parent)
    assert "Windows finds no path of more than 259" in caught.value.why
    (study / "1.dcm").unlink()
    highest.unlink()
    highest.symlink_to("nowhere")
    refused(highest.parent, f"{highest} cannot be read: No such file")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here that fails as a bad disk does")
def test_a_slice_on_a_bad_place_of_the_disk_is_refused_by_its_name(highest: Path) -> None:
    highest.unlink()
    highest.symlink_to("/proc/self/mem")
    refused(highest.parent, f"{highest} cannot be read: Input/output error.")


def test_a_slice_that_the_user_may_not_read_is_refused_by_its_name(
    highest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's answer is put in its mouth: root, as whom tests run in containers, may read every file."""

    def locked(path: Path, *mode: str) -> IO[Any]:
        if path == highest:
            raise PermissionError(13, "Permission denied", str(path))
        return open_file(path, *mode)

    open_file = Path.open
    monkeypatch.setattr(Path, "open", locked)
    refused(highest.parent, f"{highest} cannot be read: Permission denied.")


def test_a_folder_that_cannot_be_listed_is_refused_by_its_name_unless_it_is_the_systems_own(
    highest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(path: os.PathLike[str] | str) -> object:
        if Path(path).name in names:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    scandir, names = os.scandir, [".Trashes", "System Volume Information", "lost+found"]
    monkeypatch.setattr(os, "scandir", locked)
    for name in (*names, "upper half"):
        (highest.parent / name).mkdir()
    assert read_scan(highest.parent).GetSize()[2] == 10
    names.append("upper half")
    refused(highest.parent, f"{highest.parent / 'upper half'} cannot be read: Permission denied.")


@pytest.mark.parametrize("name", ["{}", "{}.dcm", "{}.IMA", "1.2.840.113.{}", "IM{}"])
@pytest.mark.parametrize("length", [0, 100])
def test_an_empty_or_cut_file_among_the_slices_is_refused(highest: Path, name: str, length: int) -> None:
    for number, file in enumerate(sorted(highest.parent.iterdir())):
        new = file.rename(file.with_name(name.format(number)))
        highest = new if file == highest else highest
    highest.write_bytes(highest.read_bytes()[:length])
    refused(highest.parent, f"{highest} is {'cut off' if length else 'empty'}.")
    for number in (98, 99):
        highest.with_name(name.format(number)).touch()
    refused(highest.parent, " (and 2 more such files).")


def test_a_slice_whose_header_is_cut_off_is_refused_whatever_its_name(highest: Path) -> None:
    cut = highest.rename(highest.with_name("copy.part"))
    cut.write_bytes(cut.read_bytes()[:500])
    refused(cut.parent, f"{cut} is damaged.")


def test_a_damaged_file_that_is_all_there_is_or_is_asked_for_is_refused_by_its_name(highest: Path) -> None:
    highest.write_bytes(highest.read_bytes()[:-100])
    for file in highest.parent.iterdir():
        if file != highest:
            file.unlink()
    refused(highest.parent, f"{highest} is damaged.")
    empty = highest.with_name("empty")
    empty.touch()
    refused(empty, f"{empty} is empty.")


def test_what_is_no_slice_is_passed_over(hu: np.ndarray, highest: Path) -> None:
    folder = highest.parent
    for name in ("README.txt", "DICOMDIR", ".nomedia", ".DS_Store", "Thumbs.db", "LOCK"):
        (folder / name).touch()
    (folder / "notes.txt").write_text("seen " * 99)
    (folder / ".hidden").symlink_to("nowhere")
    # A note that refers to a slice of the scan, as DICOM: no image.
    start = highest.read_bytes()[:900]
    ct, note = b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.5.1.4.1.1.11"
    assert ct in start
    (folder / "note.dcm").write_bytes(start.replace(ct, note, 1))
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(folder)), hu)


@pytest.mark.parametrize(
    "trash", [".Trash-1000/files", "$RECYCLE.BIN/S-1-5-21", "$Recycle.Bin/S-1-5-18", ".git/annex/objects"]
)
def test_slices_that_were_thrown_away_or_are_kept_for_a_program_are_not_read_again(
    hu: np.ndarray, tmp_path: Path, trash: str
) -> None:
    write_series(tmp_path / "scan", hu)
    write_series(tmp_path / trash, hu)
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(tmp_path)), hu)


def test_an_empty_file_spoils_only_the_series_in_its_folder(hu: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path / "a", hu, series="1")
    write_series(tmp_path / "b", hu[:9], series="2")
    (tmp_path / "b" / "empty.dcm").touch()
    (tmp_path / "empty.dcm").touch()
    assert [len(series.damaged) for series in list_series(tmp_path)] == [0, 1]
    assert read_scan(tmp_path).GetSize()[2] == 10
