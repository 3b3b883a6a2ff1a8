"""The log of a training: one JSON object a line, and TensorBoard's files where its package is installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from COVIDSelfSegLib.whole_files import appearing_whole

LOG = "log.jsonl"


class TrainingLog:
    """Appends to a training's log; what is written is on the disk at once.

    Args:
        folder: of the training.
        tensorboard: also write TensorBoard's files, if the package is there.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = True) -> None:
        self._path = folder / LOG
        self._board = _board(folder / "tensorboard") if tensorboard else None

    def rewind(self, phase: str, iteration: int) -> None:
        """Forget what a killed run wrote of a phase after its last checkpoint: it will be done again."""
        if not self._path.is_file():
            return
        lines = read_log(self._path)
        kept = [line for line in lines if line["phase"] != phase or line["iteration"] <= iteration]
        with appearing_whole(self._path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def losses(self, phase: str, iteration: int, means: Mapping[str, float]) -> None:
        """Write the mean losses since the last line."""
        self._write({"phase": phase, "iteration": iteration, **means})
        if self._board is not None:
            for name, value in means.items():
                self._board.add_scalar(f"{phase}/{name}", value, iteration)
            self._board.flush()

    def warning(self, phase: str, iteration: int, what: str, fix: str) -> None:
        """Write a warning."""
        self._write({"phase": phase, "iteration": iteration, "warning": what, "fix": fix})

    def _write(self, values: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last one that a killed run left unfinished does not count."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def _board(folder: Path) -> Any:
    """TensorBoard's writer, or None without its package."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (an optional package)
    except ImportError:
        return None
    return SummaryWriter(str(folder))
