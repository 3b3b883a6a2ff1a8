"""Scans of a training as :mod:`.cutting` wrote them, read back as memory-mapped arrays."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.package_card import Inference
from COVIDSelfSegLib.painting import LungSites, extent_of
from COVIDSelfSegLib.segmentation import neighbour_distance

from .cutting import FORMAT, holding_lung, lung_cm2
from .manifest import used_scans
from .sources import Source, Split

_SLICE_STEP, _VOLUME_STEP = (1, 4, 4), (1, 2, 2)
"""Every fourth row and column of the slices, and every second of the volume, may be where a lesion starts."""


@dataclass(frozen=True)
class CohortScan:
    """One cached scan. Arrays are (z, y, x), memory-mapped, in patient axes.

    They are mapped anew each time (see :func:`mapped_array`).

    Attributes:
        folder: where its arrays lie.
        source: what it was made from.
        slice_frame: where the 2D network's grid lies in the scan.
        volume_frame: where the generator's grid lies in the scan.
        neighbour: distance, in slices, to the neighbours that the 2D network sees.
        content_sha256: of the scan's voxels, whatever its file is called; empty where it is not known.
        arrays_sha256: of all its arrays; empty in a cohort of format 1.
        margin_mm: around the lungs on both grids; None where it was not noted.
    """

    folder: Path
    source: Source
    slice_frame: LungFrame
    volume_frame: LungFrame
    neighbour: int
    content_sha256: str = ""
    arrays_sha256: str = ""
    margin_mm: float | None = None

    @property
    def fingerprint(self) -> str:
        """Of its name and of what is learnt from it: another lung mask, group or grid gives another one."""
        learnt = [self.source.name, self.source.group, self.arrays_sha256]
        return hashlib.sha256(json.dumps(learnt).encode()).hexdigest()[:16]

    @property
    def slice_mm(self) -> tuple[float, float, float]:
        """Size of a pixel of the slices (z, y, x) in mm."""
        return self.slice_frame.voxel_mm

    @property
    def volume_mm(self) -> tuple[float, float, float]:
        """Size of a voxel of the generator's grid (z, y, x) in mm."""
        return self.volume_frame.voxel_mm

    @property
    def slices(self) -> npt.NDArray[np.int16]:
        """HU on the 2D network's grid."""
        return self._array("slices")

    @property
    def slice_depths(self) -> npt.NDArray[np.uint8]:
        """Distance to the pleura in mm, rounded up, on the slices' grid; 0 outside the lung."""
        return self._array("slice_depths")

    @property
    def volume(self) -> npt.NDArray[np.int16]:
        """HU on the generator's grid."""
        return self._array("volume")

    @property
    def volume_depths(self) -> npt.NDArray[np.uint8]:
        """Distance to the pleura in mm, rounded up, on the generator's grid; 0 outside the lung."""
        return self._array("volume_depths")

    @cached_property
    def holding(self) -> npt.NDArray[np.intp]:
        """Slices with at least one square centimetre of lung."""
        return holding_lung(self._lung_cm2)

    @cached_property
    def holding_chances(self) -> npt.NDArray[np.float64]:
        """Chance of each of :attr:`holding` to be drawn: as the root of its lung's area."""
        roots = np.sqrt(self._lung_cm2[self.holding])
        chances: npt.NDArray[np.float64] = roots / roots.sum()
        return chances

    @cached_property
    def _lung_cm2(self) -> npt.NDArray[np.float64]:
        return lung_cm2(self.slice_depths, self.slice_mm)

    def slice_sites(self, z_mm: float, reach_mm: float) -> LungSites:
        """Where lesions may start within ``reach_mm`` of a height, in mm of the slices' grid.

        Made anew for each batch, in a millisecond or two: kept for all scans, the sites of a thousand would
        fill the memory.
        """
        step = self.slice_mm[0]
        first = max(0, math.ceil((z_mm - reach_mm) / step))
        last = math.floor((z_mm + reach_mm) / step) + 1
        coarse = np.asarray(self.slice_depths[first:last, :: _SLICE_STEP[1], :: _SLICE_STEP[2]])
        size = _scaled(self.slice_mm, _SLICE_STEP)
        return LungSites.of_depths(coarse, size, first=first, extent=self._slice_extent)

    def volume_sites(self) -> LungSites:
        """Where lesions may start, in mm of the generator's grid."""
        coarse = np.asarray(self.volume_depths[:, :: _VOLUME_STEP[1], :: _VOLUME_STEP[2]])
        return LungSites.of_depths(coarse, _scaled(self.volume_mm, _VOLUME_STEP))

    @cached_property
    def _slice_extent(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        return extent_of(np.asarray(self.slice_depths[:, :: _SLICE_STEP[1], :: _SLICE_STEP[2]]))

    def _array(self, name: str) -> npt.NDArray[Any]:
        return mapped_array(self.folder / f"{name}.npy")


def mapped_array(path: Path) -> npt.NDArray[Any]:
    """An array on disk, of which only what is looked at is read.

    To be let go of after use: as long as it lives it holds its file open, and a training has up to seven such
    files for each scan, where many systems let a process open 1,024, some 256.
    """
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r")
    return array


def open_cohort(folder: Path, split: Split | None = "train") -> list[CohortScan]:
    """The scans of a cohort, by name; scans that were rejected are not among them.

    Args:
        folder: of the cohort.
        split: side to take; None takes both. Cohorts of format 1 know no sides and are all for training.

    Raises:
        UserError: there is no cohort, it was not finished, or a file is damaged.
    """
    hashes = used_scans(folder)
    if hashes is None:
        hashes = dict.fromkeys(sorted(file.parent.name for file in folder.glob("[!.]*/scan.json")), "")
    if not hashes:
        raise UserError(
            f"{folder} holds no cohort.",
            why="Training and evaluation read scans that are already cut into the networks' grids.",
            fix="Make it with 'covidselfseg prepare', or name the folder that it was told to write.",
        )
    scans = [open_scan(folder / name, content_sha256) for name, content_sha256 in hashes.items()]
    return [scan for scan in scans if split is None or scan.source.split == split]


def healthy_scans(folder: Path) -> list[CohortScan]:
    """Those scans of a cohort to train on that are healthy; lesions are painted on them.

    Raises:
        UserError: see :func:`open_cohort`; or there is none.
    """
    healthy = [scan for scan in open_cohort(folder) if scan.source.group == "healthy"]
    if not healthy:
        raise UserError(
            f"The cohort {folder} has no healthy scan.",
            why="Networks are calibrated on lesions that are painted on healthy lungs.",
            fix="Name a cohort with healthy scans, as for 'covidselfseg train'.",
        )
    return healthy


def check_grids(scans: list[CohortScan], inference: Inference, whose: str, *, fix: str) -> None:
    """Refuse scans that were cut into other grids than networks run on, or with other neighbours.

    Args:
        scans: of a cohort.
        inference: has the grids of the networks.
        whose: networks these are, for the message.
        fix: what to do about it.

    Raises:
        UserError: with the first scan of other grids.
    """
    for scan in scans:
        margin_mm = inference.margin_mm if scan.margin_mm is None else scan.margin_mm
        distance = neighbour_distance(inference.neighbour_mm, scan.slice_mm[0])
        there = scan.volume_frame.shape, scan.slice_frame.shape[1:], margin_mm, scan.neighbour
        wanted = inference.generator_grid, inference.slice_plane, inference.margin_mm, distance
        if there != wanted:
            one, other = (
                f"grids of {grid} and {plane}, {margin:g} mm around the lungs, neighbours {apart} slices away"
                for grid, plane, margin, apart in (there, wanted)
            )
            raise UserError(
                f"The scan {scan.source.name} was cut into {one}; {whose} wants {other}.",
                why="A network must be trained and calibrated on the grids that it is run on.",
                fix=fix,
            )


def open_scan(folder: Path, content_sha256: str = "") -> CohortScan:
    """One scan of a cohort, from its folder, with the hash of its content where the manifest has one.

    Raises:
        UserError: it was written by a later version, or a file is missing or cut short.
    """
    try:
        values = json.loads((folder / "scan.json").read_text(encoding="utf-8"))
        if values.get("format", 1) > FORMAT:
            raise UserError(
                f"The cohort scan {folder} has format {values['format']}; this version reads up to {FORMAT}.",
                why="A later version of COVIDSelfSeg made it, and its numbers may mean something else.",
                fix="Update COVIDSelfSeg, or make the cohort again with this version.",
            )
        scan = CohortScan(
            folder,
            Source(**values["source"]),
            LungFrame.from_dict(values["slice_frame"]),
            LungFrame.from_dict(values["volume_frame"]),
            values["neighbour"],
            content_sha256,
            _sha256_of(values.get("arrays", {})),
            values.get("margin_mm"),
        )
        for name, shape in (("slices", scan.slice_frame.shape), ("volume", scan.volume_frame.shape)):
            for array in (name, f"{name.removesuffix('s')}_depths"):
                if mapped_array(folder / f"{array}.npy").shape != shape:
                    raise ValueError(f"{array} has another shape than its frame")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The cohort scan {folder} is damaged ({error}).",
            why="Training on a part of it, or on other bytes than were written, would go unnoticed.",
            fix="Run the command that made the cohort again with --verify: it remakes what is damaged.",
        ) from error
    return scan


def _sha256_of(arrays: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(arrays, sort_keys=True).encode()).hexdigest() if arrays else ""


def _scaled(voxel_mm: tuple[float, float, float], step: tuple[int, int, int]) -> tuple[float, float, float]:
    return voxel_mm[0] * step[0], voxel_mm[1] * step[1], voxel_mm[2] * step[2]
