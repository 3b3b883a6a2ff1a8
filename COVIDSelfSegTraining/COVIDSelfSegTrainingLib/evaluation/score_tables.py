"""Tables of the sheet: both protocols, baselines, published values, healthy scans, labels of slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from COVIDSelfSegLib.lung_labels import LEFT, RIGHT

from .cases import Case, Kind, acquisition_of, table_suffix
from .evaluated import Contender, Evaluated
from .overlap import Overlap
from .protocols import PAPER_PROTOCOL, SCAN_PROTOCOL, ScanScores
from .published import PUBLISHED
from .scoring import DIFFERENCE, EVERYTHING, KEEPING_DENSE, MIXTURE, OTSU, PLAIN, THRESHOLD, CaseResult
from .sheet import Cell, Sheet
from .statistics import summarise, summarise_clusters

PHANTOM_NOTE = (
    "Phantoms are synthetic. Their scores show that the machinery works and are no clinical performance; "
    "they are never averaged with real scans."
)
INTERVAL_NOTE = (
    "The 95 % interval is that of the mean (Student's t) and counts patients, not scans; of few patients it "
    "may reach below 0 or above 1."
)
_SCORES = (
    ("sensitivity", "sensitivity"),
    ("precision", "precision"),
    ("specificity", "specificity in the lung"),
    ("surface_dice_5mm", "surface Dice, 5 mm"),
    ("surface_dice_3mm", "surface Dice, 3 mm"),
    ("hd95_mm", "HD95, mm"),
    ("volume_error_ml", "volume error, ml"),
    ("share_error", "infected share error, points"),
)

_THICKNESSES = ((1.3, "up to 1.25 mm"), (3.0, "2 to 3 mm"), (8.0, "5 to 8 mm"))
_NOISES = ((20.0, "up to 20 HU"), (1e9, "above 20 HU"))


def begin_section(sheet: Sheet, kind: Kind, title: str, note: str) -> None:
    """Begin a section on scans of a kind; of phantoms it says what their scores are worth."""
    sheet.section(title, note)
    if kind == "phantoms":
        sheet.warn(PHANTOM_NOTE)


def add_scan_protocol(sheet: Sheet, evaluated: Evaluated) -> None:
    """Every scan with a drawn lesion: packages beside the baselines, and each scan by itself."""
    for kind in evaluated.kinds:
        cases = with_lesions(evaluated, kind)
        if not cases:
            continue
        begin_section(sheet, kind, f"Lesions, {kind}", f"Protocol: {SCAN_PROTOCOL}. {INTERVAL_NOTE}")
        rows = [_package_row(contender, cases) for contender in evaluated.contenders]
        rows += _baseline_rows(evaluated.contenders[0], cases)
        sheet.table(f"scan_protocol_{table_suffix(kind)}", rows)
        sheet.note(best_note("scans"))
        sheet.table(f"scans_{table_suffix(kind)}", list(_case_rows(evaluated, cases)))


def add_phantom_groups(sheet: Sheet, evaluated: Evaluated) -> None:
    """Phantoms by how they were scanned and how ill they are: where a package is weak."""
    cases = with_lesions(evaluated, "phantoms")
    if not cases:
        return
    note = f"Protocol: {SCAN_PROTOCOL}. {INTERVAL_NOTE}"
    begin_section(sheet, "phantoms", "Phantoms by scanner and severity", note)
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        scanner = acquisition_of(case.source)
        thickness = next(name for most, name in _THICKNESSES if scanner.slice_mm <= most)
        noise = next(name for most, name in _NOISES if scanner.noise_hu <= most)
        tilt = "oblique" if any(scanner.tilt) else "straight"
        named = (("slices", thickness), ("noise", noise), ("axes", tilt))
        for group in (*named, ("severity", f"{case.source.severity} of 4")):
            groups.setdefault(group, []).append(case)
    rows: list[dict[str, Cell]] = []
    for (what, value), members in sorted(groups.items()):
        for contender in evaluated.contenders:
            scores = [_scores(contender.results[case.name]) for case in members]
            row: dict[str, Cell] = {"what": what, "value": value}
            row |= _dice_cells(contender.label, (one.dice for one in scores), members)
            row["surface Dice, 3 mm"] = summarise(one.surface_dice_3mm for one in scores).mean
            rows.append(row)
    sheet.table("phantom_groups", rows)


def add_paper_protocol(sheet: Sheet, evaluated: Evaluated) -> None:
    """The 2022 paper's protocol beside what is published; real scans alone."""
    cases = with_lesions(evaluated, "real scans")
    rows: list[dict[str, Cell]] = []
    for contender in evaluated.contenders:
        slices = [one for case in cases for one in contender.results[case.name].slice_scores]
        if slices:
            row: dict[str, Cell] = {"method": contender.label, "data": "this cohort", "labels": "none"}
            row |= {"protocol": PAPER_PROTOCOL, "slices": len(slices)}
            for name in ("Dice", "sensitivity", "precision", "specificity"):
                row[f"{name}, %"] = 100 * summarise(getattr(one, name.lower()) for one in slices).mean
            rows.append(row)
    if not rows:
        return
    sheet.section(
        "Beside published values",
        "Protocols and data sets differ between rows, so no two rows can be ranked unless both columns "
        "agree. Specificity of this protocol is over the whole frame around the lungs, lung or not.",
    )
    for published in PUBLISHED:
        rows.append(
            {
                "method": published.method,
                "data": published.data,
                "labels": published.labels,
                "protocol": published.protocol,
                "Dice, %": published.dice,
            }
        )
    sheet.table("published", rows, digits=1)


def add_healthy(sheet: Sheet, evaluated: Evaluated) -> None:
    """What is found in scans without disease: all of it is wrong."""
    for kind in evaluated.kinds:
        cases = evaluated.of_kind(kind, healthy=True)
        if not cases:
            continue
        begin_section(
            sheet,
            kind,
            f"Healthy lungs, {kind}",
            f"Everything found here is wrong. Shares are of the lung volume. {INTERVAL_NOTE}",
        )
        rows: list[dict[str, Cell]] = []
        for contender in evaluated.contenders:
            results = [contender.results[case.name] for case in cases]
            share = summarise_clusters(
                (100 * result.found_share for result in results), [case.patient for case in cases]
            )
            rows.append(
                {
                    "method": contender.label,
                    "scans": share.count,
                    "falsely infected, %": share.mean,
                    "95 % low": share.low,
                    "95 % high": share.high,
                    "worst, %": max(100 * result.found_share for result in results),
                    "reconstruction error, HU": summarise(
                        result.reconstruction_hu for result in results
                    ).mean,
                }
            )
        plain = [contender.results[case.name].baselines[PLAIN] for case in cases]
        rows.append(
            {
                "method": PLAIN,
                "scans": len(plain),
                "falsely infected, %": summarise(100 * (1 - counts.specificity) for counts in plain).mean,
            }
        )
        sheet.table(f"healthy_{table_suffix(kind)}", rows)
        sheet.table(f"healthy_scans_{table_suffix(kind)}", list(_healthy_rows(evaluated, cases)))


def add_slice_labels(sheet: Sheet, evaluated: Evaluated) -> None:
    """Ranking of slices against labels of slices, where a reader gave them."""
    rows: list[dict[str, Cell]] = []
    for case in evaluated.of_kind("real scans"):
        for contender in evaluated.contenders:
            result = contender.results[case.name]
            if result.auc is not None:
                rows.append(
                    {
                        "scan": case.name,
                        "method": contender.label,
                        "AUC": result.auc,
                        f"AUC, {PLAIN}": result.plain_auc,
                        "trained on": trained_on(contender, case),
                    }
                )
    if rows:
        sheet.section(
            "Labels of slices",
            "Chance that a slice labelled as diseased has a larger infected share than one labelled free "
            "of disease, over the slices that hold lung; ties count half.",
        )
        sheet.table("slice_labels", rows)


def trained_on(contender: Contender, case: Case) -> str:
    """Whether a package was trained on a scan, as tables say it."""
    return "yes, without labels" if case.seen_by(contender.package) else "no"


def with_lesions(evaluated: Evaluated, kind: Kind) -> list[Case]:
    """Cases with a drawn lesion that is not empty."""
    first = evaluated.contenders[0]
    return [case for case in evaluated.of_kind(kind) if first.results[case.name].scan_scores is not None]


def best_note(scored: str) -> str:
    """What 'best level' is worth in a table of ``scored``: scans or slices."""
    return (
        f"'best level' was chosen over these very {scored} with the truth in view: an upper bound for any "
        "threshold, not a method."
    )


def best_level(contender: Contender, cases: Iterable[Case], name: str) -> str | None:
    """The level of a baseline family with the highest mean Dice over cases; its full name."""
    cases = list(cases)
    names = [key for key in contender.results[cases[0].name].baselines if key.startswith(name)]
    return max(names, key=lambda key: _mean_dice(contender, cases, key), default=None)


def _healthy_rows(evaluated: Evaluated, cases: list[Case]) -> Iterable[dict[str, Cell]]:
    for case in cases:
        side = {0: "both", RIGHT: "right", LEFT: "left"}[case.source.only_side]
        row: dict[str, Cell] = {"scan": case.name, "lungs": side}
        for contender in evaluated.contenders:
            row[f"{contender.label}, %"] = 100 * contender.results[case.name].found_share
        plain = evaluated.contenders[0].results[case.name].baselines[PLAIN]
        row[f"{PLAIN}, %"] = 100 * (1 - plain.specificity)
        seen = [one.label for one in evaluated.contenders if case.seen_by(one.package)]
        yield row | {"trained on, without labels, by": ", ".join(seen) or "none"}


def _package_row(contender: Contender, cases: list[Case]) -> dict[str, Cell]:
    scores = [_scores(contender.results[case.name]) for case in cases]
    row = _dice_cells(contender.label, (one.dice for one in scores), cases)
    row |= {title: summarise(getattr(one, name) for one in scores).mean for name, title in _SCORES}
    # Precision and HD95 are not defined there, and so are means over the others.
    row["of these with nothing found"] = sum(math.isnan(one.precision) for one in scores)
    seen = sum(case.seen_by(contender.package) for case in cases)
    twins = [contender.results[case.name].twin_error for case in cases]
    known = [error for error in twins if error is not None]
    if known:
        row["pseudo-healthy error, share of doing nothing"] = summarise(known).mean
    row["of these trained on, without labels"] = seen
    return row


def _baseline_rows(contender: Contender, cases: list[Case]) -> list[dict[str, Cell]]:
    names = [EVERYTHING, PLAIN, KEEPING_DENSE, OTSU, MIXTURE]
    rows = []
    for family, of in ((THRESHOLD, ""), (DIFFERENCE, f" ({contender.label})")):
        best = best_level(contender, cases, family)
        if best is not None:
            rows.append(_baseline_row(contender, cases, best, f"{best}{of}, best level"))
    return [_baseline_row(contender, cases, name, name) for name in names] + rows


def _baseline_row(contender: Contender, cases: list[Case], name: str, label: str) -> dict[str, Cell]:
    counts = [contender.results[case.name].baselines[name] for case in cases]
    row = _dice_cells(label, (one.dice for one in counts), cases)
    parts: tuple[tuple[str, Callable[[Overlap], float]], ...] = (
        ("sensitivity", lambda one: one.sensitivity),
        ("precision", lambda one: one.precision),
        ("specificity in the lung", lambda one: one.specificity),
    )
    return row | {title: summarise(part(one) for one in counts).mean for title, part in parts}


def _dice_cells(label: str, values: Iterable[float], cases: list[Case]) -> dict[str, Cell]:
    dice = summarise_clusters(values, [case.patient for case in cases])
    return {
        "method": label,
        "scans": dice.count,
        "Dice, mean": dice.mean,
        "95 % low": dice.low,
        "95 % high": dice.high,
        "Dice, median": dice.median,
    }


def _case_rows(evaluated: Evaluated, cases: list[Case]) -> Iterable[dict[str, Cell]]:
    for case in cases:
        for contender in evaluated.contenders:
            result = contender.results[case.name]
            row: dict[str, Cell] = {
                "scan": case.name,
                "class": case.source.stated_class,
                "method": contender.label,
                "truth, ml": result.truth_ml,
                "found, ml": result.found_ml,
            }
            scores = _scores(result)
            row |= {"Dice": scores.dice} | {title: getattr(scores, name) for name, title in _SCORES}
            yield row | {"trained on": trained_on(contender, case)}


def _scores(result: CaseResult) -> ScanScores:
    assert result.scan_scores is not None
    return result.scan_scores


def _mean_dice(contender: Contender, cases: list[Case], name: str) -> float:
    return summarise(contender.results[case.name].baselines[name].dice for case in cases).mean
