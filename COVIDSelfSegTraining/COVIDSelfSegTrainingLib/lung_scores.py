"""How well lung masks fit, and how much of the disease they keep inside: what lies outside is never found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from COVIDSelfSegLib.classical_lungs import builtin_lung_mask
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.lung_network import LungNetwork
from COVIDSelfSegLib.lungs import find_lungs
from COVIDSelfSegLib.phantom import make_phantom
from COVIDSelfSegLib.volume import grid_difference, read_mask, read_scan

from .cases import Case, acquisition_of, bool_view
from .overlap import overlap
from .sheet import Cell, Sheet
from .statistics import summarise

Method = Callable[[sitk.Image], sitk.Image]
BUILT_IN, CLASSICAL, R231 = "built-in", "classical, without its network", "lungmask R231"
_DENSE = 3
"""Severity of phantoms from which on disease is large and dense."""


@dataclass(frozen=True)
class LungScore:
    """One lung mask of one scan.

    Attributes:
        method: that made the mask.
        scan: its name.
        real: not a phantom.
        dice: against the published mask, or a phantom's true one.
        lesion_recall: share of a phantom's lesions inside the mask; NaN for a real scan.
    """

    method: str
    scan: str
    real: bool
    dice: float
    lesion_recall: float


def lung_methods(device: Device, weights: Path | None = None) -> dict[str, Method]:
    """The lung masks to compare: ours with and without its network, and R231 where its weights are given."""
    network = LungNetwork.shipped(device)
    methods: dict[str, Method] = {CLASSICAL: builtin_lung_mask}
    if network is not None:
        methods = {BUILT_IN: lambda scan: builtin_lung_mask(scan, network)} | methods
    if weights is not None:
        methods[R231] = lambda scan: find_lungs(scan, weights=weights, device=device).image
    return methods


def score_lung_masks(
    methods: dict[str, Method],
    masks: Sequence[tuple[str, Path, Path]],
    phantoms: Sequence[Case],
    progress: Callable[[str], object],
) -> list[LungScore]:
    """Run lung masks over scans with a published one, and over phantoms with dense disease.

    Args:
        methods: by name.
        masks: name, scan and published lung mask (non-zero inside).
        phantoms: of which the severe ones are taken.
        progress: told the name of each scan.

    Raises:
        UserError: a file is damaged, or mask and scan differ in their grid.
    """
    scores = []
    for name, scan_file, mask_file in masks:
        scan, mask = read_scan(scan_file), read_mask(mask_file)
        difference = grid_difference(mask, scan)
        if difference is not None:
            raise UserError(
                f"The lung mask {mask_file} is not on the grid of {scan_file}: {difference}.",
                why="Each voxel of the mask must be the same place as that voxel of the scan.",
                fix="Restore the files of the shared data.",
            )
        for method, find in methods.items():
            dice = overlap(bool_view(find(scan)), bool_view(mask)).dice
            scores.append(LungScore(method, name, True, dice, float("nan")))
        progress(name)
    for case in phantoms:
        source = case.source
        if source.severity < _DENSE:
            continue
        phantom = make_phantom(source.seed, source.severity, acquisition_of(source))
        lesions = bool_view(phantom.lesions)
        for method, find in methods.items():
            found = bool_view(find(phantom.scan))
            dice = overlap(found, bool_view(phantom.lungs)).dice
            inside = np.count_nonzero(found & lesions) / np.count_nonzero(lesions)
            scores.append(LungScore(method, case.name, False, dice, inside))
        progress(case.name)
    return scores


def add_lung_masks(sheet: Sheet, scores: Sequence[LungScore]) -> None:
    """Real scans and phantoms apart; those of annotated slices stand with their set."""
    methods = list(dict.fromkeys(score.method for score in scores))
    for real, title in ((True, "real scans"), (False, "phantoms")):
        of_kind = [score for score in scores if score.real == real]
        if not of_kind:
            continue
        sheet.section(
            f"Lung masks, {title}",
            "Dice against a published lung mask; one of the scans (CIP) trained the network."
            if real
            else "Dice against the true mask, and share of the lesions inside the mask, of phantoms with "
            "large and dense disease. Synthetic; no clinical performance.",
        )
        rows: list[dict[str, Cell]] = []
        for method in methods:
            own = [score for score in of_kind if score.method == method]
            row: dict[str, Cell] = {"method": method, "scans": len(own)}
            row["Dice, mean"] = summarise(score.dice for score in own).mean
            if real:
                row |= {f"Dice, {score.scan}": score.dice for score in own}
            else:
                recall = summarise(score.lesion_recall for score in own)
                row |= {"lesion recall": recall.mean, "worst": min(score.lesion_recall for score in own)}
            rows.append(row)
        sheet.table(f"lung_masks_{title.replace(' ', '_')}", rows)
