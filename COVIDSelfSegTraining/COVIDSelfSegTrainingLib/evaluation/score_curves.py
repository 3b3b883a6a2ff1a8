"""Curves of the sheet: threshold sweep, calibration, and where the groups of lungs lie."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .cases import Case, table_suffix
from .embedding import flattened, group_distances, principal_components
from .evaluated import Contender, Evaluated
from .figures import Series, plot
from .histogram import ProbabilityHistogram
from .score_tables import begin_section, with_lesions
from .sheet import Cell, Sheet
from .statistics import summarise

_THRESHOLDS = tuple(float(t) for t in np.round(np.arange(0.05, 0.96, 0.05), 2))
_LEAST_GROUP = 2


def add_threshold_sweep(sheet: Sheet, evaluated: Evaluated) -> None:
    """Mean Dice at every threshold (2022 paper, table 5), and what the same does to healthy lungs."""
    for kind in evaluated.kinds:
        cases = with_lesions(evaluated, kind)
        healthy = evaluated.of_kind(kind, healthy=True)
        if not cases:
            continue
        begin_section(
            sheet,
            kind,
            f"Threshold, {kind}",
            "Mean Dice per scan, before small components are dropped. The threshold is one for all scans.",
        )
        rows: list[dict[str, Cell]] = []
        series = []
        for contender in evaluated.contenders:
            points = []
            for threshold in _THRESHOLDS:
                value = summarise(_histogram(contender, case).at(threshold).dice for case in cases).mean
                points.append((threshold, value))
                row: dict[str, Cell] = {"method": contender.label, "threshold": threshold, "Dice": value}
                if healthy:
                    row["falsely infected on healthy lungs, %"] = summarise(
                        100 * (1 - _histogram(contender, case).at(threshold).specificity) for case in healthy
                    ).mean
                rows.append(row)
            series.append(Series(contender.label, tuple(points)))
        stored = ", ".join(
            f"{one.label} {one.package.card.inference.threshold:.2f}" for one in evaluated.contenders
        )
        sheet.figure(
            plot(series, "threshold", "Dice, mean over scans", x_range=(0, 1), y_range=(0, 1)),
            f"{kind}, {len(cases)} scans. Stored thresholds: {stored}.",
        )
        sheet.table(f"threshold_{table_suffix(kind)}", rows)


def add_calibration(sheet: Sheet, evaluated: Evaluated) -> None:
    """Whether a stated probability of 80 % is lesion in 80 % of the voxels."""
    for kind in evaluated.kinds:
        cases = [
            case
            for case in evaluated.of_kind(kind)
            if evaluated.contenders[0].results[case.name].histogram is not None
        ]
        if not with_lesions(evaluated, kind):
            continue
        begin_section(
            sheet,
            kind,
            f"Calibration, {kind}",
            "Voxels of the lung (and of true lesion outside the lung mask), pooled over scans with truth, "
            "healthy ones among them. ECE is the mean gap weighted by voxels.",
        )
        pooled = {}
        for contender in evaluated.contenders:
            first, *others = (_histogram(contender, case) for case in cases)
            pooled[contender.label] = sum(others, first)
        name = f"calibration_{table_suffix(kind)}"
        add_reliability(sheet, pooled, name, f"Reliability, {kind}, {len(cases)} scans")


def add_reliability(
    sheet: Sheet, pooled: Mapping[str, ProbabilityHistogram], name: str, caption: str
) -> None:
    """A reliability diagram and its table.

    Args:
        sheet: to add to.
        pooled: by method, counted over everything.
        name: of the table.
        caption: of the diagram.
    """
    rows: list[dict[str, Cell]] = []
    series = []
    for label, histogram in pooled.items():
        bins = histogram.reliability()
        series.append(Series(label, tuple((one.stated, one.observed) for one in bins)))
        for one in bins:
            rows.append(
                {
                    "method": label,
                    "stated": one.stated,
                    "observed": one.observed,
                    "voxels": one.voxels,
                    "ECE of the method": histogram.calibration_error(),
                    "voxel AUC of the method": histogram.auc(),
                }
            )
    if not series:
        return
    axes = "stated probability", "share that is lesion"
    figure = plot(series, *axes, x_range=(0, 1), y_range=(0, 1), diagonal=True)
    sheet.figure(figure, f"{caption}; the dashed line is perfect.")
    sheet.table(name, rows)


def add_groups(sheet: Sheet, evaluated: Evaluated) -> None:
    """Healthy, diseased and synthesised lungs in one plane, and the distances between them."""
    for kind in evaluated.kinds:
        # A lung that is left out has no density, and that is no difference between groups.
        healthy, diseased = (
            [case for case in evaluated.of_kind(kind, healthy=well) if not case.source.only_side]
            for well in (True, False)
        )
        if min(len(healthy), len(diseased)) < _LEAST_GROUP:
            continue
        begin_section(
            sheet,
            kind,
            f"Healthy, diseased and synthesised lungs, {kind}",
            "Pooled densities of both lungs; scans of which one lung counts are left out. Synthesised is "
            "what the generator makes of the diseased ones: it should lie with the healthy. Distances are "
            "between group means in the whole space, less what chance alone gives, with a 95 % bootstrap "
            "interval over scans; if it begins at 0, the groups are not told apart (2022 paper, figure 2).",
        )
        rows: list[dict[str, Cell]] = []
        for contender in evaluated.contenders:
            groups = {
                "healthy": flattened([contender.results[case.name].features[0] for case in healthy]),
                "diseased": flattened([contender.results[case.name].features[0] for case in diseased]),
                "synthesised": flattened([contender.results[case.name].features[1] for case in diseased]),
            }
            places, shares = principal_components(np.concatenate(list(groups.values())))
            series, start = [], 0
            for name, vectors in groups.items():
                part = places[start : start + len(vectors)]
                start += len(vectors)
                points = tuple((float(x), float(y)) for x, y in part)
                series.append(Series(name, points, is_line=False))
            axes = [
                f"component {n + 1} ({100 * share:.0f} % of the variance)" for n, share in enumerate(shares)
            ]
            sheet.figure(plot(series, axes[0], axes[1]), f"{contender.label}, {kind}.")
            rows += [
                {
                    "method": contender.label,
                    "between": f"{one.first} and {one.second}",
                    "distance, unit HU": one.value,
                    "95 % low": one.low,
                    "95 % high": one.high,
                }
                for one in group_distances(groups, paired=("diseased", "synthesised"))
            ]
        sheet.table(f"distances_{table_suffix(kind)}", rows, digits=4)


def _histogram(contender: Contender, case: Case) -> ProbabilityHistogram:
    histogram = contender.results[case.name].histogram
    assert histogram is not None
    return histogram
