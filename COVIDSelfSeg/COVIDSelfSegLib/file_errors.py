"""What the system says while a file is read or written, as errors that the user understands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ExitCode, UserError


@contextmanager
def reading_from(path: Path) -> Iterator[None]:
    """Turn an error of the system, met while Python reads a file, into one that the user understands.

    Raises:
        UserError: the path cannot be opened (exit code 2).
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be opened: {error.strerror or error}.",
            why="There is nothing to read.",
            fix="Check its name, that you may read it, and that the disk it lies on is connected.",
        ) from error


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Likewise for a file that Python writes; :func:`.volume.write_image` does it for images.

    Raises:
        UserError: a file cannot be written (exit code 5).
    """
    try:
        yield
    except OSError as error:
        raise output_not_writable(path, error) from error


def output_not_writable(path: Path, error: Exception | None = None) -> UserError:
    """The error for a result that cannot be written, and what the system said of it."""
    why = "The folder is missing or read-only, or the disk is full; nothing was left half-written."
    fix = "Choose another output folder, or free some space and run again."
    if isinstance(error, FileExistsError | NotADirectoryError):
        in_the_way = next((one for one in (path, *path.parents) if one.is_file()), path)
        why = f"{in_the_way} is a file, where a folder is needed."
        fix = "Choose another output folder."
    elif isinstance(error, PermissionError):
        why = "You may not write there, or another program has it open, as Excel has a table on Windows."
        fix = "Close it there and run again, or choose another output folder."
    elif isinstance(error, IsADirectoryError):
        why, fix = "It is a folder, where a file is needed.", "Choose another name for the file."
    return UserError(f"{path} cannot be written.", why=why, fix=fix, code=ExitCode.OUTPUT_NOT_WRITABLE)
