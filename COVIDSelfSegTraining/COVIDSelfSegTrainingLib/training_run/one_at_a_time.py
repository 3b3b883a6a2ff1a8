"""One training in a folder at a time: two would delete each other's files while these are being written."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from COVIDSelfSegLib.errors import UserError

log = logging.getLogger(__name__)

LOCK = "training.lock"

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder for as long as this one takes.

    The lock is the system's, not the file's: it goes with the process, however that ends, and the empty file
    that stays locks nobody out. Network drives pass it on to other machines; one that knows no locks keeps
    none out.

    Raises:
        UserError: another training is in this folder.
        OSError: the folder cannot be written to.
    """
    with (folder / LOCK).open("ab") as file:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError) as error:  # the latter on Windows
            raise UserError(
                f"Another training is running in {folder}.",
                why="Two in one folder would write over each other's checkpoints.",
                fix="Wait until it has ended, stop it, or train into another folder. If there is none, here "
                f"or on another machine, delete {file.name}.",
            ) from error
        except OSError as error:
            log.info("%s cannot be locked (%s): start no second training there", folder, error.strerror)
        yield
