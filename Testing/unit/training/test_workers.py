"""Work in processes: a death costs one item, leaving early ends them all."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest
from COVIDSelfSegTrainingLib.cohorts.workers import spread


def square_or_die(number: int) -> int:
    if number == 3:
        os._exit(1)
    time.sleep(0.3)  # so that others are on their way when it dies
    return number * number


def wait_long(folder: str) -> None:
    begun = Path(folder) / str(os.getpid())
    begun.touch()
    time.sleep(60)
    begun.with_suffix(".ended").touch()


def mixed(item: tuple[str, str]) -> None:
    kind, folder = item
    if kind == "quick":
        return
    wait_long(folder)


def test_an_item_that_ends_its_process_costs_itself_alone() -> None:
    results = dict(spread(square_or_die, range(6), 2))
    assert results == {0: 0, 1: 1, 2: 4, 3: None, 4: 16, 5: 25}


def test_leaving_early_ends_the_processes_within_their_work(tmp_path: Path) -> None:
    work = spread(mixed, [("quick", ""), ("slow", str(tmp_path)), ("slow", str(tmp_path))], 2)
    next(work)
    for _ in range(
        2400
    ):  # two minutes; no figure of speed, but a worker that never starts must not hang here
        if list(tmp_path.iterdir()):
            break
        time.sleep(0.05)
    else:
        pytest.fail("no worker began")
    work.close()
    assert not multiprocessing.active_children()
    for file in tmp_path.iterdir():
        assert not file.suffix, "a worker went on to the end"
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.name), 0)
