"""How often the steps of a phase are told, saved and pictured."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from COVIDSelfSegTrainingLib.training_run import phase_run
from COVIDSelfSegTrainingLib.training_run.curves import SAMPLES
from COVIDSelfSegTrainingLib.training_run.phase_run import PhaseRun, Running
from COVIDSelfSegTrainingLib.training_run.training_log import LOG
from PIL import Image
from torch import Tensor


class Counting:
    """A trainer whose loss is the number of its step, and whose steps take a second of a made-up clock."""

    def __init__(self) -> None:
        self.iteration = 0
        self.batch_names: list[str] = []
        self.saved: list[int] = []

    def step(self) -> dict[str, Tensor]:
        self.iteration += 1
        return {"loss": torch.tensor(float(self.iteration))}

    def save(self, _path: Path, _recipe: dict[str, str]) -> None:
        self.saved.append(self.iteration)

    def load(self, _path: Path) -> None:
        raise AssertionError("there is no checkpoint")


def run(trainer: Counting, folder: Path, running: Running, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """All steps of a phase of eleven; returns those that the page was written after."""
    shown: list[int] = []

    def clock() -> float:
        return float(trainer.iteration)

    monkeypatch.setattr(phase_run, "time", SimpleNamespace(monotonic=clock, perf_counter=clock))
    PhaseRun(
        "gan",
        trainer,
        11,
        folder,
        {},
        running,
        report=lambda *_: None,
        draw=lambda: Image.new("RGB", (2, 2)),
        show=lambda done, _seconds: shown.append(done),
    ).run()
    return shown


@pytest.mark.parametrize(
    ("running", "saved"),
    [
        (Running(save_every=4, save_seconds=100, tensorboard=False), [4, 8, 11]),
        (Running(save_every=100, save_seconds=3, tensorboard=False), [3, 6, 9, 11]),
    ],
    ids=["by steps", "by time"],
)
def test_checkpoints_come_after_so_many_steps_or_so_much_time_and_at_the_end(
    running: Running, saved: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Counting()
    run(trainer, tmp_path, running, monkeypatch)
    assert trainer.saved == saved


def test_a_line_of_the_log_is_the_mean_since_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Counting(), tmp_path, Running(report_every=4, tensorboard=False), monkeypatch)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(line["iteration"], line["loss"], line["seconds"]) for line in lines] == [
        (4, 2.5, 1.0),
        (8, 6.5, 1.0),
        (11, 10.0, 1.0),
    ]


def test_the_page_is_written_now_and_then_and_pictures_ever_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(report_every=1, page_seconds=2, tensorboard=False)
    assert run(Counting(), tmp_path, running, monkeypatch) == [2, 4, 6, 8, 10, 11]
    steps = sorted(int(file.stem.removeprefix("gan-")) for file in (tmp_path / SAMPLES).iterdir())
    assert steps == [2, 4, 6, 10, 11], "1.5 times the one before, and the last"
