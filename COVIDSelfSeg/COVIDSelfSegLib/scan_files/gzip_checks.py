"""Whether what ITK read from a compressed file is what was packed: it does not always say where it is not."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy.typing as npt

from .scan_refusals import refuse_unreadable


def check_gzip(
    path: Path, packed: BinaryIO, voxels: npt.NDArray[Any], needed: int, *, before: bytes = b""
) -> None:
    """Refuse a file that is truncated or damaged, from where on ITK returns arbitrary memory.

    A gzip file ends with a checksum of all that it holds. Where that is not of the voxels, since they are
    scaled, or there are several members, all is unpacked again, which takes as long as to read it.

    Args:
        path: the scan file.
        packed: open where its compressed part begins, which reaches to its end.
        voxels: what ITK read, in the file's order of bytes.
        needed: bytes that it must unpack to.
        before: what it holds before the voxels.

    Raises:
        UserError: it is refused (exit code 2).
    """
    begin = packed.tell()
    packed.seek(-8, os.SEEK_END)
    if zlib.crc32(voxels.data, zlib.crc32(before)) == struct.unpack("<I", packed.read(4))[0]:
        return
    packed.seek(begin)
    held = _content_bytes(packed)
    if held < needed:
        refuse_unreadable(path, f"{held} of {needed} bytes")


def _content_bytes(packed: BinaryIO) -> int:
    """Bytes that the rest of a gzip file unpacks to, 0 where it is damaged."""
    held = 0
    try:
        with gzip.open(packed) as unpacked:
            while block := unpacked.read(1 << 22):
                held += len(block)
    except (OSError, EOFError, zlib.error):
        return 0
    return held
