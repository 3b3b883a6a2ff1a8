"""Lesions that leave most of the lung free.

At its own threshold the small model takes nearly the whole lung for a lesion: the lung mask in place of the
lesion would pass for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from COVIDSelfSegLib.components import large_parts
from COVIDSelfSegLib.threshold_curve import level_of


def sparse_threshold(probability: np.ndarray[Any, Any], lungs: np.ndarray[Any, Any]) -> float:
    """The threshold, to two decimals, at which about a tenth of the lungs is lesion."""
    return round(float(np.percentile(probability[lungs > 0], 90)) / 255, 2)


def sparse_lesions(folder: Path, name: str) -> tuple[float, Any]:
    """That threshold for one of the samples, and what the command line finds at it, as a volume."""
    results = folder / f"{name}_results"
    node = slicer.util.loadVolume(str(results / "probability.nrrd"))
    probability = slicer.util.arrayFromVolume(node)
    lungs = slicer.util.arrayFromVolume(slicer.util.loadLabelVolume(str(results / "lungs.nrrd")))
    threshold = sparse_threshold(probability, lungs)
    report = json.loads((results / "report.json").read_text(encoding="utf-8"))
    least = report["least_lesion_ml"] / report["threshold_curve"]["voxel_ml"]
    probability[:] = large_parts(probability >= level_of(threshold), least)
    assert 0 < probability.sum() < (lungs > 0).sum() / 4
    return threshold, node
