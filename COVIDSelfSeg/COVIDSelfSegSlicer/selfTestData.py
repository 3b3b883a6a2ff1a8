"""What the module's self test runs on: made-up results, and whether a worker can be started at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from COVIDSelfSegLib.lung_labels import LEFT, RIGHT

from . import setup
from .runFiles import RunFiles
from .waiting import waitFor


def madeUpRun() -> tuple[slicer.vtkMRMLScalarVolumeNode, RunFiles]:
    """A small CT in the scene, and what a run could leave for it: two lungs, a ball of a lesion.

    Returns:
        The CT node and its :class:`RunFiles`.
    """
    z, y, x = np.ogrid[:40, :64, :64]
    lungs = np.zeros((40, 64, 64), np.uint8)
    for label, middle in ((RIGHT, 18), (LEFT, 46)):
        lungs[((x - middle) / 11) ** 2 + ((y - 32) / 20) ** 2 + ((z - 20) / 17) ** 2 < 1] = label
    distance = np.sqrt((x - 18) ** 2 + (y - 36) ** 2 + (z - 18) ** 2)
    near = np.clip(1 - distance / 12, 0, 1) * (lungs > 0)
    healthy = np.where(lungs > 0, -850, 30).astype(np.int16)
    heatmap = (400 * near).astype(np.int16)
    probability = (255 * near).astype(np.uint8)
    ct = slicer.util.addVolumeFromArray(healthy + heatmap, name="made-up CT")
    ct.SetSpacing(5.0, 5.0, 6.0)
    lung = {"volume_ml": 1000.0, "infected_ml": 0.0, "infected_share": 0.0, "lesion_hu": None}
    counts = [np.bincount(probability[lungs == label], minlength=256).tolist() for label in (RIGHT, LEFT)]
    report = {
        "numbers": {"right": lung, "left": lung, "both": lung, "severity": "CT-0"},
        "threshold": 0.5,
        "least_lesion_ml": 0.0,
        "threshold_curve": {"right": counts[0], "left": counts[1], "voxel_ml": 0.15},
        "findings": [],
        "lung_mask": {"source": "given", "sha256": ""},
        "model": {"name": "made up", "calibrated_threshold": 0.5},
        "device": "none",
    }
    lesions = (probability >= 128).astype(np.uint8)
    return ct, RunFiles(lungs, healthy, heatmap, probability, lesions, report)


def whatTheWorkerLacks() -> str:
    """Why no scan can be segmented here; empty where one can."""
    answers: list[str] = []

    def take(status: dict[str, Any] | None, reason: str) -> None:
        if status is None:
            answers.append(reason)
        elif status["torch"] is None or "error" in status["torch"] or status["missing"]:
            answers.append("PyTorch or other Python packages are missing")
        elif not any(not model["damaged"] for model in status["models"]):
            answers.append("there is no usable model package")
        else:
            answers.append("")

    query = setup.StatusQuery(take)
    waitFor(lambda: not answers, query.poll, query.kill)
    return answers[0]
