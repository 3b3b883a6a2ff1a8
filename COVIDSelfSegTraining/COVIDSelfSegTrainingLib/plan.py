"""What a training will cost on the device at hand, measured on a few real steps before anything starts."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from COVIDSelfSegLib.devices import Device

from .cohorts.cohort import CohortScan
from .gan import GanTrainer
from .presets import Preset
from .pseudo_masks import make_pseudo_mask
from .segmenter import SegmenterTrainer
from .training import check_cohort
from .training_run.phase_run import Trainer

_STEPS = 3
_BYTES_PER_WEIGHT = 4
_COPIES = 4
"""Of the weights in a checkpoint: weights, running mean, and two moments of Adam."""


@dataclass(frozen=True)
class PhaseCost:
    """Cost of one phase.

    Attributes:
        name: of the phase.
        count: steps, scans, or batches.
        seconds: for one of them.
        batch_seconds: of that, for drawing, painting and varying the batch; 0 where it has none.
    """

    name: str
    count: int
    seconds: float
    batch_seconds: float = 0.0

    @property
    def hours(self) -> float:
        """For all of them."""
        return self.count * self.seconds / 3600


@dataclass(frozen=True)
class Plan:
    """Cost of a training.

    Attributes:
        device: that it was measured on.
        phases: in order.
        gpu_bytes: most memory of the GPU; 0 on a CPU.
        ram_bytes: most memory of the process; 0 where the system does not say.
        disk_bytes: of checkpoints, pseudo-masks and package.
        free_bytes: on the disk of the output folder.
    """

    device: str
    phases: tuple[PhaseCost, ...]
    gpu_bytes: int
    ram_bytes: int
    disk_bytes: int
    free_bytes: int

    @property
    def hours(self) -> float:
        """For all phases."""
        return sum(phase.hours for phase in self.phases)

    def text(self) -> str:
        """A table for people."""
        lines = [f"on {self.device}", f"{'':22}{'count':>8}{'one':>12}{'of it batch':>14}{'all':>12}"]
        for phase in self.phases:
            share = f"{phase.batch_seconds / phase.seconds:.0%}" if phase.batch_seconds else "-"
            one = f"{phase.count:>8}{phase.seconds * 1000:>9.0f} ms{share:>14}{_time(phase.hours):>12}"
            lines.append(f"{phase.name:22}{one}")
        lines.append(f"{'together':22}{_time(self.hours):>46}")
        if self.gpu_bytes:
            lines.append(f"memory of the GPU     {self.gpu_bytes / 1e9:.1f} GB")
        if self.ram_bytes:
            lines.append(f"memory                {self.ram_bytes / 1e9:.1f} GB")
        lines.append(
            f"disk                  {self.disk_bytes / 1e9:.2f} GB, {self.free_bytes / 1e9:.1f} GB free"
        )
        if self.disk_bytes > self.free_bytes:
            lines.append("THE DISK IS TOO SMALL: free some space, or name another output folder.")
        return "\n".join(lines)


def make_plan(preset: Preset, scans: list[CohortScan], output: Path, device: Device) -> Plan:
    """Measure a few steps of each phase on the cohort; nothing is written.

    Args:
        preset: the training.
        scans: the cohort.
        output: folder that the training would write to; it need not be there yet.
        device: where it would run.

    Raises:
        UserError: the preset cannot be trained on this cohort.
    """
    check_cohort(scans, preset)
    healthy = [scan for scan in scans if scan.source.group == "healthy"]
    diseased = [scan for scan in scans if scan.source.group == "diseased"]
    gan = GanTrainer(preset, healthy, diseased, device)
    every = preset.gan.penalty_every if preset.gan.gradient_penalty > 0 else 0
    phases = [_gan_cost(gan, preset.gan.iterations, every, device)]
    generator = gan.average
    start = time.perf_counter()
    mask = make_pseudo_mask(generator, diseased[0], 0.0, preset.pseudo_mask, device)
    # Every healthy scan is also looked at once, for what the generator leaves on it.
    phases.append(PhaseCost("pseudo-masks", len(scans), time.perf_counter() - start))
    # A fresh generator finds anything everywhere: the cost of a step does not depend on it.
    spread_out = replace(mask, burden=np.linspace(0, 1, len(mask.burden)))
    segmenter = SegmenterTrainer(preset, healthy, [(diseased[0], spread_out)], device)
    phases.append(_segmenter_cost(segmenter, preset.segmenter.iterations, device))
    if preset.calibration_batches:
        seconds = _timed(lambda: segmenter.judge_unseen(1), 1, device)
        phases.append(PhaseCost("calibration", preset.calibration_batches, seconds))
    on_gpu = device.handle.type == "cuda"
    return Plan(
        str(device),
        tuple(phases),
        torch.cuda.max_memory_allocated(device.handle) if on_gpu else 0,
        _peak_memory(),
        _disk_bytes(gan, segmenter, diseased),
        _free_bytes(output),
    )


def _gan_cost(trainer: GanTrainer, iterations: int, every: int, device: Device) -> PhaseCost:
    """A step with the gradient penalty costs more; both kinds are measured."""
    with_penalty = _seconds(trainer, 0, 1, device)
    plain = _seconds(trainer, 1, _STEPS, device) if every != 1 else with_penalty
    seconds = plain + (with_penalty - plain) / every if every else plain
    batch = _timed(lambda: trainer.batches.draw(np.random.default_rng(0)), _STEPS, device)
    return PhaseCost("GAN", iterations, seconds, batch)


def _segmenter_cost(trainer: SegmenterTrainer, iterations: int, device: Device) -> PhaseCost:
    seconds = _seconds(trainer, 0, _STEPS, device)
    batch = _timed(lambda: trainer.batches.draw(np.random.default_rng(0)), _STEPS, device)
    return PhaseCost("2D network", iterations, seconds, batch)


def _seconds(trainer: Trainer, start: int, steps: int, device: Device) -> float:
    """For a step, after one that is not counted: the first one chooses algorithms and fills caches."""
    trainer.iteration = start
    trainer.step()

    def step() -> object:
        trainer.iteration = start
        return trainer.step()

    return _timed(step, steps, device)


def _timed(work: Callable[[], object], count: int, device: Device) -> float:
    _wait(device)
    start = time.perf_counter()
    for _ in range(count):
        work()
    _wait(device)
    return (time.perf_counter() - start) / count


def _wait(device: Device) -> None:
    if device.handle.type == "cuda":
        torch.cuda.synchronize(device.handle)


def _disk_bytes(gan: GanTrainer, segmenter: SegmenterTrainer, diseased: list[CohortScan]) -> int:
    networks = (gan.generator, gan.discriminator, segmenter.network)
    weights = sum(parameter.numel() for network in networks for parameter in network.parameters())
    # A new checkpoint is whole before the old one goes; target and spread are a byte a voxel each.
    checkpoints = 2 * _COPIES * _BYTES_PER_WEIGHT * weights
    return checkpoints + sum(2 * scan.slices.size for scan in diseased)


def _free_bytes(output: Path) -> int:
    there = [folder for folder in [output, *output.absolute().parents] if folder.is_dir()]
    return shutil.disk_usage(there[0]).free if there else 0  # a drive of Windows that is not connected


def _peak_memory() -> int:
    """Of this process, in bytes; 0 where the system does not say."""
    try:
        import resource  # noqa: PLC0415 (Windows has none)
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _time(hours: float) -> str:
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} s"
    return f"{60 * hours:.0f} min" if hours < 1 else f"{hours:.1f} h"
