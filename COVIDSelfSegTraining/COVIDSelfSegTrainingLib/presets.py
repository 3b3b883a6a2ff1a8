"""What a training is: one frozen tree of numbers, with no logic that asks for a preset's name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from COVIDSelfSegLib.models import Inference
from COVIDSelfSegLib.networks.discriminator import Form


@dataclass(frozen=True)
class GanPreset:
    """Phase 1: the generator learns to turn a diseased lung into a healthy one.

    Attributes:
        iterations: steps of generator and discriminator.
        batch: volumes a step; half are painted healthy lungs, half diseased lungs.
        generator_rate: learning rate of Adam for the generator.
        discriminator_rate: likewise for the discriminator.
        betas: of Adam.
        ema: decay of the running mean of the generator's weights.
        base_width: of the generator.
        composite: copy healthy tissue through a predicted share instead of painting it anew.
        discriminator: its form.
        reconstruction: weight of L1 between mended and original lung, inside the lung.
        untouched: share of the healthy lungs that stay unpainted; on them reconstruction asks for identity.
        adversarial: weight of the adversarial term.
        gradient_penalty: R1 weight (Mescheder 2018).
        penalty_every: steps between gradient penalties.
    """

    iterations: int = 2500
    batch: int = 4
    generator_rate: float = 2e-4
    discriminator_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    ema: float = 0.998
    base_width: int = 8
    composite: bool = True
    discriminator: Form = "patch"
    reconstruction: float = 10.0
    untouched: float = 0.2
    adversarial: float = 0.05
    gradient_penalty: float = 1.0
    penalty_every: int = 16


@dataclass(frozen=True)
class PseudoMaskPreset:
    """Phase 2: from the generator's difference to a target for the 2D network.

    Attributes:
        draws: latent draws to average.
        full_hu: excess that counts as certain lesion (target 1).
        median: size of the 3D median filter, in slices and pixels.
        vessel_mm: bright structures thinner than this are vessels and leave the target.
    """

    draws: int = 4
    full_hu: float = 250.0
    median: int = 3
    vessel_mm: float = 6.0


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
        warm_up: steps of linear warm-up before the cosine.
        ema: decay of the running mean of the weights.
        pseudo_weight: weight of the sensitivity-enhanced loss on pseudo-masks.
        sensitivity_beta: see :func:`.losses.sensitivity_enhanced`.
        contrastive_weight: weight of the contrastive loss between high and low slices.
        temperature: of the contrastive loss.
        network: arguments of the compact TransUNet.
    """

    iterations: int = 6000
    painted: int = 12
    clean: int = 4
    real_share: float = 0.6
    high: int = 2
    low: int = 2
    high_share: float = 0.15
    low_factor: float = 0.7
    rate: float = 5e-4
    weight_decay: float = 0.02
    warm_up: int = 300
    ema: float = 0.999
    pseudo_weight: float = 0.3
    sensitivity_beta: float = 2.0
    contrastive_weight: float = 0.05
    temperature: float = 0.05
    network: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """A whole training.

    Attributes:
        name: of the preset.
        seed: the only source of randomness.
        gan: phase 1.
        pseudo_mask: phase 2.
        segmenter: phase 3.
        calibration_batches: of fresh painted lesions that set calibration and threshold after phase 3.
        inference: grids and defaults that training and inference share.
    """

    name: str = "default"
    seed: int = 20
    gan: GanPreset = field(default_factory=GanPreset)
    pseudo_mask: PseudoMaskPreset = field(default_factory=PseudoMaskPreset)
    segmenter: SegmenterPreset = field(default_factory=SegmenterPreset)
    calibration_batches: int = 24
    inference: Inference = field(default_factory=Inference)
