"""What others report, for the comparison table. Data sets and protocols differ; none was run here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A published Dice.

    Attributes:
        method: and where it was published.
        data: that it was measured on.
        dice: in percent.
        protocol: what was averaged.
        labels: what training needed.
    """

    method: str
    data: str
    dice: str
    protocol: str
    labels: str


_FILTERED = "mean over filtered slices"
_AS_REPORTED = "as reported"

PUBLISHED = (
    Published("GAN + U-Net + contrastive (Shabani 2022)", "MosMedData", "58.4", _FILTERED, "none"),
    Published("GAN + U-Net + contrastive (Shabani 2022)", "UESTC", "63.7", _FILTERED, "none"),
    Published("GAN + U-Net + contrastive (Shabani 2022)", "Radiopaedia", "61.7", _FILTERED, "none"),
    Published("GASNet (Xu 2020)", "MosMedData", "54.2", _AS_REPORTED, "scan-level"),
    Published("GASNet (Xu 2020)", "Radiopaedia", "60.2", _AS_REPORTED, "scan-level"),
    Published("Label-free NormNet (Yao 2021)", "UESTC", "61.4", _AS_REPORTED, "none"),
    Published("Label-free NormNet (Yao 2021)", "Radiopaedia", "59.3", _AS_REPORTED, "none"),
    Published("CycleGAN + median + K-means (arXiv 2111.11602)", "CoronaCases", "74.8", _AS_REPORTED, "none"),
    Published("CycleGAN + median + K-means (arXiv 2111.11602)", "Radiopaedia", "73.0", _AS_REPORTED, "none"),
    Published("nnU-Net", "20 scans", "67.3 +- 22", "per scan", "voxels of 4 scans"),
    Published("MEDPSeg", "CoronaCases", "81.4", "per scan", "voxels"),
    Published("two radiologists (Bartoli 2022)", "their own", "70 +- 8", "per scan", "-"),
)
