"""NRRD files with numpy alone, for Slicer's own process: it must import neither torch nor SimpleITK.

Reads what the worker writes and writes what the worker reads; other NRRD files are read by :mod:`..volume`.
Both hold the interpreter lock only between blocks, so a thread may do it while the user goes on.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_TYPES = {
    "uint8": "u1",
    "unsigned char": "u1",
    "int16": "i2",
    "short": "i2",
    "uint16": "u2",
    "unsigned short": "u2",
    "int32": "i4",
    "int": "i4",
    "uint32": "u4",
    "unsigned int": "u4",
    "float": "f4",
    "double": "f8",
}
_NAMES = {kind: name for name, kind in _TYPES.items() if " " not in name and name not in ("short", "int")}
_BLOCK = 1 << 24
"""Bytes of voxels at a time."""
_PACKED_BLOCK = 1 << 22
"""Compressed bytes at a time, where :mod:`gzip` takes some KB: between blocks a thread waits for the
interpreter lock, in Slicer for long."""
_GZIP = 16 + zlib.MAX_WBITS


def write_nrrd(
    path: Path,
    array: npt.NDArray[Any],
    ijk_to_lps: npt.NDArray[np.float64],
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Write a volume uncompressed.

    Args:
        path: of the file.
        array: (z, y, x); a type that :func:`read_nrrd` does not know is written as float32.
        ijk_to_lps: 4 x 4 matrix from voxel indices (i, j, k) to positions in mm (LPS).
        stop: asked between blocks; where it says yes the file is left incomplete.
    """
    kind = array.dtype.newbyteorder("=").str[1:]
    if kind not in _NAMES:
        kind = "f4"
        array = array.astype(np.float32)
    columns = [_vector(ijk_to_lps[:3, axis]) for axis in range(3)]
    header = [
        "NRRD0004",
        f"type: {_NAMES[kind]}",
        "dimension: 3",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(count) for count in array.shape[::-1]),
        "space directions: " + " ".join(columns),
        "kinds: domain domain domain",
        "endian: little",
        "encoding: raw",
        "space origin: " + _vector(ijk_to_lps[:3, 3]),
    ]
    with path.open("wb") as file:
        file.write(("\n".join(header) + "\n\n").encode("ascii"))
        for plane in array:
            if stop():
                return
            file.write(np.ascontiguousarray(plane, f"<{kind}").data)


def read_nrrd(path: Path, stop: Callable[[], bool] = lambda: False) -> npt.NDArray[Any]:
    """Read the voxels (z, y, x) of a file that the worker wrote; its geometry is that of the scan.

    Raises:
        ValueError: not such a file, or cut short.
    """
    with path.open("rb") as file:
        fields = _read_header(file)
        try:
            shape = tuple(int(count) for count in fields["sizes"].split()[::-1])
            kind = _TYPES[fields["type"]]
            encoding = fields["encoding"]
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path.name} is not a volume of ours: {error}") from error
        order = ">" if fields.get("endian") == "big" else "<"
        array = np.empty(shape, f"{order}{kind}")
        if encoding in ("gzip", "gz"):
            read = _unpacker(file)
        elif encoding == "raw":
            read = file.readinto
        else:
            raise ValueError(f"{path.name} is encoded as {encoding}")
        view = array.reshape(-1).view(np.uint8).data
        done = 0
        while done < len(view) and not stop():
            try:
                count = read(view[done : done + _BLOCK])
            except zlib.error as error:
                raise ValueError(f"{path.name} is damaged: {error}") from error
            if not count:
                raise ValueError(f"{path.name} is cut short")
            done += count
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _unpacker(file: BinaryIO) -> Callable[[memoryview], int]:
    """What reads a compressed rest of a file into a buffer, as ``readinto`` does."""
    unpack = zlib.decompressobj(_GZIP)

    def read(buffer: memoryview) -> int:
        voxels = b""
        while not voxels and not unpack.eof:
            packed = unpack.unconsumed_tail or file.read(_PACKED_BLOCK)
            voxels = unpack.decompress(packed, len(buffer))
            if not packed and not voxels:
                break
        buffer[: len(voxels)] = voxels
        return len(voxels)

    return read


def _read_header(file: BinaryIO) -> dict[str, str]:
    if not file.readline().startswith(b"NRRD000"):
        raise ValueError("not an NRRD file")
    fields = {}
    while line := file.readline().strip():
        name, _, value = line.decode("utf-8", "replace").partition(":")
        fields[name.strip()] = value.strip()
    return fields


def _vector(values: npt.NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
