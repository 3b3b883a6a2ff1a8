"""Whether a result holds when a patient is scanned otherwise: thicker slices, gaps, noise, a soft kernel.

Needs no truth: a package is compared with itself on the scan as it came. Scanners are imitated on the scan's
own voxels, so what a real one would do beside this (dose, breath, contrast) is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.events import Progress
from COVIDSelfSegLib.lungs import LungMask
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.pipeline import Options, Run, segment
from COVIDSelfSegLib.volume import array_view, image_like, voxel_volume_ml
from scipy import ndimage

from .cases import Case
from .evaluated import Evaluated
from .overlap import BoolArray, overlap
from .sheet import Cell, Sheet
from .statistics import summarise

_THIN_MM = 3.1
"""Scans of thicker slices are passed over: there is little left to make thicker."""
_THICK_MM = 8.0
_NOISE_HU = 60.0
_SOFT_MM = 0.9
"""Standard deviation of the blur in the slice."""


@dataclass(frozen=True)
class Rescan:
    """A scan as another scanner would have made it.

    Attributes:
        name: of what is other.
        scan: HU.
        expected: what was found in the scan as it came, (z, y, x) on the grid of ``scan``.
    """

    name: str
    scan: sitk.Image
    expected: BoolArray


@dataclass(frozen=True)
class RescanScore:
    """A package on a scan and on the same scan made otherwise.

    Attributes:
        method: label of the package.
        scan: name of the case.
        healthy: whether anything found is wrong.
        rescan: what is other.
        dice: with what is expected; NaN where nothing is found in either.
        expected_ml: volume found in the scan as it came, in the slices that are left.
        found_ml: volume found in the other.
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


def thick_slices(scan: sitk.Image, found: BoolArray) -> Rescan:
    """Neighbouring slices averaged to about 8 mm; found is what most of them hold.

    Args:
        scan: HU, stored slice by slice.
        found: (z, y, x).
    """
    count = _slices_together(scan)
    mean, share = (
        sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), (1, 1, count))
        for image in (scan, image_like(found.astype(np.uint8), scan))
    )
    image = image_like(np.rint(array_view(mean)).astype(np.int16), mean)
    return Rescan(f"slices of {_THICK_MM:.0f} mm", image, array_view(share) > 0.5)


def sparse_slices(scan: sitk.Image, found: BoolArray) -> Rescan:
    """A thin slice about every 8 mm, as archives keep them; arguments as of :func:`thick_slices`."""
    count = _slices_together(scan)
    first = count // 2
    return Rescan(f"a slice every {_THICK_MM:.0f} mm", scan[:, :, first::count], found[first::count])


def noisy(scan: sitk.Image, found: BoolArray) -> Rescan:
    """White noise added, as at a low dose with a sharp kernel; arguments as of :func:`thick_slices`."""
    noise = np.random.default_rng(0).normal(0, _NOISE_HU, array_view(scan).shape)
    return Rescan(f"noise of {_NOISE_HU:.0f} HU added", _with_hu(scan, array_view(scan) + noise), found)


def soft(scan: sitk.Image, found: BoolArray) -> Rescan:
    """Blurred in the slice, as by a soft kernel; arguments as of :func:`thick_slices`."""
    sigma = (0.0, *(_SOFT_MM / mm for mm in scan.GetSpacing()[1::-1]))
    blurred = ndimage.gaussian_filter(array_view(scan).astype(np.float32), sigma)
    return Rescan("soft kernel", _with_hu(scan, blurred), found)


Maker = Callable[[sitk.Image, BoolArray], Rescan]
_OF_ALL: tuple[Maker, ...] = (thick_slices, sparse_slices)
_OF_DISEASED: tuple[Maker, ...] = (*_OF_ALL, noisy, soft)
"""The last two keep every slice, and so take as long as the scan itself."""


def score_rescans(evaluated: Evaluated, options: Options, progress: Progress) -> list[RescanScore]:
    """Run every package on every real scan of thin slices made otherwise.

    Args:
        evaluated: the packages and what they found in the scans as they came.
        options: of the runs.
        progress: told of each scan.

    Raises:
        UserError: a package cannot be run (exit code 3 or 4); scans that cannot be read are passed over.
    """
    scores: list[RescanScore] = []
    for case in evaluated.of_kind("real scans"):
        try:
            scan = case.load().scan
        except UserError:
            continue
        if scan.GetSpacing()[2] > _THIN_MM:
            continue
        shape = scan.GetSize()[::-1]
        for make in _OF_ALL if case.is_healthy else _OF_DISEASED:
            lungs: LungMask | None = None  # are found once for all packages
            for contender in evaluated.contenders:
                packed = contender.results[case.name].mask
                found = np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape).astype(bool)
                rescan = make(scan, found)
                run = _segmented(rescan.scan, contender.package, options, lungs)
                lungs = run.lungs if isinstance(run, Run) else None
                scores.append(_score(contender.label, case, rescan, run))
        progress("rescans", 1.0, f"{case.name} scanned otherwise")
    return scores


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
    if isinstance(run, Run):
        lungs = array_view(run.lungs.image)
        inside = lungs == case.source.only_side if case.source.only_side else lungs > 0
        found = (array_view(run.lesions) > 0) & inside
        share = int(np.count_nonzero(found)) / max(1, int(np.count_nonzero(inside)))
    ml = voxel_volume_ml(rescan.scan)
    return RescanScore(
        method=label,
        scan=case.name,
        healthy=case.is_healthy,
        rescan=rescan.name,
        dice=overlap(found, rescan.expected).dice,
        expected_ml=float(np.count_nonzero(rescan.expected) * ml),
        found_ml=float(np.count_nonzero(found) * ml),
        found_share=share,
        refused=run if isinstance(run, str) else "",
    )


def add_rescans(sheet: Sheet, scores: Sequence[RescanScore]) -> None:
    """Diseased and healthy scans, each apart, and every scan by itself."""
    if not scores:
        return
    sheet.section(
        "The same scan made otherwise",
        "Each package against itself: what it finds in a real scan of thin slices, and in the same scan with "
        "slices averaged, left out, blurred, or with noise. Agreement says nothing of who is right. Averaged "
        "slices hold partial volume of vessels, small lesions and borders, so that some disagreement lies in "
        "the scans.",
    )
    groups: dict[tuple[bool, str, str], list[RescanScore]] = {}
    for score in scores:
        groups.setdefault((score.healthy, score.rescan, score.method), []).append(score)
    rows: list[dict[str, Cell]] = []
    for (healthy, rescan, method), own in sorted(groups.items()):
        row: dict[str, Cell] = {
            "scans": "healthy lungs" if healthy else "diseased",
            "made otherwise": rescan,
            "method": method,
            "count": len(own),
            "refused": sum(bool(score.refused) for score in own),
        }
        if healthy:
            shares = [100 * score.found_share for score in own if not score.refused]
            row["falsely infected, %, mean"] = summarise(shares).mean
            row["falsely infected, %, worst"] = max(shares, default=float("nan"))
        else:
            row["Dice with the scan as it came, mean"] = summarise(score.dice for score in own).mean
            row["Dice, worst"] = min(score.dice for score in own)
            ratios = [score.found_ml / max(score.expected_ml, 1e-3) for score in own]
            row["volume, times that of the scan as it came"] = summarise(ratios).mean
        rows.append(row)
    sheet.table("rescans", rows)
    sheet.table(
        "rescans_scans", [{**asdict(one), "healthy": "yes" if one.healthy else "no"} for one in scores]
    )


def _slices_together(scan: sitk.Image) -> int:
    return max(2, round(_THICK_MM / scan.GetSpacing()[2]))


def _with_hu(scan: sitk.Image, hu: npt.NDArray[np.floating]) -> sitk.Image:
    return image_like(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), scan)
