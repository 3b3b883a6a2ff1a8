"""Results of scoring on disk: an evaluation that was stopped goes on, and the sheet can be drawn again."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from COVIDSelfSegLib.file_errors import writing_to
from COVIDSelfSegLib.whole_files import appearing_whole, write_whole

from .histogram import ProbabilityHistogram
from .overlap import Overlap
from .protocols import ScanScores, SliceScores
from .scoring import CaseResult

SCORING = 4
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
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with appearing_whole(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, text=np.array(text), **arrays)


def save_rows(path: Path, key: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of plain values; ``key`` says what they were made from.

    Raises:
        UserError: they cannot be written (exit code 5).
    """
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({"scoring": SCORING, "key": key, "rows": list(rows)}))


def load_rows(path: Path, key: str) -> list[dict[str, Any]] | None:
    """The rows that were made from ``key``; None where there are none, or they are damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(values, dict) or (values.get("scoring"), values.get("key")) != (SCORING, key):
        return None
    rows: list[dict[str, Any]] = values["rows"]
    return rows


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
