"""The DICOM studies below a folder: whose they are, and which series of each may enter a cohort."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

import SimpleITK as sitk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_names import itk_name
from COVIDSelfSegLib.scan_files.dicom import Series, choose_chest_ct

from .found import Found, Root, contradiction, group_of, label_of, name_of
from .layouts import count_below, patient_folder, stated_class
from .readable_series import copies_apart, why_unread
from .sources import Source

_PATIENT_ID, _BIRTH_DATE, _SEX, _STUDY = "0010|0020", "0010|0030", "0010|0040", "0020|000d"
_NOBODY = re.compile(r"(anon[a-z_]*|unknown|none|n/?a|patient|test|0+|x+)?", re.IGNORECASE)
"""Patient IDs that a de-identification leaves for everybody; ANON0017 is a person's."""


def found_series(root: Root, all_series: Iterable[Series]) -> list[Found]:
    """The DICOM series below a folder; of a study with several CT series, one may enter."""
    studies: dict[str, list[list[Series]]] = defaultdict(list)
    headers: dict[int, dict[str, str]] = {}
    for copies in map(copies_apart, all_series):
        headers |= {id(series): _header(series.slices[0].path) for series in copies}
        studies[headers[id(copies[0])][_STUDY] or copies[0].series_id].append(copies)
    exports = [
        (study, [series for series in export if series is not None])
        for study in studies.values()
        for export in zip_longest(*study)
    ]
    folders = [_folder_of(root, export) for _, export in exports]
    below = count_below(folders)
    found = []
    for (study, export), folder in zip(exports, folders, strict=True):
        taken = _taken_of(root, study)
        for series in export:
            of_patient = patient_folder(folder, below) or _folder_of(root, [series])
            others = [] if any(series is one for one in taken) else taken
            found.append(_of_stack(root, series, headers[id(series)], others, of_patient))
    return found


def _taken_of(root: Root, study: Iterable[list[Series]]) -> list[Series]:
    """The one CT series of a study that may enter, with its copies; none where none is a chest CT."""
    by_first = {id(copies[0]): copies for copies in study}
    firsts = sorted((copies[0] for copies in by_first.values()), key=lambda series: -series.slice_count)
    try:
        return by_first[id(choose_chest_ct(root.folder, firsts))]
    except UserError:
        return []


def _folder_of(root: Root, stacks: Iterable[Series]) -> Path:
    """The deepest folder that holds all slices of some series, relative to the root."""
    parents = {slice_.path.parent for series in stacks for slice_ in series.slices}
    return Path(os.path.commonpath(parents)).relative_to(root.folder)


def _of_stack(
    root: Root, series: Series, header: dict[str, str], others: list[Series], of_patient: Path
) -> Found:
    """A series, where ``others`` of its study are taken instead of it, if any."""
    paths = tuple(slice_.path for slice_ in series.slices)
    relative = _folder_of(root, [series])
    patient_id = header[_PATIENT_ID]
    label = label_of(root, relative)
    unique = f"{series.series_id} {paths[0].name}"
    source = Source(
        name=name_of(root, relative / unique, label),
        group=group_of(root, relative / "series"),
        licence=root.licence,
        path=str((root.folder / relative).absolute()),
        series=series.series_id,
        patient=label_of(root, of_patient) if _NOBODY.fullmatch(patient_id) else patient_id,
        stated_class=stated_class(relative / "series"),
    )
    problem = contradiction(root, source)
    if series.no_ct_scan:
        problem = UserError(
            f"The series '{series.description}' is {series.no_ct_scan}.",
            why="Only a stack of CT slices has Hounsfield units throughout the chest.",
            fix="Nothing to do, if the chest CT of this study is in the cohort.",
        )
    elif others:
        problem = UserError(
            f"Another series of the same study was taken ('{others[0].description}').",
            why="Two reconstructions of one scan would count it twice.",
            fix="To use this one instead, move the other out of the folder.",
        )
    else:
        problem = why_unread(series) or problem
    # Without the damaged ones, a row would go on saying that they are there when they are gone.
    files = (*paths, *(one.path for one in series.damaged))
    return Found(source, files, problem, (header[_BIRTH_DATE], header[_SEX]))


def _header(path: Path) -> dict[str, str]:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(itk_name(path))
    reader.ReadImageInformation()
    keys = (_PATIENT_ID, _BIRTH_DATE, _SEX, _STUDY)
    return {key: _text(reader.GetMetaData(key)) if reader.HasMetaDataKey(key) else "" for key in keys}


def _text(value: str) -> str:
    """A value as it can be hashed and written: bytes that are not UTF-8 are taken for Latin-1."""
    stored = value.strip().encode(errors="surrogateescape")
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored.decode("latin-1")
