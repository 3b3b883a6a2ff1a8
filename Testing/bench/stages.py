"""A whole run, stage by stage, on scans of 100 to 1,000 slices: time, memory, arithmetic and its limit."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
from COVIDSelfSegLib.devices import Device, choose_device
from COVIDSelfSegLib.models import ModelPackage, find_package
from COVIDSelfSegLib.pipeline import Options, StageClock, segment
from COVIDSelfSegLib.volume import read_scan
from torch.utils.flop_counter import FlopCounterMode

from .limits import peak_flops
from .processes import run_measured
from .table import Table

SLICES = (100, 300, 700, 1000)
_WANTED = {300: ("<= 45 s", "<= 2.5 GB"), 1000: ("", "<= 4 GB")}


@dataclass(frozen=True)
class Measured:
    """One run from file to files, in a process of its own.

    Attributes:
        seconds: of the whole process.
        gigabytes: its peak memory.
        stages: seconds of each.
        read: bytes of the scan's file.
        written: bytes of the results.
    """

    seconds: float
    gigabytes: float
    stages: dict[str, float]
    read: int
    written: int


def measure_stages(table: Table, data: Path) -> None:
    """Fill in the stages of each length of scan, and of P001 as it is."""
    path = data / "ct" / "covidctmd_P001.nii.gz"
    device, package = choose_device(), find_package()
    peak = peak_flops(device)
    table.add("Limits of this machine", "matrix products", f"{peak / 1e9:.0f} GFLOP/s", beside=str(device))
    with tempfile.TemporaryDirectory() as folder:
        _stages(
            table, "covidctmd_P001, 512 x 512 x 148", path, (package, device, peak), ("<= 90 s", "<= 3 GB")
        )
        for slices in SLICES:
            file = Path(folder) / f"{slices}.nrrd"
            sitk.WriteImage(resliced(path, slices), str(file), useCompression=True)
            name = f"512 x 512 x {slices} (P001 resampled)"
            _stages(table, name, file, (package, device, peak), _WANTED.get(slices, ("", "")))


def resliced(path: Path, slices: int) -> sitk.Image:
    """A scan with another number of slices over the same length."""
    scan = read_scan(path)
    spacing = scan.GetSpacing()
    target = sitk.Image((*scan.GetSize()[:2], slices), sitk.sitkInt16)
    target.SetSpacing((*spacing[:2], spacing[2] * scan.GetDepth() / slices))
    target.SetOrigin(scan.GetOrigin())
    target.SetDirection(scan.GetDirection())
    return sitk.Resample(scan, target, sitk.Transform(), sitk.sitkLinear, -1024)


def _run(scan: Path) -> Measured:
    """Run the command line on a scan."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        options = ["--builtin-lungs", "--events"]
        seconds, gigabytes = run_measured(["segment", str(scan), "--output", str(output), *options])
        stages = json.loads((output / "report.json").read_text())["seconds"]
        written = sum(file.stat().st_size for file in output.iterdir())
    return Measured(seconds, gigabytes, stages, scan.stat().st_size, written)


def _stages(
    table: Table,
    name: str,
    scan: Path,
    on: tuple[ModelPackage, Device, float],
    wanted: tuple[str, str],
) -> None:
    measured = _run(scan)
    package, device, peak = on
    flops = _flops(read_scan(scan), package, device)
    for stage, seconds in measured.stages.items():
        beside = ""
        if flops.get(stage):
            share = flops[stage] / peak / seconds
            beside = f"{flops[stage] / 1e12:.2f} TFLOP, {share:.0%} of the machine's limit"
        table.add(name, stage, f"{seconds:.2f} s", beside=beside)
    rest = measured.seconds - sum(measured.stages.values())
    table.add(name, "start of the process", f"{rest:.1f} s")
    table.add(name, "from file to files", f"{measured.seconds:.1f} s", wanted=wanted[0])
    megabytes = f"{measured.read / 1e6:.0f} MB read, {measured.written / 1e6:.0f} MB written"
    table.add(name, "peak memory", f"{measured.gigabytes:.2f} GB", beside=megabytes, wanted=wanted[1])


class _FlopClock(StageClock):
    """Counts the arithmetic of the networks too (a multiplication and an addition are two)."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()
        self._counter = counter
        self.flops: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        before = self._counter.get_total_flops()
        with super().stage(name):
            yield
        self.flops[name] = self._counter.get_total_flops() - before


def _flops(scan: sitk.Image, package: ModelPackage, device: Device) -> dict[str, int]:
    """Arithmetic of the networks in one run, by stage."""
    with FlopCounterMode(display=False) as counter:
        clock = _FlopClock(counter)
        segment(scan, package, Options(builtin_lungs=True, device=device.handle.type), clock)
    return clock.flops
