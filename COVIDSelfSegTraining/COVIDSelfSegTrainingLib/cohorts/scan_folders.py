"""Walk folders of scans: every NIfTI, NRRD and MetaImage file and every DICOM series, with its masks."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_names import files_below, linked_folders_below
from COVIDSelfSegLib.results import HEATMAP, LESIONS, LUNGS, PROBABILITY, PSEUDO_HEALTHY, REPORT, UNCERTAINTY
from COVIDSelfSegLib.scan_files.dicom_header import NoSlice
from COVIDSelfSegLib.volume import FILE_ENDINGS, bare_name, files_of, has_scan_ending

from .dicom_studies import found_series
from .found import Found, Root, contradiction, few, group_of, label_of, name_of
from .layouts import MaskKind, count_below, patient_folder, stated_class
from .mask_search import MaskSearch
from .readable_series import list_readable_series, why_lost
from .sources import Source

_RESULTS = {LUNGS, PSEUDO_HEALTHY, HEATMAP, UNCERTAINTY, PROBABILITY, LESIONS}
"""Beside a report. One of them looks like a chest CT: that of a diseased lung, mended."""


@dataclass(frozen=True)
class Search:
    """What lies in the folders.

    Attributes:
        found: scans by name.
        notes: what a user should know of masks that belong to no scan, and of what was passed over.
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
        # Typed in another way it is the same folder: what is known of its files goes by their whole paths.
        here, passed_over = _search_one(replace(root, folder=root.folder.absolute()))
        if not here:
            raise UserError(
                f"No scan was found in {root.folder}.",
                why=f"It holds neither a DICOM series nor a file that ends in {', '.join(FILE_ENDINGS)}.",
                fix="Name the folder that holds the scans. Its sub-folders are searched too, but no links to "
                "folders.",
            )
        notes += passed_over
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
    found += found_series(root, all_series)
    found += _of_lost(root, [one for one in lost if one.path not in told])
    return found, _notes(root, results, masks.left())


def _notes(root: Root, results: Sequence[Path], lonely: Sequence[Path]) -> list[str]:
    """What a user should know of what was passed over."""
    notes = []
    links = linked_folders_below(root.folder)
    if links:
        notes.append(
            f"{len(links)} links to folders in {root.folder} were not followed ({few(map(str, links))}). "
            "To use the scans behind them, name these folders too, or link the files instead of the folders."
        )
    if results:
        notes.append(
            f"{len(results)} files in {root.folder} were passed over ({few(path.name for path in results)}): "
            "they are results of 'covidselfseg segment', and no scans."
        )
    if lonely:
        notes.append(
            f"{len(lonely)} masks in {root.folder} belong to no scan ({few(path.name for path in lonely)}). "
            "A mask has the name of its scan, with _mask or _lung_mask added, or lies in a folder 'masks'."
        )
    return notes


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
        name=name_of(root, relative, bare_name(relative)),
        group=group_of(root, relative),
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
    return Found(source, files, refused or contradiction(root, source))


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
            name=name_of(root, relative / "not read", label_of(root, relative)),
            group=group_of(root, relative / "not read"),
            licence=root.licence,
            path=str(folder.absolute()),
            stated_class=stated_class(relative / "not read"),
        )
        found.append(Found(source, (), why_lost(files)))
    return found


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
