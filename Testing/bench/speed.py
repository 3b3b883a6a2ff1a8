"""How long things take and how much memory they need, beside what one would otherwise use."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.lungs import find_lungs
from COVIDSelfSegLib.perlin import lattice_axes, perlin
from COVIDSelfSegLib.phantom import make_phantom
from COVIDSelfSegLib.phantom_scanner import Acquisition
from COVIDSelfSegLib.r231 import r231_lung_mask
from COVIDSelfSegLib.volume import read_scan

from .table import Table

_SECTION = "Speed and memory"


def measure_speed(table: Table, data: Path | None) -> None:
    """Fill in the speed section."""
    _perlin(table)
    _phantom(table)
    if data is not None:
        scan = data / "ct" / "covidctmd_P001.nii.gz"
        _lung_mask(table, scan)
        _r231(table, scan)
        _end_to_end(table, scan)


def _perlin(table: Table) -> None:
    scales = np.linspace(10, 29, 64)

    def ours() -> None:
        perlin(lattice_axes((128, 128), scales), octaves=10, persistence=0.42, repeat=140)

    seconds = _best(ours, 3)
    value, beside = f"{1000 * seconds:.1f} ms", "noise could not be built here"
    try:
        import noise
    except ImportError:
        pass
    else:
        arguments = {"octaves": 10, "persistence": 0.42, "lacunarity": 2.0, "base": 0}
        arguments |= {"repeatx": 140, "repeaty": 140}
        start = time.perf_counter()
        plane = np.empty((128, 128))
        for i in range(128):
            for j in range(128):
                plane[i][j] = noise.pnoise2(i / 17.3, j / 17.3, **arguments)
        theirs = 64 * (time.perf_counter() - start)
        value, beside = f"{value}, {theirs / seconds:.0f} x", f"noise in a loop {theirs:.2f} s"
    name = "Perlin, 64 slices of 128 x 128, 10 octaves"
    table.add(_SECTION, name, value, beside=beside, wanted=">= 100 x")


def _phantom(table: Table) -> None:
    start = time.perf_counter()
    make_phantom(1, 2, Acquisition(size=(512, 512, 200), slice_mm=1.6))
    seconds = time.perf_counter() - start
    table.add(_SECTION, "phantom 512 x 512 x 200", f"{seconds:.1f} s", wanted="< 60 s")


def _resliced(path: Path, slices: int) -> sitk.Image:
    """A scan with another number of slices over the same length."""
    scan = read_scan(path)
    spacing = scan.GetSpacing()
    target = sitk.Image((*scan.GetSize()[:2], slices), sitk.sitkInt16)
    target.SetSpacing((*spacing[:2], spacing[2] * scan.GetDepth() / slices))
    target.SetOrigin(scan.GetOrigin())
    target.SetDirection(scan.GetDirection())
    return sitk.Resample(scan, target, sitk.Transform(), sitk.sitkLinear, -1024)


def _lung_mask(table: Table, path: Path) -> None:
    scan = _resliced(path, 300)
    seconds = _best(lambda: find_lungs(scan, builtin=True), 3)
    name = "built-in lung mask, 512 x 512 x 300 (P001 resampled)"
    table.add(_SECTION, name, f"{seconds:.2f} s", wanted="< 3 s")


def _r231(table: Table, path: Path) -> None:
    """lungmask's network with random weights: its cost does not depend on them."""
    try:
        from lungmask import LMInferer
        from lungmask.mask import UNet
    except ImportError:
        return
    scan = _resliced(path, 300)[:, :, 130:170]
    torch.manual_seed(0)
    network = UNet(n_classes=3, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.pth"
        torch.save(network.state_dict(), weights)
        device = choose_device("cpu")
        seconds = _best(lambda: r231_lung_mask(scan, weights, device), 1)
        inferer = LMInferer(modelpath=str(weights), force_cpu=True, tqdm_disable=True)
        start = time.perf_counter()
        inferer.apply(scan)
        theirs = time.perf_counter() - start
    value, beside = f"{seconds:.1f} s, {theirs / seconds:.1f} x", f"lungmask's own call {theirs:.1f} s"
    table.add(_SECTION, "R231, 40 of 300 slices of P001, 1 mm apart", value, beside=beside, wanted=">= 4 x")


_MEASURED = """
import sys
from pathlib import Path
from COVIDSelfSegLib.cli import main
code = main(sys.argv[1:])
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
sys.exit(code)
"""
"""The command line, which then says its peak memory in kB; the system's own account of a child would include
the parent's memory at the time of the fork."""


def _end_to_end(table: Table, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _MEASURED, "segment", str(path), "--output", f"{folder}/out"]
        start = time.perf_counter()
        done = subprocess.run([*command, "--builtin-lungs", "--events"], stdout=subprocess.PIPE, check=True)
        seconds = time.perf_counter() - start
    gigabytes = int(done.stdout.split()[-1]) / 2**20
    table.add(_SECTION, "covidctmd_P001 from file to files", f"{seconds:.1f} s", wanted="<= 90 s")
    table.add(_SECTION, "the same, peak memory", f"{gigabytes:.2f} GB", wanted="<= 3 GB")


def _best(function: Callable[[], object], runs: int) -> float:
    """Shortest of several runs after a warm-up, in seconds."""
    function()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
