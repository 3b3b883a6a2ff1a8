"""Run a package on a case and keep every figure that the sheet may ask for, so that it runs once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from COVIDSelfSegLib.array_types import BoolArray, FloatArray
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.hounsfield import to_unit
from COVIDSelfSegLib.lung_labels import RIGHT
from COVIDSelfSegLib.lungs import LungMask
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.pipeline import Options, Run, segment
from COVIDSelfSegLib.volume import array_view, voxel_volume_ml

from .baselines import (
    DIFFERENCES_HU,
    THRESHOLDS_HU,
    hu_threshold,
    mixture_per_slice,
    otsu_per_slice,
    threshold_without_vessels,
)
from .cases import Case, CaseImages, bool_view
from .histogram import ProbabilityHistogram
from .overlap import Overlap, overlap
from .protocols import ScanScores, SliceScores, score_scan, score_slices
from .slice_ranking import slice_auc

Look = Callable[[CaseImages, Run], None]
"""Called with the images of a case while they are in memory, to draw them."""

EVERYTHING, PLAIN = "everything in the lung", "HU threshold without vessels"
KEEPING_DENSE = "HU threshold without thin vessels"
OTSU, MIXTURE = "Otsu per slice", "two Gaussians per slice"
THRESHOLD, DIFFERENCE = "HU above", "GAN difference above, HU:"
"""Names of the baselines; the last two are followed by a level, the best of which is taken later."""

_POOL = 8
_FEATURE_GRID = (_POOL, 2 * _POOL, 2 * _POOL)


@dataclass(frozen=True)
class CaseResult:
    """What a package made of a case.

    Attributes:
        found_ml: volume of the lesions found.
        found_share: the same as a share of the lung, 0 .. 1.
        truth_ml: volume of the true lesion; None where nobody drew it.
        reconstruction_hu: mean absolute difference between generator and scan inside the lung, on the
            generator's grid; an error on a healthy lung, and what it mended on a diseased one.
        twin_error: mean absolute error of the pseudo-healthy volume inside the true lesions of a phantom,
            as a share of the error of doing nothing; None for a real scan.
        scan_scores: protocol ``scan``; None without truth, or where it is empty.
        slice_scores: protocol ``paper``.
        auc: of the infected share over lung-bearing slices against labels of slices; None without labels.
        plain_auc: the same for the HU threshold without vessels.
        histogram: of the probability; None without truth.
        baselines: counts of each baseline; empty without truth.
        mask: found lesions, packed bits of the flattened mask, to compare packages by.
        features: pooled unit HU (2, z, y, x) of the scan and of what the generator made of it.
    """

    found_ml: float
    found_share: float
    truth_ml: float | None
    reconstruction_hu: float
    twin_error: float | None
    scan_scores: ScanScores | None
    slice_scores: tuple[SliceScores, ...]
    auc: float | None
    plain_auc: float | None
    histogram: ProbabilityHistogram | None
    baselines: dict[str, Overlap]
    mask: npt.NDArray[np.uint8]
    features: FloatArray


class LoadedCase:
    """A case in memory; its lungs are found once for all packages.

    Args:
        case: the scan.
        options: of the runs.

    Raises:
        UserError: the scan cannot be read.
    """

    def __init__(self, case: Case, options: Options) -> None:
        self.case, self.options, self.images = case, options, case.load()
        self._lungs: LungMask | None = None

    def run(self, package: ModelPackage) -> Run:
        """Segment it; see :func:`of_one_lung`.

        Raises:
            UserError: the scan cannot be used.
        """
        run = segment(self.images.scan, package, self.options, lungs=self._lungs)
        self._lungs = run.lungs
        return of_one_lung(run, self.case.source.only_side)


def of_one_lung(run: Run, side: int) -> Run:
    """A run of which one lung alone counts: no figure and no picture is of the other, which is not healthy.

    Args:
        run: of both lungs; its numbers and its report stay theirs.
        side: 1 right, 2 left; 0 leaves the run as it is.

    Raises:
        UserError: that lung was not found.
    """
    if not side:
        return run
    own = run.lungs.image == side
    if not bool_view(own).any():
        name = "right" if side == RIGHT else "left"
        raise UserError(
            f"The {name} lung was not found, which alone counts in this scan.",
            why="With nothing to look at there is no figure; none found in it would pass for none infected.",
            fix="Look at the lungs that 'covidselfseg segment' finds in this scan.",
        )
    lungs, probability, lesions = (
        sitk.Mask(image, own) for image in (run.lungs.image, run.probability, run.lesions)
    )
    return replace(run, lungs=replace(run.lungs, image=lungs), probability=probability, lesions=lesions)


def score_case(package: ModelPackage, loaded: LoadedCase, look: Look) -> CaseResult:
    """Segment a case and score it.

    Args:
        package: the models.
        loaded: the scan.
        look: see :data:`Look`.

    Raises:
        UserError: the scan cannot be used.
    """
    case, images = loaded.case, loaded.images
    run = loaded.run(package)
    look(images, run)
    lungs, found = bool_view(run.lungs.image), bool_view(run.lesions)
    made = run.synthesis
    inside = made.frame.to_network(run.lungs.image, "nearest", fill=0) > 0
    scores: ScanScores | None = None
    slices: tuple[SliceScores, ...] = ()
    histogram: ProbabilityHistogram | None = None
    baselines: dict[str, Overlap] = {}
    plain = threshold_without_vessels(array_view(images.scan), lungs, images.scan.GetSpacing()[0])
    if images.truth is not None:
        truth = bool_view(images.truth)
        histogram = ProbabilityHistogram.of_scan(array_view(run.probability), truth, lungs)
        baselines = _baselines(images, lungs, array_view(run.heatmap.excess), plain)
        if truth.any():
            scores, _ = score_scan(found, truth, run.lungs.image)
            slices = tuple(score_slices(run.lesions, images.truth, run.lungs.image))
    auc = plain_auc = None
    if case.slice_labels is not None:
        labels = np.array(case.slice_labels)
        auc, plain_auc = slice_auc(found, lungs, labels), slice_auc(plain, lungs, labels)
    ml = voxel_volume_ml(images.scan)
    return CaseResult(
        found_ml=float(np.count_nonzero(found) * ml),
        found_share=int(np.count_nonzero(found)) / max(1, int(np.count_nonzero(lungs))),
        truth_ml=None if images.truth is None else float(np.count_nonzero(bool_view(images.truth)) * ml),
        reconstruction_hu=float(np.abs(made.scan - made.healthy)[inside].mean()),
        twin_error=_twin_error(images, run),
        scan_scores=scores,
        slice_scores=slices,
        auc=auc,
        plain_auc=plain_auc,
        histogram=histogram,
        baselines=baselines,
        mask=np.packbits(found),
        features=np.stack([_pooled(hu, inside.astype(np.float32)) for hu in (made.scan, made.healthy)]),
    )


def _baselines(
    images: CaseImages, lungs: BoolArray, excess: npt.NDArray[np.int16], plain: BoolArray
) -> dict[str, Overlap]:
    hu, truth = array_view(images.scan), bool_view(images.truth)
    keeping_dense = threshold_without_vessels(hu, lungs, images.scan.GetSpacing()[0], vessels_hu=np.inf)
    masks = chain(
        (
            (EVERYTHING, lungs),
            (PLAIN, plain),
            (KEEPING_DENSE, keeping_dense),
            (OTSU, otsu_per_slice(hu, lungs)),
            (MIXTURE, mixture_per_slice(hu, lungs)),
        ),
        ((f"{THRESHOLD} {level}", hu_threshold(hu, lungs, level)) for level in THRESHOLDS_HU),
        ((f"{DIFFERENCE} {level}", (excess > level) & lungs) for level in DIFFERENCES_HU),
    )
    return {name: overlap(mask, truth, within=lungs) for name, mask in masks}


def _twin_error(images: CaseImages, run: Run) -> float | None:
    if images.twin is None or images.truth is None or not bool_view(images.truth).any():
        return None
    inside = bool_view(images.truth)
    twin, healthy, scan = (
        array_view(image)[inside].astype(float)
        for image in (images.twin, run.heatmap.pseudo_healthy, images.scan)
    )
    return float(np.abs(healthy - twin).mean() / max(np.abs(scan - twin).mean(), 1e-6))


def _pooled(hu: FloatArray, lungs: FloatArray) -> FloatArray:
    """Mean unit HU inside the lung over blocks of the generator's grid; 0 where a block holds no lung."""
    blocks = [part // count for part, count in zip(hu.shape, _FEATURE_GRID, strict=True)]
    shape = [size for count, block in zip(_FEATURE_GRID, blocks, strict=True) for size in (count, block)]
    cut = tuple(slice(count * block) for count, block in zip(_FEATURE_GRID, blocks, strict=True))
    values, weights = (
        (part[cut]).reshape(shape).sum(axis=(1, 3, 5)) for part in (to_unit(hu) * lungs, lungs)
    )
    pooled: FloatArray = np.divide(values, weights, out=np.zeros_like(values), where=weights > 0)
    return pooled
