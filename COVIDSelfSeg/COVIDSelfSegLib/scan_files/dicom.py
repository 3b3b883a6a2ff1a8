"""DICOM folders: which series lie in them, which one is the chest CT, and its slices in order.

File names say nothing: slices are sorted by their position along the slice normal. Files of many frames are
read by :mod:`.multi_frame`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import UserError
from ..file_names import files_below, itk_name
from ..memory import is_out_of_memory
from .dicom_header import NoSlice, Slice, not_readable, read_header
from .multi_frame import read_multi_frame
from .slice_stack import LEAST_SLICES, check_stack, pixel_sizes_differ, several_stacks

log = logging.getLogger(__name__)

SERIES_ID, SERIES_DESCRIPTION = "series_id", "series_description"
"""Metadata of what :func:`read_chest_ct` reads."""
_NAMED_SERIES = 3
"""So many other series are named where one is refused."""


@dataclass(frozen=True)
class Series:
    """A stack of slices that belong together, sorted from the lowest to the highest along the normal."""

    series_id: str
    slices: tuple[Slice, ...] = field(repr=False)
    damaged: tuple[NoSlice, ...] = ()
    """Files beside its slices that are none, and by their names or what is left of them should be."""

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

    @property
    def no_volume(self) -> str:
        """Why it cannot be read as a gray 3D volume, in words; empty where it can."""
        if not self.slices[0].is_gray:
            return "in colour"
        if not self.slices[0].is_enhanced and any(slice_.frames > 1 for slice_ in self.slices):
            return "a file of many frames that is no Enhanced CT"
        return ""

    @property
    def no_ct_scan(self) -> str:
        """Why it is no stack of CT slices with a HU value per pixel, in words; empty where it is one."""
        if self.modality != "CT":
            return f"of modality {self.modality or 'unknown'}"
        return "a localizer" if self.slices[0].is_localizer else self.no_volume

    def __str__(self) -> str:
        name = self.description or "no description"
        but = f"  ({self.no_ct_scan})" if self.modality == "CT" and self.no_ct_scan else ""
        return f"{self.series_id}  {self.modality or '?'}  {self.slice_count} slices  {name}{but}"


def list_series(path: Path) -> list[Series]:
    """Find every series below a folder, or the one that a DICOM file belongs to.

    Args:
        path: a folder (searched with its sub-folders, but for hidden ones and those of the system) or one
            DICOM file, whose folder is then searched.

    Returns:
        Series, the one with the most slices first; files that are not DICOM are passed over.

    Raises:
        UserError: the system does not let a file or folder be read, or nothing but damaged slices is there.
    """
    if path.is_dir():
        files = sorted(files_below(path, _refuse_folder))
    else:
        beside = path.parent.iterdir()
        files = sorted(file for file in beside if file.is_file() or (file.is_symlink() and not file.exists()))
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(read_header, files))
    slices = [header for header in headers if isinstance(header, Slice)]
    damaged = [header for header in headers if isinstance(header, NoSlice)]
    if path.is_file():
        wanted = {slice_.series_id for slice_ in slices if slice_.path == path}
        slices = [slice_ for slice_ in slices if slice_.series_id in wanted]
    lost = [one for one in damaged if (one.path == path if path.is_file() else one.was_ct)]
    if lost and not slices:
        raise damaged_files(lost, "of a scan")
    return stacked(slices, damaged)


def stacked(slices: Sequence[Slice], damaged: Sequence[NoSlice]) -> list[Series]:
    """The series of some slices, the one with the most first, with the damaged files beside them."""
    stacks: dict[tuple[object, ...], list[Slice]] = {}
    for slice_ in slices:
        # A scout, a reformat and a dose report may share the series id of the stack; none is a slice of it.
        kind = (slice_.is_localizer, slice_.is_gray, slice_.is_enhanced or slice_.frames > 1)
        key = (slice_.series_id, kind, slice_.size, tuple(np.round(slice_.direction, 2)))
        stacks.setdefault(key, []).append(slice_)
    series = [
        Series(
            stack[0].series_id,
            tuple(sorted(stack, key=_place_along_normal)),
            tuple(one for one in damaged if _belongs_to(one, stack)),
        )
        for stack in stacks.values()
    ]
    return sorted(series, key=lambda one: -one.slice_count)


def choose_chest_ct(path: Path, series: list[Series], series_id: str | None = None) -> Series:
    """Take the series asked for by id, or the chest CT with the most slices.

    A description that speaks of the chest goes before the number of slices, but not for stacks of so few
    slices that they show no lung.

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
    stacks = [one for one in series if not one.no_ct_scan]
    if not stacks:
        found = "\n".join(f"    {one}" for one in series) or "    no DICOM file at all"
        raise UserError(
            f"{path} holds no CT series.",
            why=f"Only CT has Hounsfield units, which the method reads. Found:\n{found}",
            fix="Point to the folder of the CT series, or to a NIfTI, NRRD or MHA file.",
        )
    # A dose report or a scout may be called chest too.
    long_enough = [one for one in stacks if one.slice_count >= LEAST_SLICES] or stacks
    chest = [one for one in long_enough if any(slice_.is_chest for slice_ in one.slices)]
    chosen = (chest or long_enough)[0]
    if len(series) > 1:
        log.info("%d series in %s; taken: %s", len(series), path, chosen)
    return chosen


def read_chest_ct(path: Path, series_id: str | None = None) -> sitk.Image:
    """Read the chest CT of a folder, or the series asked for; see :func:`choose_chest_ct`.

    Returns:
        The scan, which knows its series (see :func:`described`).

    Raises:
        UserError: there is none, or :func:`read_series` refuses it; the other series are named.
    """
    series = list_series(path)
    chosen = choose_chest_ct(path, series, series_id)
    try:
        scan = read_series(chosen)
        scan.SetMetaData(SERIES_ID, chosen.series_id)
        scan.SetMetaData(SERIES_DESCRIPTION, chosen.description)
        return scan
    except UserError as error:
        others = [one for one in series if _is_long_ct(one) and one.series_id != chosen.series_id]
        if not others:
            raise
        names = "; ".join(
            f"{one.series_id} ({one.slice_count} slices, {one.description or 'no description'})"
            for one in others[:_NAMED_SERIES]
        )
        more = f", and {len(others) - _NAMED_SERIES} more" if len(others) > _NAMED_SERIES else ""
        fix = f"{error.fix} Or take another series with the option --series of segment and doctor: "
        raise UserError(error.what, why=error.why, fix=f"{fix}{names}{more}.") from error


def described(scan: sitk.Image) -> dict[str, Any]:
    """Of which series a scan is, for its report; empty where it came from no DICOM series."""
    if not scan.HasMetaDataKey(SERIES_ID):
        return {}
    named = {"id": SERIES_ID, "description": SERIES_DESCRIPTION}
    return {"series": {name: scan.GetMetaData(key) for name, key in named.items()}}


def read_series(series: Series) -> sitk.Image:
    """Read the slices of a series into one volume.

    Raises:
        UserError: it is no gray volume, its pixels have no known size or inverted values, or its slices are
            missing, doubled, stacked at a slant (gantry tilt), damaged, or frames whose places are not known.
    """
    if series.no_volume:
        raise UserError(
            f"The series '{series.description}' is {series.no_volume}.",
            why="A chest CT is a stack of slices with one HU value per voxel.",
            fix="Take the series of the CT slices themselves, or export it again as single slices.",
        )
    _check_headers(series)
    if series.damaged:
        raise damaged_files(series.damaged, f"of the series '{series.description}', which would have a hole")
    try:
        if series.slices[0].is_enhanced:
            return read_multi_frame([slice_.path for slice_ in series.slices], series.description)
        return _read_single_frames(series)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        log.debug("reading series %s failed: %s", series.series_id, error)
        raise UserError(
            f"A slice of the series '{series.description}' cannot be read.",
            why="A damaged or unknown slice would leave a hole in the scan.",
            fix="Export the series again, uncompressed or with a lossless transfer syntax.",
        ) from error


def _check_headers(series: Series) -> None:
    """Refuse what GDCM reads in another way than the header means it, without a word."""
    if any(slice_.is_inverted for slice_ in series.slices):
        raise UserError(
            f"The series '{series.description}' stores its gray values inverted (MONOCHROME1).",
            why="The reader turns them round before it makes HU of them, so bone would be air.",
            fix="Export the series again as MONOCHROME2, from the scanner or its archive.",
        )
    if not all(slice_.says_pixel_mm or slice_.is_enhanced for slice_ in series.slices):
        raise UserError(
            f"The series '{series.description}' does not say how large its pixels are.",
            why="Volumes in ml and the model's scale both depend on the size of a voxel in millimetres.",
            fix="Export the series again from the scanner or its archive: PixelSpacing in the header is "
            "missing, or is not two numbers above zero (a decimal comma is no part of a number).",
        )


def _read_single_frames(series: Series) -> sitk.Image:
    if pixel_sizes_differ([slice_.pixel_mm for slice_ in series.slices]):
        raise several_stacks(series.description, "the pixel sizes of its slices differ")
    positions = np.array([slice_.position for slice_ in series.slices])
    check_stack(positions, series.slices[0].normal, series.description)
    if len(series.slices) == 1:
        return sitk.ReadImage(itk_name(series.slices[0].path), imageIO="GDCMImageIO")
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([itk_name(slice_.path) for slice_ in series.slices])
    return reader.Execute()


def _is_long_ct(series: Series) -> bool:
    return (
        series.modality == "CT" and not series.slices[0].is_localizer and series.slice_count >= LEAST_SLICES
    )


def _refuse_folder(error: OSError) -> None:
    """What cannot be listed may hold slices."""
    raise not_readable(Path(error.filename), error)


def _belongs_to(damaged: NoSlice, stack: list[Slice]) -> bool:
    """Whether a damaged file lies beside the slices of a stack, and was CT or is called as they are."""
    beside = [slice_.path for slice_ in stack if slice_.path.parent == damaged.path.parent]
    name = damaged.path.name
    if not beside or name.startswith(".") or name.upper() == "DICOMDIR":
        return False
    return damaged.was_ct or _ending(damaged.path) in {".dcm", *map(_ending, beside)}


def damaged_files(files: Sequence[NoSlice], of_what: str) -> UserError:
    """The error for files that are no slices, and by their names or what is left of them should be."""
    more = f" (and {len(files) - 1} more such files)" if len(files) > 1 else ""
    return UserError(
        f"{files[0].path} {files[0].why}{more}.",
        why=f"It seems to be a slice {of_what}.",
        fix="Copy or export the series again; if the file is no slice of it, move it out of the folder.",
    )


def _ending(path: Path) -> str:
    """The ending of a file name, in small letters; a number, as at the end of a UID, is none."""
    ending = path.suffix.lower()
    return "" if ending[1:].isdigit() else ending


def _place_along_normal(slice_: Slice) -> float:
    return float(np.dot(slice_.position, slice_.normal))
