"""The NRRD files that Slicer's process writes and reads are those of SimpleITK."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.scan_files.nrrd import read_nrrd, write_nrrd
from COVIDSelfSegLib.volume import grid_difference, write_image

TYPES = [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]


def matrix_of(image: sitk.Image) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return matrix


@pytest.mark.parametrize("kind", TYPES)
def test_simpleitk_reads_what_is_written(an_oblique_image: sitk.Image, tmp_path: Path, kind: type) -> None:
    values = np.abs(sitk.GetArrayFromImage(an_oblique_image)).astype(kind)
    write_nrrd(tmp_path / "a.nrrd", values, matrix_of(an_oblique_image))
    back = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    assert np.array_equal(sitk.GetArrayFromImage(back), values)
    assert sitk.GetArrayFromImage(back).dtype == kind
    assert grid_difference(back, an_oblique_image) is None


def test_other_types_are_written_as_float(tmp_path: Path) -> None:
    write_nrrd(tmp_path / "a.nrrd", np.ones((2, 3, 4), np.int64), np.eye(4))
    assert sitk.ReadImage(str(tmp_path / "a.nrrd")).GetPixelID() == sitk.sitkFloat32


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("compressed", [True, False])
def test_what_simpleitk_wrote_is_read(tmp_path: Path, kind: type, compressed: bool) -> None:
    values = np.random.default_rng(0).integers(0, 200, (5, 6, 7)).astype(kind)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "a.nrrd"), compressed)
    back = read_nrrd(tmp_path / "a.nrrd")
    assert back.dtype == kind
    assert np.array_equal(back, values)


def test_what_the_worker_writes_is_read(an_oblique_image: sitk.Image, tmp_path: Path) -> None:
    write_image(an_oblique_image, tmp_path / "a.nrrd")
    assert np.array_equal(read_nrrd(tmp_path / "a.nrrd"), sitk.GetArrayFromImage(an_oblique_image))


def test_the_order_of_bytes_is_that_of_the_header(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 4 3\nendian: big\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(header.encode() + values.astype(">i2").tobytes())
    back = read_nrrd(tmp_path / "a.nrrd")
    assert back.dtype == np.int16
    assert np.array_equal(back, values)


@pytest.mark.parametrize("kept", [10, 300, -20])
def test_a_file_cut_short_and_another_file_are_refused(
    an_oblique_image: sitk.Image, tmp_path: Path, kept: int
) -> None:
    write_image(an_oblique_image, tmp_path / "a.nrrd")
    (tmp_path / "b.nrrd").write_bytes((tmp_path / "a.nrrd").read_bytes()[:kept])
    with pytest.raises((ValueError, EOFError)):
        read_nrrd(tmp_path / "b.nrrd")
    (tmp_path / "c.nrrd").write_text("hello")
    with pytest.raises(ValueError, match="not an NRRD"):
        read_nrrd(tmp_path / "c.nrrd")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((20, 30, 40), np.int16)), str(tmp_path / "a.nrrd"), True)
    content = (tmp_path / "a.nrrd").read_bytes()
    (tmp_path / "a.nrrd").write_bytes(content[:-60] + bytes(255 - value for value in content[-60:]))
    with pytest.raises(ValueError, match="damaged"):
        read_nrrd(tmp_path / "a.nrrd")


def test_compressed_voxels_are_unpacked_in_large_blocks(tmp_path: Path) -> None:
    """Each block takes the interpreter lock, for which a thread inside Slicer may have to wait."""
    values = np.random.default_rng(0).integers(0, 2**15, (20, 400, 400)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "a.nrrd"), True)
    blocks = []

    def listen(_frame: Any, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ == "decompress":
            blocks.append(function)

    before = sys.getprofile()
    sys.setprofile(listen)
    try:
        back = read_nrrd(tmp_path / "a.nrrd")
    finally:
        sys.setprofile(before)
    assert np.array_equal(back, values)
    size = (tmp_path / "a.nrrd").stat().st_size
    assert 0 < len(blocks) <= 2 + size / 1e6


def test_what_is_compressed_to_little_is_read_block_by_block(tmp_path: Path) -> None:
    values = np.zeros((40, 1000, 1000), np.uint8)
    values[-1, -1, -1] = 1
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "a.nrrd"), True)
    asked: list[bool] = []
    back = read_nrrd(tmp_path / "a.nrrd", lambda: bool(asked.append(True)))
    assert np.array_equal(back, values)
    assert len(asked) > 2, "it could have been stopped"


def test_writing_can_be_stopped(tmp_path: Path) -> None:
    write_nrrd(tmp_path / "a.nrrd", np.zeros((50, 60, 70), np.int16), np.eye(4), stop=lambda: True)
    assert (tmp_path / "a.nrrd").stat().st_size < 1000
