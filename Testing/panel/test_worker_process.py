"""The worker as a child process: it ends when it is asked to, and its children with it."""

import os
import signal
import sys

import pytest
from COVIDSelfSegSlicer import workerProcess
from host import user

pytestmark = pytest.mark.usefixtures("an_application")

LAUNCHER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
time.sleep(600)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


@pytest.fixture
def start(monkeypatch):
    """Starts a script as the worker; returns the worker, its log and, once it has ended, its exit code."""
    monkeypatch.setattr(workerProcess, "_PATIENCE_S", 0.0)
    workers = []

    def start_script(*arguments):
        log, codes = [], []
        worker = workerProcess.WorkerProcess(
            ["-c", *arguments],
            python=sys.executable,
            onEvent=lambda _event: None,
            onLog=log.append,
            onExit=codes.append,
        )
        workers.append(worker)
        return worker, log, codes

    yield start_script
    for worker in workers:
        worker.kill()


def ends(worker):
    worker.poll()
    return not worker.isRunning


def says(worker, log):
    worker.poll()
    return bool(log)


def test_cancel_ends_where_a_group_whose_processes_have_ended_may_not_be_signalled(start, monkeypatch):
    # So it is on macOS until the process is reaped.
    worker, log, codes = start("import time; print(1, flush=True); time.sleep(600)")
    user.wait_until(lambda: says(worker, log), seconds=60)
    really, sent = os.killpg, []

    def killpg(group, number):
        sent.append(number)
        if len(sent) > 1:
            raise PermissionError(1, "Operation not permitted")
        really(group, number)

    monkeypatch.setattr(os, "killpg", killpg)
    worker.cancel()
    user.wait_until(lambda: ends(worker), seconds=60)
    assert codes == [-signal.SIGTERM]


def a_deaf_child_whose_launcher_was_cancelled(start):
    worker, log, codes = start(LAUNCHER, DEAF)
    user.wait_until(lambda: says(worker, log), seconds=60)
    worker.cancel()
    worker._process.wait()
    return worker, codes


def everyone_is_gone(worker):
    """Nobody holds the worker's output any more."""
    return worker._process.stdout.closed


def test_cancel_ends_a_child_that_does_not_listen_and_outlives_its_launcher(start):
    worker, codes = a_deaf_child_whose_launcher_was_cancelled(start)
    user.wait_until(lambda: ends(worker), seconds=60)
    assert everyone_is_gone(worker)
    assert codes == [-signal.SIGTERM]


def test_kill_ends_a_child_that_outlives_its_launcher(start):
    worker, _ = a_deaf_child_whose_launcher_was_cancelled(start)
    worker.kill()
    user.wait_until(lambda: everyone_is_gone(worker), seconds=60)
