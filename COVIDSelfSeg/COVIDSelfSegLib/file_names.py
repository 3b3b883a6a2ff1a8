"""File names that the image readers can take."""

from __future__ import annotations

from pathlib import Path

from .errors import UserError


def itk_name(path: Path) -> str:
    """The name of a file as SimpleITK takes it, which ends the whole process on one that is not UTF-8.

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
    return name
