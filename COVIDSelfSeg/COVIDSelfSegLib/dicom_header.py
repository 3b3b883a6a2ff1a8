"""What the header of one DICOM file says: of which series it is, what it shows and where it lies."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .errors import UserError
from .file_names import itk_name

log = logging.getLogger(__name__)

_MODALITY = "0008|0060"
_IMAGE_TYPE = "0008|0008"
_SERIES_DESCRIPTION = "0008|103e"
_BODY_PART = "0018|0015"
_SERIES_UID = "0020|000e"

_CHEST_WORDS = ("chest", "thor", "lung", "pulm")


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
    size: tuple[int, int]
    frames: int
    position: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector across the slice (mm, LPS)."""
        return np.array(self.direction).reshape(3, 3)[:, 2]


def read_header(path: Path) -> Slice | None:
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
        is_gray=reader.GetNumberOfComponents() == 1,
        size=(size[0], size[1]),
        frames=size[2] if len(size) > 2 else 1,
        position=tuple(reader.GetOrigin()),
        direction=tuple(reader.GetDirection()),
    )
