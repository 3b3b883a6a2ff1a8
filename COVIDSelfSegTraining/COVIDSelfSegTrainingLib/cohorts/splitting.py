"""Which patients train and which are held out; all scans of a patient are on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from .sources import Source, Split

_STEPS = 1 << 32


def split_by_patient(sources: Iterable[Source], held_out: float, seed: int = 0) -> list[Source]:
    """Give every source its side.

    A patient's side follows from its name and the seed alone, so it stays what it was when scans are added
    later. Patients with a lesion mask are always held out: the mask is worth most there.

    Args:
        sources: all scans.
        held_out: expected share of the patients to hold out, 0 .. 1.
        seed: another one draws another split.
    """
    sources = list(sources)
    with_masks = {patient_of(source) for source in sources if source.lesion_mask}
    return [
        replace(
            source,
            split="held_out"
            if patient_of(source) in with_masks or _draw(patient_of(source), seed) < held_out
            else "train",
        )
        for source in sources
    ]


def one_sided(sources: Iterable[Source]) -> list[str]:
    """Say which group has nobody on one of the sides."""
    sources = list(sources)
    notes = []
    sides: tuple[tuple[Split, str], ...] = (("train", "train on"), ("held_out", "evaluate on"))
    for group in ("healthy", "diseased"):
        for split, purpose in sides:
            if not any(source.group == group and source.split == split for source in sources):
                notes.append(f"There is no {group} scan to {purpose}. {_way_out(sources, group, split)}")
    return notes


def _way_out(sources: list[Source], group: str, split: Split) -> str:
    of_masks = {patient_of(source) for source in sources if source.lesion_mask}
    of_group = [source for source in sources if source.group == group]
    if split == "train" and of_group and all(patient_of(source) in of_masks for source in of_group):
        return (
            "All of their patients have a lesion mask, and such patients are always held out. Add scans "
            "without one, or move some masks out of the folders: nothing is ever trained on a mask."
        )
    return "Add scans, or change --held-out (share of the patients) or --split-seed."


def patient_of(source: Source) -> str:
    """The patient of a scan; one of its own where none was named."""
    return source.patient or source.name


def _draw(patient: str, seed: int) -> float:
    """A number in 0 .. 1 that belongs to a patient."""
    # A folder that stands for a patient may have any name.
    digest = hashlib.sha256(f"{seed}/{patient}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") / _STEPS
