"""What the header of one DICOM file says: of which series it is, what it shows and where it lies."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..errors import UserError
from ..file_names import itk_name, too_long, unusual_letters

log = logging.getLogger(__name__)

_SOP_CLASS = "0008|0016"
_MODALITY = "0008|0060"
_IMAGE_TYPE = "0008|0008"
_SERIES_DESCRIPTION = "0008|103e"
_BODY_PART = "0018|0015"
_SERIES_UID = "0020|000e"
_PHOTOMETRIC = "0028|0004"
_PIXEL_SPACING = "0028|0030"

_CHEST_WORDS = ("chest", "thor", "lung", "pulm")

_ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
"""Enhanced CT and Legacy Converted Enhanced CT Image Storage: many frames, and the place of each."""
_PREAMBLE_BYTES = 132
"""No DICOM file is shorter; the last four of them are ``DICM``."""
_START_BYTES = 1 << 10
"""The group that says of which class a file is lies within."""
_OF_CT_CLASS = re.compile(rb"\x02\x00\x02\x00UI..1\.2\.840\.10008\.5\.1\.4\.1\.1\.2(\.[12])?[\0 ]", re.DOTALL)
"""MediaStorageSOPClassUID of CT Image Storage, of Enhanced CT or of Legacy Converted Enhanced CT."""


@dataclass(frozen=True)
class Slice:
    """One DICOM file: its place in the stack and what its header says of the series."""

    path: Path
    series_id: str
    modality: str
    description: str
    is_localizer: bool
    is_chest: bool
    is_gray: bool
    is_enhanced: bool
    size: tuple[int, int]
    pixel_mm: tuple[float, float]
    says_pixel_mm: bool
    is_inverted: bool
    frames: int
    position: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector across the slice (mm, LPS)."""
        return np.array(self.direction).reshape(3, 3)[:, 2]


@dataclass(frozen=True)
class NoSlice:
    """A file that has no header of a slice, and perhaps should: it is empty or cut off, or cannot be read.

    Attributes:
        path: of the file; of a folder, where what lies in it cannot be seen.
        why: what is wrong with it, in words.
        was_ct: what is left of it says that it was CT; otherwise only its name and place can tell.
        refusal: what to say where the system does not let it be read; None where it does.
    """

    path: Path
    why: str
    was_ct: bool
    refusal: UserError | None = None


def read_header(path: Path) -> Slice | NoSlice | None:
    """Header of one DICOM image, or None for anything that never was one.

    Raises:
        UserError: the system does not let the file be read, or the readers do not find it or take its name.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
    except OSError as error:
        if path.name.startswith("."):  # of the system, not of a scanner
            return None
        raise not_readable(path, error) from error
    if len(start) < _PREAMBLE_BYTES:
        return NoSlice(path, f"is {'cut off' if start else 'empty'}", was_ct=False)
    if start[_PREAMBLE_BYTES - 4 : _PREAMBLE_BYTES] != b"DICM":
        return None
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(itk_name(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        log.warning("%s looks like DICOM but has no readable image (%s)", path.name, str(error)[-80:].strip())
        return _damaged_ct(path, error) if _OF_CT_CLASS.search(start) else None

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
        is_gray=reader.GetNumberOfComponents() == 1,
        is_enhanced=tag(_SOP_CLASS) in _ENHANCED_CT,
        size=(size[0], size[1]),
        pixel_mm=tuple(reader.GetSpacing()[:2]),
        says_pixel_mm=_are_two_sizes(tag(_PIXEL_SPACING)),
        is_inverted=tag(_PHOTOMETRIC) == "MONOCHROME1",
        frames=size[2] if len(size) > 2 else 1,
        position=tuple(reader.GetOrigin()),
        direction=tuple(reader.GetDirection()),
    )


def _damaged_ct(path: Path, error: RuntimeError) -> NoSlice:
    not_found = unusual_letters(path)
    if not_found is not None:
        raise not_found from error
    return NoSlice(path, "is damaged", was_ct=True)


def _are_two_sizes(text: str) -> bool:
    """Whether a text is two sizes in mm. Of none GDCM makes 1 mm, and of the comma in ``0,75`` 75 mm."""
    try:
        sizes = [float(part) for part in text.split("\\")]
    except ValueError:
        return False
    return len(sizes) == 2 and all(0 < size < math.inf for size in sizes)


def not_readable(path: Path, error: OSError) -> UserError:
    """The error for a file or folder, among those of a scan, that the system does not let be read."""
    not_found = too_long(path) if isinstance(error, FileNotFoundError) else None
    return not_found or UserError(
        f"{path} cannot be read: {error.strerror or error}.",
        why="It may be, or hold, slices of the scan; without them, lungs would be cut short unnoticed.",
        fix="Copy it again, or make it readable; if it belongs to no scan, move it out of the folder.",
    )
