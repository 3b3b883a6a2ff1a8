"""Work in processes: a death costs one item, leaving early ends them all."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from COVIDSelfSegTrainingLib.cohorts import workers
from COVIDSelfSegTrainingLib.cohorts.workers import spread, usable_cores


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


def test_windows_is_asked_for_no_more_processes_than_it_can_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pool(workers: int, *_: object, **__: object) -> ThreadPoolExecutor:
        asked.append(workers)
        return ThreadPoolExecutor(1)

    asked: list[int] = []
    monkeypatch.setattr(workers, "ProcessPoolExecutor", pool)
    for platform in ("win32", "linux"):
        monkeypatch.setattr(workers, "sys", SimpleNamespace(platform=platform))
        assert dict(spread(str, range(70), 64)) == {number: str(number) for number in range(70)}
    assert asked == [61, 64]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a process a part of the cores")
def test_a_job_that_is_given_one_core_of_many_counts_one() -> None:
    given = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(given)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, given)
    assert usable_cores() == len(given)
