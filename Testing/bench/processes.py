"""Run the command line in a process of its own, and how long it took and what memory it needed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

_MEASURED = """
import sys
from importlib import import_module
from pathlib import Path
code = import_module(sys.argv[1]).main(sys.argv[2:])
if sys.platform == "linux":
    print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
else:
    import resource
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
sys.exit(code)
"""
"""The command line, which then says its peak memory in kB. On Linux, the system's account of a process's use
of resources would include its parent's memory at the time of the fork."""


def run_measured(arguments: Sequence[str], lib: str = "COVIDSelfSegLib") -> tuple[float, float]:
    """Seconds of the whole process, and its peak memory in GB (that of processes it starts is not in it).

    Args:
        arguments: of the command line.
        lib: whose commands; a run is measured without what training loads.
    """
    start = time.perf_counter()
    command = [sys.executable, "-c", _MEASURED, f"{lib}.cli", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start, int(done.stdout.split()[-1]) / 2**20
