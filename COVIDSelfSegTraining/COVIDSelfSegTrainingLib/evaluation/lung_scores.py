"""How well lung masks fit, and how much of the disease they keep inside: what lies outside is never found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
from COVIDSelfSegLib.array_types import BoolArray
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.lung_masks.classical import builtin_lung_mask
from COVIDSelfSegLib.lung_masks.network import LungNetwork
from COVIDSelfSegLib.lungs import find_lungs
from COVIDSelfSegLib.volume import array_view, grid_difference, read_mask, read_scan

from .cases import Case, Kind, bool_view, phantom_of, table_suffix
from .overlap import overlap
from .sheet import Cell, Sheet
from .statistics import summarise

Method = Callable[[sitk.Image], sitk.Image]
BUILT_IN, CLASSICAL, R231 = "built-in", "classical, without its network", "lungmask R231"
OF_SLICES = f"{BUILT_IN}, its network for single slices"
_AERATED_HU = -500.0
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
        aerated_dice: the same of what is below -500 HU alone: published masks differ in whether they keep
            tumours and effusions.
        lesion_recall: share of a phantom's lesions inside the mask; NaN for a real scan.
    """

    method: str
    scan: str
    real: bool
    dice: float
    aerated_dice: float
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
                why="Each voxel of the mask must lie where the same voxel of the scan lies.",
                fix="Restore the files of the shared data.",
            )
        for method, find in methods.items():
            scores.append(_score(method, name, scan, find(scan), mask))
        progress(name)
    for case in phantoms:
        if case.source.severity < _DENSE:
            continue
        phantom = phantom_of(case.source)
        lesions = bool_view(phantom.lesions)
        for method, find in methods.items():
            mask = find(phantom.scan)
            scores.append(_score(method, case.name, phantom.scan, mask, phantom.lungs, lesions=lesions))
        progress(case.name)
    return scores


def _score(
    method: str,
    name: str,
    scan: sitk.Image,
    mask: sitk.Image,
    truth: sitk.Image,
    *,
    lesions: BoolArray | None = None,
) -> LungScore:
    """Of a phantom if its lesions (z, y, x) are given, else of a real scan."""
    found, lungs, aerated = bool_view(mask), bool_view(truth), array_view(scan) < _AERATED_HU
    return LungScore(
        method,
        name,
        real=lesions is None,
        dice=overlap(found, lungs).dice,
        aerated_dice=overlap(found & aerated, lungs & aerated).dice,
        lesion_recall=float("nan") if lesions is None else overlap(found, lesions).sensitivity,
    )


def add_lung_masks(sheet: Sheet, scores: Sequence[LungScore]) -> None:
    """Real scans and phantoms apart; those of annotated slices stand with their set."""
    methods = list(dict.fromkeys(score.method for score in scores))
    kinds: tuple[tuple[bool, Kind], ...] = ((True, "real scans"), (False, "phantoms"))
    for real, kind in kinds:
        of_kind = [score for score in scores if score.real == real]
        if not of_kind:
            continue
        sheet.section(
            f"Lung masks, {kind}",
            "Dice against a published lung mask; one of the scans (CIP) trained the network. The mask of "
            "LUNG1-001 leaves out tumour, consolidation and effusion, which ours keeps inside on purpose; "
            "aerated lung (below -500 HU) is not in dispute."
            if real
            else "Dice against the true mask, and share of the lesions inside the mask, of phantoms with "
            "large and dense disease. Synthetic; no clinical performance.",
        )
        rows: list[dict[str, Cell]] = []
        for method in methods:
            own = [score for score in of_kind if score.method == method]
            row: dict[str, Cell] = {"method": method, "scans": len(own)}
            row["Dice, mean"] = summarise(score.dice for score in own).mean
            row["Dice, aerated lung only, mean"] = summarise(score.aerated_dice for score in own).mean
            if real:
                row |= {f"Dice, {score.scan}": score.dice for score in own}
            else:
                recall = summarise(score.lesion_recall for score in own)
                row |= {"lesion recall": recall.mean, "worst": min(score.lesion_recall for score in own)}
            rows.append(row)
        sheet.table(f"lung_masks_{table_suffix(kind)}", rows)
