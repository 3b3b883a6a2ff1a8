"""What ITK takes from NRRD and MetaImage files without a word: told by their headers, which are text."""

from __future__ import annotations

import math
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import SimpleITK as sitk

from .gzip_checks import check_gzip
from .scan_refusals import refuse_spacing, refuse_unreadable

_MOST_FIELDS, _LONGEST_FIELD = 100_000, 1 << 16
_PACKED_BLOCK = 1 << 20
"""Compressed bytes at a time."""
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
_NO_SPACING = "none is given along some axis"


def check_nrrd(path: Path, image: sitk.Image) -> None:
    """Refuse an NRRD file without spacing, which ITK makes 1 mm, and one that is damaged.

    Args:
        path: a volume that ends in ``.nrrd`` or ``.nhdr``.
        image: what ITK read from it.

    Raises:
        UserError: it is refused (exit code 2).
    """
    with path.open("rb") as file:
        fields = {name.replace(" ", "").lower(): value for name, value in _fields(file, last="")}
        vectors = fields.get("spacedirections", "").count("(")
        spacings = sum(_is_finite(text) for text in fields.get("spacings", "").split())
        if max(vectors, spacings) < 3:  # an axis of frames has neither
            refuse_spacing(path, _NO_SPACING)
        if fields.get("encoding", "").lower() in ("gzip", "gz"):
            _check_packed(path, file, fields, image)


def check_metaimage(path: Path, voxel_bytes: int) -> None:
    """Refuse a MetaImage without spacing, which ITK makes 1 mm, and one whose voxels cannot be unpacked.

    Of those ITK returns what happens to lie in memory.

    Args:
        path: a volume that ends in ``.mha`` or ``.mhd``.
        voxel_bytes: what its voxels take, unpacked.

    Raises:
        UserError: it is refused (exit code 2).
    """
    with path.open("rb") as file:
        fields = dict(_fields(file, last="ElementDataFile"))
        if not fields.keys() & {"ElementSpacing", "ElementSize"}:
            refuse_spacing(path, _NO_SPACING)
        if fields.get("CompressedData", "False")[:1] not in "Tt1":
            return
        size, voxels = fields.get("CompressedDataSize", ""), fields.get("ElementDataFile", "")
        stated = int(size) if size.isdigit() else 0
        if voxels.upper() == "LOCAL":
            held = _unpacked_bytes(file, stated)  # ITK does not find an end that is not stated
        elif (path.parent / voxels).is_file():
            with (path.parent / voxels).open("rb") as beside:
                held = _unpacked_bytes(beside, stated or os.fstat(beside.fileno()).st_size)
        else:
            return  # a file for each slice
    if held != voxel_bytes:
        refuse_unreadable(path, f"{held} of {voxel_bytes} bytes")


def _check_packed(path: Path, file: BinaryIO, fields: dict[str, str], image: sitk.Image) -> None:
    voxels = sitk.GetArrayViewFromImage(image)
    if fields.get("endian", "").lower() == "big":
        voxels = voxels.byteswap()
    beside = path.parent / fields.get("datafile", "")
    if "datafile" not in fields:
        check_gzip(path, file, voxels, voxels.nbytes)
    elif beside.is_file():  # else there is one for each slice
        with beside.open("rb") as packed:
            check_gzip(path, packed, voxels, voxels.nbytes)


def _fields(file: BinaryIO, *, last: str) -> Iterator[tuple[str, str]]:
    """Names and values up to the field of that name; an NRRD header ends with an empty line."""
    for _ in range(_MOST_FIELDS):
        line = file.readline(_LONGEST_FIELD).decode("utf-8", "replace")
        name, *value = (part.strip() for part in re.split("[:=]", line, maxsplit=1))
        yield name, "".join(value)
        if name == last:
            return


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:  # NRRD has names of its own for infinity
        return False


def _unpacked_bytes(file: BinaryIO, packed: int) -> int:
    """Bytes that so many compressed ones unpack to, 0 where they are damaged."""
    unpack = zlib.decompressobj(_ZLIB_OR_GZIP)
    held = 0
    try:
        while not unpack.eof and (block := file.read(min(_PACKED_BLOCK, packed))):
            packed -= len(block)
            held += len(unpack.decompress(block))
    except zlib.error:
        return 0
    return held if unpack.eof else 0
