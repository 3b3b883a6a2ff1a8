"""Files by their names: which are there, which of a folder are not of the system, which readers can take."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import UserError

_LONGEST_ON_WINDOWS = 259
"""Letters of a path."""
_OF_THE_SYSTEM = ("$recycle.bin", "system volume information", "lost+found")
"""Folders that Windows and Linux keep at the root of a disk; others, as all of macOS, are hidden. Windows
writes them in capitals or not, from disk to disk."""


def files_below(folder: Path, on_closed: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """The files below a folder, but not what was thrown away, nor what the system lets nobody see.

    Args:
        folder: searched with its sub-folders.
        on_closed: called with the error of each folder that cannot be listed; without it they are passed
            over.
    """
    for parent, folders, names in os.walk(folder, onerror=on_closed):
        folders[:] = [name for name in folders if not _is_of_the_system(name)]
        yield from (Path(parent) / name for name in names)


def linked_folders_below(folder: Path) -> list[Path]:
    """Links to folders, into which :func:`files_below` does not look: they may lead round in circles."""
    links: list[Path] = []
    for parent, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_of_the_system(name))
        links += [path for name in folders if (path := Path(parent) / name).is_symlink()]
    return links


def _is_of_the_system(folder: str) -> bool:
    return folder.startswith(".") or folder.lower() in _OF_THE_SYSTEM


def is_there(path: Path) -> bool:
    """Whether there is such a file; False where its folder may not be entered, for which pathlib raises."""
    return os.path.isfile(path)  # noqa: PTH113


def too_long(path: Path) -> UserError | None:
    """The error for a path that was not found, if it is one that Windows may not find for its length.

    DICOM archives name folders and files by identifiers of up to 64 letters each.
    """
    count = len(str(path.absolute()))
    if sys.platform != "win32" or count <= _LONGEST_ON_WINDOWS:
        return None
    return UserError(
        f"{path} was not found, and its path has {count} letters.",
        why=f"Windows finds no path of more than {_LONGEST_ON_WINDOWS}, unless it was set to allow them.",
        fix="Move the scan to a folder with a short path, such as C:\\scans; if it is there, check the "
        "spelling.",
    )


def unusual_letters(path: Path) -> UserError | None:
    """The error for a file that was not read, if it is one that the image readers may not have found."""
    if itk_name(path).isascii() or sys.platform != "win32":
        return None
    return UserError(
        f"{path} cannot be read.",
        why="On Windows the image readers may not find files whose path has letters like ä, é or 山. "
        "Or it is truncated or damaged.",
        fix="Move the scan to a folder with plain letters, such as C:\\scans; in 3D Slicer, choose such "
        "a temporary folder in the application settings.",
    )


def itk_name(path: Path) -> str:
    """The name of a file as SimpleITK takes it, which ends the whole process on one that is not UTF-8.

    On Windows ITK takes names in the system's code page, which SimpleITK does not know; there a name with
    other letters than those of ASCII becomes the short one that Windows keeps beside it, if it does.

    Raises:
        UserError: it is not UTF-8, as names from old Windows disks or archives may be.
    """
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        readable = name.encode(errors="backslashreplace").decode()
        raise UserError(
            f"The file {readable} cannot be opened: its name is not valid UTF-8.",
            why="The image readers take no other names.",
            fix="Rename the file, or the folder that it lies in.",
        ) from error
    if sys.platform == "win32" and not name.isascii():
        return _short(path)
    return name


if sys.platform == "win32":
    import ctypes

    _LONGEST = 32_768

    def _short(path: Path) -> str:
        """The 8.3 name of a file, or that of its folder and its own name where it is still to be written."""
        there = path if path.exists() else path.parent
        buffer = ctypes.create_unicode_buffer(_LONGEST)
        if not ctypes.windll.kernel32.GetShortPathNameW(str(there), buffer, _LONGEST):
            return str(path)
        return buffer.value if there == path else str(Path(buffer.value) / path.name)
