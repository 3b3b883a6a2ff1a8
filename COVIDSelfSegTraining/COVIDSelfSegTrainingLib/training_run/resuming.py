"""Whether a checkpoint may be continued: only under the options and with the scans it was made with."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.models import ModelPackage

from ..cohorts.cohort import CohortScan
from ..preset_files import differences, preset_from_dict, preset_to_dict
from ..presets import Preset
from .checkpoint import read_recipe

log = logging.getLogger(__name__)

_AFTERWARDS = (
    "name:",
    "calibration_batches:",
    "inference.threshold",
    "inference.calibration",
    "inference.least_lesion_ml",
    "inference.latent_draws",
    "inference.residual_hu",
    "inference.marked",
    "inference.mirrored",
)
"""What is used after training alone."""
_OF_PHASE_1 = ("seed:", "gan.", "inference.generator_grid", "inference.margin_mm")


def recipe_of(preset: Preset, scans: list[CohortScan], start: ModelPackage | None = None) -> dict[str, str]:
    """What a checkpoint keeps of its training, which started from a package or from nothing."""
    return {
        "preset": json.dumps(preset_to_dict(preset)),
        "scans": json.dumps(sorted(scan.fingerprint for scan in scans)),
        "start": "" if start is None else start.sha256,
    }


def check_resumable(path: Path, phase: str, preset: Preset, recipe: dict[str, str]) -> None:
    """Refuse a checkpoint of other options or another cohort.

    More iterations of phase 1 may be asked for, since its rates do not depend on their number; fewer than it
    has done would stand in a card of weights that took more.

    Args:
        path: the checkpoint.
        phase: ``gan`` or ``segmenter``.
        preset: what the training is to be now.
        recipe: of that training; see :func:`recipe_of`.

    Raises:
        UserError: it was made with other options or of other scans, or started elsewhere.
    """
    kept = read_recipe(path)
    if "preset" not in kept:
        log.warning("%s does not say with which options it was made; it is resumed as it is", path)
        return
    before = preset_from_dict(json.loads(kept["preset"]), source=f"the preset in {path}")
    relevant = [line for line in differences(before, preset) if _matters(line, phase)]
    if relevant:
        raise UserError(
            f"{path} was made with other options: {'; '.join(relevant[:6])}.",
            why="Continuing under changed options would give weights that no preset describes.",
            fix="Use the preset of that training, or train into another folder.",
        )
    done = int(kept.get("iteration", "0"))
    if phase == "gan" and done > preset.gan.iterations:
        raise UserError(
            f"{path} has done {done} steps already, more than the {preset.gan.iterations} of gan.iterations.",
            why="Steps cannot be taken back, and the package's card would name fewer than its weights took.",
            fix=f"Ask for {done} or more (--gan-iterations), or train into another folder.",
        )
    if kept.get("start", "") != recipe["start"]:
        raise UserError(
            f"{path} belongs to a training that started from {_weights(kept.get('start', ''))}; this one is "
            f"to start from {_weights(recipe['start'])}.",
            why="Its weights continue from where it stopped, so another start would have no effect.",
            fix="Name the same --start-from as before, or train into another folder.",
        )
    before_scans, scans = (set(json.loads(texts.get("scans", "[]"))) for texts in (kept, recipe))
    if before_scans != scans:
        raise UserError(
            f"The cohort is not the one that {path} was made with: {len(before_scans - scans)} of its scans "
            f"are gone or changed, {len(scans - before_scans)} are new or changed.",
            why="Its weights have learnt from scans that the package's card would not name, and figures of "
            "these would pass for held-out ones.",
            fix="Train into another folder; --start-from takes the weights of a finished training along, "
            "and the names of its scans.",
        )


def _weights(sha256: str) -> str:
    return f"the weights {sha256[:12]}" if sha256 else "nothing"


def _matters(line: str, phase: str) -> bool:
    if phase == "gan":
        return line.startswith(_OF_PHASE_1) and not line.startswith("gan.iterations:")
    return not line.startswith(_AFTERWARDS)
