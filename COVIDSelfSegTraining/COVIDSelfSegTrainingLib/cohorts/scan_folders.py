"""Walk folders of scans: every NIfTI, NRRD and MetaImage file and every DICOM series, with its masks."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import SimpleITK as sitk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_names import files_below, itk_name
from COVIDSelfSegLib.results import HEATMAP, LESIONS, LUNGS, PROBABILITY, PSEUDO_HEALTHY, REPORT, UNCERTAINTY
from COVIDSelfSegLib.scan_files.dicom import Series, choose_chest_ct
from COVIDSelfSegLib.scan_files.dicom_header import NoSlice
from COVIDSelfSegLib.volume import FILE_ENDINGS, bare_name, files_of, has_scan_ending

from .layouts import MaskKind, count_below, patient_folder, stated_class
from .mask_search import MaskSearch
from .readable_series import copies_apart, list_readable_series, why_lost, why_unread
from .sources import Group, Source

_PATIENT_ID, _BIRTH_DATE, _SEX, _STUDY = "0010|0020", "0010|0030", "0010|0040", "0020|000d"
_NOBODY = re.compile(r"(anon\w*|unknown|none|n/?a|patient|test|0+|x+)?", re.IGNORECASE)
"""Patient IDs that a de-identification leaves for everybody."""
_RESULTS = {LUNGS, PSEUDO_HEALTHY, HEATMAP, UNCERTAINTY, PROBABILITY, LESIONS}
"""Beside a report. One of them looks like a chest CT: that of a diseased lung, mended."""


@dataclass(frozen=True)
class Root:
    """A folder to search.

    Attributes:
        folder: searched with its sub-folders.
        group: of all scans in it; None takes it from folders called CT-0 .. CT-4.
        licence: of the scans.
    """

    folder: Path
    group: Group | None
    licence: str


@dataclass(frozen=True)
class Found:
    """A scan that was found, before it was read.

    Attributes:
        source: what is known of it.
        files: that it (and its masks) is read from.
        problem: why it cannot enter; None where it may.
        identity: birth date and sex in its header; compared and never written anywhere.
    """

    source: Source
    files: tuple[Path, ...]
    problem: UserError | None = None
    identity: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Search:
    """What lies in the folders.

    Attributes:
        found: scans by name.
        notes: what a user should know of masks that belong to no scan.
    """

    found: tuple[Found, ...]
    notes: tuple[str, ...]


def search(roots: Iterable[Root]) -> Search:
    """Find every scan below some folders. What cannot be read there is a scan with a problem, too.

    Raises:
        UserError: a folder is missing, cannot be read or holds no scan at all.
    """
    found: dict[str, Found] = {}
    notes: list[str] = []
    for number, root in enumerate(roots):
        if not root.folder.is_dir():
            raise UserError(
                f"{root.folder} is not a folder.",
                why="A cohort is made of folders of scans.",
                fix="Check the spelling of the path, and that the disk it lies on is connected.",
            )
        here, of_masks = _search_one(root)
        if not here:
            raise UserError(
                f"No scan was found in {root.folder}.",
                why=f"It holds neither a DICOM series nor a file that ends in {', '.join(FILE_ENDINGS)}.",
                fix="Name the folder that holds the scans (sub-folders are searched too).",
            )
        notes += of_masks
        for one in here:
            # Two folders of the same name may hold files of the same name.
            name = one.source.name if one.source.name not in found else f"{one.source.name}-{number}"
            found[name] = replace(one, source=replace(one.source, name=name))
    return Search(tuple(found[name] for name in sorted(found)), tuple(notes))


def _search_one(root: Root) -> tuple[list[Found], list[str]]:
    all_series, lost = list_readable_series(root.folder)
    refusals = {one.path: one.refusal for one in lost if one.refusal is not None}
    files = [
        path
        for path in files_below(root.folder)  # what is closed is told with the series
        if not path.name.startswith(".") and has_scan_ending(path) and (path in refusals or path.is_file())
    ]
    results = [path for path in files if path.name in _RESULTS and (path.parent / REPORT).is_file()]
    masks = MaskSearch(root.folder, set(files).difference(results))
    below = count_below(_below(root, path) for path in masks.scans)
    found = [
        _of_file(root, path, masks.take(path), refusals, patient_folder(_below(root, path), below))
        for path in masks.scans
    ]
    told = {file for one in found for file in one.files}
    found += _of_series(root, all_series)
    found += _of_lost(root, [one for one in lost if one.path not in told])
    notes = []
    if results:
        notes.append(
            f"{len(results)} files in {root.folder} were passed over ({few(path.name for path in results)}): "
            "they are results of 'covidselfseg segment', and no scans."
        )
    lonely = masks.left()
    if lonely:
        notes.append(
            f"{len(lonely)} masks in {root.folder} belong to no scan ({few(path.name for path in lonely)}). "
            "A mask has the name of its scan, with _mask or _lung_mask added, or lies in a folder 'masks'."
        )
    return found, notes


def _below(root: Root, path: Path) -> Path:
    """The folder that holds a file, relative to the root."""
    return path.parent.relative_to(root.folder)


def _of_file(
    root: Root,
    path: Path,
    masks: Mapping[MaskKind, Path],
    refusals: Mapping[Path, UserError],
    of_patient: Path | None,
) -> Found:
    relative = path.relative_to(root.folder)
    source = Source(
        name=_name(root, relative, bare_name(relative)),
        group=_group(root, relative),
        licence=root.licence,
        path=str(path.absolute()),
        lung_mask=_text(masks.get("lungs")),
        lesion_mask=_text(masks.get("lesions")),
        patient=bare_name(relative) if of_patient is None else of_patient.as_posix(),
        stated_class=stated_class(relative),
    )
    named = (path, *masks.values())
    files = tuple(file for one in named for file in ([one] if one in refusals else files_of(one)))
    refused = next((refusals[file] for file in files if file in refusals), None)
    return Found(source, files, refused or _contradiction(root, source))


def _of_lost(root: Root, lost: Iterable[NoSlice]) -> list[Found]:
    """What cannot be read or is damaged, and belongs to no scan that was found; files by their folders."""
    by_folder: dict[Path, list[NoSlice]] = defaultdict(list)
    for one in lost:
        is_folder = os.path.isdir(one.path)  # noqa: PTH112 (this one never raises)
        by_folder[one.path if is_folder else one.path.parent].append(one)
    found = []
    for folder, files in by_folder.items():
        relative = folder.relative_to(root.folder)
        source = Source(
            name=_name(root, relative / "not read", _label(root, relative)),
            group=_group(root, relative / "not read"),
            licence=root.licence,
            path=str(folder.absolute()),
            stated_class=stated_class(relative / "not read"),
        )
        found.append(Found(source, (), why_lost(files)))
    return found


def _of_series(root: Root, all_series: Iterable[Series]) -> list[Found]:
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
    label = _label(root, relative)
    unique = f"{series.series_id} {paths[0].name}"
    source = Source(
        name=_name(root, relative / unique, label),
        group=_group(root, relative / "series"),
        licence=root.licence,
        path=str((root.folder / relative).absolute()),
        series=series.series_id,
        patient=_label(root, of_patient) if _NOBODY.fullmatch(patient_id) else patient_id,
        stated_class=stated_class(relative / "series"),
    )
    problem = _contradiction(root, source)
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


def _label(root: Root, relative: Path) -> str:
    return relative.as_posix() if relative.parts else root.folder.name


def _header(path: Path) -> dict[str, str]:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(itk_name(path))
    reader.ReadImageInformation()
    keys = (_PATIENT_ID, _BIRTH_DATE, _SEX, _STUDY)
    return {key: reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else "" for key in keys}


def _group(root: Root, relative: Path) -> Group:
    if root.group is not None:
        return root.group
    return "healthy" if stated_class(relative) == "CT-0" else "diseased"


def _contradiction(root: Root, source: Source) -> UserError | None:
    """Why a scan cannot be in the group that it was given for."""
    stated = source.stated_class
    if root.group is None and not stated:
        return UserError(
            f"{source.path} lies in no folder called CT-0 .. CT-4.",
            why="The folder was given as MosMedData, whose folders say which scans are healthy.",
            fix="Move it into one, or give its folder with --healthy or --covid.",
        )
    if stated and root.group is not None and (stated == "CT-0") != (root.group == "healthy"):
        return UserError(
            f"{source.path} lies in a folder {stated}, but was given as {root.group}.",
            why="CT-0 means no sign of disease; the other classes mean disease.",
            fix="Give the folder above CT-0 .. CT-4 with --mosmed, which treats each as what it is.",
        )
    return None


def _name(root: Root, unique: Path, label: str) -> str:
    """A folder name that stays the same whatever else is in the cohort."""
    key = f"{root.group}/{root.folder.absolute().name}/{unique.as_posix()}"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", label).strip("._")[-60:]
    return f"{plain or 'scan'}-{hashlib.sha256(key.encode()).hexdigest()[:6]}"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def few(names: Iterable[str]) -> str:
    """The first three of some names."""
    listed = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
