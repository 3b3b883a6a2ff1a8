"""The card of a package: figures of a sheet put into it, and its text for people (Mitchell et al. 2019)."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_errors import writing_to
from COVIDSelfSegLib.models import ModelPackage, write_package
from COVIDSelfSegLib.package_card import ModelCard, ThresholdKind

from ..cohorts.card_names import is_public
from .sheet import PAGE

RUN_HASH = "SHA-256 of how they are run"
"""Column of a sheet's packages: :attr:`COVIDSelfSegLib.package_card.Inference.sha256`."""


@dataclass(frozen=True)
class _Wanted:
    """Which columns of which table go into the card, and what to say of how they came about."""

    tables: str
    columns: tuple[str, ...]
    protocol: str


_WANTED = (
    _Wanted(
        "scan_protocol_real_scans",
        ("Dice, mean", "surface Dice, 3 mm", "sensitivity", "precision"),
        "real scans with drawn lesions, mean over scans",
    ),
    _Wanted(
        "scan_protocol_phantoms",
        (
            "Dice, mean",
            "surface Dice, 3 mm",
            "sensitivity",
            "precision",
            "pseudo-healthy error, share of doing nothing",
        ),
        "held-out phantoms, mean over scans; shows that the machinery works, no clinical performance",
    ),
    _Wanted("healthy_real_scans", ("falsely infected, %", "worst, %"), "real healthy lungs"),
    _Wanted("healthy_phantoms", ("falsely infected, %", "worst, %"), "phantoms without lesions"),
    _Wanted(
        "slices_*",
        ("Dice, mean", "Dice, pooled", "sensitivity", "precision"),
        "annotated 8-bit pictures mapped to approximate HU, out of domain; mean over slices unless pooled",
    ),
)
_LABELS = "slice_labels"
SHARE_OF: dict[ThresholdKind, str] = {
    "absolute": "of the calibrated probability",
    "slice": "of each slice's highest probability",
    "volume": "of the scan's highest probability",
}
"""What a threshold is a share of."""


def with_figures(package: ModelPackage, sheet: Path, label: str, failures: tuple[str, ...]) -> ModelPackage:
    """A package with a sheet's figures in its card, not yet on disk; see :func:`write_card`.

    Args:
        package: that the sheet scored.
        sheet: folder that ``covidselfseg benchmark`` or ``evaluate`` wrote.
        label: what the package is called there.
        failures: where it goes wrong, in words; none keeps what the card says.

    Raises:
        UserError: not a sheet, or one that another program changed, or it scored other weights, another
            threshold or another calibration (exit code 2).
    """
    rows = {row["method"]: row for row in _rows(sheet, "packages")}
    scored = {name: row["SHA-256 of the weights"] for name, row in rows.items()}
    if scored.get(label) != package.sha256:
        raise UserError(
            f"The sheet {sheet} has no figures of {package.path.name}.",
            why="It scored "
            + (", ".join(f"'{name}' ({digest[:12]})" for name, digest in scored.items()) or "no package")
            + f"; the weights of {package.path.name} are {package.sha256[:12]}.",
            fix="Name the folder that 'covidselfseg benchmark' wrote for this package, and its label there "
            "with --label.",
        )
    used, own = float(rows[label]["threshold"]), package.card.inference.threshold
    if not math.isclose(used, own, abs_tol=1e-6):
        raise UserError(
            f"The sheet {sheet} was made with the threshold {used:g}.",
            why=f"A card holds figures at the package's own threshold, {own:g}.",
            fix="Run 'covidselfseg benchmark' without --threshold into another folder.",
        )
    if rows[label].get(RUN_HASH, "") != package.card.inference.sha256:
        raise UserError(
            f"The sheet {sheet} was made when {package.path.name} was calibrated or run differently.",
            why="Its weights are the same, but their probabilities mean something else now.",
            fix="Run 'covidselfseg benchmark' again.",
        )
    card = replace(
        package.card,
        metrics=tuple(_figures(sheet, label)),
        known_failures=failures or package.card.known_failures,
    )
    return replace(package, card=card)


def with_threshold(package: ModelPackage, threshold: float) -> ModelPackage:
    """A package with another threshold of its own, and no figures; not yet on disk, see :func:`write_card`.

    Args:
        package: with figures of its threshold so far.
        threshold: 0 .. 1.

    Raises:
        UserError: no threshold (exit code 2).
    """
    if not 0 < threshold < 1:
        raise UserError(
            f"{threshold:g} is not a threshold.",
            why="Probabilities lie between 0 and 1; at 0 the whole lung would be lesion, at 1 nothing.",
            fix="Give a number between them, such as 0.35.",
        )
    inference = replace(package.card.inference, threshold=threshold)
    return replace(package, card=replace(package.card, inference=inference, metrics=()))


def write_card(package: ModelPackage) -> ModelPackage:
    """Put a package's card into its file; weights and their hash stay.

    Raises:
        UserError: the package cannot be written (exit code 5).
    """
    networks = package.generator().state_dict(), package.segmenter().state_dict()
    with writing_to(package.path):
        return write_package(package.path, package.card, *networks)


def card_text(package: ModelPackage) -> str:
    """The card as Markdown."""
    card = package.card
    inference = card.inference
    lines = [
        f"# Model card: {card.name}",
        "",
        "For research use only; not a medical device. Trained without a hand-drawn label.",
        "",
        f"- Networks: {card.generator.network} (3D), {card.segmenter.network} (2D), preset `{card.preset}`, "
        f"code {card.code_version}",
        f"- Grids: generator {_sides(inference.generator_grid)}, slices {_sides(inference.slice_plane)}",
        f"- Threshold {inference.threshold:.2f} {SHARE_OF[inference.threshold_kind]}, "
        f"lesions of at least {inference.least_lesion_ml} ml"
        + ("; slices in which something is seen are also run mirrored" if inference.mirrored else ""),
        f"- SHA-256 of the weights: `{package.sha256}`",
        f"- Made by: `{card.command}`, seed {card.recipe.get('seed', 'unknown')}",
        *(f"- Started from: `{text}`" for text in _beginnings(card.recipe)),
        *(f"- Mean of: {text}" for text in _parts(card.recipe)),
        *([f"- Calibrated by: `{card.recipe['calibrated_by']}`"] if "calibrated_by" in card.recipe else []),
        "",
        "## Trained on",
        "",
        *_table(("licence", "role", "scans"), _by_licence(card)),
        "",
        "## Figures",
        "",
    ]
    if card.metrics:
        figures = [(one["protocol"], one["name"], _number(one["value"])) for one in card.metrics]
        lines += _table(("protocol", "figure", "value"), figures)
    else:
        lines.append("None measured yet.")
    lines += ["", "## Known failures", ""]
    lines += [f"- {text}" for text in card.known_failures] or ["None recorded yet."]
    return "\n".join(lines) + "\n"


def _figures(sheet: Path, label: str) -> Iterator[dict[str, Any]]:
    for wanted in _WANTED:
        for path in sorted(sheet.glob(f"{wanted.tables}.csv")):
            place = path.stem.removeprefix("slices_") + ": " if "*" in wanted.tables else ""
            protocol = place + wanted.protocol
            if wanted.tables.endswith("_real_scans"):
                protocol += _how_many_seen(sheet, label, wanted.tables)
            for row in _rows(sheet, path.stem):
                if row["method"] != label:
                    continue
                for column in wanted.columns:
                    if row.get(column):
                        yield {"name": column, "value": float(row[column]), "protocol": protocol}
    labelled = [row for row in _rows(sheet, _LABELS) if row["method"] == label]
    for number, row in enumerate(labelled, start=1):
        if row["AUC"]:  # none where all slices have the same label
            seen = row.get("trained on", "")
            # A hospital's files may be called after its patients, and a package is passed on.
            scan = row["scan"] if is_public(row["scan"]) else f"labelled scan {number}"
            protocol = f"{scan}: infected share of the lung against labels of slices"
            protocol += f"; trained on: {seen}" if seen else ""
            yield {"name": "AUC over slices", "value": float(row["AUC"]), "protocol": protocol}


def _how_many_seen(sheet: Path, label: str, table: str) -> str:
    """Figures on scans that a package was trained on, though without labels, are not held-out figures."""
    if table == "healthy_real_scans":
        rows = _rows(sheet, "healthy_scans_real_scans")
        # Labels may hold a comma themselves.
        seen = sum(f", {label}, " in f", {row['trained on, without labels, by']}, " for row in rows)
    else:
        rows = [row for row in _rows(sheet, "scans_real_scans") if row["method"] == label]
        seen = sum(row["trained on"] != "no" for row in rows)
    return f"; {seen} of {len(rows)} were trained on, without labels"


def _rows(sheet: Path, table: str) -> list[dict[str, str]]:
    path = sheet / f"{table}.csv"
    if not (sheet / PAGE).is_file():
        raise UserError(
            f"{sheet} holds no sheet.",
            why=f"There is no {PAGE} in it.",
            fix="Name the folder that 'covidselfseg benchmark' or 'evaluate' wrote.",
        )
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.DictReader(file)
        if not {"method", "scan"}.isdisjoint(reader.fieldnames or ()):
            return list(reader)
    raise UserError(
        f"{path} has been changed by another program.",
        why="Its columns cannot be told. A spreadsheet may save a table with semicolons, or numbers rounded.",
        fix="Make the sheet again, and only look at its tables; what was scored is not scored again.",
    )


def _beginnings(recipe: dict[str, Any]) -> Iterator[str]:
    """The commands of the trainings that a training went on from, latest first."""
    while (start := recipe.get("started_from")) is not None:
        yield f"{start['command']} (weights {start['weights_sha256'][:12]})"
        recipe = start["recipe"]


def _parts(recipe: dict[str, Any]) -> Iterator[str]:
    """The trainings whose weights a mean is of."""
    for part in recipe.get("mean_of", ()):
        yield f"{part['share']:g} of `{part['command']}` (weights {part['weights_sha256'][:12]})"


def _by_licence(card: ModelCard) -> list[tuple[str, ...]]:
    counts = Counter((scan.licence, scan.role) for scan in card.trained_on)
    return [(licence, role, str(count)) for (licence, role), count in sorted(counts.items())]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [_line(head), _line(("---",) * len(head)), *map(_line, rows)]


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _number(value: float) -> str:
    return f"{value:.3f}"
