"""Files of weights: safetensors, fp16, with text about them and the hash of their bytes; never pickle."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

_HASH = "weights_sha256"
_LARGEST_HEADER = 16 << 20


class DamagedFileError(Exception):
    """Says why a file cannot be used."""


def write_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    """Write weights as fp16 with texts about them; returns the SHA-256 of their bytes.

    The file appears whole or not at all.
    """
    halves = {name: value.detach().cpu().half().contiguous() for name, value in weights.items()}
    digest = hashlib.sha256(_buffer_of(safetensors.torch.save(halves))).hexdigest()
    whole = safetensors.torch.save(halves, {**about, _HASH: digest})
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(whole)
    temporary.replace(path)
    return digest


def check_weights(path: Path) -> tuple[dict[str, str], str]:
    """The texts of a file whose weights are what they were when it was written, and their SHA-256.

    Raises:
        DamagedFileError: it cannot be read, is no such file, cut short, or changed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"it cannot be read ({error.strerror})") from error
    try:
        about: dict[str, str] = json.loads(_header_of(content)).get("__metadata__", {})
    except (ValueError, struct.error) as error:
        raise DamagedFileError("it is no safetensors file") from error
    if _HASH not in about:
        raise DamagedFileError("it carries no COVIDSelfSeg model card")
    digest = hashlib.sha256(_buffer_of(content)).hexdigest()
    if digest != about[_HASH]:
        raise DamagedFileError("its weights have another SHA-256 than its card says, or are cut short")
    return about, digest


def read_weights(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Weights whose names begin with ``prefix``, without it, as float32."""
    with safetensors.safe_open(path, "pt") as file:
        return {
            key.removeprefix(prefix): file.get_tensor(key).float()
            for key in file.keys()  # noqa: SIM118 (safe_open is no mapping)
            if key.startswith(prefix)
        }


def _header_of(content: bytes) -> bytes:
    """JSON header of a safetensors file: eight bytes of length, then the header, then the weights."""
    (length,) = struct.unpack_from("<Q", content)
    if length > min(len(content) - 8, _LARGEST_HEADER):
        raise ValueError("the header is longer than the file")
    return content[8 : 8 + length]


def _buffer_of(content: bytes) -> memoryview:
    return memoryview(content)[8 + len(_header_of(content)) :]
