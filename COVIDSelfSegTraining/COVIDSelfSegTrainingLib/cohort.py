"""Scans of a training, cut once into the networks' grids and read back as memory-mapped arrays."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from COVIDSelfSegLib.frame import FloatArray, LungFrame
from COVIDSelfSegLib.lungs import find_lungs
from COVIDSelfSegLib.models import Inference
from COVIDSelfSegLib.painting import LungSites
from COVIDSelfSegLib.phantom import make_phantom
from COVIDSelfSegLib.phantom_scanner import draw_acquisition
from COVIDSelfSegLib.segmentation import LungSlices, slice_and_neighbours
from COVIDSelfSegLib.volume import read_scan
from scipy import ndimage

log = logging.getLogger(__name__)

Group = Literal["healthy", "diseased"]

_DEEPEST_MM = 255
_SITE_STEP = (1, 4, 4)
"""Every fourth row and column of the slices is a place where a lesion may start."""


@dataclass(frozen=True)
class Source:
    """A scan that is to enter a cohort.

    Attributes:
        name: unique in the cohort; the name of its folder.
        group: whether its lungs are healthy.
        licence: of the scan.
        path: of the scan; None for a phantom.
        lung_mask: file with its lung mask; None lets the built-in one be used.
        only_side: lung label (1 right, 2 left) to keep where the other side is not healthy; 0 keeps both.
        seed: of a phantom.
        severity: of a phantom, 0 .. 4.
    """

    name: str
    group: Group
    licence: str
    path: str | None = None
    lung_mask: str | None = None
    only_side: int = 0
    seed: int = 0
    severity: int = 0


@dataclass(frozen=True)
class CohortScan:
    """One cached scan. Arrays are (z, y, x), memory-mapped, in patient axes.

    Attributes:
        folder: where its arrays lie.
        source: what it was made from.
        slice_frame: where the 2D network's grid lies in the scan.
        volume_frame: where the generator's grid lies in the scan.
        neighbour: distance, in slices, to the neighbours that the 2D network sees.
    """

    folder: Path
    source: Source
    slice_frame: LungFrame
    volume_frame: LungFrame
    neighbour: int

    @property
    def slice_mm(self) -> tuple[float, float, float]:
        """Size of a pixel of the slices (z, y, x) in mm."""
        return self.slice_frame.voxel_mm

    @property
    def volume_mm(self) -> tuple[float, float, float]:
        """Size of a voxel of the generator's grid (z, y, x) in mm."""
        return self.volume_frame.voxel_mm

    @cached_property
    def slices(self) -> npt.NDArray[np.int16]:
        """HU on the 2D network's grid."""
        return self._array("slices")

    @cached_property
    def slice_depths(self) -> npt.NDArray[np.uint8]:
        """Distance to the pleura in mm, rounded up, on the slices' grid; 0 outside the lung."""
        return self._array("slice_depths")

    @cached_property
    def volume(self) -> npt.NDArray[np.int16]:
        """HU on the generator's grid."""
        return self._array("volume")

    @cached_property
    def volume_depths(self) -> npt.NDArray[np.uint8]:
        """Distance to the pleura in mm, rounded up, on the generator's grid; 0 outside the lung."""
        return self._array("volume_depths")

    def stack(self, index: int) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
        """A slice with its neighbours: HU and depth, (3, y, x) each; see :meth:`LungSlices.stack`."""
        places = slice_and_neighbours(np.array([index]), self.neighbour, len(self.slices))[0]
        return self.slices[places].astype(np.float32), self.slice_depths[places]

    @cached_property
    def holding(self) -> npt.NDArray[np.intp]:
        """Slices with at least one square centimetre of lung."""
        pixel_cm2 = self.slice_mm[1] * self.slice_mm[2] / 100
        return np.flatnonzero((self.slice_depths > 0).sum(axis=(1, 2)) * pixel_cm2 >= 1)

    @cached_property
    def slice_sites(self) -> LungSites:
        """Where lesions may start, in mm of the slices' grid."""
        coarse = np.asarray(self.slice_depths[:, :: _SITE_STEP[1], :: _SITE_STEP[2]])
        return LungSites.of_depths(coarse, _scaled(self.slice_mm, _SITE_STEP))

    @cached_property
    def volume_sites(self) -> LungSites:
        """Where lesions may start, in mm of the generator's grid."""
        return LungSites.of_depths(np.asarray(self.volume_depths), self.volume_mm)

    def _array(self, name: str) -> npt.NDArray[Any]:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")


def prepare_cohort(
    sources: Iterable[Source], folder: Path, inference: Inference, progress: Callable[[str], object]
) -> list[CohortScan]:
    """Cut scans into the networks' grids, or take them as an earlier call left them.

    Args:
        sources: what is to enter.
        folder: of the cohort; one folder a scan.
        inference: the grids.
        progress: called with the name of each scan as it is done.
    """
    scans = []
    for source in sources:
        target = folder / source.name
        if not (target / "scan.json").is_file():
            _prepare(source, target, inference)
        progress(source.name)
        scans.append(open_scan(target))
    return scans


def open_cohort(folder: Path) -> list[CohortScan]:
    """All scans of a cohort, by name."""
    return [open_scan(file.parent) for file in sorted(folder.glob("[!.]*/scan.json"))]


def open_scan(folder: Path) -> CohortScan:
    """One scan of a cohort, from its folder."""
    values = json.loads((folder / "scan.json").read_text())
    return CohortScan(
        folder,
        Source(**values["source"]),
        LungFrame.from_dict(values["slice_frame"]),
        LungFrame.from_dict(values["volume_frame"]),
        values["neighbour"],
    )


def _prepare(source: Source, target: Path, inference: Inference) -> None:
    scan, lungs = _load(source)
    if source.only_side:
        lungs = lungs == source.only_side
    slices = LungSlices.of_scan(
        scan,
        lungs,
        plane=inference.slice_plane,
        margin_mm=inference.margin_mm,
        neighbour_mm=inference.neighbour_mm,
    )
    frame = LungFrame.around_lungs(lungs, inference.generator_grid, margin_mm=inference.margin_mm)
    volume_lungs = frame.to_network(lungs, "nearest", fill=0)
    arrays: dict[str, npt.NDArray[Any]] = {
        "slices": _as_int16(slices.hu),
        "slice_depths": _depths(slices.lungs, slices.frame.voxel_mm),
        "volume": _as_int16(frame.to_network(scan)),
        "volume_depths": _depths(volume_lungs, frame.voxel_mm),
    }
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array)
    description = {
        "source": asdict(source),
        "slice_frame": asdict(slices.frame),
        "volume_frame": asdict(frame),
        "neighbour": slices.neighbour,
    }
    (partial / "scan.json").write_text(json.dumps(description, indent=1))
    partial.rename(target)


def _load(source: Source) -> tuple[sitk.Image, sitk.Image]:
    if source.path is None:
        acquisition = draw_acquisition(np.random.default_rng([source.seed, 3]))
        phantom = make_phantom(source.seed, source.severity, acquisition)
        return phantom.scan, phantom.lungs
    scan = read_scan(Path(source.path))
    mask_file = Path(source.lung_mask) if source.lung_mask else None
    return scan, find_lungs(scan, mask_file=mask_file).image


def _depths(lungs: npt.NDArray[Any], voxel_mm: tuple[float, float, float]) -> npt.NDArray[np.uint8]:
    depth = ndimage.distance_transform_edt(np.pad(lungs > 0, 1), sampling=voxel_mm)[1:-1, 1:-1, 1:-1]
    return np.clip(np.ceil(depth), 0, _DEEPEST_MM).astype(np.uint8)


def _as_int16(hu: FloatArray) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def _scaled(voxel_mm: tuple[float, float, float], step: tuple[int, int, int]) -> tuple[float, float, float]:
    return voxel_mm[0] * step[0], voxel_mm[1] * step[1], voxel_mm[2] * step[2]
