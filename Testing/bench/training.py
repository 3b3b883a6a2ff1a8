"""A cohort cut for training, and the steps of a training: time, arithmetic, bytes, and the batch's share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from COVIDSelfSegLib.devices import Device, choose_device
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan, open_cohort
from COVIDSelfSegTrainingLib.gan import GanTrainer
from COVIDSelfSegTrainingLib.plan import make_plan
from COVIDSelfSegTrainingLib.presets import PRESETS, Preset
from COVIDSelfSegTrainingLib.pseudo_masks import PseudoMask
from COVIDSelfSegTrainingLib.segmenter import SegmenterTrainer

from .limits import Limits, Work, work_of
from .processes import run_measured
from .table import Table

_WORKERS = 2
_COHORT = {
    "healthy": ("ct/covidctmd_normal001.nii.gz", "ct_cropped/covidctmd_normal002.nii.gz"),
    "covid": ("ct/covidctmd_P001.nii.gz", "ct_cropped/covidctmd_cap001.nii.gz"),
}
_SECTION = "Cohort and training"


def measure_training(table: Table, data: Path, folder: Path) -> None:
    """Fill in the section of training; ``folder`` is an empty one for cohorts."""
    for group, names in _COHORT.items():
        (folder / group).mkdir()
        for name in names:
            (folder / group / Path(name).name).symlink_to(data / name)
    device = choose_device(training=True)
    limits = Limits.of(device)
    value = f"{limits.flops / 1e9:.0f} GFLOP/s, {limits.bandwidth / 1e9:.0f} GB/s"
    table.add(_SECTION, "matrix products; copies of memory", value, beside=str(device))
    for name in ("default", "paper"):
        cohort = folder / name
        _prepare(table, folder, cohort, name)
        scans = open_cohort(cohort)
        work = _work_of_steps(PRESETS[name], scans, device)
        for phase in make_plan(PRESETS[name], scans, folder, device).phases:
            if phase.batch_seconds:
                value = f"{1000 * phase.seconds:.0f} ms, {phase.count} of them {phase.hours:.1f} h"
                asked = work[phase.name].beside(phase.seconds, limits)
                batch = f"of it the batch {phase.batch_seconds / phase.seconds:.0%}; {asked}"
                table.add(_SECTION, f"'{name}', a step of the {phase.name}", value, beside=batch)


def _prepare(table: Table, folder: Path, cohort: Path, preset: str) -> None:
    count = sum(map(len, _COHORT.values()))
    groups = ["--healthy", str(folder / "healthy"), "--covid", str(folder / "covid"), "--held-out", "0"]
    how = ["--builtin-lungs", "--workers", str(_WORKERS), "--preset", preset, "--output", str(cohort)]
    seconds, _ = run_measured(["prepare", *groups, *how, "--events"], "COVIDSelfSegTrainingLib")
    value = f"{60 * count / seconds:.1f} scans a minute"
    table.add(_SECTION, f"'prepare' for '{preset}'", value, beside=f"{count} scans, {_WORKERS} processes")


def _work_of_steps(preset: Preset, scans: list[CohortScan], device: Device) -> dict[str, Work]:
    """What a step without gradient penalty asks for, by the plan's name of its phase."""
    healthy = [scan for scan in scans if scan.source.group == "healthy"]
    diseased = [scan for scan in scans if scan.source.group == "diseased"]
    gan = GanTrainer(preset, healthy, diseased, device)
    gan.iteration = 1
    # A step costs the same whatever its pseudo-masks hold.
    shape = diseased[0].slices.shape
    mask = PseudoMask(np.zeros(shape, np.uint8), np.linspace(0, 1, shape[0]), np.zeros(shape, np.uint8))
    segmenter = SegmenterTrainer(preset, healthy, [(diseased[0], mask)], device)
    return {"GAN": work_of(gan.step), "2D network": work_of(segmenter.step)}
