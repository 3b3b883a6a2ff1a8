"""Files of weights: safetensors, fp16, with text about them, and hashes of both; never pickle."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from .whole_files import appearing_whole

_HASH, _HEADER_HASH = "weights_sha256", "header_sha256"
"""Of the weights' bytes; and of the texts and the table that says which of the bytes are which weight."""
_LARGEST_HEADER = 16 << 20
_STEPS = "num_batches_tracked"
"""Of batch norms; after more steps than half precision can count it is infinite, and no run reads it."""


class DamagedFileError(Exception):
    """Says why a file cannot be used."""


def write_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    """Write weights as fp16 with texts about them; returns the SHA-256 of their bytes.

    The file appears whole or not at all.
    """
    halves = {name: value.detach().cpu().half().contiguous() for name, value in weights.items()}
    plain = safetensors.torch.save(halves)
    digest = hashlib.sha256(_buffer_of(plain)).hexdigest()
    told = {**about, _HASH: digest}
    table = json.loads(_header_of(plain))
    whole = safetensors.torch.save(halves, {**told, _HEADER_HASH: _header_sha256(told, table)})
    with appearing_whole(path) as temporary:
        temporary.write_bytes(whole)
    return digest


def check_weights(path: Path) -> tuple[dict[str, str], str]:
    """The texts of a file whose weights are what they were when it was written, and their SHA-256.

    Raises:
        DamagedFileError: it cannot be read, is no such file, cut short, or changed; or not all of its weights
            are numbers.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"it cannot be read ({error.strerror})") from error
    try:
        table = json.loads(_header_of(content))
        with safetensors.safe_open(path, "pt") as file:  # it judges what lies in the table, and the texts
            about: dict[str, str] = file.metadata() or {}
    except (ValueError, RecursionError, struct.error, safetensors.SafetensorError) as error:
        raise DamagedFileError("it is not a safetensors file, or is cut short") from error
    table.pop("__metadata__", None)
    if _HASH not in about:
        raise DamagedFileError("it carries no COVIDSelfSeg model card")
    digest = hashlib.sha256(_buffer_of(content)).hexdigest()
    if digest != about[_HASH]:
        raise DamagedFileError("its weights have another SHA-256 than its card says")
    if _HEADER_HASH in about and about[_HEADER_HASH] != _header_sha256(about, table):  # older files have none
        raise DamagedFileError("its card, or the table that says which bytes are which weight, was changed")
    try:
        are_numbers = _are_numbers(path)
    except (NotImplementedError, safetensors.SafetensorError) as error:
        raise DamagedFileError("its weights are of a type that torch cannot take as float32") from error
    if not are_numbers:
        raise DamagedFileError("not all of its weights are numbers, or some are too large for half precision")
    return about, digest


def read_weights(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Weights whose names begin with ``prefix``, without it, as float32."""
    with safetensors.safe_open(path, "pt") as file:
        return {
            key.removeprefix(prefix): file.get_tensor(key).float()
            for key in file.keys()  # noqa: SIM118 (safe_open is no mapping)
            if key.startswith(prefix)
        }


def weight_shapes(path: Path, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Shapes of the weights whose names begin with ``prefix``, by their names without it."""
    with safetensors.safe_open(path, "pt") as file:
        return {
            key.removeprefix(prefix): tuple(file.get_slice(key).get_shape())
            for key in file.keys()  # noqa: SIM118 (safe_open is no mapping)
            if key.startswith(prefix)
        }


def _are_numbers(path: Path) -> bool:
    """Whether all weights are finite. One that is not makes NaN of all probabilities, and finds no lesion."""
    with safetensors.safe_open(path, "pt") as file:
        # A sum is NaN or infinite if any of its terms is, and takes less time than to look at each.
        return all(
            bool(file.get_tensor(key).float().sum().isfinite())
            for key in file.keys()  # noqa: SIM118 (safe_open is no mapping)
            if not key.endswith(_STEPS)
        )


def _header_sha256(about: Mapping[str, str], table: Mapping[str, Any]) -> str:
    told = {name: text for name, text in about.items() if name != _HEADER_HASH}
    return hashlib.sha256(json.dumps([told, table], sort_keys=True).encode()).hexdigest()


def _header_of(content: bytes) -> bytes:
    """JSON header of a safetensors file: eight bytes of length, then the header, then the weights."""
    (length,) = struct.unpack_from("<Q", content)
    if length > min(len(content) - 8, _LARGEST_HEADER):
        raise ValueError("the header is longer than the file")
    return content[8 : 8 + length]


def _buffer_of(content: bytes) -> memoryview:
    return memoryview(content)[8 + len(_header_of(content)) :]
