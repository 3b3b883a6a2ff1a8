"""Read and write scans; what a grid is.

A volume is a ``SimpleITK.Image``: HU as int16 (or float32 where int16 would lose something) with its
spacing (mm), origin (mm, LPS) and direction. Arrays are always (z, y, x).
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .errors import UserError
from .file_errors import output_not_writable, reading_from, writing_to
from .file_names import files_below, itk_name, too_long
from .memory import fitting_into_memory, is_out_of_memory
from .scan_files.dicom import read_chest_ct
from .scan_files.header_checks import check_metaimage, check_nrrd
from .scan_files.nifti_checks import check_nifti, check_unpacked
from .scan_files.scan_refusals import refuse_unreadable

log = logging.getLogger(__name__)

FILE_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""File endings of scans that can be read; a folder is read as DICOM."""

GEOMETRY_TOLERANCE = 1e-4
"""Largest difference of spacing (mm) and direction cosines at which two grids still count as the same."""
ORIGIN_TOLERANCE = 0.01
"""The same of their origins, in voxels: other programs round them."""
CORNER_TOLERANCE = 0.1
"""By how many voxels the corners of such grids may lie apart; a small difference of spacing adds up."""

_HEADERS = (".mhd", ".nhdr")
"""They name the other file that their voxels lie in."""
_HEADER_BYTES = 1 << 16
"""No such header is longer."""
_NO_SLICES = (".nrrd", ".json", ".png", ".csv")
"""Endings of the results, which may lie in the folder that a scan is read from; no DICOM slice has them."""
_OF_FILE_BROWSERS = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What macOS and Windows write into a folder that somebody looks at."""


def has_scan_ending(path: Path) -> bool:
    """Whether the file name says that this is a scan file (not a DICOM slice)."""
    return path.name.lower().endswith(FILE_ENDINGS)


def bare_name(path: Path) -> str:
    """A file's name without the ending of a scan file."""
    for ending in FILE_ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def files_of(path: Path) -> list[Path]:
    """The files that a scan is read from: itself, a header and its voxels, or DICOM slices.

    Those lie below a folder, and are looked for as :func:`.scan_files.dicom.list_series` does; or beside one
    that stands for its series.
    """
    if path.suffix.lower() in _HEADERS:
        header = b""
        with suppress(OSError), path.open("rb") as file:  # reading the scan will say why
            header = file.read(_HEADER_BYTES)
        others = (file for file in sorted(path.parent.iterdir()) if file != path and file.is_file())
        return [path, *(file for file in others if os.fsencode(file.name) in header)]
    is_file = path.is_file()
    if is_file and has_scan_ending(path):
        return [path]
    files = path.parent.iterdir() if is_file else files_below(path)
    return [
        file
        for file in files
        if file.suffix not in _NO_SLICES and file.name not in _OF_FILE_BROWSERS and file.is_file()
    ]


def read_scan(path: Path, series_id: str | None = None) -> sitk.Image:
    """Read a scan from a NIfTI, NRRD or MetaImage file, or from a folder (or one file) of DICOM slices.

    DICOM may be single slices or Enhanced CT, the kind with many frames in a file.

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
        _check_exists(path)
        _open_once(path)
        if path.is_dir() or not has_scan_ending(path):
            return compact(read_chest_ct(path, series_id))
        if path.name.lower().endswith((".nii", ".nii.gz")):
            check_nifti(path)
        with _apart(path) as alone:
            return compact(_read_file(alone))


def read_mask(path: Path) -> sitk.Image:
    """Read a label map (any integer type, one component, 3D) on its own grid; see :func:`read_scan`."""
    with reading_from(path):
        _check_exists(path)
        is_file = not path.is_dir()
    if not is_file or not has_scan_ending(path):
        raise UserError(
            f"{path} is not a mask file.",
            why="A mask is one label-map file on the same grid as the scan.",
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
    with writing_to(path):
        if path.suffix == ".nrrd" and not _is_whole(path, image):
            raise output_not_writable(path)


def _is_whole(path: Path, image: sitk.Image) -> bool:
    """Whether a compressed NRRD ends as it should, with the size of what it holds.

    ITK does not look whether its last bytes were written.
    """
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little") == _voxel_bytes(image) % 2**32


def _voxel_bytes(image: sitk.Image) -> int:
    components: int = image.GetNumberOfPixels() * image.GetNumberOfComponentsPerPixel()
    return components * image.GetSizeOfPixelComponent()


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
    """Say in words how two grids differ, or None where all their voxels lie in the same places.

    Small differences of rounding do not count, so take the voxels of one, but the grid of the other alone:
    the filters of SimpleITK are stricter.
    """
    if a.GetSize() != b.GetSize():
        return f"size {_numbers(a.GetSize())} against {_numbers(b.GetSize())} voxels"
    for name, unit, of_a, of_b, tolerance in (
        ("spacing", " mm", a.GetSpacing(), b.GetSpacing(), GEOMETRY_TOLERANCE),
        ("direction", "", a.GetDirection(), b.GetDirection(), GEOMETRY_TOLERANCE),
        ("origin", " mm", a.GetOrigin(), b.GetOrigin(), ORIGIN_TOLERANCE * min(b.GetSpacing())),
    ):
        apart = float(np.abs(np.subtract(of_a, of_b)).max())
        if not apart <= tolerance:
            return f"{name} {_numbers(of_a)} against {_numbers(of_b)}, up to {apart:.2g}{unit} apart"
    apart = max(_voxels_apart(a, b, corner) for corner in product(*((0, count - 1) for count in a.GetSize())))
    if not apart <= CORNER_TOLERANCE:
        return f"a corner {apart:.2g} voxels apart, by spacing or direction"
    return None


def _voxels_apart(a: sitk.Image, b: sitk.Image, index: tuple[int, ...]) -> float:
    """How far a voxel of one grid lies from that of the other, along the axis where it is most."""
    there = b.TransformPhysicalPointToContinuousIndex(a.TransformContinuousIndexToPhysicalPoint(index))
    return float(np.abs(np.subtract(there, index)).max())


def voxel_volume_ml(image: sitk.Image) -> float:
    """Volume of one voxel in millilitres."""
    return float(np.prod(image.GetSpacing())) / 1000


def compact(image: sitk.Image) -> sitk.Image:
    """The same voxels as int16 where that loses nothing, else as float32; what else it knows stays."""
    if image.GetPixelID() == sitk.sitkInt16:
        return image
    array = array_view(image)
    fits = array.min() >= -(2**15) and array.max() < 2**15  # False where the minimum is NaN
    if fits and all(np.array_equal(plane, np.rint(plane)) for plane in array):
        return _cast(image, sitk.sitkInt16)
    return _cast(image, sitk.sitkFloat32)


def _cast(image: sitk.Image, pixel_type: int) -> sitk.Image:
    result = sitk.Cast(image, pixel_type)
    for key in image.GetMetaDataKeys():
        result.SetMetaData(key, image.GetMetaData(key))
    return result


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.7g}" for value in values) + ")"


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise too_long(path) or UserError(
            f"{path} does not exist.",
            why="There is nothing to read.",
            fix="Check the spelling of the path, and that the disk it lies on is connected.",
        )


def _open_once(path: Path) -> None:
    """Let the system say what is wrong: the readers pass over a folder, and call a file damaged."""
    if path.is_dir():
        os.scandir(path).close()
    else:
        path.open("rb").close()


@contextmanager
def _apart(path: Path) -> Iterator[Path]:
    """A scan file away from one that ITK would read in its place.

    Of ``scan.nii.gz`` beside ``scan.nii`` ITK reads the header, and the voxels of the other, without a word.
    """
    if not path.name.lower().endswith(".nii.gz") or not path.with_suffix("").exists():
        yield path
        return
    with TemporaryDirectory(prefix="covidselfseg-") as folder:
        yield Path(shutil.copyfile(path, Path(folder) / path.name))


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
        refuse_unreadable(path, str(error))
    if path.suffix.lower() == ".gz":
        check_unpacked(path, image)
    elif path.suffix.lower() in (".nrrd", ".nhdr"):
        check_nrrd(path, image)
    elif path.suffix.lower() in (".mha", ".mhd"):
        check_metaimage(path, _voxel_bytes(image))
    if "vector" in image.GetPixelIDTypeAsString():
        image = sitk.VectorIndexSelectionCast(image, 0)  # of a list of one volume
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
