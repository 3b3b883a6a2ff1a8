"""The three phases in order: GAN, pseudo-masks, 2D network; ends with a model package."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from COVIDSelfSegLib import __version__
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_errors import writing_to
from COVIDSelfSegLib.models import ModelPackage, open_package, write_package
from COVIDSelfSegLib.networks.generator import VolumeGenerator
from COVIDSelfSegLib.package_card import Inference, ModelCard, TrainingScan

from .cohorts.card_names import card_name
from .cohorts.cohort import CohortScan, check_grids
from .gan import GanTrainer, generator_architecture
from .mask_files import StoredMask, make_pseudo_masks
from .preset_checks import check_preset
from .presets import Preset
from .pseudo_masks import residual_hu
from .samples import gan_picture, segmenter_picture
from .segmenter import SegmenterTrainer, segmenter_architecture
from .slice_selection import most_infected
from .starting import check_start, learned_from, start_generator, start_segmenter
from .training_run.checkpoint import checkpoint_of, remove_leftovers
from .training_run.collapse import CollapseWatch
from .training_run.curves import PAGE, State, write_page
from .training_run.distributed import joined, rank, rank_of_launcher, size, size_of_launcher, wait_for_all
from .training_run.one_at_a_time import alone_in
from .training_run.phase_run import PhaseRun, Report, Running, disk_error
from .training_run.resuming import check_resumable, recipe_of

log = logging.getLogger(__name__)

PHASES = ("gan", "segmenter")
_MASKS = "pseudo_masks"


@dataclass(frozen=True)
class Outcome:
    """A finished training."""

    package: ModelPackage
    folder: Path

    @property
    def page(self) -> Path:
        """Its curves and sample pictures."""
        return self.folder / PAGE


def train(
    preset: Preset,
    scans: list[CohortScan],
    folder: Path,
    device: Device,
    *,
    command: str,
    report: Report,
    running: Running | None = None,
    start: ModelPackage | None = None,
) -> Outcome:
    """Train both networks and write their package; continues from checkpoints in the output folder.

    Under ``torchrun`` every process calls this; they train as one, and the first of them writes.

    Args:
        preset: the training.
        scans: the cohort.
        folder: for checkpoints, log, page and package; several machines must share it.
        device: where to train.
        command: what the user typed, for the model card.
        report: see :data:`.training_run.phase_run.Report`.
        running: how often what is written, and how the networks are run.
        start: package whose weights to start from; a phase without iterations keeps them as they are.

    Raises:
        UserError: the preset, the cohort or the package to start from cannot work, there are more processes
            than rows in a batch, another training runs in the folder, a checkpoint is of another training, a
            loss is no number, or the disk is full.
    """
    check_preset(preset, f"The preset '{preset.name}'")
    check_start(preset, start)
    check_cohort(scans, preset)
    _check_processes(preset, size_of_launcher())
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        # Before the processes join, or else the others would wait for one that is refused.
        with alone_in(folder) if rank_of_launcher() == 0 else nullcontext(), joined(device) as mine:
            log.setLevel(logging.INFO if rank() == 0 else logging.WARNING)
            return _Training(
                preset, scans, folder, mine, report=report, running=running or Running(), start=start
            ).run(command)
    except OSError as error:
        refusal = disk_error(folder, error)
        if refusal is None:
            raise
        raise refusal from error


def check_cohort(scans: list[CohortScan], preset: Preset) -> None:
    """Refuse a cohort that this preset cannot be trained on.

    Raises:
        UserError: no scan, none of one group, or cut into other grids.
    """
    for group in ("healthy", "diseased"):
        if not any(scan.source.group == group for scan in scans):
            raise UserError(
                f"The cohort has no {group} scan to train on.",
                why="The generator learns from healthy scans what healthy lung looks like, and from "
                "diseased ones what to change.",
                fix=f"Prepare a cohort with {group} scans too. Where it has some and holds all of them out, "
                "prepare it again with another --held-out or --split-seed.",
            )
    check_grids(
        scans,
        preset.inference,
        f"the preset '{preset.name}'",
        fix="Prepare a cohort for this preset in a folder of its own ('covidselfseg prepare --preset NAME'), "
        "or set the preset's generator_grid and slice_plane to the cohort's.",
    )


def _check_processes(preset: Preset, processes: int) -> None:
    """Refuse processes that would have no row of a batch to work on."""
    gan, phase = preset.gan, preset.segmenter
    slices = phase.painted + phase.clean + phase.high + phase.low
    most, option = slices, "segmenter.painted"
    if gan.iterations > 0 and gan.batch // 2 < slices:  # half of a batch is healthy, half diseased
        most, option = gan.batch // 2, "gan.batch"
    if processes > most:
        raise UserError(
            f"{processes} processes cannot share a batch of the preset '{preset.name}': at most {most} can.",
            why="Every process works on its rows of one joint batch, healthy and diseased ones.",
            fix=f"Give torchrun --nproc-per-node={most}, or a preset file with a larger {option}.",
        )


class _Training:
    """What the phases share."""

    def __init__(
        self,
        preset: Preset,
        scans: list[CohortScan],
        folder: Path,
        device: Device,
        *,
        report: Report,
        running: Running,
        start: ModelPackage | None,
    ) -> None:
        self.preset, self.scans, self.folder, self.device = preset, scans, folder, device
        self.report, self.running, self.start = report, running, start
        self.healthy = [scan for scan in scans if scan.source.group == "healthy"]
        self.diseased = [scan for scan in scans if scan.source.group == "diseased"]
        self.recipe = recipe_of(preset, scans, start)

    def run(self, command: str) -> Outcome:
        """All phases; continues from what is there already."""
        preset, running = self.preset, self.running
        for phase in PHASES:
            if checkpoint_of(self.folder, phase).is_file():
                check_resumable(checkpoint_of(self.folder, phase), phase, preset, self.recipe)
        if rank() == 0:
            remove_leftovers(self.folder)
        gan = GanTrainer(preset, self.healthy, self.diseased, self.device, compiled=running.compiled)
        if self.start is not None:
            start_generator(gan, self.start)
        PhaseRun(
            "gan",
            gan,
            preset.gan.iterations,
            self.folder,
            self.recipe,
            running,
            self.report,
            draw=lambda: gan_picture(gan.average, self.healthy[0], self.diseased[0], self.device),
            show=lambda done, seconds: self._show("gan", done, preset.gan.iterations, seconds),
            watch=CollapseWatch(),
        ).run()
        generator = gan.average
        residual, masks = self._pseudo_masks(generator)
        pairs = list(zip(self.diseased, masks, strict=True))
        segmenter = SegmenterTrainer(preset, self.healthy, pairs, self.device, compiled=running.compiled)
        if self.start is not None:
            start_segmenter(segmenter, self.start)
        for name, slices in (("highly", segmenter.batches.high), ("little", segmenter.batches.low)):
            names = {one.scan.source.name for one in slices}
            log.info("%d slices of %d diseased scans are %s infected", len(slices), len(names), name)
        shown = most_infected(*pairs[0])
        steps = preset.segmenter.iterations
        PhaseRun(
            "segmenter",
            segmenter,
            steps,
            self.folder,
            self.recipe,
            running,
            self.report,
            draw=lambda: segmenter_picture(segmenter.average, shown, self.device),
            show=lambda done, seconds: self._show("segmenter", done, steps, seconds),
        ).run()
        return self._finish(generator, segmenter, residual, command)

    def _pseudo_masks(self, generator: VolumeGenerator) -> tuple[float, list[StoredMask]]:
        phase = self.preset.pseudo_mask
        residual = residual_hu(generator, self.healthy, phase.draws, self.device)
        log.info("The generator leaves %.0f HU on healthy lung", residual)
        residual = residual if phase.subtract_residual else 0.0
        masks = make_pseudo_masks(
            generator,
            self.diseased,
            residual,
            phase,
            self.device,
            folder=self.folder / _MASKS,
            progress=lambda done, of: self.report("masks", done, of, {}) if rank() == 0 else None,
        )
        return residual, masks

    def _finish(
        self, generator: VolumeGenerator, segmenter: SegmenterTrainer, residual: float, command: str
    ) -> Outcome:
        path = self.folder / f"covidselfseg-{self.preset.name}.safetensors"
        if rank() == 0:
            marked = self.preset.segmenter.augmentation == "scanner"
            inference = replace(segmenter.calibrated(), residual_hu=round(residual, 1), marked=marked)
            card = _card(self.preset, self.scans, inference, command, self.start)
            write_package(path, card, generator.state_dict(), segmenter.average.state_dict())
            self._show("segmenter", segmenter.iteration, segmenter.iteration, 0.0, finished=True)
        wait_for_all()
        return Outcome(open_package(path), self.folder)

    def _show(
        self, phase: str, done: int, iterations: int, seconds: float, *, finished: bool = False
    ) -> None:
        left = (iterations - done) * seconds / 60
        message = f"{phase}: step {done} of {iterations}, {left:.0f} min left in this phase"
        facts = [
            ("preset", f"{self.preset.name}, seed {self.preset.seed}"),
            ("cohort", f"{len(self.healthy)} healthy and {len(self.diseased)} diseased scans"),
            ("device", f"{size()} x {self.device}"),
            ("code", __version__),
        ]
        title = f"Training of covidselfseg-{self.preset.name}"
        fraction = done / iterations
        write_page(
            self.folder,
            State(title, facts, fraction, "Finished." if finished else message, finished),
        )


def _card(
    preset: Preset,
    scans: list[CohortScan],
    inference: Inference,
    command: str,
    start: ModelPackage | None,
) -> ModelCard:
    own = tuple(
        TrainingScan(card_name(scan.source, scan.content_sha256), scan.source.licence, scan.source.group)
        for scan in scans
    )
    trained_on, before = learned_from(own, start)
    return ModelCard(
        name=f"covidselfseg-{preset.name}",
        preset=preset.name,
        generator=generator_architecture(preset),
        segmenter=segmenter_architecture(preset),
        inference=inference,
        trained_on=trained_on,
        recipe=asdict(preset) | before,
        command=command,
        code_version=__version__,
    )
