"""Many scans: a batch beside single runs, a cohort cut for training, and the steps of a training."""

from __future__ import annotations

import tempfile
from pathlib import Path

from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegTrainingLib.cohorts.cohort import open_cohort
from COVIDSelfSegTrainingLib.plan import make_plan
from COVIDSelfSegTrainingLib.presets import PRESETS

from .processes import run_measured
from .table import Table

_WORKERS = 2
_COHORT = {
    "healthy": ("ct/covidctmd_normal001.nii.gz", "ct_cropped/covidctmd_normal002.nii.gz"),
    "covid": ("ct/covidctmd_P001.nii.gz", "ct_cropped/covidctmd_cap001.nii.gz"),
}


def measure_many(table: Table, data: Path, scans: int) -> None:
    """Fill in the sections of batches, one of so many scans, and of training."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _batch(table, data / "ct" / "covidctmd_P001.nii.gz", folder, scans)
        _training(table, data, folder)


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


def _training(table: Table, data: Path, folder: Path) -> None:
    section = "Cohort and training"
    for group, names in _COHORT.items():
        (folder / group).mkdir()
        for name in names:
            (folder / group / Path(name).name).symlink_to(data / name)
    count = sum(map(len, _COHORT.values()))
    groups = ["--healthy", str(folder / "healthy"), "--covid", str(folder / "covid"), "--held-out", "0"]
    device = choose_device(training=True)
    for preset in ("default", "paper"):
        cohort = folder / preset
        how = ["--builtin-lungs", "--workers", str(_WORKERS), "--preset", preset, "--output", str(cohort)]
        seconds, _ = run_measured(["prepare", *groups, *how, "--events"], "COVIDSelfSegTrainingLib")
        value = f"{60 * count / seconds:.1f} scans a minute"
        table.add(section, f"'prepare' for '{preset}'", value, beside=f"{count} scans, {_WORKERS} processes")
        for phase in make_plan(PRESETS[preset], open_cohort(cohort), folder, device).phases:
            if phase.batch_seconds:
                batch = f"of it the batch {phase.batch_seconds / phase.seconds:.0%}"
                value = f"{1000 * phase.seconds:.0f} ms, {phase.count} of them {phase.hours:.1f} h"
                table.add(section, f"'{preset}', a step of the {phase.name}", value, beside=batch)
