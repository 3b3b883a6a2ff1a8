"""Read and write scans; what a grid is.

A volume is a ``SimpleITK.Image``: HU as int16 (or float32 where int16 would lose something) with its
spacing (mm), origin (mm, LPS) and direction. Arrays are always (z, y, x).
"""

from __future__ import annotations

import gzip
import logging
import os
import struct
import zlib
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .dicom import choose_chest_ct, list_series, read_series
from .errors import UserError
from .file_errors import output_not_writable, reading_from
from .file_names import itk_name
from .memory import fitting_into_memory, is_out_of_memory

log = logging.getLogger(__name__)

FILE_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""File endings of scans that can be read; a folder is read as DICOM."""

GEOMETRY_TOLERANCE = 1e-4
"""Largest difference, in mm (and in direction cosines), at which two grids still count as the same."""

_HEADERS = (".mhd", ".nhdr")
"""Their voxels lie in another file of the same name."""
_NIFTI_HEADER_BYTES = 348


def has_scan_ending(path: Path) -> bool:
    """Whether the file name says that this is a scan file (not a DICOM slice)."""
    return path.name.lower().endswith(FILE_ENDINGS)


def bare_name(path: Path) -> str:
    """A file's name without the ending of a scan file."""
    for ending in sorted(FILE_ENDINGS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def files_of(path: Path) -> list[Path]:
    """The files that a scan is read from: itself, all below a folder, or a header and its voxels."""
    if path.suffix.lower() in _HEADERS:
        beside = sorted(path.parent.iterdir())
        return [file for file in beside if Path(file.name.removesuffix(".gz")).stem == path.stem]
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def read_scan(path: Path, series_id: str | None = None) -> sitk.Image:
    """Read a scan from a NIfTI, NRRD or MetaImage file, or from a folder (or one file) of DICOM slices.

    Args:
        path: file or folder.
        series_id: DICOM SeriesInstanceUID (or a unique beginning of it) where a folder holds several
            series; without it the chest CT is taken.

    Returns:
        The scan on its own grid: int16 where that loses nothing, else float32.

    Raises:
        UserError: the path is missing, unreadable, truncated, not 3D, has an impossible spacing, or the
            folder holds no CT series (exit code 2); it does not fit into memory (4).
    """
    with reading_from(path), fitting_into_memory("The whole scan is read at once."):
        if not path.exists():
            raise UserError(
                f"{path} does not exist.",
                why="There is nothing to read.",
                fix="Check the spelling of the path, and that the disk it lies on is connected.",
            )
        _open_once(path)
        if path.is_dir() or not has_scan_ending(path):
            return compact(read_series(choose_chest_ct(path, list_series(path), series_id)))
        if path.name.lower().endswith((".nii", ".nii.gz")):
            _check_nifti(path)
        return compact(_read_file(path))


def read_mask(path: Path) -> sitk.Image:
    """Read a label map (any integer type, one component, 3D) on its own grid; see :func:`read_scan`."""
    with reading_from(path):
        is_file = path.exists() and not path.is_dir()
    if not is_file or not has_scan_ending(path):
        raise UserError(
            f"{path} is not a mask file.",
            why="A lung mask is one label-map file on the same grid as the scan.",
            fix=f"Give one file that ends in {', '.join(FILE_ENDINGS)}.",
        )
    return read_scan(path)


def write_image(image: sitk.Image, path: Path) -> None:
    """Write an image; the ending of ``path`` chooses the format. NRRD is gzip-compressed at level 1.

    Higher levels make a CT hardly smaller and cost more time than the networks.

    Raises:
        UserError: the file cannot be written (exit code 5).
    """
    writer = sitk.ImageFileWriter()
    writer.SetFileName(itk_name(path))
    writer.UseCompressionOn()
    writer.SetCompressionLevel(1)
    try:
        writer.Execute(image)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        log.debug("writing %s failed: %s", path, error)
        raise output_not_writable(path) from error


def array_view(image: sitk.Image) -> npt.NDArray[Any]:
    """Read-only (z, y, x) view of the image's own memory.

    SimpleITK's own view does not keep the image alive, so that a view of a temporary image reads freed
    memory; this one does.
    """
    return np.asarray(_View(image))


class _View:
    """Hands an image's memory to numpy, and stays behind as the owner of the array."""

    def __init__(self, image: sitk.Image) -> None:
        self._image = image
        self.__array_interface__ = sitk.GetArrayViewFromImage(image).__array_interface__


def image_like(array: npt.NDArray[Any], reference: sitk.Image) -> sitk.Image:
    """Put a (z, y, x) array on the grid of ``reference``; the shapes must agree."""
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(reference)
    return image


def grid_difference(a: sitk.Image, b: sitk.Image) -> str | None:
    """Say in words how two grids differ, or None where they are the same within 1e-4."""
    if a.GetSize() != b.GetSize():
        return f"size {_numbers(a.GetSize())} against {_numbers(b.GetSize())} voxels"
    for name, of_a, of_b in (
        ("spacing", a.GetSpacing(), b.GetSpacing()),
        ("origin", a.GetOrigin(), b.GetOrigin()),
        ("direction", a.GetDirection(), b.GetDirection()),
    ):
        if not np.allclose(of_a, of_b, rtol=0, atol=GEOMETRY_TOLERANCE):
            return f"{name} {_numbers(of_a)} against {_numbers(of_b)}"
    return None


def voxel_volume_ml(image: sitk.Image) -> float:
    """Volume of one voxel in millilitres."""
    return float(np.prod(image.GetSpacing())) / 1000


def compact(image: sitk.Image) -> sitk.Image:
    """The same voxels as int16 where that loses nothing, else as float32."""
    if image.GetPixelID() == sitk.sitkInt16:
        return image
    array = array_view(image)
    fits = array.min() >= -(2**15) and array.max() < 2**15  # False where the minimum is NaN
    if fits and all(np.array_equal(plane, np.rint(plane)) for plane in array):
        return sitk.Cast(image, sitk.sitkInt16)
    return sitk.Cast(image, sitk.sitkFloat32)


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"


def _open_once(path: Path) -> None:
    """Let the system say what is wrong: the readers pass over a folder, and call a file damaged."""
    if path.is_dir():
        os.scandir(path).close()
    else:
        path.open("rb").close()


def _read_file(path: Path) -> sitk.Image:
    reader = sitk.ImageFileReader()
    reader.SetFileName(itk_name(path))
    try:
        reader.ReadImageInformation()
        _check_dimensions(path, reader.GetSize(), reader.GetNumberOfComponents())
        image = reader.Execute()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise  # the file may be as it should be
        _refuse_unreadable(path, str(error))
    return image[:, :, :, 0] if image.GetDimension() == 4 else image


def _check_dimensions(path: Path, size: tuple[int, ...], components: int) -> None:
    shape = " x ".join(map(str, size)) + (f", {components} values per voxel" if components > 1 else "")
    is_volume = len(size) == 3 or (len(size) == 4 and size[3] == 1)
    if not is_volume or components != 1:
        raise UserError(
            f"{path.name} is not one 3D volume ({shape}).",
            why="A chest CT is a stack of slices with one HU value per voxel.",
            fix="Export the CT as a single 3D volume: one time point, gray values, no colour.",
        )


def _refuse_unreadable(path: Path, reason: str) -> NoReturn:
    """Turn what a reader says into the refusal that a user understands."""
    log.debug("reading %s failed: %s", path, reason)
    lowered = reason.lower()
    if "spacing" in lowered:
        refuse_spacing(path, "zero or not a number")
    if "orthonormal" in lowered:
        refuse_shear(path)
    raise UserError(
        f"{path.name} cannot be read: it is truncated, damaged or not what its name says.",
        why="A part of the scan is missing, so any result would be about a part of the lung at best.",
        fix="Copy or export the scan again, and compare the file sizes.",
    )


def refuse_spacing(path: Path, found: str) -> NoReturn:
    """Refuse a voxel spacing that no CT has."""
    raise UserError(
        f"{path.name} has an impossible voxel spacing ({found}).",
        why="Volumes in ml and the model's scale both depend on the voxel size in millimetres.",
        fix="Export the scan again from its DICOM source, or correct the spacing in the header.",
    )


def refuse_shear(path: Path) -> NoReturn:
    """Refuse axes that are not at right angles (gantry tilt kept as a shear)."""
    raise UserError(
        f"{path.name} has axes that are not at right angles (gantry tilt or a shear in the header).",
        why="Slices would be taken from the wrong places.",
        fix="Resample the scan to a rectangular grid first (in Slicer: Acquisition geometry regularization).",
    )


def _check_nifti(path: Path) -> None:
    """Refuse what ITK's NIfTI reader accepts in silence: missing voxels and a spacing of zero or less.

    ITK fills the missing part of a truncated file with arbitrary memory, and turns a spacing of 0, -1 or
    NaN into 1 mm.
    """
    compressed = path.name.lower().endswith(".gz")
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            header = file.read(_NIFTI_HEADER_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        _refuse_unreadable(path, str(error))
    if len(header) < _NIFTI_HEADER_BYTES:
        _refuse_unreadable(path, "no header")
    order = "<" if struct.unpack_from("<i", header)[0] == _NIFTI_HEADER_BYTES else ">"
    dim = struct.unpack_from(f"{order}8h", header, 40)
    if not 1 <= dim[0] <= 7:
        return  # NIfTI-2 or Analyze: ITK judges it
    pixdim = struct.unpack_from(f"{order}8f", header, 76)
    for axis in range(1, min(dim[0], 3) + 1):
        if not (np.isfinite(pixdim[axis]) and pixdim[axis] > 0):
            refuse_spacing(path, f"{pixdim[axis]:g} mm along axis {axis}")
    bits = struct.unpack_from(f"{order}h", header, 72)[0]
    offset = int(struct.unpack_from(f"{order}f", header, 108)[0])
    if header[344:348] != b"n+1\0":
        return  # voxels lie in a separate .img file
    needed = offset + int(np.prod(dim[1 : dim[0] + 1], dtype=np.int64)) * bits // 8
    held = _gzip_content_bytes(path, needed) if compressed else path.stat().st_size
    if held < needed:
        _refuse_unreadable(path, f"{held} of {needed} bytes")


def _gzip_content_bytes(path: Path, needed: int) -> int:
    """Bytes that a gzip file unpacks to, 0 where it is damaged.

    The last four bytes of a whole one-member file say it (modulo 2**32) at no cost. Where they say
    something else the file is truncated or has several members, and only unpacking tells.
    """
    with path.open("rb") as file:
        file.seek(-4, 2)
        if struct.unpack("<I", file.read(4))[0] == needed % 2**32:
            return needed
    held = 0
    try:
        with gzip.open(path) as unpacked:
            while block := unpacked.read(1 << 22):
                held += len(block)
    except (OSError, EOFError, zlib.error):
        return 0
    return held
