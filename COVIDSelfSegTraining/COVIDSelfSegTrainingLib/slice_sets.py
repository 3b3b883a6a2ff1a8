"""Annotated single slices: packages and baselines on 8-bit pictures mapped to approximate HU.

Scored apart from scans: a picture has lost its HU, its voxel size and its neighbours, so every figure here
is out of the usual domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.models import Inference, ModelPackage
from COVIDSelfSegLib.segmentation import (
    Calibration,
    LungSlices,
    lesion_mask,
    predict_logits,
    probability_image,
)
from COVIDSelfSegLib.volume import array_view, image_like
from torch import nn

from .annotated_slices import AnnotatedSlice, read_medseg, read_radiopaedia
from .baselines import (
    THRESHOLDS_HU,
    hu_threshold,
    mixture_per_slice,
    otsu_per_slice,
    threshold_without_vessels,
)
from .overlap import BoolArray, Overlap, overlap
from .scoring import EVERYTHING, MIXTURE, OTSU, PLAIN, THRESHOLD
from .sheet import Cell, Sheet
from .statistics import summarise

PROTOCOL = (
    "Single annotated slices (8-bit pictures mapped to approximate HU, good to some 80 HU; pixel size "
    "guessed from the width of the chest). Mean over slices; pooled Dice is over the pixels of all slices. "
    "These pictures are never trained on."
)


@dataclass(frozen=True)
class SliceSet:
    """A set of slices and what was counted in them.

    Attributes:
        name: of the set.
        counts: by method, one entry a slice.
        recall_in_lungs: share of the lesion that lies inside the lung mask that was used, a slice each.
        lungs_given: whether the set brings its own lung masks.
    """

    name: str
    counts: dict[str, list[Overlap]]
    recall_in_lungs: list[float]
    lungs_given: bool


def read_slices(path: Path) -> Iterator[AnnotatedSlice]:
    """The slices of a set: a folder with ``images`` and ``masks``, or an ``.npz`` file.

    Raises:
        UserError: it is neither.
    """
    if path.is_dir() and (path / "images").is_dir() and (path / "masks").is_dir():
        return read_medseg(path)
    if path.is_file() and path.suffix == ".npz":
        return read_radiopaedia(path)
    raise UserError(
        f"{path} is no set of annotated slices.",
        why="A set is a folder with 'images' and 'masks' (PNG files of the same names), or an .npz file "
        "with image, lung, infection and case.",
        fix="Check the path.",
    )


def score_slice_set(
    path: Path,
    packages: Sequence[tuple[str, ModelPackage]],
    device: Device,
    progress: Callable[[int, str], None],
) -> SliceSet:
    """Run packages and baselines over a set of slices.

    Args:
        path: see :func:`read_slices`.
        packages: label and package.
        device: where the networks run.
        progress: called with the number of slices done and the name of the last.
    """
    networks = [
        (label, package.card.inference, device.place(package.segmenter())) for label, package in packages
    ]
    counts: dict[str, list[Overlap]] = {}
    recall: list[float] = []
    lungs_given = False
    for number, one in enumerate(read_slices(path), start=1):
        lungs_given = one.lungs is not None
        labels = one.found_lungs() if one.lungs is None else one.lungs.astype(np.uint8)
        truth = one.lesions[None]
        recall.append(overlap(labels[None] > 0, truth).sensitivity)
        masks = _baselines(one, labels[None] > 0)
        for label, inference, network in networks:
            masks[label] = found_in_slice(network, inference, one, labels, device)
        for name, mask in masks.items():
            counts.setdefault(name, []).append(overlap(mask, truth, within=labels[None] > 0))
        progress(number, one.name)
    return SliceSet(path.stem if path.is_file() else path.name, counts, recall, lungs_given)


def found_in_slice(
    network: nn.Module,
    inference: Inference,
    one: AnnotatedSlice,
    labels: npt.NDArray[np.uint8],
    device: Device,
) -> BoolArray:
    """Lesions (1, y, x) that a package finds in a single slice, with its own threshold and clean-up."""
    if not labels.any():
        return np.zeros((1, *labels.shape), bool)
    lungs = image_like(labels[None], one.hu)
    slices = LungSlices.of_scan(
        one.hu,
        lungs,
        plane=inference.slice_plane,
        margin_mm=inference.margin_mm,
        neighbour_mm=inference.neighbour_mm,
    )
    logits = predict_logits(network, slices, batch=1, device=device)
    calibration = Calibration(inference.calibration_slope, inference.calibration_shift)
    probability: sitk.Image = probability_image(logits, slices, calibration, lungs)
    found: BoolArray = (
        array_view(lesion_mask(probability, inference.threshold, inference.least_lesion_ml)) > 0
    )
    return found


def add_slice_sets(sheet: Sheet, sets: Sequence[SliceSet], labels: Sequence[str]) -> None:
    """A section for each set: packages first, then the baselines."""
    for one in sets:
        sheet.section(f"Annotated slices, {one.name}", PROTOCOL)
        lungs = "published" if one.lungs_given else "built-in"
        inside = summarise(one.recall_in_lungs).mean
        sheet.note(
            f"Lung mask: {lungs}; {100 * inside:.1f} % of the lesion lies inside of it, mean over slices."
        )
        levels = [name for name in one.counts if name.startswith(THRESHOLD)]
        best = max(levels, key=lambda name: summarise(c.dice for c in one.counts[name]).mean)
        names = [(label, label) for label in labels]
        names += [(name, name) for name in (EVERYTHING, PLAIN, OTSU, MIXTURE)]
        names.append((best, f"{best}, best level"))
        sheet.table(f"slices_{one.name}", [_row(title, one.counts[name]) for name, title in names])


def _row(title: str, counts: Sequence[Overlap]) -> dict[str, Cell]:
    dice = summarise(one.dice for one in counts)
    both, found, truth = (sum(getattr(one, name) for one in counts) for name in ("both", "found", "truth"))
    return {
        "method": title,
        "slices": dice.count,
        "empty against empty": dice.undefined,
        "Dice, mean": dice.mean,
        "95 % low": dice.low,
        "95 % high": dice.high,
        "Dice, median": dice.median,
        "Dice, pooled": 2 * both / (found + truth) if found + truth else float("nan"),
        "sensitivity": summarise(one.sensitivity for one in counts).mean,
        "precision": summarise(one.precision for one in counts).mean,
    }


def _baselines(one: AnnotatedSlice, lungs: BoolArray) -> dict[str, BoolArray]:
    hu = array_view(one.hu)
    masks = {
        EVERYTHING: lungs,
        PLAIN: threshold_without_vessels(hu, lungs, one.hu.GetSpacing()[0]),
        OTSU: otsu_per_slice(hu, lungs),
        MIXTURE: mixture_per_slice(hu, lungs),
    }
    return masks | {f"{THRESHOLD} {level}": hu_threshold(hu, lungs, level) for level in THRESHOLDS_HU}
