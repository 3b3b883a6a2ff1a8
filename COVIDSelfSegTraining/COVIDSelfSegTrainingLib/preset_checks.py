"""Combinations of options that cannot work, said before anything starts."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.network_trial import TrialError, outline, try_out
from COVIDSelfSegLib.package_card import FARTHEST_MM, GRID_SIDE, LARGEST_SIDE, MOST_DRAWS, Architecture

from .options import GanPreset, NoisePreset, PseudoMaskPreset, SegmenterPreset
from .presets import Preset

Fault = tuple[str, str]
"""What is wrong, and what to do."""


_NOT_IN_FILE_NAMES = frozenset('/\\<>:"|?*')


def check_preset(preset: Preset, source: str) -> None:
    """Refuse what cannot work.

    Raises:
        UserError: with all that is wrong, not the first alone.
    """
    faults = [
        *_gan(preset.gan),
        *_noise(preset.gan.noise),
        *_pseudo_mask(preset.pseudo_mask),
        *_segmenter(preset.segmenter),
        *_network(preset.segmenter),
        *_grids(preset),
        *_calibration(preset),
        *_at_least_zero("preset", seed=preset.seed),
        *_name(preset.name),
    ]
    if faults:
        raise UserError(
            f"{source} cannot be used: " + "; ".join(what for what, _ in faults) + ".",
            why="These options cannot work, or not together.",
            fix=" ".join(dict.fromkeys(fix for _, fix in faults)),
        )


def _positive(section: str, **values: float) -> Iterator[Fault]:
    for name, value in values.items():
        if value <= 0:
            yield f"{section}.{name} is {value}", f"Give {section}.{name} a value above 0."


def _at_least_zero(section: str, **values: float) -> Iterator[Fault]:
    for name, value in values.items():
        if value < 0:
            yield f"{section}.{name} is {value}", f"Give {section}.{name} a value of 0 or more."


def _share(section: str, **values: float) -> Iterator[Fault]:
    for name, value in values.items():
        if not 0 <= value <= 1:
            yield f"{section}.{name} is {value}", f"{section}.{name} is a share, 0 to 1."


def _name(name: str) -> Iterator[Fault]:
    if not name or set(name) & _NOT_IN_FILE_NAMES:
        yield (
            f"name is {name!r}",
            "The package's file is named after it: give it a name without folders, and without any of "
            '< > : " | ? *, of which Windows allows none.',
        )


def _gan(gan: GanPreset) -> Iterator[Fault]:
    yield from _positive(
        "gan",
        generator_rate=gan.generator_rate,
        discriminator_rate=gan.discriminator_rate,
        base_width=gan.base_width,
        discriminator_width=gan.discriminator_width,
        penalty_every=gan.penalty_every,
    )
    yield from _at_least_zero(
        "gan",
        iterations=gan.iterations,
        adversarial=gan.adversarial,
        reconstruction=gan.reconstruction,
        lesion_weight=gan.lesion_weight,
        gradient_penalty=gan.gradient_penalty,
        gain_spread=gan.gain_spread,
        offset_hu=gan.offset_hu,
    )
    yield from _share("gan", untouched=gan.untouched, noise_share=gan.noise_share)
    yield from _decay("gan", gan.ema)
    if gan.batch < 2 or gan.batch % 2:
        yield f"gan.batch is {gan.batch}", "Half a batch is healthy, half diseased: make gan.batch even."
    if not all(0 <= beta < 1 for beta in gan.betas):
        yield f"gan.betas are {list(gan.betas)}", "Adam's betas lie from 0 to below 1."
    if not 0 <= gan.discriminator_dropout < 1:
        yield f"gan.discriminator_dropout is {gan.discriminator_dropout}", "Use 0 to below 1."
    if gan.discriminator == "patch" and gan.discriminator_dropout > 0:
        yield (
            "gan.discriminator 'patch' has no dense layers to drop out",
            "Set gan.discriminator_dropout to 0, or gan.discriminator to 'text' or 'reference'.",
        )
    if gan.reconstruction == 0 and gan.adversarial == 0:
        yield "gan.reconstruction and gan.adversarial are both 0", "Give one of them a weight."
    if gan.untouched == 1:
        yield "gan.untouched is 1: no lung is ever corrupted", "Set gan.untouched below 1."


def _noise(noise: NoisePreset) -> Iterator[Fault]:
    yield from _positive("gan.noise", octaves=noise.octaves, lacunarity=noise.lacunarity, repeat=noise.repeat)
    yield from _share("gan.noise", slices=noise.slices)
    for name in ("persistence", "scale", "base"):
        low, high = getattr(noise, name)
        if low > high:
            yield f"gan.noise.{name} runs from {low} to {high}", "Give the smaller value first."
    if noise.scale[0] <= 0:
        yield f"gan.noise.scale starts at {noise.scale[0]}", "A lattice cell has more than 0 pixels."


def _pseudo_mask(mask: PseudoMaskPreset) -> Iterator[Fault]:
    yield from _positive("pseudo_mask", draws=mask.draws, full_hu=mask.full_hu, median=mask.median)
    yield from _at_least_zero("pseudo_mask", vessel_mm=mask.vessel_mm, stands_out_hu=mask.stands_out_hu)
    if not 0 < mask.full_percentile <= 100:
        yield f"pseudo_mask.full_percentile is {mask.full_percentile}", "Use a percentile, above 0 to 100."
    if mask.rescale == "min-max" and (mask.full == "hu" or mask.subtract_residual or mask.stands_out_hu):
        yield (
            "pseudo_mask.rescale 'min-max' leaves no HU",
            "With it, set full to 'percentile', subtract_residual to false and stands_out_hu to 0.",
        )


def _segmenter(phase: SegmenterPreset) -> Iterator[Fault]:
    yield from _positive(
        "segmenter", iterations=phase.iterations, rate=phase.rate, temperature=phase.temperature
    )
    yield from _at_least_zero(
        "segmenter",
        painted=phase.painted,
        clean=phase.clean,
        high=phase.high,
        low=phase.low,
        weight_decay=phase.weight_decay,
        warm_up=phase.warm_up,
        painted_weight=phase.painted_weight,
        mse_weight=phase.mse_weight,
        pseudo_weight=phase.pseudo_weight,
        sensitivity_beta=phase.sensitivity_beta,
        contrastive_weight=phase.contrastive_weight,
        teacher_weight=phase.teacher_weight,
    )
    yield from _share("segmenter", high_share=phase.high_share, teacher_start=phase.teacher_start)
    yield from _share("segmenter", low_factor=phase.low_factor, real_share=phase.real_share)
    yield from _decay("segmenter", phase.ema)
    supervised = phase.painted_weight > 0 and phase.painted > 0
    from_masks = (phase.mse_weight > 0 or phase.pseudo_weight > 0) and phase.high + phase.low > 0
    if not supervised and not from_masks:
        yield (
            "segmenter has nothing to learn lesions from",
            "Give painted slices and painted_weight, or high and low slices and mse_weight or pseudo_weight.",
        )
    if phase.contrastive_weight > 0:
        counts = {"clean": phase.clean, "low": phase.low, "high": phase.high}
        absent = [name for name in phase.pairing if counts[name] == 0]
        if len(set(phase.pairing)) < 2:
            yield "segmenter.pairing names fewer than two classes", "Contrast at least two of them."
        elif absent:
            yield (
                f"segmenter.pairing names {', '.join(absent)}, of which a batch has none",
                "Give the batch such slices, take the class out, or set contrastive_weight to 0.",
            )
    elif phase.learn_temperature:
        yield "segmenter.learn_temperature without a contrastive loss", "Give contrastive_weight a value."


def _network(phase: SegmenterPreset) -> Iterator[Fault]:
    architecture = Architecture(phase.architecture, dict(phase.network))
    known = inspect.signature(architecture.kind.__init__).parameters
    for name in phase.network:
        if name not in known or name == "self":
            options = ", ".join(option for option in known if option != "self")
            yield f"segmenter.network.{name} is no argument of {phase.architecture}", f"Known: {options}."
            return
    channels = phase.network.get("in_channels", 4)
    if channels not in (1, 4):
        yield f"segmenter.network.in_channels is {channels!r}", "Use 4 (three slices, lung mask) or 1."
    elif phase.network.keys() - {"in_channels"}:
        own = ", ".join(f"{name} = {one.default}" for name, one in known.items() if name != "self")
        yield from _runs(architecture, own)


def _runs(architecture: Architecture, known: str) -> Iterator[Fault]:
    """A 2D network begins hours after a training did; here it sees one slice."""
    try:
        try_out(outline(architecture.build_slice_network))
    except TrialError as error:
        yield (
            f"a {architecture.network} of segmenter.network {architecture.arguments} cannot run ({error})",
            f"Its own are {known}; give values of the same kind, and sizes that divide as these do.",
        )


def _grids(preset: Preset) -> Iterator[Fault]:
    inference = preset.inference
    for name, grid in (("generator_grid", inference.generator_grid), ("slice_plane", inference.slice_plane)):
        if any(not 0 < side <= LARGEST_SIDE or side % GRID_SIDE for side in grid):
            yield (
                f"inference.{name} is {list(grid)}",
                f"Its sides must be multiples of {GRID_SIDE}, {LARGEST_SIDE} at most.",
            )
    yield from _positive("inference", latent_draws=inference.latent_draws, threshold=inference.threshold)
    yield from _at_least_zero(
        "inference",
        margin_mm=inference.margin_mm,
        neighbour_mm=inference.neighbour_mm,
        least_lesion_ml=inference.least_lesion_ml,
    )
    # A package that says more than these is refused once it is trained.
    for name, value, most in (
        ("latent_draws", inference.latent_draws, MOST_DRAWS),
        ("neighbour_mm", inference.neighbour_mm, FARTHEST_MM),
    ):
        if value > most:
            yield f"inference.{name} is {value}", f"Give inference.{name} a value of {most:g} at most."
    if inference.threshold >= 1:
        yield f"inference.threshold is {inference.threshold}", "A threshold lies between 0 and 1."


def _calibration(preset: Preset) -> Iterator[Fault]:
    yield from _at_least_zero("preset", calibration_batches=preset.calibration_batches)
    if preset.calibration_batches > 0 and preset.segmenter.painted == 0:
        yield (
            "calibration_batches asks for painted lesions, of which a batch has none",
            "Set calibration_batches to 0, or give segmenter.painted slices.",
        )
    if preset.calibration_batches > 0 and preset.inference.threshold_kind != "absolute":
        yield (
            f"a threshold that is relative to the {preset.inference.threshold_kind} cannot be calibrated",
            "Set calibration_batches to 0, or inference.threshold_kind to 'absolute'.",
        )


def _decay(section: str, value: float) -> Iterator[Fault]:
    if not 0 <= value < 1:
        yield f"{section}.ema is {value}", "A decay lies from 0 to below 1."
