"""The demonstration: make a phantom, segment it, and hold the result against what is known to be true."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import results
from .array_types import FloatArray
from .file_errors import writing_to
from .phantom import Phantom
from .quantification import dice
from .volume import array_view, read_scan, write_image


@dataclass(frozen=True)
class Comparison:
    """A result against a phantom's truth.

    Attributes:
        dice: overlap of found and true lesions.
        found_share: infected share of the lung as found.
        true_share: infected share of the lung in truth.
        synthesis_error_hu: mean absolute HU error of the pseudo-healthy volume inside true lesions.
        untouched_error_hu: the same for the scan itself: the error of leaving it unchanged.
    """

    dice: float
    found_share: float
    true_share: float
    synthesis_error_hu: float
    untouched_error_hu: float

    def __str__(self) -> str:
        return (
            f"{'':24}{'found':>10}{'truth':>10}\n"
            f"{'infected, % of lung':24}{100 * self.found_share:>10.1f}{100 * self.true_share:>10.1f}\n"
            f"lesion Dice {self.dice:.3f}\n"
            f"pseudo-healthy inside lesions: mean error {self.synthesis_error_hu:.0f} HU, "
            f"unchanged scan {self.untouched_error_hu:.0f} HU\n"
            "A phantom shows that the machinery works; this is not clinical performance."
        )


def compare(phantom: Phantom, folder: Path) -> Comparison:
    """Hold the results in a folder against the phantom they were made from."""
    truth = array_view(phantom.lesions) > 0
    found_image = read_scan(folder / results.LESIONS)
    lungs_image = read_scan(folder / results.LUNGS)
    healthy_image = read_scan(folder / results.PSEUDO_HEALTHY)
    found, lungs = array_view(found_image) > 0, array_view(lungs_image) > 0
    twin, healthy, scan = (
        array_view(image)[truth].astype(np.float32)
        for image in (phantom.healthy_twin, healthy_image, phantom.scan)
    )
    return Comparison(
        dice=dice(found, truth),
        found_share=float(found.sum() / lungs.sum()),
        true_share=phantom.infected_share,
        synthesis_error_hu=_mean_error(healthy, twin),
        untouched_error_hu=_mean_error(scan, twin),
    )


def write_scan(phantom: Phantom, folder: Path) -> Path:
    """Keep the phantom's scan in a folder, so that the user can look at it; returns its path.

    Raises:
        UserError: it cannot be written (exit code 5).
    """
    path = folder / "phantom.nrrd"
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_image(phantom.scan, path)
    return path


def _mean_error(values: FloatArray, truth: FloatArray) -> float:
    return float(np.abs(values - truth).mean()) if values.size else 0.0
