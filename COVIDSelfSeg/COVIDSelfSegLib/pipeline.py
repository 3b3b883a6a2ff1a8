"""The whole run, stage by stage: read, check, lungs, pseudo-healthy, lesions, numbers, files, picture."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import SimpleITK as sitk
import torch

from . import __version__, results
from .cancelling import end_if_asked
from .devices import Device, choose_device
from .doctor import examine, mend
from .events import Progress
from .file_errors import writing_to
from .findings.finding import Finding, warning
from .lung_masks.sides import are_told_apart
from .lungs import GIVEN, WITHOUT_NETWORK, LungMask, find_lungs
from .memory import fitting_into_memory, is_out_of_memory, not_enough_memory
from .models import DEFAULT_PACKAGE, ModelPackage, find_package
from .partial_volume import without_partial_volume
from .picture import draw_overview
from .quantification import Numbers, measure, threshold_curve
from .scan_files.dicom import described
from .segmentation import (
    STEP_MM,
    Calibration,
    LungSlices,
    lesion_mask,
    predict_logits,
    probability_image,
    smooth_along_z,
)
from .synthesis import Heatmap, Synthesis, heatmap, synthesise
from .volume import read_scan, write_image

log = logging.getLogger(__name__)

T = TypeVar("T")

_CPU_BATCH, _GPU_BATCH = 4, 64
"""Slices at a time to begin with. On a CPU the memory of larger batches is returned to the system and asked
for again at each layer."""

_STAGES = (
    ("read", 0.06, "Reading the scan"),
    ("check", 0.05, "Checking that it is a chest CT in HU"),
    ("lungs", 0.15, "Finding the lungs"),
    ("synthesis", 0.14, "Painting the lungs healthy"),
    ("segmentation", 0.36, "Finding lesions"),
    ("measure", 0.06, "Measuring"),
    ("write", 0.12, "Writing the results"),
    ("picture", 0.06, "Drawing the overview"),
)
"""Name, share of the time of a typical run on a CPU, what it does."""


@dataclass(frozen=True)
class Options:
    """What a user may choose.

    Attributes:
        series_id: DICOM series to take where a folder holds several.
        model: name or path of a model package.
        threshold: lesion probability 0 .. 1; None takes the model's calibrated one.
        lung_mask: file with a lung mask to use as it is.
        lung_model: R231 weights for lungmask.
        builtin_lungs: do not use lungmask even where it could be.
        plain_lungmask: run lungmask on every slice in float32, as it does itself.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    series_id: str | None = None
    model: str = DEFAULT_PACKAGE
    threshold: float | None = None
    lung_mask: Path | None = None
    lung_model: Path | None = None
    builtin_lungs: bool = False
    plain_lungmask: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Run:
    """Everything a run made, on the scan's own grid where nothing else is said.

    Attributes:
        scan: HU as it was read.
        lungs: the lung mask and its source.
        synthesis: what the generator made, on its own grid.
        heatmap: pseudo-healthy volume, HU above it, uncertainty.
        probability: uint8, 0 .. 255.
        lesions: uint8, 0 or 1.
        numbers: volumes and shares.
        report: all that ``report.json`` says.
    """

    scan: sitk.Image
    lungs: LungMask
    synthesis: Synthesis
    heatmap: Heatmap
    probability: sitk.Image
    lesions: sitk.Image
    numbers: Numbers
    report: dict[str, Any]


class StageClock:
    """Reports a run's progress as one rising fraction, and keeps the time that each stage took."""

    def __init__(self, progress: Progress = lambda _stage, _fraction, _message: None) -> None:
        self._progress = progress
        self._begun = 0.0
        self._share = 0.0
        self._name = self._message = ""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what runs inside as this stage, in progress and in time."""
        names = [stage[0] for stage in _STAGES]
        place = names.index(name)
        self._begun = sum(share for _, share, _ in _STAGES[:place])
        self._name, self._share, self._message = _STAGES[place]
        self.within(0.0)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)
        self.within(1.0)

    def within(self, fraction: float) -> None:
        """Progress inside the present stage, 0 .. 1.

        Raises:
            Cancelled: the user has asked to end.
        """
        end_if_asked()
        self._progress(self._name, self._begun + self._share * fraction, self._message)


def segment_file(scan_path: Path, output: Path, options: Options, progress: Progress) -> dict[str, Any]:
    """Segment a scan file or DICOM folder and write all results to ``output``.

    Returns:
        What ``report.json`` says.

    Raises:
        UserError: refused input (2), unusable model (3), not enough memory (4), unwritable output (5).
    """
    clock = StageClock(progress)
    for given in (scan_path, options.lung_mask):
        if given is not None:
            results.check_stays(given, output)
    with fitting_into_memory(), results.results_folder(output) as folder:
        package = find_package(options.model)
        with clock.stage("read"):
            scan = read_scan(scan_path, options.series_id)
        run = segment(scan, package, options, clock)
        return write_results(run, folder, {"scan": str(scan_path), **described(scan)}, clock)


def write_results(
    run: Run, folder: Path, about: dict[str, Any], clock: StageClock | None = None
) -> dict[str, Any]:
    """Write all files of a run into a folder; ``about`` is put before the report, which is returned."""
    clock = clock or StageClock()
    with clock.stage("write"):
        for name, image in _images(run).items():
            write_image(image, folder / name)
    with clock.stage("picture"):
        overview = draw_overview(run.scan, run.lungs.image, run.heatmap, run.lesions, run.numbers)
        with writing_to(folder):
            overview.save(folder / results.OVERVIEW)
    report = about | run.report | {"seconds": clock.seconds}
    with writing_to(folder):
        (folder / results.REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
    return report


def segment(
    scan: sitk.Image,
    package: ModelPackage,
    options: Options,
    clock: StageClock | None = None,
    *,
    lungs: LungMask | None = None,
) -> Run:
    """Segment a scan in memory; see :func:`segment_file` for the errors.

    ``lungs`` are those of an earlier run on this scan, with the same options; no network finds them again.
    """
    clock = clock or StageClock()
    with clock.stage("check"):
        examination = examine(scan, lungs_given=options.lung_mask is not None)
        examination.refuse()
        mended = mend(scan, examination)
    device = choose_device(options.device)
    log.info("Plan: model %s on %s", package.card.name, device)
    with clock.stage("lungs"):
        # A mask of the user's own lies on the grid of the scan as it was read.
        lungs = lungs or _find_lungs(mended if options.lung_mask is None else scan, options, device)
        lungs.image.CopyInformation(mended)
    with clock.stage("synthesis"):
        synthesis = _synthesise(mended, lungs, package, device, clock)
        made = heatmap(synthesis, mended, lungs.image, package.card.inference.residual_hu)
    with clock.stage("segmentation"):
        probability, device = find_lesions(mended, lungs, package, device, clock)
    with clock.stage("measure"):
        inference = package.card.inference
        threshold = inference.threshold if options.threshold is None else options.threshold
        lesions = lesion_mask(probability, threshold, inference.least_lesion_ml)
        for image in (lungs.image, made.pseudo_healthy, made.excess, made.uncertainty, probability, lesions):
            image.CopyInformation(scan)
        numbers = measure(scan, lungs.image, lesions)
    report = {
        "size": scan.GetSize(),
        "spacing_mm": scan.GetSpacing(),
        "numbers": numbers.to_dict(),
        "threshold": threshold,
        "least_lesion_ml": inference.least_lesion_ml,
        "threshold_curve": threshold_curve(probability, lungs.image).to_report(),
        "findings": [asdict(finding) for finding in (*examination.findings, *_findings_of(lungs))],
        "lung_mask": {"source": lungs.source, "sha256": lungs.sha256},
        "model": _describe(package),
        "device": str(device),
        "versions": {"covidselfseg": __version__, "torch": torch.__version__, "SimpleITK": sitk.__version__},
        "notice": "For research use only. Not a medical device.",
    }
    return Run(scan, lungs, synthesis, made, probability, lesions, numbers, report)


def _findings_of(lungs: LungMask) -> Iterator[Finding]:
    if lungs.source == WITHOUT_NETWORK:
        yield warning(
            "The lungs were found without the network for dense lung, which is missing or damaged.",
            "Consolidated lung may have fallen out of the mask, and what lies outside it is never found.",
            "Install COVIDSelfSeg again. A file lungs/covidselfseg-lungs.safetensors in a model folder of "
            "your own takes precedence over the one that comes with the program.",
        )

    if lungs.source == GIVEN and not are_told_apart(lungs.image):
        yield warning(
            "What the lung mask labels right does not lie right of what it labels left.",
            "The numbers of each lung may be of the other one, or of something else that has a label.",
            "Label the right lung 1 and the left one 2; the patient's right is where the liver is.",
        )


def _find_lungs(scan: sitk.Image, options: Options, device: Device) -> LungMask:
    def work(on: Device, _: int) -> LungMask:
        return find_lungs(
            scan,
            mask_file=options.lung_mask,
            weights=options.lung_model,
            builtin=options.builtin_lungs,
            plain=options.plain_lungmask,
            device=on,
        )

    return _where_it_fits(work, device, 1)[0]


def _synthesise(
    scan: sitk.Image, lungs: LungMask, package: ModelPackage, device: Device, clock: StageClock
) -> Synthesis:
    inference = package.card.inference
    generator = package.generator()

    def work(on: Device, _: int) -> Synthesis:
        return synthesise(
            on.place(generator),
            scan,
            lungs.image,
            shape=inference.generator_grid,
            margin_mm=inference.margin_mm,
            draws=inference.latent_draws,
            device=on,
            progress=lambda fraction: clock.within(0.7 * fraction),
        )

    return _where_it_fits(work, device, 1)[0]


def find_lesions(
    scan: sitk.Image,
    lungs: LungMask,
    package: ModelPackage,
    device: Device,
    clock: StageClock,
    *,
    step_mm: float = STEP_MM,
) -> tuple[sitk.Image, Device]:
    """Lesion probability (uint8, 0 .. 255, on the scan's grid), and the device that it ran on in the end.

    ``step_mm`` is as in :func:`.segmentation.predict_logits`.

    Raises:
        UserError: it does not fit into memory (exit code 4).
    """
    inference = package.card.inference
    segmenter = package.segmenter()
    slices = LungSlices.of_scan(
        scan,
        lungs.image,
        plane=inference.slice_plane,
        margin_mm=inference.margin_mm,
        neighbour_mm=inference.neighbour_mm,
        taller=True,
    )

    def work(on: Device, batch: int) -> sitk.Image:
        logits = predict_logits(
            on.place(segmenter),
            slices,
            batch=batch,
            device=on,
            progress=clock.within,
            mirrored=inference.mirrored,
            step_mm=step_mm,
        )
        logits = without_partial_volume(smooth_along_z(logits, slices), slices)
        calibration = Calibration.of(inference)
        return probability_image(logits, slices, calibration, lungs.image, inference.threshold_kind)

    return _where_it_fits(work, device, _GPU_BATCH if device.handle.type == "cuda" else _CPU_BATCH)


def _where_it_fits(work: Callable[[Device, int], T], device: Device, batch: int) -> tuple[T, Device]:
    """Run with smaller batches, then on the CPU, until it fits into memory.

    Raises:
        UserError: it does not fit at all (exit code 4).
    """
    while True:
        try:
            return work(device, batch), device
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("%s ran out of memory at batch %d", device, batch)
            if batch > 1:
                batch //= 2
            elif device.handle.type == "cuda":
                device, batch = choose_device("cpu"), _CPU_BATCH
            else:
                raise not_enough_memory("Smaller batches and the CPU were tried already.") from error


def _images(run: Run) -> dict[str, sitk.Image]:
    return {
        results.LUNGS: run.lungs.image,
        results.PSEUDO_HEALTHY: run.heatmap.pseudo_healthy,
        results.HEATMAP: run.heatmap.excess,
        results.UNCERTAINTY: run.heatmap.uncertainty,
        results.PROBABILITY: run.probability,
        results.LESIONS: results.lesion_segmentation(run.lesions),
    }


def _describe(package: ModelPackage) -> dict[str, Any]:
    inference = package.card.inference
    return {
        "name": package.card.name,
        "sha256": package.sha256,
        "inference_sha256": inference.sha256,
        "calibrated_threshold": inference.threshold,
    }
