"""Packages run over cases: what was scored, and what could not be."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from COVIDSelfSegLib import __version__
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.events import Progress
from COVIDSelfSegLib.lungs import lung_weights_sha256
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.pipeline import Options

from .cases import Case, Kind
from .gallery import draw_case
from .result_files import load_result, save_result
from .scoring import CaseResult, LoadedCase, score_case

WORK = ".cases"
_FORMAT = 3
"""Of the results; those of another one are not taken up. 1 had a baseline less, and 2 less heat at the pleura
and pictures of a lung that does not count."""


@dataclass(frozen=True)
class Contender:
    """A package and what it made of the cases.

    Attributes:
        label: for tables; unique.
        package: the models.
        results: by name of the case.
        kept: folder of what later runs take up: the results, and a JPEG of each case.
    """

    label: str
    package: ModelPackage
    results: dict[str, CaseResult]
    kept: Path


@dataclass(frozen=True)
class Evaluated:
    """Everything that a sheet is drawn from.

    Attributes:
        cases: that every package could be run on.
        contenders: the packages, in the order given.
        failures: name of a case and why it could not be scored.
    """

    cases: tuple[Case, ...]
    contenders: tuple[Contender, ...]
    failures: tuple[tuple[str, str], ...]

    def of_kind(self, kind: Kind, *, healthy: bool | None = None) -> list[Case]:
        """Cases of a kind, and of a group if asked."""
        return [case for case in self.cases if case.kind == kind and healthy in (None, case.is_healthy)]

    @property
    def kinds(self) -> list[Kind]:
        """The kinds that there are, real scans first."""
        kinds: tuple[Kind, ...] = ("real scans", "phantoms")
        return [kind for kind in kinds if self.of_kind(kind)]


def evaluate(
    cases: Sequence[Case],
    packages: Sequence[tuple[str, ModelPackage]],
    folder: Path,
    options: Options,
    progress: Progress,
) -> Evaluated:
    """Run packages over cases; what an earlier run scored is taken from ``folder``.

    Args:
        cases: scans.
        packages: label and package.
        folder: of the sheet; the results of each case lie in a hidden folder in it.
        options: of the runs; their model is not looked at.
        progress: told of each case.

    Raises:
        UserError: the folder cannot be written (exit code 5); nothing could be scored (2).
    """
    failures: dict[str, str] = {}
    lungs = lung_weights_sha256(options.lung_model, builtin=options.builtin_lungs)
    folders = [_folder(folder, package, options, lungs) for _, package in packages]
    results: list[dict[str, CaseResult]] = [{} for _ in packages]
    total, start, done, worked = len(cases) * len(packages), time.perf_counter(), 0, 0
    for case in cases:
        loaded: LoadedCase | None = None
        for (label, package), kept, of_package in zip(packages, folders, results, strict=True):
            path = kept / f"{case.name}.npz"
            key = result_key(case, package, options)
            result = load_result(path, key) if path.with_suffix(".jpg").is_file() else None
            if result is None and case.name not in failures:
                worked += 1
                try:
                    loaded = loaded or LoadedCase(case, options)
                    result = score_case(package, loaded, partial(draw_case, path=path.with_suffix(".jpg")))
                except UserError as error:
                    if error.code != ExitCode.INPUT_REFUSED:
                        raise
                    failures[case.name] = f"{error.what} {error.why}"
                else:
                    save_result(path, key, result)
            if result is not None:
                of_package[case.name] = result
            done += 1
            seconds = (time.perf_counter() - start) / max(1, worked)
            progress(
                "evaluate", done / total, f"{done}/{total} {case.name}, {label} ({seconds:.0f} s a scan)"
            )
    scored = tuple(case for case in cases if case.name not in failures)
    if cases and not scored:
        reasons = "\n".join(f"    {name}: {reason}" for name, reason in list(failures.items())[:5])
        raise UserError(
            "Nothing could be evaluated.",
            why=f"The reasons:\n{reasons}",
            fix="See the reasons above; where files were moved, prepare the cohort again.",
        )
    contenders = tuple(
        Contender(label, package, of_package, kept)
        for (label, package), kept, of_package in zip(packages, folders, results, strict=True)
    )
    return Evaluated(scored, contenders, tuple(failures.items()))


def result_key(case: Case, package: ModelPackage, options: Options) -> str:
    """What a result kept of a case was made from, beside what its folder stands for."""
    return f"{case.content} {package.sha256} {options.threshold} {case.slice_labels}"


def _folder(folder: Path, package: ModelPackage, options: Options, lungs: str) -> Path:
    """Where the results of a package lie: another one for all else that they depend on."""
    made_by = f"{_FORMAT} {__version__} {package.sha256}"
    settings = f"{made_by} {package.card.inference} {options.threshold} {lungs}"
    return folder / WORK / hashlib.sha256(settings.encode()).hexdigest()[:16]
