"""Work in processes: a death costs one item, leaving early ends them all."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

from COVIDSelfSegTrainingLib.cohorts.workers import spread


def square_or_die(number: int) -> int:
    if number == 3:
        os._exit(1)
    time.sleep(0.3)  # so that others are on their way when it dies
    return number * number


def wait_long(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def mixed(item: tuple[str, str]) -> None:
    kind, folder = item
    if kind == "quick":
        return
    wait_long(folder)


def test_an_item_that_ends_its_process_costs_itself_alone() -> None:
    results = dict(spread(square_or_die, range(6), 2))
    assert results == {0: 0, 1: 1, 2: 4, 3: None, 4: 16, 5: 25}


def test_leaving_early_ends_the_processes_at_once(tmp_path: Path) -> None:
    work = spread(mixed, [("quick", ""), ("slow", str(tmp_path)), ("slow", str(tmp_path))], 2)
    next(work)
    deadline = time.monotonic() + 30
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    start = time.monotonic()
    work.close()
    assert time.monotonic() - start < 5
    assert not multiprocessing.active_children()
    for file in tmp_path.iterdir():
        try:
            os.kill(int(file.name), 0)
        except ProcessLookupError:
            continue
        raise AssertionError("a worker is still there")
