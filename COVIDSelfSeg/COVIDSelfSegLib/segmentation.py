"""Lesion probability, slice by slice, and what a threshold makes of it.

The 2D network sees the native slices that hold lung, with a neighbour below and above, on a grid with square
pixels around the lungs; of thin slices only some, for a lesion goes through many. Its probability is stored
once, as 0 .. 255; everything after it is cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from scipy import ndimage, special
from torch import Tensor, nn

from .array_types import FloatArray
from .components import box_of, large_parts
from .devices import Device
from .frame import LungFrame
from .hounsfield import to_unit
from .networks.slice_network import SliceNetwork
from .package_card import Inference, ThresholdKind
from .resampling import with_rim
from .threshold_curve import level_of
from .volume import array_view, image_like, voxel_volume_ml

ValueKind = Literal["hu", "picture", "equalised"]
"""What the values of a slice are: HU; those of an 8-bit picture, mapped to approximate HU; or those of one
whose contrast was equalised, where only contrast within the lung counts."""
MARKS: dict[ValueKind, float] = {"hu": 1.0, "picture": 0.75, "equalised": 0.5}
"""Value of the lung mask's channel inside the lung, which tells the 2D network. One that is not told learns
to distrust HU, and finds less in scans (docs/steps.md, steps 7 and 10)."""


STEP_MM = 2.0
"""Slices as far apart as this are all looked at; of thinner ones, as many as lie about so far apart. It is
less than the reach over which slices are made to agree anyway (:func:`smooth_along_z`)."""


@dataclass(frozen=True)
class LungSlices:
    """A scan's slices on the 2D network's grid.

    Attributes:
        frame: where the slices lie in the scan; its planes are the scan's own slices.
        hu: (z, y, x) float32.
        lungs: (z, y, x), lung labels.
        neighbour: distance, in slices, to the neighbours that the network also sees.
    """

    frame: LungFrame
    hu: FloatArray
    lungs: npt.NDArray[np.uint8]
    neighbour: int

    @classmethod
    def of_scan(
        cls,
        scan: sitk.Image,
        lungs: sitk.Image,
        *,
        plane: tuple[int, int],
        margin_mm: float,
        neighbour_mm: float,
        taller: bool = False,
    ) -> LungSlices:
        """Cut the slices out of a scan.

        Args:
            scan: HU.
            lungs: label map on the scan's grid.
            plane: rows and columns of the network's grid.
            margin_mm: around the lungs' bounding box.
            neighbour_mm: the neighbours lie at least one slice away, and about this far if slices are thin.
            taller: lungs too tall for the grid get more rows; see :meth:`.LungFrame.around_lungs`.
        """
        frame = LungFrame.around_lungs(
            lungs, (None, *plane), margin_mm=margin_mm, square_pixels=True, taller=taller
        )
        labels = frame.to_network(lungs, "nearest", fill=0).astype(np.uint8)
        neighbour = neighbour_distance(neighbour_mm, frame.voxel_mm[0])
        return cls(frame, frame.to_network(scan), labels, neighbour)

    def stack(self, indices: npt.NDArray[np.integer]) -> tuple[FloatArray, FloatArray]:
        """HU of slices with their neighbours (n, 3, y, x), and their lung mask (n, y, x), 0 or 1."""
        places = slice_and_neighbours(indices, self.neighbour, len(self.hu))
        return self.hu[places], (self.lungs[indices] > 0).astype(np.float32)


def neighbour_distance(neighbour_mm: float, slice_mm: float) -> int:
    """How many slices away the neighbours of a slice lie: about ``neighbour_mm``, and one at least."""
    return max(1, round(neighbour_mm / slice_mm))


def slice_and_neighbours(
    indices: npt.NDArray[np.integer], distance: int, count: int
) -> npt.NDArray[np.integer]:
    """Which slices the network sees for each slice (n, 3): below, itself, above.

    At the ends of a scan of ``count`` slices the slice itself stands in for a missing neighbour.
    """
    below, above = indices - distance, indices + distance
    return np.stack(
        [np.where(below >= 0, below, indices), indices, np.where(above < count, above, indices)], 1
    )


def segmenter_input(hu: Tensor, lungs: Tensor, *, channels: int = 4, marks: Tensor | None = None) -> Tensor:
    """Input of the 2D network (batch, channels, y, x).

    Args:
        hu: (batch, 3, y, x): slice below, the slice, slice above.
        lungs: (batch, y, x), 1 inside; where it is 0 the network sees nothing.
        channels: 4 are three slices and the lung mask; 1 is the slice alone, as in the 2022 paper.
        marks: (batch,) see :data:`MARKS`; that of HU if left out, as for every scan.
    """
    mask = lungs[:, None]
    if channels == 1:
        stacked = to_unit(hu[:, 1:2]) * mask
    else:
        told = mask if marks is None else mask * marks.view(-1, 1, 1, 1)
        stacked = torch.cat([to_unit(hu) * mask, told], 1)
    return stacked.contiguous(memory_format=torch.channels_last)


def predict_logits(
    network: nn.Module,
    slices: LungSlices,
    *,
    batch: int,
    device: Device,
    progress: Callable[[float], None] = lambda _: None,
    mark: float = MARKS["hu"],
    mirrored: bool = False,
    step_mm: float = STEP_MM,
) -> FloatArray:
    """Lesion logits (z, y, x) on the slices' grid; very low where a slice holds no lung.

    Slices that the network did not see take the logits of those around them.

    Args:
        network: in evaluation mode, on ``device``.
        slices: of the scan.
        batch: slices at a time.
        device: where to run, and how precisely.
        progress: called with the fraction done.
        mark: of all slices, see :data:`MARKS`.
        mirrored: also look at the mirror image of each slice in which something is seen, and take the mean
            of both logits.
        step_mm: slices closer together than this are not all looked at; 0 looks at all.
    """
    logits = np.full(slices.hu.shape, NO_LESION, np.float32)
    seen = _slices_to_see(slices, step_mm)
    channels = network.in_channels if isinstance(network, SliceNetwork) else 4
    with torch.inference_mode(), device.autocast():
        for start in range(0, len(seen), batch):
            indices = seen[start : start + batch]
            hu, lungs = (torch.from_numpy(array).to(device.handle) for array in slices.stack(indices))
            x = segmenter_input(hu, lungs, channels=channels, marks=hu.new_full((len(hu),), mark))
            logits[indices] = lesion_logits(network, x, mirrored=mirrored)[:, 0].cpu().numpy()
            progress(min(1.0, (start + batch) / len(seen)))
    _interpolate(logits, slices, seen)
    return logits


def _slices_to_see(slices: LungSlices, step_mm: float) -> npt.NDArray[np.intp]:
    """Slices that hold lung; of thin ones as many as lie ``step_mm`` apart, the first and the last always."""
    holding = np.flatnonzero(slices.lungs.any(axis=(1, 2)))
    step = max(1, int(step_mm / slices.frame.voxel_mm[0] + 1e-3))
    return np.unique(np.append(holding[::step], holding[-1:]))


def _interpolate(logits: FloatArray, slices: LungSlices, seen: npt.NDArray[np.intp]) -> None:
    """Fill in the slices between those that the network saw: linear, from lung alone where there is some."""
    inside = slices.lungs > 0
    for below, above in pairwise(seen):
        for z in range(below + 1, above):
            if not inside[z].any():
                continue
            share = np.float32((z - below) / (above - below))
            of_below, of_above = (1 - share) * inside[below], share * inside[above]
            neither = ~(inside[below] | inside[above])
            of_below, of_above = of_below + (1 - share) * neither, of_above + share * neither
            logits[z] = (of_below * logits[below] + of_above * logits[above]) / (of_below + of_above)


def lesion_logits(network: nn.Module, x: Tensor, *, mirrored: bool) -> Tensor:
    """Logits (batch, 1, y, x), float32, of the network's input; ``mirrored`` as in :func:`predict_logits`.

    A slice in which the network sees nothing anywhere in the lung is not looked at again in the mirror, where
    it sees hardly ever more.
    """
    logits: Tensor = network(x).float()
    if mirrored:
        inside = x[:, -1:] > 0  # the last channel is zero outside the lung, the slice's own or its mask
        again = (logits.masked_fill(~inside, NO_LESION) > _NOTHING).flatten(1).any(1)
        if again.any():
            mirror = x[again].flip(3).contiguous(memory_format=torch.channels_last)
            logits[again] = (logits[again] + network(mirror).float().flip(3)) / 2
    return logits


def smooth_along_z(logits: FloatArray, slices: LungSlices) -> FloatArray:
    """Let neighbouring slices agree: the network judges each by itself, a lesion goes through several.

    A Gaussian of :data:`_AGREE_MM` over the lung alone, for outside it the network has learnt nothing; thick
    slices stay as they are.
    """
    sigma = _AGREE_MM / slices.frame.voxel_mm[0]
    holding = np.flatnonzero(slices.lungs.any(axis=(1, 2)))
    if sigma <= 0.5 or holding.size < 2:
        return logits
    smooth = logits.copy()
    part = slice(holding[0], holding[-1] + 1)
    inside = slices.lungs[part] > 0
    total, weight = (
        ndimage.gaussian_filter1d(values, sigma, axis=0, mode="nearest", truncate=2.0)
        for values in (logits[part] * inside, inside.astype(np.float32))
    )
    np.divide(total, weight, out=smooth[part], where=inside)
    return smooth


NO_LESION = -20.0
_NOTHING = -3.0
"""Logit, 5 % before calibration, below which the network sees nothing."""
_AGREE_MM = 2.5


@dataclass(frozen=True)
class Calibration:
    """Maps logits to probabilities: sigmoid(slope * logit + shift) (Platt scaling)."""

    slope: float = 1.0
    shift: float = 0.0

    @classmethod
    def of(cls, inference: Inference, values: ValueKind = "hu") -> Self:
        """That of a package for slices whose values are of a kind.

        Where contrast was equalised a network is right less often than in HU, and than it is itself in
        pictures that were windowed alone.
        """
        if values == "equalised" and inference.calibration_equalised_slope > 0:
            return cls(inference.calibration_equalised_slope, inference.calibration_equalised_shift)
        return cls(inference.calibration_slope, inference.calibration_shift)

    def probability(self, logits: FloatArray) -> FloatArray:
        """Probability 0 .. 1 of each logit."""
        probability: FloatArray = special.expit(self.slope * logits + self.shift)
        return probability


def relative_probability(
    probability: FloatArray, lungs: npt.NDArray[np.uint8], kind: ThresholdKind
) -> FloatArray:
    """Divide probabilities (z, y, x) by what a threshold is a share of; the lung's maximum becomes 1."""
    if kind == "absolute":
        return probability
    axes = (1, 2) if kind == "slice" else (0, 1, 2)
    highest = (probability * (lungs > 0)).max(axis=axes, keepdims=True)
    relative: FloatArray = np.minimum(probability / np.maximum(highest, 1e-6), 1)
    return relative


def probability_image(
    logits: FloatArray,
    slices: LungSlices,
    calibration: Calibration,
    lungs: sitk.Image,
    kind: ThresholdKind,
) -> sitk.Image:
    """Probability on the scan's grid, uint8 0 .. 255, zero outside the lung.

    ``kind`` is explained at :func:`relative_probability`.
    """
    probability = relative_probability(calibration.probability(logits), slices.lungs, kind)
    return slices.frame.to_scan(
        255 * with_rim(probability, slices.lungs > 0, (1, 3, 3)), dtype=np.uint8, within=lungs
    )


def lesion_mask(probability: sitk.Image, threshold: float, least_ml: float) -> sitk.Image:
    """Lesions at a threshold, without components smaller than ``least_ml``; uint8 0 or 1, same grid."""
    values, level = array_view(probability), level_of(threshold)
    result = np.zeros(values.shape, np.uint8)
    box = box_of(values, level)
    result[box] = large_parts(values[box] >= level, least_ml / voxel_volume_ml(probability))
    return image_like(result, probability)
