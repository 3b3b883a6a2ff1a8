"""Work spread over processes, where an item that ends its process costs that item alone.

A scan can be damaged in a way that kills the library that reads it, or too large for the memory. The
others go on, and the one to blame is found by working off the suspects one at a time.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_end
from typing import TypeVar

import SimpleITK as sitk
import torch

Item = TypeVar("Item")
Done = TypeVar("Done")

_MOST_ON_WINDOWS = 61
"""Processes in a pool: Windows waits for no more at a time."""


def usable_cores() -> int:
    """Cores that this process may run on: a job on a cluster is given a few of a machine's many."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(
    work: Callable[[Item], Done], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Done | None]]:
    """Work on items in processes; gives each with its result as it is finished, in any order.

    Leaving the loop early (an error, a cancel) ends the processes at once.

    Args:
        work: a function at the top of its module.
        items: picklable; at most ``workers + 1`` are on their way at any time.
        workers: processes.

    Yields:
        An item and its result, None where the item ended its process.
    """
    waiting = deque(items)
    if sys.platform == "win32":
        workers = min(workers, _MOST_ON_WINDOWS)
    suspects: list[Item] = []
    while waiting:
        suspects = yield from _work_off(work, waiting, min(workers, len(waiting)))
        for suspect in suspects:
            guilty = yield from _work_off(work, deque([suspect]), 1)
            if guilty:
                yield suspect, None


def _work_off(
    work: Callable[[Item], Done], waiting: deque[Item], workers: int
) -> Generator[tuple[Item, Done], None, list[Item]]:
    """Take items until none is left or a process dies; returns those that were on their way then."""
    before = set(multiprocessing.active_children())
    threads = max(1, usable_cores() // workers)
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(threads,)
    )
    running: dict[Future[Done], Item] = {}
    try:
        while waiting or running:
            while waiting and len(running) <= workers:
                running[pool.submit(work, waiting[0])] = waiting[0]
                waiting.popleft()
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                if not isinstance(future.exception(), BrokenProcessPool):
                    yield running.pop(future), future.result()
            if finished & running.keys():
                break
    except BrokenProcessPool:
        pass  # met while submitting; what is on its way is lost as well
    finally:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
    return list(running.values())


def _begin(threads: int) -> None:
    """Set up a process: its share of the cores, and an end when its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_end([parent.sentinel])
        os._exit(1)
