"""``PythonSlicer``: the program on the PATH that runs scripts in Slicer's Python, without a window."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path


def install(home: Path) -> None:
    """Put a ``PythonSlicer`` on this process's PATH that runs the present Python. POSIX only."""
    folder = home / "bin"
    folder.mkdir()
    program = folder / "PythonSlicer"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
