"""Whether lung masks keep a pleural effusion inside, on healthy lungs into which one is painted.

No scan at hand has an effusion that somebody drew. What trains the lung networks paints effusions too, and a
flaw of its painting is one that they learn to look for; so here they are made in another way, on the scan's
own grid: a layer of fluid behind the lungs of a patient who lies on his back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from COVIDSelfSegLib.array_types import BoolArray
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.lung_labels import LEFT, RIGHT
from COVIDSelfSegLib.lung_masks.classical import builtin_lung_mask
from COVIDSelfSegLib.lung_masks.network import SLICE_WEIGHTS, LungNetwork
from COVIDSelfSegLib.volume import array_view, image_like
from scipy import ndimage

from .cases import Case, Kind, phantom_of
from .lung_scores import BUILT_IN, CLASSICAL, OF_SLICES, Method
from .sheet import Cell, Sheet
from .slice_lungs import lungs_of_slice
from .statistics import summarise

_DEEP_MM = 20.0
"""Depth of the fluid from back to front: a moderate effusion."""
_FLUID_HU, _NOISE_HU = 10.0, 15.0
_BORDER_MM = 1.5
"""How far beyond the mask voxels are a mixture of lung and chest wall."""
_SCORED_MM, _SLACK_MM = 2.5, 5.0
"""Voxels on which is counted, and how far a mask may go beyond the lung before that counts."""
_SLICES_APART_MM = 25.0


@dataclass(frozen=True)
class PaintedScan:
    """A healthy scan and what became of it.

    Attributes:
        healthy: HU, in patient axes.
        painted: HU with an effusion in each lung that is known, on the same grid.
        lungs: uint8, 1 right and 2 left; of a scan of which one lung alone is known, that one.
        fluid: uint8, 1 in the effusion.
        known: uint8, 1 where ``lungs`` says what is lung and what is not.
    """

    healthy: sitk.Image
    painted: sitk.Image
    lungs: sitk.Image
    fluid: sitk.Image
    known: sitk.Image

    def thinned(self, step: int) -> PaintedScan:
        """Every so many slices, each with the thickness of the gap."""
        return PaintedScan(*(image[:, :, step // 2 :: step] for image in vars(self).values()))

    @property
    def slice_mm(self) -> float:
        """Distance of the slices."""
        return float(self.healthy.GetSpacing()[2])


@dataclass(frozen=True)
class EffusionScore:
    """One lung mask of one painted scan; all are shares of a volume.

    Attributes:
        method: that made the mask.
        scan: its name.
        kind: of the scan.
        learnt: whether the method's network was trained on this scan, healthy or painted otherwise.
        fluid: how much of the effusion is inside the mask.
        lung: how much of the lung that is left.
        beyond: what else is in the mask, more than 5 mm away from the lung, of the volume of the lungs.
        beyond_healthy: the same of the scan without the effusion.
    """

    method: str
    scan: str
    kind: Kind
    learnt: bool
    fluid: float
    lung: float
    beyond: float
    beyond_healthy: float


def paint_effusion(scan: sitk.Image, lungs: sitk.Image, only_side: int = 0) -> PaintedScan:
    """Fill the rearmost part of healthy lungs with fluid, and what their border holds of lung too.

    Args:
        scan: HU, of healthy lungs.
        lungs: uint8, 1 right and 2 left, on the grid of the scan.
        only_side: 1 or 2 where only one lung is healthy; nothing is known beyond the middle between both.
    """
    healthy, labels = (sitk.DICOMOrient(image, "LPS") for image in (scan, lungs))
    sides = array_view(labels)
    known = np.ones(sides.shape, bool)
    if only_side:
        columns = np.arange(sides.shape[2])
        right, left = (np.average(columns, weights=(sides == side).sum((0, 1))) for side in (RIGHT, LEFT))
        known[:] = (columns > (right + left) / 2) == (only_side == LEFT)
        sides = np.where(known & (sides == only_side), sides, 0).astype(np.uint8)
    inside = sides > 0
    fluid = _rearmost(inside, healthy.GetSpacing()[1])
    hu = array_view(healthy)
    wet = fluid | (_widened(fluid, healthy.GetSpacing()) & ~inside & (hu < 0))
    painted = hu.astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(int(wet.sum()))
    painted[wet] = np.maximum(painted[wet], _FLUID_HU + _NOISE_HU * noise)
    parts = (np.rint(painted).astype(np.int16), sides, fluid.astype(np.uint8), known.astype(np.uint8))
    return PaintedScan(healthy, *(image_like(part, healthy) for part in parts))


def _rearmost(lungs: BoolArray, pixel_mm: float) -> BoolArray:
    """Of each line from front to back the last 20 mm of lung (z, y, x), in its rear half alone."""
    rows = np.arange(lungs.shape[1])[:, None]
    last = lungs.shape[1] - 1 - lungs[:, ::-1].argmax(axis=1)
    middle = np.average(rows[:, 0], weights=lungs.sum((0, 2)))
    rear = rows > np.maximum(last[:, None] - _DEEP_MM / pixel_mm, middle)
    fluid: BoolArray = lungs & rear
    return fluid


def _widened(fluid: BoolArray, spacing: tuple[float, ...]) -> BoolArray:
    """A region (z, y, x) and the voxels around it, one at least in each direction."""
    radius = [max(1, round(_BORDER_MM / mm)) for mm in spacing]
    image = sitk.BinaryDilate(sitk.GetImageFromArray(fluid.astype(np.uint8)), radius, sitk.sitkBox)
    return array_view(image) > 0


def score_effusions(
    cases: Sequence[Case],
    device: Device,
    progress: Callable[[str], object],
) -> list[EffusionScore]:
    """Paint an effusion into every healthy case, and look for it with both lung networks and without.

    Args:
        cases: those with disease are passed over, and scans that cannot be read or show no two lungs.
        device: where the networks run.
        progress: told the name of each scan.
    """
    of_chests, of_slices = LungNetwork.shipped(device), LungNetwork.shipped(device, weights=SLICE_WEIGHTS)
    scores = []
    for case in cases:
        if not case.is_healthy:
            continue
        try:
            scan, lungs = _scan_and_lungs(case)
        except UserError:
            continue  # the sheet has it among those that were not evaluated, and why
        if not {1, 2} <= set(np.unique(array_view(lungs))):
            continue
        whole = paint_effusion(scan, lungs, case.source.only_side or 0)
        thin = whole.thinned(max(1, round(_SLICES_APART_MM / whole.slice_mm)))
        methods: list[tuple[str, LungNetwork | None, Method, PaintedScan]] = [
            (CLASSICAL, None, builtin_lung_mask, whole)
        ]
        if of_chests is not None:
            methods.append((BUILT_IN, of_chests, lambda scan: builtin_lung_mask(scan, of_chests), whole))
        if of_slices is not None:
            methods.append((OF_SLICES, of_slices, lambda scan: _slice_by_slice(scan, of_slices), thin))
        for method, network, find, painted in methods:
            learnt = network is not None and not case.known_as.isdisjoint(network.trained_on)
            scores.append(EffusionScore(method, case.name, case.kind, learnt, *_shares(find, painted)))
        progress(case.name)
    return scores


def _scan_and_lungs(case: Case) -> tuple[sitk.Image, sitk.Image]:
    """Of healthy lungs, a threshold finds all."""
    if case.source.is_phantom:
        phantom = phantom_of(case.source)
        return phantom.scan, phantom.lungs
    scan = case.load().scan
    return scan, builtin_lung_mask(scan)


def _slice_by_slice(scan: sitk.Image, network: LungNetwork) -> sitk.Image:
    """Lung mask (0 or 1) of each slice by itself, on the grid of the scan."""
    masks = [lungs_of_slice(scan[:, :, z : z + 1], network).labels for z in range(scan.GetSize()[2])]
    return image_like(np.stack(masks), scan)


def _shares(find: Method, scan: PaintedScan) -> tuple[float, float, float, float]:
    """Fluid and lung found, and what else was, painted and healthy."""
    frame = LungFrame.whole_scan(scan.healthy, _SCORED_MM)
    found, before, lungs, fluid, known = (
        frame.to_network(image, "nearest", fill=0) > 0
        for image in (find(scan.painted), find(scan.healthy), scan.lungs, scan.fluid, scan.known)
    )
    far = ndimage.distance_transform_edt(~lungs, sampling=frame.voxel_mm) > _SLACK_MM
    volume = max(1, int(lungs.sum()))
    aerated = lungs & ~fluid
    return (
        float(found[fluid].mean()) if fluid.any() else float("nan"),
        float(found[aerated].mean()) if aerated.any() else float("nan"),
        float((found & far & known).sum() / volume),
        float((before & far & known).sum() / volume),
    )


def add_effusions(sheet: Sheet, scores: Sequence[EffusionScore]) -> None:
    """Scans that a network has learnt from, others, and phantoms, each apart."""
    if not scores:
        return
    sheet.section(
        "Lung masks, painted effusions",
        f"A pleural effusion {_DEEP_MM:.0f} mm deep is painted into healthy lungs, in another way than in "
        "the training of the lung networks. Shares of its volume inside the mask, of the lung that is left, "
        f"and of what is taken more than {_SLACK_MM:.0f} mm beyond the lungs, with and without the effusion. "
        "Half synthetic; no clinical performance. Where a network has learnt from a scan, it saw it healthy "
        "and with other disease painted in.",
    )
    groups: dict[tuple[str, str], list[EffusionScore]] = {}
    for score in scores:
        learnt = "learnt from" if score.learnt else "not learnt from"
        groups.setdefault((f"{score.kind}, {learnt}", score.method), []).append(score)
    rows: list[dict[str, Cell]] = []
    for (scans, method), own in sorted(groups.items()):
        rows.append(
            {
                "scans": scans,
                "method": method,
                "count": len(own),
                "effusion inside, mean": summarise(score.fluid for score in own).mean,
                "effusion inside, worst": min(score.fluid for score in own),
                "lung inside, mean": summarise(score.lung for score in own).mean,
                "beyond, mean": summarise(score.beyond for score in own).mean,
                "beyond, largest": max(score.beyond for score in own),
                "beyond without effusion, mean": summarise(score.beyond_healthy for score in own).mean,
            }
        )
    sheet.table("effusions", rows)
    sheet.table("effusions_scans", list(map(_scan_row, scores)))


def _scan_row(score: EffusionScore) -> dict[str, Cell]:
    return {
        "kind": score.kind,
        "scan": score.scan,
        "method": score.method,
        "learnt from": "yes" if score.learnt else "no",
        "effusion inside": score.fluid,
        "lung inside": score.lung,
        "beyond": score.beyond,
        "beyond without effusion": score.beyond_healthy,
    }
