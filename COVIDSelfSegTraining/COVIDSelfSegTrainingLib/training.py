"""The three phases in order: GAN, pseudo-masks, 2D network; ends with a model package."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from COVIDSelfSegLib import __version__
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.models import Inference, ModelCard, ModelPackage, TrainingScan, write_package

from .calibration import calibrate
from .cohort import CohortScan
from .gan import GanTrainer, generator_architecture
from .presets import Preset
from .pseudo_masks import make_pseudo_mask, residual_hu
from .segmenter import SegmenterTrainer, segmenter_architecture

log = logging.getLogger(__name__)

Report = Callable[[str, int, int, dict[str, float]], None]
"""Called with a phase, its finished and all its iterations, and the mean losses since the last call."""

_REPORT_EVERY = 20
_SAVE_EVERY = 200


class _Trainer(Protocol):
    iteration: int

    def step(self) -> dict[str, float]: ...

    def save(self, path: Path) -> None: ...

    def load(self, path: Path) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """A finished training."""

    package: ModelPackage
    folder: Path


def train(
    preset: Preset, scans: list[CohortScan], folder: Path, device: Device, *, command: str, report: Report
) -> Outcome:
    """Train both networks and write their package; a folder with checkpoints is gone on with.

    Args:
        preset: the training.
        scans: the cohort.
        folder: for checkpoints, log and package.
        device: where to train.
        command: what the user typed, for the model card.
        report: see :data:`Report`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    healthy = [scan for scan in scans if scan.source.group == "healthy"]
    diseased = [scan for scan in scans if scan.source.group == "diseased"]
    gan = GanTrainer(preset, healthy, diseased, device)
    _run("gan", gan, preset.gan.iterations, folder, report)
    generator = gan.average.eval()
    residual = residual_hu(generator, healthy, preset.pseudo_mask.draws, device)
    log.info("The generator leaves %.0f HU on healthy lung", residual)
    masks = [make_pseudo_mask(generator, scan, residual, preset.pseudo_mask, device) for scan in diseased]
    segmenter = SegmenterTrainer(preset, healthy, list(zip(diseased, masks, strict=True)), device)
    _run("segmenter", segmenter, preset.segmenter.iterations, folder, report)
    calibrated = calibrate(*segmenter.judge_unseen(preset.calibration_batches))
    log.info(
        "Dice %.3f on unseen painted lesions at threshold %.2f, calibration error %.3f",
        calibrated.dice,
        calibrated.threshold,
        calibrated.error,
    )
    inference = replace(
        preset.inference,
        residual_hu=round(residual, 1),
        threshold=round(calibrated.threshold, 3),
        calibration_slope=round(calibrated.slope, 4),
        calibration_shift=round(calibrated.shift, 4),
    )
    card = _card(preset, scans, inference, command)
    path = folder / f"covidselfseg-{preset.name}.safetensors"
    package = write_package(path, card, generator.state_dict(), segmenter.average.state_dict())
    return Outcome(package, folder)


def _run(phase: str, trainer: _Trainer, iterations: int, folder: Path, report: Report) -> None:
    """Step until done; save now and then, and where a checkpoint is, go on from it."""
    checkpoint = folder / f"{phase}.checkpoint.safetensors"
    if checkpoint.is_file():
        trainer.load(checkpoint)
    with (folder / "log.jsonl").open("a") as lines:
        sums: dict[str, list[float]] = {}
        while trainer.iteration < iterations:
            start = time.perf_counter()
            for name, value in trainer.step().items():
                sums.setdefault(name, []).append(value)
            sums.setdefault("seconds", []).append(time.perf_counter() - start)
            done = trainer.iteration
            if done % _REPORT_EVERY == 0 or done == iterations:
                means = {name: sum(values) / len(values) for name, values in sums.items()}
                lines.write(json.dumps({"phase": phase, "iteration": done, **means}) + "\n")
                lines.flush()
                report(phase, done, iterations, means)
                sums = {}
            if done % _SAVE_EVERY == 0 or done == iterations:
                trainer.save(checkpoint)


def _card(preset: Preset, scans: list[CohortScan], inference: Inference, command: str) -> ModelCard:
    trained_on = tuple(
        TrainingScan(scan.source.name, scan.source.licence, scan.source.group) for scan in scans
    )
    return ModelCard(
        name=f"covidselfseg-{preset.name}",
        preset=preset.name,
        generator=generator_architecture(preset),
        segmenter=segmenter_architecture(preset),
        inference=inference,
        trained_on=trained_on,
        recipe=asdict(preset),
        command=command,
        code_version=__version__,
    )
