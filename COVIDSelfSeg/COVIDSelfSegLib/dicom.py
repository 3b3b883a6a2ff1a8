"""DICOM folders: which series lie in them, which one is the chest CT, and its slices in order.

File names say nothing: slices are sorted by their position along the slice normal.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .errors import UserError
from .file_names import itk_name
from .memory import is_out_of_memory

log = logging.getLogger(__name__)

_MODALITY = "0008|0060"
_IMAGE_TYPE = "0008|0008"
_SERIES_DESCRIPTION = "0008|103e"
_BODY_PART = "0018|0015"
_SERIES_UID = "0020|000e"

_CHEST_WORDS = ("chest", "thor", "lung", "pulm")
_UNEVEN_GAP = 0.1
"""Share of the usual slice distance by which a gap may differ before slices count as missing."""
_TILT_COSINE = 0.9998
"""Smallest cosine between the slice normal and the stacking direction (1.1 degrees)."""


@dataclass(frozen=True)
class Slice:
    """One DICOM file: its place in the stack and what its header says of the series."""

    path: Path
    series_id: str
    modality: str
    description: str
    is_localizer: bool
    is_chest: bool
    size: tuple[int, int]
    frames: int
    position: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector across the slice (mm, LPS)."""
        return np.array(self.direction).reshape(3, 3)[:, 2]


@dataclass(frozen=True)
class Series:
    """A stack of slices that belong together, sorted from the lowest to the highest along the normal."""

    series_id: str
    slices: tuple[Slice, ...] = field(repr=False)

    @property
    def modality(self) -> str:
        """DICOM modality, ``CT`` for what we want."""
        return self.slices[0].modality

    @property
    def description(self) -> str:
        """The series description of the scanner."""
        return self.slices[0].description

    @property
    def slice_count(self) -> int:
        """Number of slices, frames of multi-frame files counted one by one."""
        return sum(slice_.frames for slice_ in self.slices)

    def __str__(self) -> str:
        name = self.description or "no description"
        return f"{self.series_id}  {self.modality or '?'}  {self.slice_count} slices  {name}"


def list_series(path: Path) -> list[Series]:
    """Find every series below a folder, or the one that a DICOM file belongs to.

    Args:
        path: a folder (searched with its sub-folders) or one DICOM file, whose folder is then searched.

    Returns:
        Series, the one with the most slices first; files that are not DICOM are passed over.
    """
    if path.is_dir():
        files = sorted(Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    else:
        files = sorted(file for file in path.parent.iterdir() if file.is_file())
    with ThreadPoolExecutor() as pool:
        slices = [slice_ for slice_ in pool.map(_read_header, files) if slice_ is not None]
    if path.is_file():
        wanted = {slice_.series_id for slice_ in slices if slice_.path == path}
        slices = [slice_ for slice_ in slices if slice_.series_id in wanted]
    stacks: dict[tuple[object, ...], list[Slice]] = {}
    for slice_ in slices:
        # A scout and a reformat may share the series id of the stack; neither is a slice of it.
        key = (slice_.series_id, slice_.size, slice_.is_localizer, tuple(np.round(slice_.direction, 2)))
        stacks.setdefault(key, []).append(slice_)
    series = [
        Series(stack[0].series_id, tuple(sorted(stack, key=_place_along_normal))) for stack in stacks.values()
    ]
    return sorted(series, key=lambda one: -one.slice_count)


def choose_chest_ct(path: Path, series: list[Series], series_id: str | None = None) -> Series:
    """Take the series asked for by id, or the chest CT with the most slices.

    Of several stacks under the id that was asked for the chest CT with the most slices is taken likewise: a
    scout may share the id of its scan.

    Raises:
        UserError: nothing is DICOM CT, or the id fits none or several of the series.
    """
    if series_id is not None:
        exactly = [one for one in series if one.series_id == series_id]
        asked = exactly or [one for one in series if one.series_id.startswith(series_id)]
        ids = {one.series_id for one in asked}
        if len(ids) != 1:
            raise UserError(
                f"{len(ids)} series in {path} begin with {series_id}.",
                why="Exactly one series has to be taken.",
                fix="Give one of these ids:\n" + "\n".join(f"    {one}" for one in series),
            )
        if len(asked) == 1:
            return asked[0]
        series = asked
    stacks = [one for one in series if one.modality == "CT" and not one.slices[0].is_localizer]
    if not stacks:
        found = "\n".join(f"    {one}" for one in series) or "    no DICOM file at all"
        raise UserError(
            f"{path} holds no CT series.",
            why=f"Only CT has Hounsfield units, which the method reads. Found:\n{found}",
            fix="Point to the folder of the CT series, or to a NIfTI, NRRD or MHA file.",
        )
    chest = [one for one in stacks if any(slice_.is_chest for slice_ in one.slices)]
    chosen = (chest or stacks)[0]
    if len(series) > 1:
        log.info("%d series in %s; taken: %s", len(series), path, chosen)
    return chosen


def read_series(series: Series) -> sitk.Image:
    """Read the slices of a series into one volume.

    Raises:
        UserError: slices are missing, doubled, stacked at a slant (gantry tilt) or damaged.
    """
    _check_stack(series)
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(slice_.path) for slice_ in series.slices])
    try:
        if len(series.slices) == 1:
            return sitk.ReadImage(str(series.slices[0].path), imageIO="GDCMImageIO")
        return reader.Execute()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        log.debug("reading series %s failed: %s", series.series_id, error)
        raise UserError(
            f"A slice of the series '{series.description}' cannot be read.",
            why="A damaged or unknown slice would leave a hole in the scan.",
            fix="Export the series again, uncompressed or with a lossless transfer syntax.",
        ) from error


def _check_stack(series: Series) -> None:
    if len(series.slices) < 3:
        return
    positions = np.array([slice_.position for slice_ in series.slices])
    steps = np.diff(positions, axis=0)
    along = steps @ series.slices[0].normal
    usual = float(np.median(along))
    if usual <= 1e-3 or along.min() < 1e-3:
        raise UserError(
            f"The series '{series.description}' has several slices at one position.",
            why="It holds more than one volume (time points, or two reconstructions under one id).",
            fix="Export a single reconstruction, or read one of them as a NIfTI, NRRD or MHA file.",
        )
    uneven = np.flatnonzero(np.abs(along - usual) > max(_UNEVEN_GAP * usual, 0.05))
    if uneven.size:
        first = int(uneven[0])
        raise UserError(
            f"The series '{series.description}' has uneven slices: {along[first]:.2f} mm after slice "
            f"{first + 1}, usually {usual:.2f} mm ({uneven.size} such gaps).",
            why="Slices are missing or come from two stacks; shapes and volumes in ml would be wrong.",
            fix="Export the whole series again, or resample it to even slices first.",
        )
    whole = positions[-1] - positions[0]
    if abs(whole @ series.slices[0].normal) < _TILT_COSINE * np.linalg.norm(whole):
        raise UserError(
            f"The series '{series.description}' was taken with a tilted gantry.",
            why="Its slices are stacked at a slant, which one rectangular grid cannot hold.",
            fix="Resample it to a rectangular grid first (in Slicer: Acquisition geometry regularization).",
        )


def _place_along_normal(slice_: Slice) -> float:
    return float(np.dot(slice_.position, slice_.normal))


def _read_header(path: Path) -> Slice | None:
    """Header of one DICOM image, or None for anything else."""
    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return None
        name = itk_name(path)
    except OSError:
        return None
    except UserError as error:
        log.warning("%s", error.what)
        return None
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(name)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        log.warning("%s looks like DICOM but has no readable image (%s)", path.name, str(error)[-80:].strip())
        return None

    def tag(key: str) -> str:
        return str(reader.GetMetaData(key)).strip() if reader.HasMetaDataKey(key) else ""

    words = f"{tag(_BODY_PART)} {tag(_SERIES_DESCRIPTION)}".lower()
    size = reader.GetSize()
    return Slice(
        path=path,
        series_id=tag(_SERIES_UID),
        modality=tag(_MODALITY),
        description=tag(_SERIES_DESCRIPTION),
        is_localizer="LOCALIZER" in tag(_IMAGE_TYPE).upper(),
        is_chest=any(word in words for word in _CHEST_WORDS),
        size=(size[0], size[1]),
        frames=size[2] if len(size) > 2 else 1,
        position=tuple(reader.GetOrigin()),
        direction=tuple(reader.GetDirection()),
    )
