"""Scans survive reading and writing; what cannot be a scan is refused with what, why and fix."""

from __future__ import annotations

import gzip
import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.scan_files import gzip_checks
from COVIDSelfSegLib.volume import (
    array_view,
    compact,
    files_of,
    grid_difference,
    image_like,
    read_mask,
    read_scan,
    write_image,
)


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "mha", "mhd"])
def test_an_oblique_scan_survives_writing_and_reading(
    an_oblique_image: sitk.Image, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"scan.{ending}"
    write_image(an_oblique_image, path)
    back = read_scan(path)
    assert back.GetPixelID() == sitk.sitkInt16
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(an_oblique_image))
    assert grid_difference(back, an_oblique_image) is None
    corner = (30, 21, 12)
    moved = np.subtract(
        back.TransformIndexToPhysicalPoint(corner), an_oblique_image.TransformIndexToPhysicalPoint(corner)
    )
    assert np.abs(moved).max() < 1e-4


@pytest.mark.parametrize(
    ("header", "compressed"), [("nhdr", True), ("nhdr", False), ("mhd", True), ("mhd", False)]
)
def test_the_voxels_beside_a_header_are_files_of_its_scan(
    tmp_path: Path, header: str, compressed: bool
) -> None:
    scan = tmp_path / f"scan.{header}"
    sitk.WriteImage(sitk.Image((4, 4, 4), sitk.sitkInt16), str(scan), compressed)
    (written,) = set(tmp_path.iterdir()) - {scan}
    for name in ("another.raw", "scan.csv"):
        (tmp_path / name).touch()
    (tmp_path / "scan").mkdir()  # its results
    assert set(files_of(scan)) == {scan, written}
    renamed = written.rename(tmp_path / "voxels.dat")
    scan.write_text(scan.read_text().replace(written.name, renamed.name))
    assert set(files_of(scan)) == {scan, renamed}, "the header says which"
    in_capitals = scan.rename(tmp_path / f"SCAN.{header.upper()}")
    assert set(files_of(in_capitals)) == {in_capitals, renamed}


def test_the_slices_beside_one_that_stands_for_its_series_are_files_of_its_scan(tmp_path: Path) -> None:
    for name in ("1.dcm", "2.dcm", "IM3", "report.json"):
        (tmp_path / name).touch()
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "1.dcm").touch()
    for one in ("1.dcm", "IM3"):
        assert {file.name for file in files_of(tmp_path / one)} == {"1.dcm", "2.dcm", "IM3"}


def test_what_lies_in_the_trash_is_no_file_of_a_folder_of_slices(tmp_path: Path) -> None:
    """No slice is read from there, and what is thrown away later makes no other scan of it."""
    for folder in ("study/series", "$Recycle.Bin/S-1-5-18", ".Trash-1000/files"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "1.dcm").touch()
    assert files_of(tmp_path) == [tmp_path / "study" / "series" / "1.dcm"]


@pytest.mark.parametrize("pixel_type", [sitk.sitkInt32, sitk.sitkFloat32, sitk.sitkFloat64, sitk.sitkUInt8])
def test_whole_numbers_are_kept_as_int16_whatever_type_they_came_in(
    an_oblique_image: sitk.Image, tmp_path: Path, pixel_type: int
) -> None:
    values = sitk.Cast(sitk.Clamp(an_oblique_image, lowerBound=0, upperBound=255), pixel_type)
    sitk.WriteImage(values, str(tmp_path / "scan.nrrd"))
    back = read_scan(tmp_path / "scan.nrrd")
    assert back.GetPixelID() == sitk.sitkInt16
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(values))


@pytest.mark.parametrize(
    ("value", "kind"), [(-32769, np.float32), (-32768, np.int16), (32767, np.int16), (32768, np.float32)]
)
def test_whole_numbers_beyond_16_bits_are_kept_too(value: int, kind: type) -> None:
    image = sitk.GetImageFromArray(np.full((2, 3, 4), value, np.int32))
    image.SetMetaData("of its series", "a name")
    kept = compact(image)
    assert array_view(kept).dtype == kind
    assert (array_view(kept) == value).all()
    assert kept.GetMetaData("of its series") == "a name"


def test_fractions_are_kept_as_float32(an_oblique_image: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Cast(an_oblique_image, sitk.sitkFloat64) / 3, str(tmp_path / "scan.nrrd"))
    assert read_scan(tmp_path / "scan.nrrd").GetPixelID() == sitk.sitkFloat32


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha"])
def test_a_four_dimensional_file_with_one_frame_is_a_scan(tmp_path: Path, ending: str) -> None:
    frame = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    sitk.WriteImage(sitk.JoinSeries([frame]), str(tmp_path / f"scan.{ending}"))
    assert read_scan(tmp_path / f"scan.{ending}").GetSize() == (5, 4, 3)


def test_more_frames_a_picture_and_colours_are_refused(tmp_path: Path) -> None:
    frame = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16))
    images = {
        "frames.nii.gz": sitk.JoinSeries([frame, frame]),
        "picture.nii.gz": frame[:, :, 0],
        "colours.nrrd": sitk.Compose(frame, frame, frame),
    }
    for name, image in images.items():
        sitk.WriteImage(image, str(tmp_path / name))
        with pytest.raises(UserError, match="not one 3D volume") as caught:
            read_scan(tmp_path / name)
        assert caught.value.code == ExitCode.INPUT_REFUSED


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "mha", "NII", "NII.GZ"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_a_file_cut_short_is_refused(
    an_oblique_image: sitk.Image, tmp_path: Path, ending: str, kept: float
) -> None:
    whole, path = tmp_path / f"whole.{ending.lower()}", tmp_path / f"scan.{ending}"
    sitk.WriteImage(an_oblique_image, str(whole))
    content = whole.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UserError, match="cannot be read"):
        read_scan(path)


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nrrd", "slice.dcm", f"{'x' * 300}.mha"])
def test_what_the_system_does_not_open_is_said_to_be_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets must be short
    with socket.socket(socket.AF_UNIX) as plug:
        if len(name) < 100:
            plug.bind(name)  # a file that not even an administrator opens
        with pytest.raises(UserError, match="cannot be opened: ") as caught:
            read_scan(tmp_path / name)
    assert caught.value.code == ExitCode.INPUT_REFUSED


def test_a_mask_whose_name_the_system_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be opened: File name too long"):
        read_mask(tmp_path / f"{'x' * 300}.mha")


def test_a_gzip_of_several_members_is_read(an_oblique_image: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(an_oblique_image, str(tmp_path / "scan.nii"))
    content = (tmp_path / "scan.nii").read_bytes()
    members = gzip.compress(content[:1000]) + gzip.compress(content[1000:])
    (tmp_path / "scan.nii.gz").write_bytes(members)
    assert read_scan(tmp_path / "scan.nii.gz").GetSize() == an_oblique_image.GetSize()


def test_a_compressed_nifti_is_not_mixed_up_with_an_unpacked_one_beside_it(tmp_path: Path) -> None:
    for number, name in enumerate(("scan.nii", "scan.nii.gz", "SCAN2.NII", "SCAN2.NII.GZ")):
        values = np.full((8, 8, 8), number, np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / name.lower()))
        (tmp_path / name.lower()).rename(tmp_path / name)
    for number, name in enumerate(("scan.nii", "scan.nii.gz", "SCAN2.NII", "SCAN2.NII.GZ")):
        assert np.unique(array_view(read_scan(tmp_path / name))).tolist() == [number]


def test_something_else_under_the_name_of_a_scan_is_refused(tmp_path: Path) -> None:
    for name in ("scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha"):
        (tmp_path / name).write_text("Dear colleague, please find attached ...")
        with pytest.raises(UserError, match="cannot be read"):
            read_scan(tmp_path / name)


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_nifti_spacing_that_itk_would_turn_into_one_is_refused(
    an_oblique_image: sitk.Image, tmp_path: Path, spacing: float, axis: int
) -> None:
    path = tmp_path / "scan.nii"
    sitk.WriteImage(an_oblique_image, str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 76 + 4 * axis, spacing)
    path.write_bytes(content)
    with pytest.raises(UserError, match="spacing"):
        read_scan(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("slices", [100, 256])  # in the place where NIfTI-1 has the spacing
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_the_second_version_of_nifti_is_refused_by_its_name(
    tmp_path: Path, order: str, slices: int, ending: str
) -> None:
    header = bytearray(544)
    struct.pack_into(f"{order}i8s2h", header, 0, 540, b"n+2\0\r\n\x1a\n", 4, 16)  # int16
    struct.pack_into(f"{order}8q", header, 16, 3, 5, 6, slices, 1, 1, 1, 1)
    struct.pack_into(f"{order}8d", header, 104, 1, 0.7, 0.7, 1.2, 1, 1, 1, 1)
    struct.pack_into(f"{order}q2d", header, 168, 544, 1, 0)  # where the voxels begin, and their scale
    content = bytes(header) + bytes(2 * 5 * 6 * slices)
    path = tmp_path / f"scan.{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    with pytest.raises(UserError, match=r"is NIfTI-2, which is not read") as caught:
        read_scan(path)
    assert caught.value.code == ExitCode.INPUT_REFUSED
    assert "NIfTI-1 or NRRD" in caught.value.fix


@pytest.mark.parametrize(("frames", "magic"), [(0, b"n+1"), (-1, b"n+1"), (1, b"ni1")])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_a_nifti_cut_short_is_refused_though_its_header_says_that_it_has_no_voxels(
    an_oblique_image: sitk.Image, tmp_path: Path, frames: int, magic: bytes, ending: str
) -> None:
    """Nor where they begin, or that they lie in this file; ITK takes one frame, behind the header."""
    path = tmp_path / "whole.nii"
    sitk.WriteImage(an_oblique_image, str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into("<h", content, 40, 4)
    struct.pack_into("<h", content, 48, frames)
    struct.pack_into("<f", content, 76 + 4 * 4, 0)  # between frames
    struct.pack_into("<f", content, 108, 0)
    struct.pack_into("4s", content, 344, magic)
    for name, kept in (("whole", len(content)), ("cut", len(content) - 8)):
        cut = bytes(content[:kept])
        (tmp_path / f"{name}.{ending}").write_bytes(gzip.compress(cut) if ending.endswith("gz") else cut)
    assert read_scan(tmp_path / f"whole.{ending}").GetSize() == an_oblique_image.GetSize()
    with pytest.raises(UserError, match="cannot be read"):
        read_scan(tmp_path / f"cut.{ending}")


@pytest.mark.parametrize("offset", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_a_nifti_whose_voxels_begin_nowhere_is_refused(
    an_oblique_image: sitk.Image, tmp_path: Path, offset: float, ending: str
) -> None:
    sitk.WriteImage(an_oblique_image, str(tmp_path / "whole.nii"))
    content = bytearray((tmp_path / "whole.nii").read_bytes())
    struct.pack_into("<f", content, 108, offset)
    path = tmp_path / f"scan.{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    with pytest.raises(UserError, match="cannot be read"):
        read_scan(path)


@pytest.mark.parametrize("spacing", [b"0 0.9 2.5", b"nan 0.9 2.5"])
def test_a_metaimage_spacing_of_nothing_is_refused(
    an_oblique_image: sitk.Image, tmp_path: Path, spacing: bytes
) -> None:
    path = tmp_path / "scan.mha"
    sitk.WriteImage(an_oblique_image, str(path))
    lines = path.read_bytes().split(b"\n")
    lines = [b"ElementSpacing = " + spacing if line.startswith(b"ElementSpacing") else line for line in lines]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match="spacing"):
        read_scan(path)


def write_nifti(
    path: Path,
    codes: tuple[int, int],
    affine: tuple[tuple[float, ...], ...],
    order: str = "<",
    *,
    slices: int = 4,
    scale: float = 1,
) -> Path:
    """Write voxels of 0.7 x 0.8 x 2.5 mm; the codes are those of the qform and of the affine (sform)."""
    header = bytearray(352)
    for at, kind, values in (
        (0, "i", (348,)),
        (40, "8h", (3, 6, 5, slices, 1, 1, 1, 1)),
        (70, "2h", (4, 16)),  # int16
        (76, "8f", (1, 0.7, 0.8, 2.5, 1, 1, 1, 1)),
        (108, "2f", (352, scale)),  # where the voxels begin, and their scale
        (123, "b", (2,)),  # mm
        (252, "2h", codes),
        (280, "12f", (value for row in affine for value in (*row, 0))),
        (344, "4s", (b"n+1",)),
    ):
        struct.pack_into(f"{order}{kind}", header, at, *values)
    path.write_bytes(bytes(header) + np.arange(30 * slices).astype(f"{order}i2").tobytes())
    return path


STRAIGHT = ((0.7, 0, 0), (0, 0.8, 0), (0, 0, 2.5))
SHEARED = ((0.7, 0, 0), (0, 0.8, 0.5), (0, 0, 2.5))
OTHER_SIZE = ((0.7, 0, 0), (0, 0.8, 0), (0, 0, 2.55))
ROUNDED = ((0.704, 0, 0), (0, 0.8, 0), (0, 0, 2.49))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("codes", [(0, 1), (0, 2), (1, 1)])
@pytest.mark.parametrize(
    ("affine", "said"),
    [
        (SHEARED, "right angles"),
        (OTHER_SIZE, r"0\.7 x 0\.8 x 2\.5 by its field pixdim, 0\.7 x 0\.8 x 2\.55 by its"),
    ],
)
def test_a_nifti_whose_affine_says_otherwise_than_its_spacing_is_refused(
    tmp_path: Path, codes: tuple[int, int], affine: tuple[tuple[float, ...], ...], said: str, order: str
) -> None:
    with pytest.raises(UserError, match=said):
        read_scan(write_nifti(tmp_path / "scan.nii", codes, affine, order))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("codes", "affine"),
    [
        ((0, 0), OTHER_SIZE),
        ((1, 4), OTHER_SIZE),
        ((1, 2), SHEARED),
        ((0, 2), STRAIGHT),
        ((0, 1), ROUNDED),
    ],
)
def test_an_affine_that_is_none_or_rounded_or_leads_elsewhere_beside_a_qform_is_let_be(
    tmp_path: Path, codes: tuple[int, int], affine: tuple[tuple[float, ...], ...], order: str
) -> None:
    scan = read_scan(write_nifti(tmp_path / "scan.nii", codes, affine, order))
    assert scan.GetSpacing() == pytest.approx((0.7, 0.8, 2.5))
    assert np.array_equal(array_view(scan).ravel(), np.arange(120))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("level", [0, 1])
def test_a_compressed_nifti_that_is_damaged_in_the_middle_is_refused(
    tmp_path: Path, order: str, scale: int, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From there on ITK returns what happens to lie in memory."""
    path = tmp_path / "scan.nii.gz"
    plain = write_nifti(tmp_path / "plain.nii", (0, 1), STRAIGHT, order, slices=20_000, scale=scale)
    packed = bytearray(gzip.compress(plain.read_bytes(), level))
    path.write_bytes(packed)
    expected = scale * np.arange(600_000).astype(np.int16).astype(int)
    with monkeypatch.context() as once:
        if scale == 1:
            once.setattr(gzip_checks, "_content_bytes", None)  # its checksum tells
        assert np.array_equal(array_view(read_scan(path)).ravel(), expected)
    packed[len(packed) // 2] ^= 1
    path.write_bytes(packed)
    with pytest.raises(UserError, match="cannot be read"):
        read_scan(path)


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_scan(tmp_path / "nothing.nii.gz")
    with pytest.raises(UserError, match="does not exist"):
        read_mask(tmp_path / "nothing.nii.gz")


def test_a_folder_or_a_slice_is_no_mask(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").touch()
    for path in (tmp_path, tmp_path / "1.dcm"):
        with pytest.raises(UserError, match="not a mask file"):
            read_mask(path)


def test_a_folder_that_is_called_like_a_file_is_one_of_slices(tmp_path: Path) -> None:
    folder = tmp_path / "series.nii.gz"
    folder.mkdir()
    with pytest.raises(UserError, match="holds no CT series"):
        read_scan(folder)


def test_writing_where_there_is_no_folder_says_so(an_oblique_image: sitk.Image, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        write_image(an_oblique_image, tmp_path / "nowhere" / "scan.nrrd")
    assert caught.value.code == ExitCode.OUTPUT_NOT_WRITABLE


def test_grids_differ_in_words(an_oblique_image: sitk.Image) -> None:
    other = image_like(sitk.GetArrayFromImage(an_oblique_image), an_oblique_image)
    assert grid_difference(other, an_oblique_image) is None
    other.SetOrigin((-103.5, 42.25, -870.9))
    assert "origin" in str(grid_difference(other, an_oblique_image))
    assert "size" in str(grid_difference(other[1:], an_oblique_image))


def grid(
    size: tuple[int, int, int] = (4, 4, 4), spacing: float = 0.7, x: float = 0.0, turned: float = 0.0
) -> sitk.Image:
    image = sitk.Image(size, sitk.sitkUInt8)
    image.SetSpacing((spacing,) * 3)
    image.SetOrigin((x, -1, 2))
    image.SetDirection((np.cos(turned), -np.sin(turned), 0, np.sin(turned), np.cos(turned), 0, 0, 0, 1))
    return image


def test_an_origin_that_was_rounded_by_less_than_a_hundredth_of_a_voxel_is_the_same() -> None:
    assert grid_difference(grid(x=-249.512), grid(x=-249.51171875)) is None
    assert grid_difference(grid(x=0.0069), grid()) is None
    assert grid_difference(grid(x=0.0071), grid()) is not None
    thick, moved = grid(), grid(x=0.0071)
    for image in (thick, moved):
        image.SetSpacing((0.7, 0.7, 8.0))
    assert grid_difference(moved, thick) is not None, "a hundredth of its pixel, not of its slice"


def test_a_grid_that_lies_nowhere_is_not_the_same() -> None:
    assert "origin" in str(grid_difference(grid(x=float("nan")), grid()))


def test_small_differences_that_add_up_to_a_tenth_of_a_voxel_are_told() -> None:
    assert grid_difference(grid((2, 2, 500), spacing=0.5), grid((2, 2, 500), spacing=0.50009)) is None
    for other in (grid((2, 2, 700), spacing=0.50009), grid((2, 2, 700), spacing=0.49991)):
        assert "a corner 0.13 voxels apart" in str(grid_difference(other, grid((2, 2, 700), spacing=0.5)))
    assert grid_difference(grid((1000, 2, 2), turned=9e-5), grid((1000, 2, 2))) is None
    assert "a corner" in str(grid_difference(grid((1200, 2, 2), turned=9e-5), grid((1200, 2, 2))))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (grid(x=-1249.5), r"origin \(-1249.5, .*\) against \(-1249.512, .*\), up to 0.012 mm apart"),
        (grid(x=-1249.512, spacing=0.7002), "spacing .*, up to 0.0002 mm apart"),
        (grid(x=-1249.512, turned=2e-4), "direction .*, up to 0.0002 apart"),
    ],
)
def test_how_far_grids_lie_apart_is_said_in_numbers_that_differ(other: sitk.Image, said: str) -> None:
    difference = str(grid_difference(other, grid(x=-1249.51171875)))
    assert re.search(said, difference), difference
    ours, theirs = re.findall(r"\(.*?\)", difference)
    assert ours != theirs


def test_a_view_keeps_its_image_alive() -> None:
    values = np.arange(60_000, dtype=np.int16).reshape(30, 40, 50)
    view = array_view(sitk.GetImageFromArray(values))
    _others = [sitk.Image((50, 40, 30), sitk.sitkInt16) - 1 for _ in range(20)]
    assert np.array_equal(view, values)
    assert not view.flags.writeable
    assert not view.flags.owndata


@pytest.mark.skipif(sys.platform == "win32", reason="no limit to the size of files there")
def test_an_image_whose_last_bytes_do_not_fit_on_the_disk_is_not_called_written(
    an_oblique_image: sitk.Image, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole.nrrd", tmp_path / "cut.nrrd"
    write_image(an_oblique_image, whole)
    code = (
        "import resource, sys, SimpleITK as sitk; from pathlib import Path; "
        "from COVIDSelfSegLib.volume import write_image; image = sitk.ReadImage(sys.argv[1]); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({whole.stat().st_size - 50},) * 2); "
        "write_image(image, Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(whole), str(cut)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "cut.nrrd cannot be written" in done.stderr


def test_a_scan_in_a_folder_of_a_user_with_an_umlaut_is_written_and_read(
    an_oblique_image: sitk.Image, tmp_path: Path
) -> None:
    path = tmp_path / "Jörg Müller" / "scan.nrrd"
    path.parent.mkdir()
    write_image(an_oblique_image, path)
    assert read_scan(path).GetSize() == an_oblique_image.GetSize()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf8_is_refused_and_does_not_end_the_process(
    an_oblique_image: sitk.Image, tmp_path: Path
) -> None:
    plain = tmp_path / "scan.nrrd"
    write_image(an_oblique_image, plain)
    strange = tmp_path / os.fsdecode("Müller.nrrd".encode("latin-1"))
    plain.rename(strange)
    with pytest.raises(UserError, match=r"M.*ller.nrrd cannot be opened: its name is not valid UTF-8"):
        read_scan(strange)
    with pytest.raises(UserError, match="not valid UTF-8"):
        write_image(an_oblique_image, strange)
