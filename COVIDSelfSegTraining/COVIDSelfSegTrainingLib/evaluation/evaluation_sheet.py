"""The sheet of an evaluation: what was run on what, then every table, figure and picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from COVIDSelfSegLib import __version__
from PIL import Image

from .cases import Case
from .comparison import add_ablation, add_help_card
from .effusion_scores import EffusionScore, add_effusions
from .evaluated import Evaluated
from .lung_scores import LungScore, add_lung_masks
from .model_card import RUN_HASH, SHARE_OF
from .rescan_scores import RescanScore, add_rescans
from .score_curves import add_calibration, add_groups, add_threshold_sweep
from .score_tables import (
    add_healthy,
    add_paper_protocol,
    add_phantom_groups,
    add_scan_protocol,
    add_slice_labels,
    trained_on,
    with_lesions,
)
from .sheet import Cell, Sheet
from .slice_sets import SliceSet, add_slice_sets


class FurtherFindings(NamedTuple):
    """What was measured beside lesions of scans and slices.

    Attributes:
        masks: of lungs, against published and true ones.
        effusions: lung masks of healthy lungs with an effusion painted in.
        rescans: of degraded copies of real scans.
    """

    masks: Sequence[LungScore] = ()
    effusions: Sequence[EffusionScore] = ()
    rescans: Sequence[RescanScore] = ()


def draw_sheet(
    evaluated: Evaluated,
    title: str,
    notes: Sequence[str],
    pictures: int,
    *,
    slice_sets: Sequence[SliceSet],
    further: FurtherFindings,
) -> Sheet:
    """Put a sheet together.

    Args:
        evaluated: what was scored.
        title: of the page.
        notes: what a reader must know of the choice of scans.
        pictures: cases to show.
        slice_sets: annotated slices that were scored.
        further: what else was scored.
    """
    sheet = Sheet(title)
    _add_head(sheet, evaluated, notes)
    add_help_card(sheet, evaluated)
    add_scan_protocol(sheet, evaluated)
    add_phantom_groups(sheet, evaluated)
    add_paper_protocol(sheet, evaluated)
    add_healthy(sheet, evaluated)
    add_slice_labels(sheet, evaluated)
    add_slice_sets(sheet, slice_sets, [one.label for one in evaluated.contenders])
    add_rescans(sheet, further.rescans)
    add_lung_masks(sheet, further.masks)
    add_effusions(sheet, further.effusions)
    add_ablation(sheet, evaluated)
    add_threshold_sweep(sheet, evaluated)
    add_calibration(sheet, evaluated)
    add_groups(sheet, evaluated)
    _add_volumes(sheet, evaluated)
    _add_gallery(sheet, evaluated, pictures)
    return sheet


def _add_head(sheet: Sheet, evaluated: Evaluated, notes: Sequence[str]) -> None:
    sheet.note(
        f"COVIDSelfSeg {__version__}. For research use only; not a medical device. Real scans and phantoms "
        "are kept apart in every table, and every section says its protocol."
    )
    for note in notes:
        sheet.warn(note)
    rows: list[dict[str, Cell]] = []
    for one in evaluated.contenders:
        card = one.package.card
        licences = sorted({scan.licence for scan in card.trained_on})
        restricted = len(card.non_commercial)
        rows.append(
            {
                "method": one.label,
                "package": card.name,
                "preset": card.preset,
                "threshold": card.inference.threshold,
                "threshold is a share": SHARE_OF[card.inference.threshold_kind],
                "trained on, scans": len(card.trained_on),
                "of these non-commercial": restricted,
                "licences": "; ".join(licences),
                "code": card.code_version,
                "SHA-256 of the weights": one.package.sha256,
                RUN_HASH: card.inference.sha256,
            }
        )
    sheet.table("packages", rows, digits=2)
    counts: list[dict[str, Cell]] = [
        {
            "kind": kind,
            "healthy": len(evaluated.of_kind(kind, healthy=True)),
            "diseased": len(evaluated.of_kind(kind, healthy=False)),
            "with drawn lesions": len(with_lesions(evaluated, kind)),
        }
        for kind in evaluated.kinds
    ]
    sheet.table("scans", counts)
    for one in evaluated.contenders:
        kind = one.package.card.inference.threshold_kind
        if kind != "absolute":
            sheet.warn(
                f"'{one.label}' gives no probabilities but shares {SHARE_OF[kind]}: its threshold curve, its "
                "reliability and its voxel AUC are of those."
            )
        seen = [case.name for case in evaluated.cases if case.seen_by(one.package)]
        if seen:
            sheet.warn(
                f"'{one.label}' was trained on {len(seen)} of these scans, without labels; figures on them "
                f"are not held-out: {', '.join(seen[:6])}{', ...' if len(seen) > 6 else ''}"
            )
    if evaluated.failures:
        sheet.warn("Some scans could not be evaluated and are in no figure.")
        failed: list[dict[str, Cell]] = [{"scan": name, "why": why} for name, why in evaluated.failures]
        sheet.table("not_evaluated", failed)


def _add_volumes(sheet: Sheet, evaluated: Evaluated) -> None:
    """Infected volume of every scan, with or without truth."""
    if not evaluated.cases:
        return
    sheet.section("Every scan")
    rows: list[dict[str, Cell]] = []
    for case in evaluated.cases:
        for one in evaluated.contenders:
            result = one.results[case.name]
            rows.append(
                {
                    "kind": case.kind,
                    "scan": case.name,
                    "group": case.source.group,
                    "class": case.source.stated_class,
                    "method": one.label,
                    "trained on": trained_on(one, case),
                    "found, ml": result.found_ml if case.has_true_size else None,
                    "found, % of lung": 100 * result.found_share,
                    "truth, ml": result.truth_ml,
                    "generator changes, HU": result.reconstruction_hu,
                }
            )
    sheet.table("every_scan", rows, digits=2)


def _add_gallery(sheet: Sheet, evaluated: Evaluated, count: int) -> None:
    chosen = _spread_by_dice(evaluated, count)
    if not chosen:
        return
    sheet.section(
        "Pictures",
        "Result in red, truth (where it was drawn) in green, the same slices for every package. The scans "
        "are spread from the worst to the best Dice of the first package; those without truth come last.",
    )
    for case in chosen:
        for one in evaluated.contenders:
            path = one.kept / f"{case.name}.jpg"
            with Image.open(path) as picture:
                caption = f"{case.name} ({case.kind}, {case.source.group}), {one.label}"
                scores = one.results[case.name].scan_scores
                sheet.picture(picture, caption + (f", Dice {scores.dice:.3f}" if scores else ""))


def _spread_by_dice(evaluated: Evaluated, count: int) -> list[Case]:
    first = evaluated.contenders[0]

    def dice(case: Case) -> float:
        scores = first.results[case.name].scan_scores
        return scores.dice if scores else 2.0

    ordered = sorted(evaluated.cases, key=dice)
    if len(ordered) <= count:
        return ordered
    places = np.linspace(0, len(ordered) - 1, count)
    return [ordered[round(place)] for place in places]
