"""Speed of the panel on a 512 x 512 x 300 scan, in a process of its own: ``python -m Testing.bench.panel``.

Prints one JSON object, which :func:`measure_panel` adds to the table. The process is the stand-in's, without
torch, as Slicer's own is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_SECTION = "Panel, 512 x 512 x 300"
_SHAPE = (300, 512, 512)
_SPACING = (0.75, 0.75, 1.0)
_ROWS = (
    ("step_ms", "slider step while dragging", "ms", "<= 50 ms"),
    ("release_s", "release: lesion, surface, table", "s", "<= 2 s"),
    ("finish_s", "the results of a run into the scene", "s", "marked"),
    ("block_ms", "longest block of the panel while the worker runs", "ms", "<= 100 ms"),
    ("cancel_s", "cancel, slowest of the stages", "s", "< 2 s"),
)


class Stopwatch:
    """Time on the clock and time that the process worked; on a busy machine they differ."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self.wall = self.cpu = 0.0

    def stop(self) -> Stopwatch:
        """Note both, in seconds."""
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return self


def measure_panel(table: Any) -> None:
    """Fill in the panel section."""
    paths = (ROOT / "Testing", ROOT, ROOT / "COVIDSelfSeg", ROOT / "COVIDSelfSegTraining")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-m", "Testing.bench.panel"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        table.add(_SECTION, "not measured", done.stderr.strip().splitlines()[-1])
        return
    values = json.loads(done.stdout.splitlines()[-1])
    for key, name, unit, wanted in _ROWS:
        value = f"{values[key]:.0f} {unit}" if unit == "ms" else f"{values[key]:.2f} {unit}"
        table.add(_SECTION, name, value, beside=values.get(f"{key}_beside", ""), wanted=wanted)


def _main() -> None:
    from host import bootstrap

    application = bootstrap.start()
    from host import user

    folder = Path(tempfile.mkdtemp(prefix="covidselfseg-bench-"))
    subprocess.run([sys.executable, "-m", "Testing.make_samples", "model", str(folder)], check=True, cwd=ROOT)
    os.environ["COVIDSELFSEG_MODELS"] = str(folder)
    application.moduleManager().load_folder(ROOT / "COVIDSelfSeg")
    panel = _open(application)
    ct = _large_ct()
    user.wait_until(lambda: panel.ui.segmentButton.enabled, seconds=120)
    values = {}
    for measure in (_slider, _run, cancel):
        values |= measure(panel, ct)
        sys.stderr.write(f"{values}\n")
    sys.stdout.write(json.dumps(values) + "\n")


def _open(application: Any) -> Any:
    import slicer
    from host.application.main_window import qSlicerMainWindow

    window = qSlicerMainWindow(application.moduleManager(), application.layoutManager().viewport())
    window.resize(1400, 900)
    window.show()
    slicer.util.selectModule("COVIDSelfSeg")
    panel = slicer.modules.covidselfseg.widgetRepresentation().self()
    panel.window = window  # kept as long as the panel
    return panel


def _large_ct() -> Any:
    """A body with two lungs that the built-in lung mask takes for a chest."""
    import numpy as np
    import slicer

    z, y, x = np.ogrid[:300, :512, :512]
    hu = np.full(_SHAPE, -1000, np.int16)
    hu[np.broadcast_to(((x - 256) / 230) ** 2 + ((y - 256) / 170) ** 2 < 1, _SHAPE)] = 40
    rng = np.random.default_rng(0)
    for middle in (150, 362):
        inside = ((x - middle) / 85) ** 2 + ((y - 256) / 120) ** 2 + ((z - 150) / 135) ** 2 < 1
        hu[inside] = -850
    hu += rng.integers(-20, 20, _SHAPE, dtype=np.int16)
    node = slicer.util.addVolumeFromArray(hu, name="large")
    node.SetSpacing(*_SPACING)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def _slider(panel: Any, ct: Any) -> dict[str, Any]:
    """Results as a run gives them, with lesions of a tenth of the lung, then dragging and releasing."""
    import numpy as np
    import slicer
    from COVIDSelfSegSlicer import results
    from COVIDSelfSegSlicer.runFiles import RunFiles
    from host import user
    from scipy import ndimage

    hu = slicer.util.arrayFromVolume(ct)
    lungs = np.where(hu < -700, 1, 0).astype(np.uint8)
    lungs[:, :, 256:] *= 2
    lungs[:, :90] = lungs[:, 430:] = 0
    # Smooth patches, as lesions are; a tenth of the lung lies above one half.
    noise = np.random.default_rng(1).normal(size=(20, 34, 34))
    patches = ndimage.zoom(ndimage.gaussian_filter(noise, 1.2), (15.0, 15.06, 15.06), order=1)
    patches = (patches - patches.mean()) / patches.std()
    shares = 1 / (1 + np.exp(-3 * (patches.astype(np.float32)[:300, :512, :512] - 1)))
    probability = np.where(lungs > 0, 255 * shares, 0).astype(np.uint8)
    mask = (probability >= 128).astype(np.uint8)
    side = {"volume_ml": 2500.0, "infected_ml": 100.0, "infected_share": 0.04, "lesion_hu": -500.0}
    counts = [np.bincount(probability[lungs == label], minlength=256).tolist() for label in (1, 2)]
    report = {
        "numbers": {"right": side, "left": side, "both": side, "severity": "CT-1"},
        "threshold": 0.5,
        "least_lesion_ml": 0.05,
        "threshold_curve": {"right": counts[0], "left": counts[1], "voxel_ml": 0.0005625},
        "findings": [],
        "lung_mask": {"source": "given", "sha256": ""},
        "model": {"name": "bench", "calibrated_threshold": 0.5},
        "device": "none",
    }
    files = RunFiles(lungs, hu.copy(), np.zeros_like(hu), probability, mask, report)
    finish = Stopwatch()
    results.setResults(ct, files)
    finish.stop()
    user.wait_until(lambda: panel.ui.thresholdSlider.enabled)
    user.press(panel.ui.overlayButton)
    slicer.util.forceRenderAllViews()
    steps, drawings = [], []
    user.hold(panel.ui.thresholdSlider, 0.5)
    for value in (0.49, 0.48, 0.47, 0.46, 0.45):
        user.let_run(0.2)  # what is left to draw
        step = Stopwatch()
        user.hold(panel.ui.thresholdSlider, value)
        steps.append(step.stop())
        drawn = Stopwatch()
        slicer.util.forceRenderAllViews()
        drawings.append(drawn.stop())
    before = _lesion_voxels(ct)
    release = Stopwatch()
    user.inner_slider(panel.ui.thresholdSlider).setSliderDown(False)
    release.stop()
    if _lesion_voxels(ct) <= before:
        raise RuntimeError("letting go of the slider did not write the larger lesion")
    step, drawn = (sorted(some, key=lambda one: one.wall)[len(some) // 2] for some in (steps, drawings))
    return {
        "step_ms": 1000 * step.wall,
        "step_ms_beside": f"and {1000 * drawn.wall:.0f} ms to draw four views in software",
        "release_s": release.wall,
        "release_s_beside": f"{release.cpu:.2f} s of CPU",
        "finish_s": finish.wall,
        "finish_s_beside": f"{finish.cpu:.2f} s of CPU",
    }


def _lesion_voxels(ct: Any) -> int:
    import slicer
    from COVIDSelfSegSlicer import lesionSegments, resultNodes

    segmentation = resultNodes.findNode(ct, resultNodes.SEGMENTATION)
    return int(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, lesionSegments.LESION, ct).sum())


def _run(panel: Any, _ct: Any) -> dict[str, float]:
    """The longest time for which a timer of the event loop waits while the worker runs."""
    from host import user

    poll = panel.logic.poll
    longest = 0.0

    def timed() -> None:
        nonlocal longest
        start = time.perf_counter()
        poll()
        longest = max(longest, time.perf_counter() - start)

    panel.logic.poll = timed
    stages = _Stages(panel)
    user.let_run(0.5)  # what is left to draw
    start = time.perf_counter()
    user.press(panel.ui.segmentButton)
    press = time.perf_counter() - start
    try:
        user.wait_until(lambda: not {"synthesis", "segmentation"}.isdisjoint(stages.told), seconds=300)
    finally:
        panel.logic.poll = poll
        stages.stop()
    panel.ui.segmentButton.click()
    user.wait_until(lambda: not panel.logic.isRunning, seconds=30)
    return {"block_ms": 1000 * max(longest, press)}


def cancel(
    panel: Any, _ct: Any, at: Sequence[str] = ("export", "read", "lungs", "synthesis")
) -> dict[str, float]:
    """The time from pressing *Cancel* to the end of the run, at the slowest of some stages."""
    from host import user

    slowest = 0.0
    for stage in at:
        user.wait_until(lambda: panel.ui.segmentButton.enabled, seconds=30)
        stages = _Stages(panel)
        user.press(panel.ui.segmentButton)
        user.wait_until(lambda stage=stage, told=stages.told: stage in told, seconds=300)
        stages.stop()
        start = time.perf_counter()
        user.press(panel.ui.segmentButton)
        user.wait_until(lambda: not panel.logic.isRunning, seconds=30)
        slowest = max(slowest, time.perf_counter() - start)
    return {"cancel_s": slowest}


class _Stages:
    """The stages that the panel is told of until :meth:`stop`, in ``told``."""

    def __init__(self, panel: Any) -> None:
        self.told: set[str] = set()
        self._section, self._show = panel.runSection, panel.runSection.showProgress
        self._section.showProgress = self._remember

    def stop(self) -> None:
        """Tell the panel alone again."""
        self._section.showProgress = self._show

    def _remember(self, progress: Any) -> None:
        self.told.add(progress.stage)
        self._show(progress)


if __name__ == "__main__":
    _main()
