"""Results of scoring on disk: an evaluation that was stopped goes on, and the sheet can be drawn again."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from COVIDSelfSegLib.volume import writing_to

from .histogram import ProbabilityHistogram
from .overlap import Overlap
from .protocols import ScanScores, SliceScores
from .scoring import CaseResult

SCORING = 2
"""Raised whenever the same images would give other figures."""

_ARRAYS = ("mask", "features")


def save_result(path: Path, key: str, result: CaseResult) -> None:
    """Write a result; ``key`` says what it was made from.

    Raises:
        UserError: it cannot be written (exit code 5).
    """
    values = asdict(result)
    arrays = {name: values.pop(name) for name in _ARRAYS}
    histogram = values.pop("histogram")
    if histogram is not None:
        arrays |= histogram
    text = json.dumps({"scoring": SCORING, "key": key, **values})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.npz")
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            np.savez_compressed(temporary, text=np.array(text), **arrays)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def load_result(path: Path, key: str) -> CaseResult | None:
    """The result that was made from ``key``; None where there is none, or it is damaged."""
    try:
        with np.load(path) as file:
            values: dict[str, Any] = json.loads(str(file["text"]))
            arrays = {name: file[name] for name in file.files if name != "text"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    if values.pop("scoring", None) != SCORING or values.pop("key", None) != key:
        return None
    scores = values.pop("scan_scores")
    slices = values.pop("slice_scores")
    baselines = values.pop("baselines")
    return CaseResult(
        **values,
        scan_scores=ScanScores(**scores) if scores else None,
        slice_scores=tuple(SliceScores(**one) for one in slices),
        histogram=ProbabilityHistogram(arrays["lesion"], arrays["healthy"]) if "lesion" in arrays else None,
        baselines={name: Overlap(**counts) for name, counts in baselines.items()},
        mask=arrays["mask"],
        features=arrays["features"],
    )
