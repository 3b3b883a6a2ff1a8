"""Annotated single slices: packages and baselines on 8-bit pictures mapped to approximate HU.

Scored apart from scans: a picture has lost its HU, its voxel size and its neighbours, so every figure here
is out of the usual domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from COVIDSelfSegLib.array_types import BoolArray
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.lung_masks.network import SLICE_WEIGHTS, LungNetwork
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.package_card import Inference
from COVIDSelfSegLib.segmentation import (
    MARKS,
    Calibration,
    LungSlices,
    lesion_mask,
    predict_logits,
    probability_image,
)
from COVIDSelfSegLib.volume import array_view, image_like
from torch import nn

from .annotated_slices import AnnotatedSlice, read_arrays, read_pictures
from .baselines import (
    THRESHOLDS_HU,
    hu_threshold,
    mixture_per_slice,
    otsu_per_slice,
    threshold_without_vessels,
    thresholds_without_vessels,
)
from .histogram import ProbabilityHistogram
from .lung_scores import BUILT_IN, CLASSICAL, OF_SLICES
from .overlap import Overlap, overlap
from .score_curves import add_reliability
from .score_tables import best_note
from .scoring import EVERYTHING, KEEPING_DENSE, MIXTURE, OTSU, PLAIN, THRESHOLD
from .sheet import Cell, Sheet
from .slice_lungs import SliceLungs, lungs_of_slice
from .statistics import summarise, summarise_clusters

WITHOUT_VESSELS = "HU without vessels above"
"""Of a family of baselines, followed by a level; on scans one stands for it (:data:`.scoring.PLAIN`)."""
PROTOCOL = (
    "Single annotated slices (8-bit pictures mapped to approximate HU, good to some 80 HU; pixel size "
    "guessed from the width of the chest). Mean over slices with a lesion, of precision over those of them "
    "in which something was found; pooled Dice is over the pixels of all slices. "
    "These pictures are never trained on."
)

_WEIGHED = "The probability of a lesion is multiplied by the probability that the pixel is lung."


@dataclass(frozen=True)
class SliceSet:
    """A set of slices and what was counted in them.

    Attributes:
        name: of the set.
        scans: of each slice, the scan that it is of; a name of its own where that is not known.
        patients: likewise the patient; see :attr:`.annotated_slices.AnnotatedSlice.patient`.
        counts: by method, one entry a slice.
        histograms: of the probability of each package, over all slices.
        recall_in_lungs: by lung mask, the share of the lesion that lies inside of it, a slice each. The
            first of them is the one that was used.
    """

    name: str
    scans: list[str]
    patients: list[str]
    counts: dict[str, list[Overlap]]
    histograms: dict[str, ProbabilityHistogram]
    recall_in_lungs: dict[str, list[float]]


def read_slices(path: Path) -> Iterator[AnnotatedSlice]:
    """The slices of a set: a folder with ``images`` and ``masks``, or an ``.npz`` file.

    Raises:
        UserError: it is neither, or slices and masks do not belong together.
    """
    if path.is_dir() and (path / "images").is_dir() and (path / "masks").is_dir():
        return read_pictures(path)
    if path.is_file() and path.suffix == ".npz":
        return read_arrays(path)
    raise UserError(
        f"{path} is not a set of annotated slices.",
        why="A set is a folder with 'images' and 'masks' (pictures of the same names), or an .npz file "
        "with image, lung, infection and case.",
        fix="Check the path.",
    )


def name_of_set(path: Path) -> str:
    """What a set is called on the sheet: as its folder."""
    path = path.absolute()
    return path.parent.name if path.is_file() else path.name


def check_sets(paths: Iterable[Path]) -> None:
    """Refuse sets that cannot be read, or could not be told apart on the sheet, before scans are scored.

    Raises:
        UserError: one is none (see :func:`read_slices`), or two have one name.
    """
    named: dict[str, Path] = {}
    for path in paths:
        read_slices(path)
        other = named.setdefault(name_of_set(path), path)
        if other is not path:
            raise UserError(
                f"{other} and {path} would both be called '{name_of_set(path)}'.",
                why="On the sheet, a set of annotated slices is named after its folder.",
                fix="Put them into folders of different names.",
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
    of_slices = LungNetwork.shipped(device, weights=SLICE_WEIGHTS)
    of_chests = LungNetwork.shipped(device)
    counts: dict[str, list[Overlap]] = {}
    histograms: dict[str, ProbabilityHistogram] = {}
    recall: dict[str, list[float]] = {}
    scans, patients = [], []
    for number, one in enumerate(read_slices(path), start=1):
        lungs_by = {} if one.lungs is None else {"published": SliceLungs(one.lungs.astype(np.uint8))}
        if of_slices is not None:
            lungs_by[OF_SLICES] = lungs_of_slice(one.hu, of_slices)
        lungs_by[CLASSICAL] = SliceLungs(one.lungs_of_stack())
        lungs_by[BUILT_IN] = SliceLungs(one.lungs_of_stack(of_chests))
        truth = one.lesions[None]
        for name, found in lungs_by.items():
            recall.setdefault(name, []).append(overlap(found.labels[None] > 0, truth).sensitivity)
        used = next(iter(lungs_by.values()))
        lungs = used.labels[None] > 0
        masks = _baselines(one, lungs)
        for label, inference, network in networks:
            probability = slice_probability(network, inference, one, used, device)
            mask = lesion_mask(probability, inference.threshold, inference.least_lesion_ml)
            masks[label] = array_view(mask) > 0
            counted = ProbabilityHistogram.of_scan(array_view(probability), truth, lungs)
            histograms[label] = histograms[label] + counted if label in histograms else counted
        for name, mask in masks.items():
            counts.setdefault(name, []).append(overlap(mask, truth, within=lungs))
        scans.append(one.case or one.name)
        patients.append(one.patient)
        progress(number, one.name)
    return SliceSet(name_of_set(path), scans, patients, counts, histograms, recall)


def slice_probability(
    network: nn.Module,
    inference: Inference,
    one: AnnotatedSlice,
    lungs: SliceLungs,
    device: Device,
) -> sitk.Image:
    """Lesion probability (1, y, x; 0 .. 255) that a package gives a single slice; 0 outside the lungs.

    Args:
        network: of the package.
        inference: likewise.
        one: the slice.
        lungs: its lungs. What the network says is how likely a lesion is if here is lung; times how likely
            lung is, it is how likely a lesion is.
        device: where ``network`` is.
    """
    mask = image_like(lungs.labels[None], one.hu)
    if not lungs.labels.any():
        return mask
    slices = LungSlices.of_scan(
        one.hu,
        mask,
        plane=inference.slice_plane,
        margin_mm=inference.margin_mm,
        neighbour_mm=inference.neighbour_mm,
        taller=True,
    )
    mark = MARKS[one.values] if inference.marked else MARKS["hu"]
    logits = predict_logits(network, slices, batch=1, device=device, mark=mark, mirrored=inference.mirrored)
    calibration = Calibration.of(inference, one.values)
    lesion = probability_image(logits, slices, calibration, mask, inference.threshold_kind)
    if lungs.probability is None:
        return lesion
    return image_like(np.rint(array_view(lesion) * lungs.probability).astype(np.uint8), one.hu)


def add_slice_sets(sheet: Sheet, sets: Sequence[SliceSet], labels: Sequence[str]) -> None:
    """A section for each set: packages first, then the baselines."""
    for one in sets:
        sheet.section(f"Annotated slices, {one.name}", PROTOCOL)
        used = next(iter(one.recall_in_lungs))
        sheet.note(f"Lung mask: {used}." + (f" {_WEIGHED}" if used == OF_SLICES else ""))
        sheet.note(_interval_of(one))
        names = [(label, label) for label in labels]
        names += [(name, name) for name in (EVERYTHING, PLAIN, KEEPING_DENSE, OTSU, MIXTURE)]
        best = [_best_level(one, family) for family in (THRESHOLD, WITHOUT_VESSELS)]
        names += [(name, f"{name}, best level") for name in best]
        sheet.table(
            f"slices_{one.name}", [_row(title, one.counts[name], one.patients) for name, title in names]
        )
        sheet.note(best_note("slices"))
        inside: list[dict[str, Cell]] = [
            {"lung mask": name, "lesion recall inside, mean over slices": summarise(recall).mean}
            for name, recall in one.recall_in_lungs.items()
        ]
        sheet.table(f"lung_recall_{one.name}", inside)
        add_reliability(
            sheet, one.histograms, f"calibration_slices_{one.name}", f"Reliability on the lung of {one.name}"
        )


def _best_level(one: SliceSet, family: str) -> str:
    """The level of a family of thresholds with the highest mean Dice; its full name."""
    names = [name for name in one.counts if name.startswith(family)]
    return max(names, key=lambda name: summarise(map(_dice, one.counts[name])).mean)


def _dice(counts: Overlap) -> float:
    """Of a slice with a lesion; without one it would be 0 for whoever marks a pixel, and for nobody else."""
    return counts.dice if counts.truth else float("nan")


def _interval_of(one: SliceSet) -> str:
    """What the interval of the mean Dice takes for independent."""
    scans, patients, slices = len(set(one.scans)), len(set(one.patients)), len(one.scans)
    if patients == slices:
        return "The interval takes slices as independent, since it is not known which are of one patient."
    which = f"the {scans} scans" if scans == patients else f"the {patients} patients of {scans} scans"
    return f"The interval takes {which} as independent, not their {slices} slices."


def _row(title: str, counts: Sequence[Overlap], patients: Sequence[str]) -> dict[str, Cell]:
    dice = summarise_clusters(map(_dice, counts), patients)
    both, found, truth = (sum(getattr(one, name) for one in counts) for name in ("both", "found", "truth"))
    return {
        "method": title,
        "slices with a lesion": dice.count,
        "slices without": dice.undefined,
        "of these marked": sum(one.found > 0 for one in counts if not one.truth),
        "Dice, mean": dice.mean,
        "95 % low": dice.low,
        "95 % high": dice.high,
        "Dice, median": dice.median,
        "Dice, pooled": 2 * both / (found + truth) if found + truth else float("nan"),
        "sensitivity": summarise(one.sensitivity for one in counts).mean,
        "precision": summarise(one.precision for one in counts if one.truth).mean,
    }


def _baselines(one: AnnotatedSlice, lungs: BoolArray) -> dict[str, BoolArray]:
    hu, pixel_mm = array_view(one.hu), one.hu.GetSpacing()[0]
    masks = {
        EVERYTHING: lungs,
        PLAIN: threshold_without_vessels(hu, lungs, pixel_mm),
        KEEPING_DENSE: threshold_without_vessels(hu, lungs, pixel_mm, vessels_hu=np.inf),
        OTSU: otsu_per_slice(hu, lungs),
        MIXTURE: mixture_per_slice(hu, lungs),
    }
    masks |= {f"{THRESHOLD} {level}": hu_threshold(hu, lungs, level) for level in THRESHOLDS_HU}
    levels = thresholds_without_vessels(hu, lungs, pixel_mm)
    return masks | {f"{WITHOUT_VESSELS} {level}": mask for level, mask in levels}
