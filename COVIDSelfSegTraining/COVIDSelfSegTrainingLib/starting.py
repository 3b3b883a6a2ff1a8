"""Start a training from the weights of a package instead of from nothing, as for a hospital's own scans."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.package_card import Architecture, ModelCard, TrainingScan, is_non_commercial
from torch import nn

from .gan import GanTrainer, generator_architecture
from .lineage import origin
from .presets import Preset
from .segmenter import SegmenterTrainer, segmenter_architecture

HISTORY = ("started_from", "mean_of", "calibrated_by")
"""What a recipe holds beside its preset."""


def own_recipe(card: ModelCard) -> dict[str, Any]:
    """The preset in a package's recipe, without that of any package before it."""
    return {name: value for name, value in card.recipe.items() if name not in HISTORY}


def check_start(preset: Preset, start: ModelPackage | None) -> None:
    """Refuse a package that this preset cannot start from, and phase 1 left out where nothing replaces it.

    Raises:
        UserError: other networks, other grids, or no iterations and no package.
    """
    if start is None:
        if preset.gan.iterations == 0:
            raise UserError(
                "gan.iterations is 0, and there is no package to take a generator from.",
                why="The 2D network learns from what the generator makes of diseased lungs.",
                fix="Give phase 1 some iterations, or name a package with --start-from.",
            )
        return
    card = start.card
    pairs: tuple[tuple[str, object, object], ...] = (
        ("generator", _plain(card.generator), _plain(generator_architecture(preset))),
        ("2D network", _plain(card.segmenter), _plain(segmenter_architecture(preset))),
        ("generator's grid", card.inference.generator_grid, preset.inference.generator_grid),
        ("2D network's grid", card.inference.slice_plane, preset.inference.slice_plane),
    )
    for name, theirs, ours in pairs:
        if theirs != ours:
            raise UserError(
                f"The training cannot start from '{card.name}': its {name} is {theirs}, and the preset "
                f"'{preset.name}' wants {ours}.",
                why="Weights fit only the network and the grid that they were trained for.",
                fix=f"Use the preset that it was trained with ('{card.preset}'), or leave --start-from out.",
            )


def start_generator(trainer: GanTrainer, start: ModelPackage) -> None:
    """Give generator and running mean the weights of a package; the discriminator starts afresh."""
    _take(start.generator(), trainer.generator, trainer.average)


def start_segmenter(trainer: SegmenterTrainer, start: ModelPackage) -> None:
    """Give the 2D network and its running mean the weights of a package."""
    _take(start.segmenter(), trainer.network, trainer.average)


def learned_from(
    scans: tuple[TrainingScan, ...], start: ModelPackage | None
) -> tuple[tuple[TrainingScan, ...], dict[str, Any]]:
    """Every scan that ever shaped the weights, and what to say in the recipe of where they began.

    A licence that forbids commercial use is thereby inherited, even if the same scan is now said to be under
    another; it is named with both then.
    """
    if start is None:
        return scans, {}
    names = {scan.name for scan in scans}
    forbidden = {scan.name for scan in scans if is_non_commercial(scan.licence)}
    inherited = tuple(
        scan
        for scan in start.card.trained_on
        if scan.name not in (forbidden if is_non_commercial(scan.licence) else names)
    )
    return scans + inherited, {"started_from": {"name": start.card.name} | origin(start)}


def _plain(architecture: Architecture) -> dict[str, Any]:
    return asdict(architecture)


def _take(source: nn.Module, *targets: nn.Module) -> None:
    for target in targets:
        target.load_state_dict(source.state_dict())
