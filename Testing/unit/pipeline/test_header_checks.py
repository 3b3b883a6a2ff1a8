"""NRRD and MetaImage files of which ITK would make something else are refused, and their like are read."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.scan_files import gzip_checks
from COVIDSelfSegLib.volume import read_scan

VALUES = np.random.default_rng(7).integers(-1000, 400, (4, 5, 6)).astype("<i2")
VOXELS = VALUES.tobytes()
PACKED = zlib.compress(VOXELS)
DAMAGED = PACKED[:100] + bytes(255 - byte for byte in PACKED[100:110]) + PACKED[110:]
VECTORS = "(0.7,0,0) (0,0.8,0) (0,0,2.5)"


def write_nrrd(path: Path, *lines: str, axes: str = "dimension: 3\nsizes: 6 5 4") -> Path:
    header = ["NRRD0004", "type: int16", axes, "endian: little", "encoding: raw", *lines]
    path.write_bytes("\n".join([*header, "", ""]).encode() + VOXELS)
    return path


def write_metaimage(
    path: Path, *lines: str, voxels: bytes = VOXELS, spacing: str = "ElementSpacing = 0.7 0.8 2.5"
) -> Path:
    """A ``.mha``, or a ``.mhd`` and its voxels beside it."""
    beside = path.with_suffix(".zraw")
    where = "Local" if path.suffix == ".mha" else beside.name
    header = [
        "ObjectType = Image",
        "NDims = 3",
        "DimSize = 6 5 4",
        "ElementType = MET_SHORT",
        spacing,
        *lines,
    ]
    text = "\n".join([*header, f"ElementDataFile = {where}", ""]).encode()
    path.write_bytes(text + (voxels if where == "Local" else b""))
    beside.write_bytes(voxels)
    return path


@pytest.mark.parametrize("ending", ["nrrd", "nhdr"])
@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["spacings: nan nan nan"],
        ["spacings: 0.7 0.8 NaN"],
        ["spacings: 0.7 0.8 pinf"],
        ["axis mins: 0 0 0", "axis maxs: 4 4 10"],
        ["space dimension: 3", "space directions: (0.7,0,0) (0,0.8,0) none"],
    ],
)
def test_an_nrrd_file_that_says_no_spacing_is_refused(tmp_path: Path, ending: str, lines: list[str]) -> None:
    with pytest.raises(UserError, match="impossible voxel spacing"):
        read_scan(write_nrrd(tmp_path / f"scan.{ending}", *lines))


@pytest.mark.parametrize(
    "lines", [["Spacings: 0.7 0.8 2.5"], ["space: RAS", f"space directions: {VECTORS}", "key:=spacings"]]
)
def test_an_nrrd_file_may_say_its_spacing_as_numbers_or_as_vectors(tmp_path: Path, lines: list[str]) -> None:
    scan = read_scan(write_nrrd(tmp_path / "scan.nrrd", *lines))
    assert scan.GetSpacing() == pytest.approx((0.7, 0.8, 2.5))


@pytest.mark.parametrize("kind", ["list", "vector"])
@pytest.mark.parametrize("first", [False, True])
def test_an_nrrd_file_of_a_list_of_one_volume_is_that_volume(tmp_path: Path, kind: str, first: bool) -> None:
    """Slicer saves a sequence of one frame so."""
    sizes, kinds, vectors = ["6 5 4"], ["domain domain domain"], [VECTORS]
    for of_space, of_list in ((sizes, "1"), (kinds, kind), (vectors, "none")):
        of_space.insert(0 if first else 1, of_list)
    axes = f"dimension: 4\nsizes: {' '.join(sizes)}\nkinds: {' '.join(kinds)}\nspace dimension: 3"
    scan = read_scan(write_nrrd(tmp_path / "scan.nrrd", f"space directions: {' '.join(vectors)}", axes=axes))
    assert np.array_equal(sitk.GetArrayFromImage(scan), VALUES)
    assert scan.GetSpacing() == pytest.approx((0.7, 0.8, 2.5))


@pytest.mark.parametrize("ending", ["nrrd", "nhdr"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("members", [1, 2])
def test_a_compressed_nrrd_file_that_lost_a_block_of_the_disk_is_refused(
    tmp_path: Path, ending: str, order: str, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ITK may go on to unpack what comes behind, and make voxels of it."""
    values = np.random.default_rng(8).integers(-1000, 1000, (30, 100, 100)).astype(f"{order}i2")
    parts = np.split(values, members)
    packed = b"".join(gzip.compress(part.tobytes(), 6) for part in parts)
    header = ["NRRD0004", "type: int16", "dimension: 3", "sizes: 100 100 30", "spacings: 1 1 1"]
    header += ["endian: big" if order == ">" else "endian: little", "encoding: gzip"]
    header += ["data file: voxels.gz"] if ending == "nhdr" else []
    text = "\n".join([*header, "", ""]).encode()

    def write(voxels: bytes) -> Path:
        (tmp_path / "voxels.gz").write_bytes(voxels)
        (tmp_path / f"scan.{ending}").write_bytes(text + (voxels if ending == "nrrd" else b""))
        return tmp_path / f"scan.{ending}"

    with monkeypatch.context() as once:
        if members == 1:
            once.setattr(gzip_checks, "_content_bytes", None)  # its checksum tells
        assert np.array_equal(sitk.GetArrayFromImage(read_scan(write(packed))), values)
    middle = len(packed) // 2
    with pytest.raises(UserError, match="cannot be read"):
        read_scan(write(packed[:middle] + bytes(4096) + packed[middle + 4096 :]))


@pytest.mark.parametrize(
    ("skipped", "content"),
    [("byte skip: 4", gzip.compress(b"else" + VOXELS)), ("line skip: 1", b"else\n" + gzip.compress(VOXELS))],
)
def test_what_a_compressed_nrrd_file_holds_before_its_voxels_is_no_damage(
    tmp_path: Path, skipped: str, content: bytes
) -> None:
    path = write_nrrd(tmp_path / "scan.nrrd", "spacings: 0.7 0.8 2.5", skipped)
    path.write_bytes(path.read_bytes().replace(b"raw", b"gz").replace(VOXELS, content))
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(path)), VALUES)


@pytest.mark.parametrize("ending", ["mha", "mhd"])
def test_a_metaimage_that_says_no_spacing_is_refused(tmp_path: Path, ending: str) -> None:
    with pytest.raises(UserError, match="impossible voxel spacing"):
        read_scan(write_metaimage(tmp_path / f"scan.{ending}", spacing="Offset = 1 2 3"))
    old = write_metaimage(tmp_path / f"old.{ending}", spacing="ElementSize = 0.7 0.8 2.5")
    assert read_scan(old).GetSpacing() == pytest.approx((0.7, 0.8, 2.5))


@pytest.mark.parametrize("ending", ["mha", "mhd"])
@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("voxels", [DAMAGED, PACKED[:-40], PACKED[:-1], zlib.compress(VOXELS[:-60]), VOXELS])
def test_a_metaimage_whose_voxels_cannot_be_unpacked_is_refused(
    tmp_path: Path, ending: str, stated: bool, voxels: bytes
) -> None:
    """ITK returns what happens to lie in memory."""
    lines = ["CompressedData = True", *([f"CompressedDataSize = {len(voxels)}"] if stated else [])]
    with pytest.raises(UserError, match="cannot be read"):
        read_scan(write_metaimage(tmp_path / f"scan.{ending}", *lines, voxels=voxels))


def test_a_metaimage_of_whose_voxels_itk_finds_no_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_scan(write_metaimage(tmp_path / "scan.mha", "CompressedData = true", voxels=PACKED))


@pytest.mark.parametrize(("ending", "stated"), [("mha", len(PACKED)), ("mhd", len(PACKED)), ("mhd", 0)])
@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
@pytest.mark.parametrize("after", [b"", b"more"])
def test_a_metaimage_whose_voxels_can_be_unpacked_is_read(
    tmp_path: Path, ending: str, stated: bool, pack: Callable[[bytes], bytes], after: bytes
) -> None:
    lines = ["CompressedData = True", *([f"CompressedDataSize = {len(pack(VOXELS))}"] if stated else [])]
    scan = read_scan(write_metaimage(tmp_path / f"scan.{ending}", *lines, voxels=pack(VOXELS) + after))
    assert np.array_equal(sitk.GetArrayFromImage(scan), VALUES)


def test_a_metaimage_with_a_compressed_file_for_each_slice_is_read(tmp_path: Path) -> None:
    names = [f"{number}.z" for number in range(len(VALUES))]
    for name, plane in zip(names, VALUES, strict=True):
        (tmp_path / name).write_bytes(zlib.compress(plane.tobytes()))
    scan = write_metaimage(tmp_path / "scan.mhd", "CompressedData = True")
    scan.write_text(scan.read_text().replace("scan.zraw", "\n".join(["LIST", *names])))
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(scan)), VALUES)
