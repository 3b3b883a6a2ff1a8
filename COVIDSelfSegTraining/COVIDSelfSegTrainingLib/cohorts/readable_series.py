"""DICOM series below a folder of a cohort, in which files and folders that cannot be read stop nothing."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_names import files_below
from COVIDSelfSegLib.scan_files.dicom import Series, damaged_files, stacked
from COVIDSelfSegLib.scan_files.dicom_header import NoSlice, Slice, not_readable, read_header


def list_readable_series(folder: Path) -> tuple[list[Series], list[NoSlice]]:
    """Find every series below a folder; what else lies there may be unreadable.

    Returns:
        Series, the one with the most slices first. Those that may lack slices have what was not read among
        their ``damaged``, so that none is read cut short. And what belongs to none of them that is a CT:
        files and folders that cannot be read, and damaged slices.

    Raises:
        UserError: the folder itself cannot be read.
    """
    closed: list[NoSlice] = []

    def pass_over(error: OSError) -> None:
        place, refusal = Path(error.filename), _refusal(Path(error.filename), error)
        if place == folder:
            raise refusal from error
        closed.append(_not_read(place, refusal))

    return readable_series_of(sorted(files_below(folder, pass_over)), closed)


def readable_series_of(
    files: Sequence[Path], closed: Sequence[NoSlice] = ()
) -> tuple[list[Series], list[NoSlice]]:
    """The same of some files alone.

    Args:
        files: slices and others.
        closed: folders beside them that cannot be read.
    """
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(_header_or_refusal, files))
    damaged = [header for header in headers if isinstance(header, NoSlice)]
    series = [
        replace(one, damaged=(*one.damaged, *_closed_amid(closed, one)))
        for one in stacked([header for header in headers if isinstance(header, Slice)], damaged)
    ]
    told = {one.path for stack in series if not stack.no_ct_scan for one in stack.damaged}
    lost = [
        one
        for one in damaged
        if (one.refusal or one.was_ct or one.path.suffix.lower() == ".dcm")
        and one.path not in told
        and not one.path.name.startswith(".")
    ]
    return series, [*closed, *lost]


def copies_apart(series: Series) -> list[Series]:
    """A series that lies whole in each of several folders, as an export that was made twice: each by itself.

    Then the copies are known by their voxels; together they would be slices doubled at every place.
    """
    by_folder: dict[Path, list[Slice]] = defaultdict(list)
    for slice_ in series.slices:
        by_folder[slice_.path.parent].append(slice_)
    heights = [[slice_.position for slice_ in slices] for slices in by_folder.values()]
    if len(heights) == 1 or any(one != heights[0] for one in heights):
        return [series]
    return [
        replace(
            series,
            slices=tuple(by_folder[folder]),
            damaged=tuple(one for one in series.damaged if one.path.parent == folder),
        )
        for folder in sorted(by_folder)
    ]


def why_unread(series: Series) -> UserError | None:
    """Why a series may lack slices, where the system does not let something among them be read."""
    return next((one.refusal for one in series.damaged if one.refusal is not None), None)


def why_lost(files: Sequence[NoSlice]) -> UserError:
    """Why what lies in a folder, and belongs to no series, cannot enter."""
    refused = [one.refusal for one in files if one.refusal is not None]
    if not refused:
        return damaged_files(files, "of a scan")
    first, *others = refused
    if not others:
        return first
    many = UserError(
        f"{first.what} The same holds for {len(others)} more beside it.", why=first.why, fix=first.fix
    )
    many.__cause__ = first.__cause__
    return many


def _header_or_refusal(path: Path) -> Slice | NoSlice | None:
    try:
        return read_header(path)
    except UserError as refusal:
        return _not_read(path, refusal)


def _refusal(path: Path, error: OSError) -> UserError:
    refusal = not_readable(path, error)
    refusal.__cause__ = error  # as if it had been raised from it
    return refusal


def _not_read(path: Path, refusal: UserError) -> NoSlice:
    return NoSlice(path, "cannot be read", was_ct=False, refusal=refusal)


def _closed_amid(closed: Sequence[NoSlice], series: Series) -> list[NoSlice]:
    """Folders that cannot be read and lie among those over which the slices of a series are spread."""
    parents = {slice_.path.parent for slice_ in series.slices}
    around = Path(os.path.commonpath(parents))
    return [one for one in closed if len(parents) > 1 and around in one.path.parents]
