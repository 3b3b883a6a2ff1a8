"""Runs the steps of a phase: checkpoints, log, page, warnings, and a stop when a loss is no number."""

from __future__ import annotations

import errno
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from COVIDSelfSegLib.errors import UserError
from PIL import Image
from torch import Tensor

from .checkpoint import checkpoint_of, not_writable
from .collapse import CollapseWatch
from .curves import SAMPLES
from .distributed import rank
from .training_log import TrainingLog

log = logging.getLogger(__name__)

Report = Callable[[str, int, int, dict[str, float]], object]
"""Called with a phase, its finished and all its iterations, and the mean losses since the last call."""

_PICTURES_APART = 1.5
"""Each sample picture comes at so many times the step of the one before."""


@dataclass(frozen=True)
class Running:
    """How a training is run; nothing here changes its weights on a CPU.

    Attributes:
        report_every: steps between lines of the log.
        save_every: steps between checkpoints, at most.
        save_seconds: time between checkpoints, at most.
        page_seconds: time between rewritings of the page, at least.
        compiled: run networks through ``torch.compile``; pays for long runs on a GPU, needs a compiler there.
        tensorboard: write TensorBoard's files where its package is installed.
    """

    report_every: int = 20
    save_every: int = 200
    save_seconds: float = 120.0
    page_seconds: float = 15.0
    compiled: bool = False
    tensorboard: bool = True


class Trainer(Protocol):
    """What trains a network, one step at a time."""

    iteration: int
    batch_names: list[str]

    def step(self) -> dict[str, Tensor]:
        """One iteration; returns its losses."""
        ...

    def save(self, path: Path, recipe: dict[str, str]) -> None:
        """Write a checkpoint."""
        ...

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        ...


@dataclass(frozen=True)
class PhaseRun:
    """One phase of a training.

    Attributes:
        phase: its name, in file names and in the log.
        trainer: what is stepped.
        iterations: steps until it is done.
        folder: of the training.
        recipe: what checkpoints keep; see :mod:`.resuming`.
        running: how often what is written.
        report: see :data:`Report`.
        draw: makes a sample picture.
        show: rewrites the page, told the step and the seconds a step takes.
        watch: looks for a collapse.
    """

    phase: str
    trainer: Trainer
    iterations: int
    folder: Path
    recipe: dict[str, str]
    running: Running
    report: Report
    draw: Callable[[], Image.Image]
    show: Callable[[int, float], object]
    watch: CollapseWatch | None = None

    @property
    def checkpoint(self) -> Path:
        """The file to go on from."""
        return checkpoint_of(self.folder, self.phase)

    def run(self) -> None:
        """Step until done; where a checkpoint is, go on from it.

        Raises:
            UserError: a loss is no number (names the batch; the last good checkpoint stays), or the disk is
                full (exit code 5).
        """
        trainer, running = self.trainer, self.running
        if self.checkpoint.is_file():
            trainer.load(self.checkpoint)
            log.info("%s: going on at step %d", self.phase, trainer.iteration)
        lines = TrainingLog(self.folder, tensorboard=running.tensorboard) if rank() == 0 else None
        if lines is not None:
            lines.rewind(self.phase, trainer.iteration)
        pending = _Pending()
        saved = shown = time.monotonic()
        next_picture = 0.0
        while trainer.iteration < self.iterations:
            pending.step(trainer)
            done = trainer.iteration
            last = done == self.iterations
            if done % running.report_every == 0 or last:
                means = pending.means(self.checkpoint)
                self._tell(lines, done, means)
                if lines is not None and (last or time.monotonic() - shown >= running.page_seconds):
                    if last or done >= next_picture:
                        self._picture(done)
                        next_picture = done * _PICTURES_APART
                    self.show(done, means["seconds"])
                    shown = time.monotonic()
            if done % running.save_every == 0 or last or time.monotonic() - saved >= running.save_seconds:
                pending.check(self.checkpoint)
                if rank() == 0:
                    trainer.save(self.checkpoint, self.recipe)
                saved = time.monotonic()

    def _tell(self, lines: TrainingLog | None, done: int, means: dict[str, float]) -> None:
        warned = self.watch.look(done, means) if self.watch is not None else []
        if lines is None:
            return
        lines.losses(self.phase, done, means)
        for one in warned:
            log.warning("Step %d: %s\n  Why: %s\n  Fix: %s", done, one.what, one.why, one.fix)
            lines.warning(self.phase, done, one.what, one.fix)
        self.report(self.phase, done, self.iterations, means)

    def _picture(self, done: int) -> None:
        folder = self.folder / SAMPLES
        folder.mkdir(exist_ok=True)
        self.draw().save(folder / f"{self.phase}-{done:07}.png")


class _Pending:
    """Losses since the last report. On a GPU they stay there until then, so that steps do not wait."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, list[str], dict[str, Tensor]]] = []
        self._checked = 0
        self._started = time.perf_counter()

    def step(self, trainer: Trainer) -> None:
        losses = trainer.step()
        self._steps.append((trainer.iteration, trainer.batch_names, losses))

    def check(self, checkpoint: Path) -> None:
        """Stop at a loss that is no number.

        Raises:
            UserError: names the batch.
        """
        for iteration, names, losses in self._steps[self._checked :]:
            for name, value in losses.items():
                if not math.isfinite(float(value)):
                    raise UserError(
                        f"The loss '{name}' became {float(value)} at step {iteration}, "
                        f"in the batch of {', '.join(names)}.",
                        why="A scan of that batch holds values that are not HU, or the training diverged.",
                        fix="Look at these scans and take a damaged one out, or lower the learning rate. "
                        f"The last good checkpoint was kept: {checkpoint}",
                    )
        self._checked = len(self._steps)

    def means(self, checkpoint: Path) -> dict[str, float]:
        """Mean losses since the last call, with the seconds a step took."""
        self.check(checkpoint)
        sums: dict[str, list[Tensor]] = {}
        for _, _, losses in self._steps:
            for name, value in losses.items():
                sums.setdefault(name, []).append(value)
        means = {name: float(torch.stack(values).mean()) for name, values in sums.items()}
        means["seconds"] = (time.perf_counter() - self._started) / len(self._steps)
        self._steps, self._checked, self._started = [], 0, time.perf_counter()
        return means


_FULL = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EEXIST,
    errno.ENOTDIR,
}


def disk_error(folder: Path, error: OSError) -> UserError | None:
    """What to say of an error of the disk; None for any other."""
    gone = not folder.is_dir()
    return not_writable(folder, error) if error.errno in _FULL or gone else None
