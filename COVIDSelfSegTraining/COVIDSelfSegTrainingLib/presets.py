"""What a training is: one frozen tree of numbers, with no logic that asks for a preset's name.

``default`` is what the shipped package is trained with; ``paper`` and ``transunet`` are the two published
systems, for comparison (2022 paper; its 2023/24 follow-up).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from COVIDSelfSegLib.package_card import Inference

from .options import GanPreset, PseudoMaskPreset, SegmenterPreset


@dataclass(frozen=True)
class Preset:
    """A whole training.

    Attributes:
        name: of the preset.
        seed: the only source of randomness.
        gan: phase 1.
        pseudo_mask: phase 2.
        segmenter: phase 3.
        calibration_batches: of fresh painted lesions that set calibration and threshold after phase 3; a
            fifth of their slices are equalised pictures, which differ much from each other. 0 keeps those
            of ``inference``.
        inference: grids and defaults that training and inference share.
    """

    name: str = "default"
    seed: int = 20
    gan: GanPreset = field(default_factory=GanPreset)
    pseudo_mask: PseudoMaskPreset = field(default_factory=PseudoMaskPreset)
    segmenter: SegmenterPreset = field(default_factory=SegmenterPreset)
    calibration_batches: int = 96
    inference: Inference = field(default_factory=lambda: Inference(mirrored=True))


_PAPER = Preset(
    name="paper",
    gan=GanPreset(
        iterations=10_000,
        batch=16,  # 8 healthy and 8 diseased volumes
        joint=False,
        generator_rate=5e-5,
        discriminator_rate=5e-5,
        betas=(0.9, 0.999),
        ema=0.0,
        lung_channel=False,
        composite=False,
        discriminator="text",
        adversarial_loss="saturating",
        adversarial=1.0,
        reconstruction_loss="norm",
        reconstruction=1.0,
        lesion_weight=0.0,
        untouched=0.0,
        gradient_penalty=0.0,
        noise_share=1.0,
        gain_spread=0.0,
        offset_hu=0.0,
    ),
    pseudo_mask=PseudoMaskPreset(
        draws=1, full="percentile", subtract_residual=False, median=1, vessel_mm=0.0, stands_out_hu=0.0
    ),
    segmenter=SegmenterPreset(
        painted=0,
        clean=0,
        high=16,
        low=16,
        high_share=0.08,
        rate=1e-4,
        weight_decay=0.0,
        schedule="constant",
        ema=0.0,
        augmentation="none",
        painted_weight=0.0,
        mse_weight=1.0,
        pseudo_weight=0.0,
        contrastive_weight=0.1,
        pairing=("low", "high"),
        architecture="dense-lstm-unet",
        network={"in_channels": 1},
    ),
    calibration_batches=0,
    inference=Inference(
        slice_plane=(128, 128),
        latent_draws=1,
        threshold=0.2,
        threshold_kind="slice",
        least_lesion_ml=0.0,
    ),
)

_TRANSUNET = replace(
    _PAPER,
    name="transunet",
    segmenter=replace(
        _PAPER.segmenter,
        pseudo_weight=1.0,
        contrastive="enhanced",
        architecture="compact-transunet",
        network={},
    ),
    inference=replace(_PAPER.inference, threshold=0.5, threshold_kind="volume"),
)

PRESETS = {preset.name: preset for preset in (Preset(), _PAPER, _TRANSUNET)}
