"""Writes Enhanced CT: one DICOM file of many frames, as newer scanners and archives hand it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

from .dicom_files import UID

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_CONVERTED_CT = "1.2.840.10008.5.1.4.1.1.2.2"
CT = "1.2.840.10008.5.1.4.1.1.2"

Change = Callable[[FileDataset], None]
"""Of the header, before it is written."""


def write_enhanced(
    file: Path,
    hu: np.ndarray,
    positions: Sequence[tuple[float, float, float]] | None = None,
    *,
    sop_class: str = ENHANCED_CT,
    intercepts: Sequence[float] | None = None,
    change: Change | None = None,
) -> None:
    """Write frames of 1.25 x 1.5 mm (x, y), 2 mm apart unless positions (mm, LPS) say otherwise.

    The intercept is -1024 for all frames, or each frame has its own.
    """
    positions = positions or [(-90.5, -80.25, 2.0 * z) for z in range(len(hu))]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = f"{UID}.1.{int.from_bytes(file.stem.encode()[:8])}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(
        str(file), {}, preamble=bytes(128), file_meta=meta, is_implicit_VR=False, is_little_endian=True
    )
    for keyword, value in {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": f"{UID}.7",
        "SeriesInstanceUID": f"{UID}.1",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        "SeriesDescription": "Chest enhanced",
        "NumberOfFrames": len(hu),
        "Rows": hu.shape[1],
        "Columns": hu.shape[2],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "SharedFunctionalGroupsSequence": Items(
            [
                group(
                    PixelMeasuresSequence={"PixelSpacing": [1.5, 1.25], "SliceThickness": 3.0},
                    PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
                    PixelValueTransformationSequence=None if intercepts else _rescale(-1024),
                )
            ]
        ),
        "PerFrameFunctionalGroupsSequence": Items(
            group(
                FrameContentSequence={"StackID": "1", "InStackPositionNumber": number + 1},
                PlanePositionSequence={"ImagePositionPatient": list(position)},
                PixelValueTransformationSequence=_rescale(intercepts[number]) if intercepts else None,
            )
            for number, position in enumerate(positions)
        ),
    }.items():
        setattr(data, keyword, value)
    offsets = np.reshape(intercepts or [-1024] * len(hu), (-1, 1, 1))
    data.PixelData = (hu - offsets).astype("<u2").tobytes()
    if change is not None:
        change(data)
    file.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(file)


def group(**macros: dict[str, object] | None) -> Dataset:
    """A functional group of these macros, each a sequence of one item."""
    made = Dataset()
    for macro, values in macros.items():
        if values is not None:
            item = Dataset()
            for keyword, value in values.items():
                setattr(item, keyword, value)
            setattr(made, macro, Items([item]))
    return made


def _rescale(intercept: float) -> dict[str, object]:
    return {"RescaleSlope": 1, "RescaleIntercept": intercept, "RescaleType": "HU"}
