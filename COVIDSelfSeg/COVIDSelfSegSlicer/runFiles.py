"""From the worker's files to arrays, read by a thread."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from COVIDSelfSegLib.scan_files.nrrd import read_nrrd


@dataclass(frozen=True)
class RunFiles:
    """What the worker left; arrays (k, j, i) on the CT's grid.

    Attributes:
        lungs: uint8, 1 right, 2 left.
        pseudoHealthy: int16 HU.
        heatmap: int16, HU above expected healthy.
        probability: uint8, 0 .. 255.
        lesions: uint8, 0 or 1, at the threshold of the run.
        report: see ``report.json``.
    """

    lungs: np.ndarray
    pseudoHealthy: np.ndarray
    heatmap: np.ndarray
    probability: np.ndarray
    lesions: np.ndarray
    report: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, stop: Callable[[], bool]) -> RunFiles:
        """Read all of a folder of results."""
        return cls(
            lungs=read_nrrd(folder / "lungs.nrrd", stop),
            pseudoHealthy=read_nrrd(folder / "pseudo_healthy.nrrd", stop),
            heatmap=read_nrrd(folder / "heatmap.nrrd", stop),
            probability=read_nrrd(folder / "probability.nrrd", stop),
            lesions=read_nrrd(folder / "lesions.seg.nrrd", stop),
            report=json.loads((folder / "report.json").read_text(encoding="utf-8")),
        )
