"""The options of each phase. A preset is a choice of them; no code asks for a preset's name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from COVIDSelfSegLib.networks.discriminator import Form

AdversarialLoss = Literal["least-squares", "non-saturating", "saturating", "one-hot"]
"""``least-squares`` on one logit (Mao 2017); cross-entropy, ``non-saturating`` or ``saturating`` (log(1 - D),
the 2022 paper's equation); ``one-hot``: squared error of a two-way softmax, as the authors' code has it."""
GeneratorForm = Literal["generator", "nested-generator"]
SegmenterForm = Literal["compact-transunet", "dense-lstm-unet", "r50-vit-b16"]
SliceClass = Literal["clean", "low", "high"]


@dataclass(frozen=True)
class NoisePreset:
    """Perlin noise on whole slices, as the 2022 paper corrupts healthy lungs (section 2.3).

    Attributes:
        octaves: layers of noise.
        persistence: smallest and largest amplitude ratio between layers, drawn for each slice.
        lacunarity: frequency ratio between layers.
        repeat: period in lattice units.
        scale: smallest and largest lattice cell in pixels.
        base: smallest and largest shift of the permutation.
        slices: share of the slices that get noise.
        strength: factor of the noise, in unit HU (1 is 1400 HU).
        whole_slice: also outside the lung.
        clip: keep the result within 0 .. 1 unit HU.
        random_phase: shift each slice's lattice; without it the noise is zero at the same pixels always.
    """

    octaves: int = 10
    persistence: tuple[float, float] = (-0.5, 0.49)
    lacunarity: float = 2.0
    repeat: float = 140.0
    scale: tuple[float, float] = (10.0, 29.0)
    base: tuple[int, int] = (0, 999)
    slices: float = 0.25
    strength: float = 1.0
    whole_slice: bool = True
    clip: bool = False
    random_phase: bool = False


@dataclass(frozen=True)
class GanPreset:
    """Phase 1: the generator learns to turn a diseased lung into a healthy one.

    Attributes:
        iterations: steps of generator and discriminator.
        batch: volumes a step; half are corrupted healthy lungs, half diseased lungs.
        joint: one generator step on the sum of its losses; else an adversarial and a reconstruction step,
            each with a fresh latent block (algorithm 1 of the 2022 paper).
        generator_rate: learning rate of Adam for the generator.
        discriminator_rate: likewise for the discriminator.
        betas: of Adam.
        ema: decay of the running mean of the generator's weights; 0 keeps the last weights.
        generator: ``generator`` is the dense U-Net, ``nested-generator`` has the nested skips of UNet++.
        base_width: of the generator.
        lung_channel: show the generator the lung mask.
        composite: copy healthy tissue through a predicted share instead of painting it anew.
        discriminator: its form.
        discriminator_width: of its first convolution.
        discriminator_dropout: of its dense layers.
        adversarial_loss: its family.
        adversarial: weight of the adversarial term.
        reconstruction_loss: ``l1``, ``mse``, or ``norm`` (the root of the mean square of each volume).
        reconstruction: weight of the difference between mended and original lung, inside the lung.
        lesion_weight: weight, within it, of the same difference over the corrupted voxels alone.
        untouched: share of the healthy lungs that stay uncorrupted; on them reconstruction asks for identity.
        gradient_penalty: R1 weight (Mescheder 2018).
        penalty_every: steps between gradient penalties.
        noise_share: share of the corrupted lungs that get Perlin noise; the others get painted lesions.
        noise: how.
        gain_spread: standard deviation of the logarithm of a random stretch of HU about -850.
        offset_hu: standard deviation of a random shift of HU.
    """

    iterations: int = 2500
    batch: int = 4
    joint: bool = True
    generator_rate: float = 2e-4
    discriminator_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    ema: float = 0.998
    generator: GeneratorForm = "generator"
    base_width: int = 8
    lung_channel: bool = True
    composite: bool = True
    discriminator: Form = "patch"
    discriminator_width: int = 16
    discriminator_dropout: float = 0.0
    adversarial_loss: AdversarialLoss = "least-squares"
    adversarial: float = 0.05
    reconstruction_loss: Literal["l1", "mse", "norm"] = "l1"
    reconstruction: float = 10.0
    lesion_weight: float = 1.0
    untouched: float = 0.2
    gradient_penalty: float = 1.0
    penalty_every: int = 16
    noise_share: float = 0.0
    noise: NoisePreset = field(default_factory=NoisePreset)
    gain_spread: float = 0.05
    offset_hu: float = 20.0


@dataclass(frozen=True)
class PseudoMaskPreset:
    """Phase 2: from the generator's difference to a target for the 2D network.

    Attributes:
        draws: latent draws to average.
        full: ``hu``: an excess of ``full_hu`` counts as certain lesion (target 1); ``percentile``: that
            percentile of a scan's own positive excess does.
        full_hu: see ``full``.
        full_percentile: see ``full``.
        rescale: ``min-max`` stretches scan and pseudo-healthy volume to 0 .. 1, each by itself, before they
            are subtracted, as the authors' released code does.
        subtract_residual: take off what the generator leaves on clearly healthy lung.
        median: size of the 3D median filter, in slices and pixels; 1 is none.
        vessel_mm: bright structures thinner than this are vessels and leave the target; 0 keeps them.
        stands_out_hu: tissue must stand out of the expected healthy lung by this much; 0 asks nothing.
    """

    draws: int = 4
    full: Literal["hu", "percentile"] = "hu"
    full_hu: float = 250.0
    full_percentile: float = 99.0
    rescale: Literal["none", "min-max"] = "none"
    subtract_residual: bool = True
    median: int = 3
    vessel_mm: float = 6.0
    stands_out_hu: float = 60.0


@dataclass(frozen=True)
class SegmenterPreset:
    """Phase 3: the 2D network learns from painted lesions and from pseudo-masks.

    Attributes:
        iterations: optimiser steps.
        painted: slices a batch with painted lesions on healthy lung; their mask is known exactly.
        clean: healthy slices a batch, target zero.
        real_share: share of both that comes from real scans, where the cohort holds phantoms too.
        high: slices a batch of diseased scans that the pseudo-mask says are highly infected.
        low: likewise, little infected.
        high_share: share of the diseased slices that count as high.
        low_factor: low slices lie just below this part of the infected share that makes a slice high.
        rate: peak learning rate of AdamW.
        weight_decay: of AdamW.
        warm_up: steps of linear warm-up.
        schedule: of the rate after warm-up: ``cosine`` to 1 %, or ``constant``.
        ema: decay of the running mean of the weights; 0 keeps the last weights.
        augmentation: ``scanner`` varies pose, scanner and file format; ``pose`` position and size alone.
        painted_weight: weight of cross-entropy and Dice on painted and clean slices (synthetic supervision).
        mse_weight: weight of the squared error on pseudo-masks and clean slices.
        pseudo_weight: weight of the sensitivity-enhanced loss on pseudo-masks.
        sensitivity_beta: see :func:`.losses.sensitivity_enhanced`.
        contrastive_weight: weight of the contrastive loss between classes of slices.
        contrastive: ``supervised`` (Khosla 2020) or ``enhanced`` (the follow-up's, in its repaired form).
        pairing: the classes of slices that it tells apart.
        temperature: of the contrastive loss.
        learn_temperature: optimise its logarithm, within 0.01 .. 0.5.
        teacher_weight: weight of agreement with the running mean of the weights (mean teacher, Tarvainen
            2017) on unpainted slices, voxel by voxel as far as the generator's draws agree.
        teacher_start: share of the iterations after which it begins.
        architecture: of the 2D network.
        network: its arguments.
    """

    iterations: int = 6000
    painted: int = 10
    clean: int = 6
    real_share: float = 0.6
    high: int = 2
    low: int = 2
    high_share: float = 0.15
    low_factor: float = 0.7
    rate: float = 5e-4
    weight_decay: float = 0.02
    warm_up: int = 300
    schedule: Literal["cosine", "constant"] = "cosine"
    ema: float = 0.999
    augmentation: Literal["scanner", "pose", "none"] = "scanner"
    painted_weight: float = 1.0
    mse_weight: float = 0.0
    pseudo_weight: float = 0.3
    sensitivity_beta: float = 2.0
    contrastive_weight: float = 0.05
    contrastive: Literal["supervised", "enhanced"] = "supervised"
    pairing: tuple[SliceClass, ...] = ("clean", "low", "high")
    temperature: float = 0.05
    learn_temperature: bool = False
    teacher_weight: float = 0.0
    teacher_start: float = 0.5
    architecture: SegmenterForm = "compact-transunet"
    network: dict[str, Any] = field(default_factory=dict)
