"""Writes DICOM series as a hospital's archive might hand them out."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib import file_names

UID = "1.2.826.0.1.3680043.2.1125.99"
"""What every identifier begins with."""


def write_series(
    folder: Path,
    hu: np.ndarray,
    *,
    series: str = "1",
    study: str = "7",
    modality: str = "CT",
    image_type: str = "ORIGINAL\\PRIMARY\\AXIAL",
    description: str = "Chest 2.0",
    heights: list[float] | None = None,
    pixel_mm: float = 1.5,
    patient_id: str = "",
) -> None:
    """Write slices 2 mm apart with random file names, in random order."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    heights = heights or [2.0 * z for z in range(len(hu))]
    order = list(range(len(hu)))
    random.Random(4).shuffle(order)
    for name, z in enumerate(order):
        image = sitk.GetImageFromArray(hu[z : z + 1].astype(np.int16))
        image.SetSpacing((pixel_mm, pixel_mm, 2.0))
        for key, value in {
            "0008|0060": modality,
            "0008|0008": image_type,
            "0008|103e": description,
            "0008|0018": f"{UID}.{series}.{z + 1}",
            "0010|0020": patient_id,
            "0020|000d": f"{UID}.{study}",
            "0020|000e": f"{UID}.{series}",
            "0020|0032": f"-90.5\\-80.25\\{heights[z]}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|1052": "-1024",
            "0028|1053": "1",
        }.items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"IM{series}{name:03d}.dcm"))
        writer.Execute(image)


def lowest_and_highest(folder: Path) -> tuple[Path, Path]:
    """The files of the first and of the last slice of the only series in a folder."""
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return Path(names[0]), Path(names[-1])


def write_colour_picture(file: Path, *, series: str = "9") -> None:
    """Write a picture of 40 x 48 pixels as scanners do that call it CT."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.full((1, 40, 48, 3), (20, 90, 200), np.uint8), isVector=True)
    for key, value in {
        "0008|0060": "CT",
        "0008|0008": "DERIVED\\SECONDARY",
        "0008|103e": "Dose report chest",
        "0008|0018": f"{UID}.{series}.1",
        "0020|000d": f"{UID}.7",
        "0020|000e": f"{UID}.{series}",
    }.items():
        image.SetMetaData(key, value)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(file))
    writer.Execute(image)


def read_as_on_windows(folder: Path, short: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the readers find no name with other letters than those of ASCII, and a folder have a short one.

    On many a disk of Windows there are no short names.
    """

    def finding(reader: type, method: str, names: str) -> None:
        real = getattr(reader, method)

        def read(self: object) -> object:
            if not str(getattr(self, names)()).isascii():
                raise RuntimeError("The file doesn't exist.")
            return real(self)

        monkeypatch.setattr(reader, method, read)

    finding(sitk.ImageFileReader, "ReadImageInformation", "GetFileName")
    finding(sitk.ImageFileReader, "Execute", "GetFileName")
    finding(sitk.ImageSeriesReader, "Execute", "GetFileNames")
    monkeypatch.setattr(file_names, "sys", SimpleNamespace(platform="win32"))
    if short is not None:
        short.symlink_to(folder)
    names = (lambda path: str(short / path.relative_to(folder))) if short else str
    monkeypatch.setattr(file_names, "_short", names, raising=False)
