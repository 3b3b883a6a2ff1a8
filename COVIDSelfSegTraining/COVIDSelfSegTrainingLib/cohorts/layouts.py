"""What files and folders say: severity classes, patients, masks, and which mask belongs to which scan."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from COVIDSelfSegLib.volume import bare_name

MaskKind = Literal["lesions", "lungs", "other"]

MOSMED_LICENCE = "CC BY-NC-ND 3.0 (MosMedData)"

_PATIENT_SCANS = 5
"""A sub-folder with at most so many scans is one patient's; with more, it is a collection of patients."""
_CLASS = re.compile(r"CT[-_ ]?([0-4])[a-z]?", re.IGNORECASE)
_LUNG_WORDS = r"lungs?|lobes?"
_LESION_WORDS = r"infections?|lesions?|covid"
_OTHER_WORDS = r"gtv|tumou?rs?|nodules?"
_MASK_WORDS = r"masks?|seg|segmentations?|labels?|labelmaps?"
_ANY_WORD = f"{_LUNG_WORDS}|{_LESION_WORDS}|{_OTHER_WORDS}"
_COMPOUND = rf"(?:(?:{_ANY_WORD}|and)[-_ ]?)*?(?:{_MASK_WORDS})"
_MASK_FOLDER = re.compile(_COMPOUND, re.IGNORECASE)
# "case1_lung" is a scan with a lung kernel and "covid" a folder of scans, so these words alone say nothing.
_MASK_NAME = re.compile(
    rf"(?:(?P<scan>.+?)[-_ .])?(?P<words>{_COMPOUND}|lungs|lesions|infections?)", re.IGNORECASE
)


def stated_class(relative: Path) -> str:
    """CT-0 .. CT-4, where a folder on the way to a scan is called so (as in MosMedData); else empty."""
    for part in relative.parts[:-1]:
        match = _CLASS.fullmatch(part)
        if match:
            return f"CT-{match[1]}"
    return ""


def count_below(folders: Iterable[Path]) -> Counter[Path]:
    """How many scans lie in and below each folder, from the folder that holds each."""
    return Counter(above for folder in folders for above in (folder, *folder.parents))


def patient_folder(folder: Path, below: Counter[Path]) -> Path | None:
    """The highest sub-folder on the way to a scan that holds so few scans that they are one patient's.

    So visits in folders of their own (``sub-05/ses-1``) stay together. A folder called CT-0 .. CT-4, or one
    above it, is no patient's. None where no folder qualifies.

    Args:
        folder: that holds the scan, relative to the folder that was given.
        below: see :func:`count_below`; of folders relative to the same one.
    """
    parts = folder.parts
    classes = [depth for depth, part in enumerate(parts, start=1) if _CLASS.fullmatch(part)]
    for depth in range(1 + max(classes, default=0), len(parts) + 1):
        highest = Path(*parts[:depth])
        if below[highest] <= _PATIENT_SCANS:
            return highest
    return None


def mask_of(relative: Path) -> tuple[str, MaskKind] | None:
    """The name of the scan that a file is a mask of, and of what; None for a scan.

    A mask says so in its own name (``study_0255_mask``, ``case1_lung_mask``, ``lesions``) or in that of a
    folder (``masks``, ``infection_mask``). The scan's name is empty where the file's name is all mask.
    """
    name = bare_name(relative)
    match = _MASK_NAME.fullmatch(name)
    if match:
        return match["scan"] or "", _kind(match["words"])
    folders = [part for part in relative.parts[:-1] if _MASK_FOLDER.fullmatch(part)]
    return (name, _kind(folders[-1])) if folders else None


def _kind(words: str) -> MaskKind:
    has_lungs, has_lesions, has_other = (
        re.search(pattern, words, re.IGNORECASE) is not None
        for pattern in (_LUNG_WORDS, _LESION_WORDS, _OTHER_WORDS)
    )
    if has_other or (has_lungs and has_lesions):
        return "other"  # tumours are no lesions here, and one file with both would be read as either
    return "lungs" if has_lungs else "lesions"
