"""What a model card calls a scan that a package was trained on."""

from __future__ import annotations

import hashlib

from .shipped import REAL_SCANS
from .sources import Source

_PUBLIC = {source.name for source in REAL_SCANS}


def is_public(name: str) -> bool:
    """Whether a scan of this name is one of the public ones."""
    return name in _PUBLIC


def card_name(source: Source, content_sha256: str) -> str:
    """The name of a phantom or of a public scan; of any other ``scan-`` and a part of its content's hash.

    Files and folders of a hospital may be called after its patients, and a package is passed on. By the hash
    a scan is known again, whatever it is called: ``cohort.csv`` and ``manifest.json`` hold it.

    Args:
        source: the scan.
        content_sha256: of its voxels; empty where it is not known, and then its name's hash is taken.
    """
    if source.is_phantom or source.name in _PUBLIC:
        return source.name
    return f"scan-{(content_sha256 or hashlib.sha256(source.name.encode()).hexdigest())[:12]}"
