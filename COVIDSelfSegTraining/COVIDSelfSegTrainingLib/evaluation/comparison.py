"""Packages side by side: what differs in their recipes, how far they agree, and whether the new one helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from COVIDSelfSegLib.quantification import dice

from ..preset_files import flat
from ..starting import own_recipe
from .cases import Case, table_suffix
from .evaluated import Contender, Evaluated
from .score_tables import INTERVAL_NOTE, begin_section, best_level, best_note, with_lesions
from .scoring import DIFFERENCE, CaseResult
from .sheet import Cell, Sheet
from .statistics import summarise, summarise_clusters


def add_ablation(sheet: Sheet, evaluated: Evaluated) -> None:
    """What each part of the method gives (2022 paper, tables 3 and 4): GAN, + network, + contrastive.

    The difference of the generator alone comes from the first package. What the other rows are, their own
    recipes say: those settings in which the packages differ.
    """
    recipes = {one.label: flat(own_recipe(one.package.card)) for one in evaluated.contenders}
    differing = differing_settings(recipes)
    for kind in evaluated.kinds:
        cases = with_lesions(evaluated, kind)
        if not cases:
            continue
        begin_section(
            sheet,
            kind,
            f"Ablation, {kind}",
            "The generator's difference alone, then each package with the settings of its recipe that are "
            f"not the same for all. Protocol: per scan. {INTERVAL_NOTE} Train packages with parts switched "
            "off (no contrastive loss, another pairing) and name them all to fill this table.",
        )
        rows: list[dict[str, Cell]] = []
        patients = [case.patient for case in cases]
        first = evaluated.contenders[0]
        best = best_level(first, cases, DIFFERENCE)
        if best is not None:
            sheet.note(best_note("scans"))
            counts = [first.results[case.name].baselines[best] for case in cases]
            alone = summarise_clusters((one.dice for one in counts), patients)
            rows.append(
                {
                    "method": f"{first.label}: GAN alone",
                    "is": f"{best}, best level",
                    "Dice, mean": alone.mean,
                    "95 % low": alone.low,
                    "95 % high": alone.high,
                }
            )
        for one in evaluated.contenders:
            value = summarise_clusters((_dice(one.results[case.name]) for case in cases), patients)
            row: dict[str, Cell] = {
                "method": one.label,
                "is": _parts(recipes[one.label]),
                "Dice, mean": value.mean,
                "95 % low": value.low,
                "95 % high": value.high,
            }
            rows.append(row | {name: str(recipes[one.label].get(name, "-")) for name in differing})
        sheet.table(f"ablation_{table_suffix(kind)}", rows)


def add_help_card(sheet: Sheet, evaluated: Evaluated) -> None:
    """Did it help? Answers without any mask: healthy lungs, reconstruction, agreement; masks if any."""
    old, new = evaluated.contenders[0], evaluated.contenders[-1]
    if old is new:
        return
    for kind in evaluated.kinds:
        begin_section(
            sheet,
            kind,
            f"Did it help? {kind}",
            f"From '{old.label}' to '{new.label}', scan by scan. If the interval of the change contains "
            f"zero, a change is not shown. {INTERVAL_NOTE} Less is better, except for Dice.",
        )
        healthy = evaluated.of_kind(kind, healthy=True)
        rows = [
            _change("falsely infected on healthy lungs, %", old, new, healthy, _false_share),
            _change("reconstruction error on healthy lungs, HU", old, new, healthy, _reconstruction),
            _change("lesion Dice", old, new, with_lesions(evaluated, kind), _dice, more_is_better=True),
        ]
        sheet.table(f"did_it_help_{table_suffix(kind)}", [row for row in rows if row is not None])
        diseased = evaluated.of_kind(kind, healthy=False)
        sheet.table(f"agreement_{table_suffix(kind)}", _agreement(old, new, diseased))


def differing_settings(recipes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the settings that are not the same in all recipes, in their order."""
    names = dict.fromkeys(name for recipe in recipes.values() for name in recipe)
    return [name for name in names if len({str(recipe.get(name)) for recipe in recipes.values()}) > 1]


def _parts(recipe: Mapping[str, Any]) -> str:
    weight = recipe.get("segmenter.contrastive_weight")
    if weight is None:
        return "+ network"
    return "+ network + contrastive" if weight else "+ network, no contrastive loss"


def _change(
    name: str,
    old: Contender,
    new: Contender,
    cases: list[Case],
    value_of: Callable[[CaseResult], float],
    *,
    more_is_better: bool = False,
) -> dict[str, Cell] | None:
    if not cases:
        return None
    before = [value_of(old.results[case.name]) for case in cases]
    after = [value_of(new.results[case.name]) for case in cases]
    change = summarise_clusters(
        (b - a for a, b in zip(before, after, strict=True)), [case.patient for case in cases]
    )
    if not change.count:
        return None
    better = change.low > 0 if more_is_better else change.high < 0
    worse = change.high < 0 if more_is_better else change.low > 0
    return {
        "what": name,
        "scans": change.count,
        old.label: summarise(before).mean,
        new.label: summarise(after).mean,
        "change": change.mean,
        "95 % low": change.low,
        "95 % high": change.high,
        "answer": "better" if better else "worse" if worse else "not shown",
    }


def _agreement(old: Contender, new: Contender, cases: list[Case]) -> list[dict[str, Cell]]:
    rows: list[dict[str, Cell]] = []
    for case in cases:
        one, other = old.results[case.name], new.results[case.name]
        masks = [np.unpackbits(result.mask).astype(bool) for result in (one, other)]
        rows.append(
            {
                "scan": case.name,
                f"found by {old.label}, ml": one.found_ml,
                f"found by {new.label}, ml": other.found_ml,
                "Dice of one against the other": dice(*masks),
            }
        )
    return rows


def _false_share(result: CaseResult) -> float:
    return 100 * result.found_share


def _reconstruction(result: CaseResult) -> float:
    return result.reconstruction_hu


def _dice(result: CaseResult) -> float:
    return result.scan_scores.dice if result.scan_scores else float("nan")
