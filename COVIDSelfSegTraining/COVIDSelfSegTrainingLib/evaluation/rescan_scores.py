"""Whether a result holds when a patient is scanned again differently.

Needs no truth: a package is compared with itself on the original scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from math import isnan
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.events import Progress
from COVIDSelfSegLib.lungs import LungMask
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.pipeline import Options, Run, segment
from COVIDSelfSegLib.volume import voxel_volume_ml

from .cases import Case, bool_view
from .evaluated import Contender, Evaluated, result_key
from .overlap import overlap
from .rescans import OF_DISEASED, OF_HEALTHY, Rescan
from .result_files import load_rows, save_rows
from .scoring import of_one_lung
from .sheet import Cell, Sheet
from .statistics import summarise

_THIN_MM = 3.1
"""Scans of thicker slices are passed over: there is little left to make thicker."""


@dataclass(frozen=True)
class RescanScore:
    """A package on a scan and on a degraded copy of it.

    Attributes:
        method: label of the package.
        scan: name of the case.
        healthy: whether anything found is wrong.
        rescan: what is other.
        dice: with what is expected; NaN where nothing is found in either.
        expected_ml: volume found in the original scan, in the slices that are left; NaN where the size of
            voxels was inferred.
        found_ml: volume found in the other; likewise.
        found_share: the same as a share of the lung, 0 .. 1; NaN where the other was refused.
        refused: why the other was not segmented, which counts as Dice 0; empty otherwise.
    """

    method: str
    scan: str
    healthy: bool
    rescan: str
    dice: float
    expected_ml: float
    found_ml: float
    found_share: float
    refused: str = ""


def score_rescans(evaluated: Evaluated, options: Options, progress: Progress) -> list[RescanScore]:
    """Run every package on degraded copies of every thin-slice real scan; earlier scores are kept.

    Args:
        evaluated: the packages and what they found in the original scans.
        options: of the runs.
        progress: told of each scan.

    Raises:
        UserError: a package cannot be run (exit code 3 or 4), or the folder cannot be written (5); scans that
            cannot be read are passed over.
    """
    scores: list[RescanScore] = []
    for case in evaluated.of_kind("real scans"):
        kept = [_load(one, case, options) for one in evaluated.contenders]
        unscored = [one for one, own in zip(evaluated.contenders, kept, strict=True) if own is None]
        if unscored:
            try:
                scan = case.load().scan
            except UserError:
                continue
            made = _score_case(case, scan, unscored, options)
            for one in unscored:
                _save(one, case, options, made[one.label])
            progress("rescans", 1.0, f"{case.name} degraded")
            kept = [
                made[one.label] if own is None else own
                for one, own in zip(evaluated.contenders, kept, strict=True)
            ]
        scores += chain.from_iterable(own for own in kept if own)
    return scores


def _score_case(
    case: Case, scan: sitk.Image, contenders: Sequence[Contender], options: Options
) -> dict[str, list[RescanScore]]:
    """Scores by the label of the package; none where the slices are thick."""
    scores: dict[str, list[RescanScore]] = {one.label: [] for one in contenders}
    if scan.GetSpacing()[2] > _THIN_MM:
        return scores
    shape = scan.GetSize()[::-1]
    for make in OF_HEALTHY if case.is_healthy else OF_DISEASED:
        lungs: LungMask | None = None  # are found once for all packages
        for contender in contenders:
            packed = contender.results[case.name].mask
            found = np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape).astype(bool)
            rescan = make(scan, found)
            run = _segmented(rescan.scan, contender.package, options, lungs)
            lungs = run.lungs if isinstance(run, Run) else None
            scores[contender.label].append(_score(contender.label, case, rescan, run))
    return scores


def _save(contender: Contender, case: Case, options: Options, scores: Sequence[RescanScore]) -> None:
    rows = [{name: value for name, value in asdict(one).items() if name != "method"} for one in scores]
    save_rows(_path(contender, case), result_key(case, contender.package, options), rows)


def _load(contender: Contender, case: Case, options: Options) -> list[RescanScore] | None:
    rows = load_rows(_path(contender, case), result_key(case, contender.package, options))
    return None if rows is None else [RescanScore(method=contender.label, **row) for row in rows]


def _path(contender: Contender, case: Case) -> Path:
    return contender.kept / f"{case.name}.rescans.json"


def _segmented(
    scan: sitk.Image, package: ModelPackage, options: Options, lungs: LungMask | None
) -> Run | str:
    """What a package makes of a scan, or why it is refused."""
    try:
        return segment(scan, package, options, lungs=lungs)
    except UserError as error:
        if error.code != ExitCode.INPUT_REFUSED:
            raise
        return error.what


def _score(label: str, case: Case, rescan: Rescan, run: Run | str) -> RescanScore:
    found, share = np.zeros_like(rescan.expected), float("nan")
    try:
        run = run if isinstance(run, str) else of_one_lung(run, case.source.only_side)
    except UserError as error:
        run = error.what
    if isinstance(run, Run):
        inside, found = bool_view(run.lungs.image), bool_view(run.lesions)
        share = int(np.count_nonzero(found)) / max(1, int(np.count_nonzero(inside)))
    ml = voxel_volume_ml(rescan.scan) if case.has_true_size else float("nan")
    return RescanScore(
        method=label,
        scan=case.name,
        healthy=case.is_healthy,
        rescan=rescan.name,
        dice=0.0 if isinstance(run, str) else overlap(found, rescan.expected).dice,
        expected_ml=rescan.expected_ml if case.has_true_size else float("nan"),
        found_ml=float(np.count_nonzero(found) * ml),
        found_share=share,
        refused=run if isinstance(run, str) else "",
    )


def add_rescans(sheet: Sheet, scores: Sequence[RescanScore]) -> None:
    """Diseased and healthy scans, each apart, and every scan by itself."""
    if not scores:
        return
    sheet.section(
        "The same scan, degraded",
        "Each package against itself: what it finds in a real scan of thin slices, and in the same scan with "
        "slices averaged, left out, blurred, or with noise. Agreement does not say which result is right. "
        "Averaged slices hold partial volume of vessels, small lesions and borders, so some disagreement "
        "lies in the scans. A copy that is refused has Dice 0.",
    )
    groups: dict[tuple[bool, str, str], list[RescanScore]] = {}
    for score in scores:
        groups.setdefault((score.healthy, score.rescan, score.method), []).append(score)
    rows: list[dict[str, Cell]] = []
    for (healthy, rescan, method), own in sorted(groups.items()):
        row: dict[str, Cell] = {
            "scans": "healthy lungs" if healthy else "diseased",
            "change": rescan,
            "method": method,
            "count": len(own),
            "refused": sum(bool(score.refused) for score in own),
        }
        if healthy:
            shares = [100 * score.found_share for score in own if not score.refused]
            row["falsely infected, %, mean"] = summarise(shares).mean
            row["falsely infected, %, worst"] = max(shares, default=float("nan"))
        else:
            row["Dice with the original scan, mean"] = summarise(score.dice for score in own).mean
            row["Dice, worst"] = min((one.dice for one in own if not isnan(one.dice)), default=float("nan"))
            # Where nothing was found in the original scan there is nothing to compare volumes with.
            ratios = [one.found_ml / one.expected_ml for one in own if one.expected_ml > 0]
            row["volume, times that of the original scan"] = summarise(ratios).mean
        rows.append(row)
    sheet.table("rescans", rows)
    sheet.table("rescans_scans", list(map(_scan_row, scores)))


def _scan_row(score: RescanScore) -> dict[str, Cell]:
    return {
        "scan": score.scan,
        "group": "healthy" if score.healthy else "diseased",
        "change": score.rescan,
        "method": score.method,
        "Dice with the original scan": score.dice,
        "found in the original scan, ml": score.expected_ml,
        "found, ml": score.found_ml,
        "found, % of lung": 100 * score.found_share,
        "why refused": score.refused or None,
    }
