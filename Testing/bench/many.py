"""Many scans: a batch beside single runs, and training."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .processes import run_measured
from .table import Table
from .training import measure_training


def measure_many(table: Table, data: Path, scans: int) -> None:
    """Fill in the sections of batches, one of so many scans, and of training."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _batch(table, data / "ct" / "covidctmd_P001.nii.gz", folder, scans)
        measure_training(table, data, folder)


def _batch(table: Table, scan: Path, folder: Path, scans: int) -> None:
    section = f"A batch of {scans} x covidctmd_P001"
    fixed = ["--builtin-lungs", "--events"]
    alone, memory = run_measured(["segment", str(scan), "--output", str(folder / "alone"), *fixed])
    copies = [folder / f"{number}.nii.gz" for number in range(scans)]
    for copy in copies:
        copy.symlink_to(scan)
    seconds, gigabytes = run_measured(["batch", *map(str, copies), "--output", str(folder / "batch"), *fixed])
    each = f"{seconds / scans:.1f} s, {alone * scans / seconds:.2f} x"
    table.add(section, "a scan", each, beside=f"alone, with its process's start {alone:.1f} s")
    value = f"{gigabytes:.2f} GB, {gigabytes / memory:.2f} x"
    table.add(section, "peak memory", value, beside=f"alone {memory:.2f} GB", wanted="< 2 x")
