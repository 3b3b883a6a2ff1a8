"""Calibrate weights that are trained already: a mean, or a package for the scans of another hospital."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_errors import writing_to
from COVIDSelfSegLib.models import ModelPackage, write_package
from COVIDSelfSegLib.package_card import Inference, ModelCard
from COVIDSelfSegLib.segmentation import Calibration
from torch import Tensor

from .cohorts.cohort import CohortScan, check_grids
from .preset_files import preset_from_dict
from .presets import Preset
from .segmenter import SegmenterTrainer
from .starting import own_recipe

What = Literal["all", "equalised"]
"""Every calibration and the threshold, or the calibration of equalised pictures alone."""


def recalibrate(
    package: ModelPackage,
    healthy: list[CohortScan],
    path: Path,
    device: Device,
    what: What,
    *,
    batches: int | None = None,
    command: str,
) -> ModelPackage:
    """Write a package whose calibration is that of lesions painted on these scans; its weights stay.

    Args:
        package: to calibrate.
        healthy: scans to paint lesions on.
        path: the package to write.
        device: where to run the network.
        what: what is fitted; the rest of the package's calibration stays.
        batches: of painted lesions; as the package's preset says if None.
        command: what the user typed, for the card. Figures of the old calibration leave it.

    Raises:
        UserError: the package's preset is not calibrated, the scans were cut into other grids, or no lesion
            could be painted (exit code 2), or the file cannot be written (5).
    """
    card = package.card
    _check_calibrated(card)
    inference = fitted(card, package.segmenter().state_dict(), healthy, device, batches)
    _check_fitted(inference, _preset(card).inference, what)
    if what == "equalised":
        inference = replace(
            card.inference,
            calibration_equalised_slope=inference.calibration_equalised_slope,
            calibration_equalised_shift=inference.calibration_equalised_shift,
        )
    recipe = card.recipe | {"calibrated_by": _commands(card, what, command)}
    card = replace(card, inference=inference, recipe=recipe, metrics=())
    with writing_to(path):
        return write_package(path, card, package.generator().state_dict(), package.segmenter().state_dict())


def fitted(
    card: ModelCard,
    segmenter: Mapping[str, Tensor],
    healthy: list[CohortScan],
    device: Device,
    batches: int | None = None,
) -> Inference:
    """How to run weights of a 2D network that came from a card's recipe, calibrated as that recipe says.

    Raises:
        UserError: the scans were cut into other grids than the network runs on.
    """
    preset = _preset(card)
    check_grids(
        healthy,
        card.inference,
        f"the package '{card.name}'",
        fix="Prepare a cohort for the preset that it was trained with, in a folder of its own "
        "('covidselfseg prepare --preset NAME|FILE').",
    )
    if batches is not None:
        preset = replace(preset, calibration_batches=batches)
    trainer = SegmenterTrainer(preset, healthy, [], device)
    trainer.average.load_state_dict(segmenter)
    return replace(trainer.calibrated(), residual_hu=card.inference.residual_hu, marked=card.inference.marked)


def _commands(card: ModelCard, what: What, command: str) -> str:
    """What made the whole calibration, one command after another: fitting all of it forgets those before."""
    before = str(card.recipe.get("calibrated_by", ""))
    return f"{before} && {command}" if before and what == "equalised" else command


def _preset(card: ModelCard) -> Preset:
    return preset_from_dict(own_recipe(card), source="the package's recipe")


def _check_calibrated(card: ModelCard) -> None:
    if _preset(card).calibration_batches == 0:
        raise UserError(
            f"'{card.name}' was trained with a preset that calibrates nothing, '{card.preset}'.",
            why="What its probabilities mean, and its threshold, were set by hand (calibration_batches = 0).",
            fix="Name a package whose preset has calibration_batches above 0, as 'default' has.",
        )


def _check_fitted(found: Inference, before: Inference, what: What) -> None:
    if what == "equalised":
        nothing, where = found.calibration_equalised_slope == 0, " in an equalised picture"
    else:
        nothing, where = Calibration.of(found) == Calibration.of(before), ""
    if nothing:
        raise UserError(
            f"No lesion was painted{where}.",
            why="There was nothing to calibrate by: few slices were drawn, or their lungs are small.",
            fix="Name a cohort with more healthy scans, cut whole. A package whose preset varies no scanner "
            "(segmenter.augmentation) has no calibration of equalised pictures.",
        )
