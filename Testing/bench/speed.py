"""How long things take and how much memory they need, beside what one would otherwise use."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.devices import Device, choose_device
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.lung_masks.r231 import r231_lung_mask
from COVIDSelfSegLib.lungs import find_lungs
from COVIDSelfSegLib.models import find_package
from COVIDSelfSegLib.networks.generator import draw_latent
from COVIDSelfSegLib.perlin import lattice_axes, perlin
from COVIDSelfSegLib.phantom import make_phantom
from COVIDSelfSegLib.phantom_parts.scanner import Acquisition
from COVIDSelfSegLib.pipeline import StageClock, find_lesions
from COVIDSelfSegLib.quantification import dice, measure
from COVIDSelfSegLib.segmentation import STEP_MM, lesion_mask
from COVIDSelfSegLib.volume import array_view, read_scan
from skimage import transform

from .stages import resliced
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
        _beside_others(table, scan)
        _precision(table, scan)
        _thin_slices(table, scan)
    _compiled(table)
    _onnx_runtime(table)


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
    table.add(_SECTION, name, value, beside=beside, wanted=">= 200 x")


def _phantom(table: Table) -> None:
    start = time.perf_counter()
    make_phantom(1, 2, Acquisition(size=(512, 512, 200), slice_mm=1.6))
    seconds = time.perf_counter() - start
    table.add(_SECTION, "phantom 512 x 512 x 200", f"{seconds:.1f} s", wanted="< 60 s")


def _lung_mask(table: Table, path: Path) -> None:
    scan = resliced(path, 300)
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
    whole = resliced(path, 300)
    scan = whole[:, :, 130:170]
    torch.manual_seed(0)
    network = UNet(n_classes=3, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.pth"
        torch.save(network.state_dict(), weights)
        device = choose_device("cpu")
        seconds = _best(lambda: r231_lung_mask(scan, weights, device), 1)
        start = time.perf_counter()
        r231_lung_mask(whole, weights, device)
        of_whole = time.perf_counter() - start
        inferer = LMInferer(modelpath=str(weights), force_cpu=True, tqdm_disable=True)
        start = time.perf_counter()
        inferer.apply(scan)
        theirs = time.perf_counter() - start
    value, beside = f"{seconds:.1f} s, {theirs / seconds:.1f} x", f"lungmask's own call {theirs:.1f} s"
    table.add(_SECTION, "R231, 40 of 300 slices of P001, 1 mm apart", value, beside=beside, wanted=">= 4 x")
    name = "R231, all 300; with the rest of a run (stages)"
    table.add(_SECTION, name, f"{of_whole:.1f} s", wanted="<= 90 s")


def _beside_others(table: Table, path: Path) -> None:
    """The same work by what a user would otherwise take."""
    device, package = choose_device(), find_package()
    scan = resliced(path, 300)
    shape = package.card.inference.generator_grid
    generator = package.generator()
    volume = torch.rand(1, 2 if generator.lung_channel else 1, *shape)
    latent = draw_latent(volume)
    with torch.inference_mode():
        plain = _best(lambda: generator(volume, latent), 3)
        placed = device.place(generator)
        fast = volume.to(device.handle).contiguous(memory_format=torch.channels_last_3d)
        latent = latent.to(device.handle)
        with device.autocast():
            ours = _best(lambda: placed(fast, latent).volume.sum().item(), 3)
    _ratio(table, "generator, one volume", ours, plain, "contiguous, float32, CPU")

    frame = LungFrame.whole_scan(scan, 2.5)
    hu = array_view(scan)[::4].astype(np.float32)
    ours = _best(lambda: frame.to_network(scan), 2)
    start = time.perf_counter()
    transform.resize(hu, (len(hu), *frame.shape[1:]), order=5, anti_aliasing=True)
    theirs = 4 * (time.perf_counter() - start)
    _ratio(table, "512 x 512 x 300 to 2.5 mm", ours, theirs, "skimage order 5, every 4th slice, x 4")

    lungs = find_lungs(scan, builtin=True).image
    lesions = sitk.Cast(sitk.And(scan > -600, lungs > 0), sitk.sitkUInt8)
    ours = _best(lambda: measure(scan, lungs, lesions), 2)

    def statistics() -> None:
        of = sitk.LabelStatisticsImageFilter()
        of.Execute(scan, lesions * lungs)

    _ratio(table, "volumes and densities", ours, _best(statistics, 1), "SimpleITK label statistics")


def _precision(table: Table, path: Path) -> None:
    """The 2D network in the device's own precision and in float32, and how far their lesions agree."""
    device = choose_device()
    runs = ((device, STEP_MM), (replace(device, precision=torch.float32), STEP_MM))
    _agreement(table, "2D network, P001", read_scan(path), runs, "float32")


def _thin_slices(table: Table, path: Path) -> None:
    """The 2D network on some and on all slices of a thin-slice scan, and how far their lesions agree."""
    device = choose_device()
    for slices in (300, 700):
        name = f"2D network, {slices} slices of P001, as many as it looks at"
        _agreement(table, name, resliced(path, slices), ((device, STEP_MM), (device, 0.0)), "every slice")


def _agreement(
    table: Table, name: str, scan: sitk.Image, runs: tuple[tuple[Device, float], ...], other: str
) -> None:
    """Two runs of the 2D network (device and ``step_mm``) beside each other."""
    package = find_package()
    inference = package.card.inference
    lungs = find_lungs(scan, builtin=True)
    masks, seconds = [], []
    for device, step_mm in runs:
        start = time.perf_counter()
        probability, _ = find_lesions(scan, lungs, package, device, StageClock(), step_mm=step_mm)
        seconds.append(time.perf_counter() - start)
        mask = lesion_mask(probability, inference.threshold, inference.least_lesion_ml)
        masks.append(array_view(mask) > 0)
    value = f"{seconds[0]:.1f} s, Dice {dice(*masks):.4f}"
    table.add(_SECTION, name, value, beside=f"{other} {seconds[1]:.1f} s", wanted=">= 0.995")


def _compiled(table: Table) -> None:
    """``torch.compile``, which needs a C++ compiler on a CPU; runs do without it."""
    device, package = choose_device(), find_package()
    network = device.place(package.segmenter())
    slices = torch.rand(8, 4, *package.card.inference.slice_plane, device=device.handle)
    slices = slices.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), device.autocast():
        plain = _best(lambda: network(slices).sum().item(), 5)
        compiled = torch.compile(network)
        start = time.perf_counter()
        try:
            compiled(slices)
        except RuntimeError as error:
            print(f"torch.compile does not work here: {error}"[:200])
            return
        waited = time.perf_counter() - start
        seconds = _best(lambda: compiled(slices).sum().item(), 5)
    value = f"{1000 * seconds:.0f} ms after {waited:.0f} s of compiling"
    table.add(_SECTION, "2D network, 8 slices, compiled", value, beside=f"as it is {1000 * plain:.0f} ms")


def _onnx_runtime(table: Table) -> None:
    """ONNX Runtime where ``onnxruntime`` and ``onnxscript`` are installed; runs do without it."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (the exporter's)
    except ImportError:
        return
    device, package = choose_device("cpu"), find_package()
    network = package.segmenter()
    slices = torch.rand(8, 4, *package.card.inference.slice_plane)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        torch.onnx.export(network, (slices,), str(file), dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: slices.numpy()}
        theirs = _best(lambda: session.run(None, feed), 5)
    placed = device.place(network)
    slices = slices.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        plain = _best(lambda: placed(slices).sum().item(), 5)
        with device.autocast():
            ours = _best(lambda: placed(slices).sum().item(), 5)
    beside = f"ONNX Runtime {1000 * theirs:.0f} ms, here in float32 {1000 * plain:.0f} ms"
    table.add(_SECTION, "2D network, 8 slices, on the CPU", f"{1000 * ours:.0f} ms", beside=beside)


def _ratio(table: Table, name: str, ours: float, theirs: float, what: str) -> None:
    value = f"{1000 * ours:.0f} ms, {theirs / ours:.1f} x"
    table.add(_SECTION, name, value, beside=f"{what} {1000 * theirs:.0f} ms")


def _best(function: Callable[[], object], runs: int) -> float:
    """Shortest of several runs after a warm-up, in seconds."""
    function()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
