"""One scan into the networks' grids: read, checked, its lungs found, cut, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.doctor import examine, mend
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_errors import writing_to
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.hounsfield import as_stored
from COVIDSelfSegLib.lungs import find_lungs, lung_volumes_ml
from COVIDSelfSegLib.package_card import Inference
from COVIDSelfSegLib.phantom import make_phantom
from COVIDSelfSegLib.phantom_parts.scanner import draw_acquisition
from COVIDSelfSegLib.results import results_folder
from COVIDSelfSegLib.scan_files.dicom import choose_chest_ct, read_series
from COVIDSelfSegLib.segmentation import LungSlices
from COVIDSelfSegLib.volume import compact, read_scan
from scipy import ndimage

from .readable_series import list_readable_series, readable_series_of, why_lost, why_unread
from .sources import Source

FORMAT = 2
"""Of ``scan.json``. 1 (no such entry) lacked hashes, patients and the split, and is still read."""

_DEEPEST_MM = 255


@dataclass(frozen=True)
class LungChoice:
    """Where lung masks come from; see :func:`COVIDSelfSegLib.lungs.find_lungs`.

    Attributes:
        weights: R231 weights for lungmask.
        builtin: do not use lungmask even where it could be.
        device: ``auto``, ``cpu`` or ``cuda``, where their networks run.
    """

    weights: Path | None = None
    builtin: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Facts:
    """What was learnt of a scan while it was cut.

    Attributes:
        content_sha256: of its voxels in patient axes: one scan in two formats has one hash.
        size: voxels (x, y, z).
        spacing_mm: (x, y, z).
        lung_ml: volume of the lungs that were kept.
        lung_source: where the lung mask came from.
        findings: warnings and notes of the doctor.
        arrays: SHA-256 of each array's bytes, by name.
    """

    content_sha256: str
    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    lung_ml: float
    lung_source: str
    findings: tuple[str, ...]
    arrays: dict[str, str]


@dataclass(frozen=True)
class _Taken:
    """A scan and its lungs, on one grid the right way up, before they are cut.

    Attributes:
        scan: HU.
        lungs: 1 right, 2 left.
        lung_source: where the lung mask came from.
        findings: warnings and notes of the doctor.
    """

    scan: sitk.Image
    lungs: sitk.Image
    lung_source: str
    findings: tuple[str, ...] = ()


def cut_source(
    source: Source,
    target: Path,
    inference: Inference,
    choice: LungChoice = LungChoice(),
    files: Sequence[Path] = (),
) -> Facts:
    """Cut a scan into the networks' grids and write its folder.

    Args:
        source: the scan.
        target: its folder; what lies there is replaced.
        inference: the grids.
        choice: of the lung mask.
        files: see :func:`read_source`.

    Raises:
        UserError: the scan cannot be used (exit code 2), or the folder cannot be written (5).
    """
    taken = _take(source, choice, files)
    lung_ml = sum(lung_volumes_ml(taken.lungs))
    slices = _slices_with_lung(taken, inference, lung_ml)
    frame = LungFrame.around_lungs(taken.lungs, inference.generator_grid, margin_mm=inference.margin_mm)
    arrays = _arrays(taken, slices, frame)
    hashes = {name: array_sha256(array) for name, array in arrays.items()}
    description = {
        "format": FORMAT,
        "source": asdict(source),
        "slice_frame": asdict(slices.frame),
        "volume_frame": asdict(frame),
        "neighbour": slices.neighbour,
        "margin_mm": inference.margin_mm,
        "arrays": hashes,
    }
    _write(target, arrays, description)
    return Facts(
        content_sha256=_content_sha256(taken.scan),
        size=taken.scan.GetSize(),
        spacing_mm=taken.scan.GetSpacing(),
        lung_ml=round(lung_ml, 1),
        lung_source=taken.lung_source,
        findings=taken.findings,
        arrays=hashes,
    )


def _take(source: Source, choice: LungChoice, files: Sequence[Path]) -> _Taken:
    """What a source names, with the lungs that are to be kept."""
    taken = _take_phantom(source) if source.is_phantom else _take_scan(source, choice, files)
    if not source.only_side:
        return taken
    return replace(taken, lungs=sitk.Mask(taken.lungs, taken.lungs == source.only_side))


def _take_phantom(source: Source) -> _Taken:
    """The phantom that a source names, taken by the scanner that belongs to its seed."""
    acquisition = draw_acquisition(np.random.default_rng([source.seed, 3]))
    phantom = make_phantom(source.seed, source.severity, acquisition)
    return _Taken(phantom.scan, phantom.lungs, "phantom")


def _take_scan(source: Source, choice: LungChoice, files: Sequence[Path]) -> _Taken:
    """Read a scan, let the doctor see it, turn it the right way up, and find its lungs."""
    scan = read_source(source, files)
    mask_file = Path(source.lung_mask) if source.lung_mask else None
    examination = examine(scan, lungs_given=mask_file is not None)
    examination.refuse()
    mended = mend(scan, examination)
    # A published mask lies on the grid of the scan as it was read.
    found = find_lungs(
        scan if mask_file else mended,
        mask_file=mask_file,
        weights=choice.weights,
        builtin=choice.builtin,
        device=choose_device(choice.device),
    )
    found.image.CopyInformation(mended)
    findings = tuple(f"{finding.severity}: {finding.what}" for finding in examination.findings)
    return _Taken(mended, found.image, found.source, findings)


def _slices_with_lung(taken: _Taken, inference: Inference, lung_ml: float) -> LungSlices:
    """Slices on the 2D network's grid, some of which hold enough lung to be trained on.

    Raises:
        UserError: there is no lung, or too little in every slice.
    """
    if not lung_ml:
        raise UserError(
            "No lungs were found.",
            why="The networks see the inside of the lungs only.",
            fix="Load a chest CT that shows the lungs, or give a lung mask.",
        )
    slices = LungSlices.of_scan(
        taken.scan,
        taken.lungs,
        plane=inference.slice_plane,
        margin_mm=inference.margin_mm,
        neighbour_mm=inference.neighbour_mm,
    )
    if not holding_lung(lung_cm2(slices.lungs, slices.frame.voxel_mm)).size:
        raise UserError(
            f"The lung mask holds {lung_ml:.1f} ml, and in no slice as much as 1 cm2.",
            why="Slices to train on are drawn from those that hold lung.",
            fix="Look at the lung mask, or at the scan: it may show only a corner of the lungs.",
        )
    return slices


def _arrays(taken: _Taken, slices: LungSlices, frame: LungFrame) -> dict[str, npt.NDArray[Any]]:
    """HU and depths in the lung (mm), on the grids of the 2D network and of the generator."""
    return {
        "slices": as_stored(slices.hu),
        "slice_depths": _depths(slices.lungs, slices.frame.voxel_mm),
        "volume": as_stored(frame.to_network(taken.scan)),
        "volume_depths": _depths(frame.to_network(taken.lungs, "nearest", fill=0), frame.voxel_mm),
    }


def read_source(source: Source, files: Sequence[Path] = ()) -> sitk.Image:
    """The scan that a source names (no phantom), on its own grid.

    Args:
        source: the scan.
        files: of a DICOM series, where they are known; else all that lie below its folder are looked into,
            which takes minutes where it holds hundreds of series.

    Raises:
        UserError: see :func:`COVIDSelfSegLib.volume.read_scan`.
    """
    path = Path(str(source.path))
    if not source.series:
        return read_scan(path)
    all_series, lost = readable_series_of(files) if files else list_readable_series(path)
    if lost and not all_series:
        raise why_lost(lost)
    # A scout may share the id of its series, so the id alone does not name the stack.
    stacks = [series for series in all_series if series.series_id == source.series]
    chosen = choose_chest_ct(path, stacks)
    unread = why_unread(chosen)  # a slice that could be read when it was found
    if unread is not None:
        raise unread
    return compact(read_series(chosen))


def lung_cm2(lungs: npt.NDArray[Any], voxel_mm: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Area of lung in each slice (z,) of a mask (z, y, x), in cm2."""
    area: npt.NDArray[np.float64] = (lungs > 0).sum(axis=(1, 2)) * (voxel_mm[1] * voxel_mm[2] / 100)
    return area


def holding_lung(area_cm2: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Slices with enough lung to be trained on: 1 cm2."""
    return np.flatnonzero(area_cm2 >= 1)


def array_sha256(array: npt.NDArray[Any]) -> str:
    """Hash of an array's bytes, as :attr:`Facts.arrays` has it."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _write(target: Path, arrays: dict[str, npt.NDArray[Any]], description: dict[str, Any]) -> None:
    with results_folder(target, anew=True) as folder, writing_to(folder):
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        (folder / "scan.json").write_text(json.dumps(description, indent=1), encoding="utf-8")


def _content_sha256(scan: sitk.Image) -> str:
    turned = LungFrame.whole_scan(scan, 0.0).turned(scan)
    digest = hashlib.sha256(repr(turned.shape).encode())
    for plane in turned:
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def _depths(lungs: npt.NDArray[Any], voxel_mm: tuple[float, float, float]) -> npt.NDArray[np.uint8]:
    depth = ndimage.distance_transform_edt(np.pad(lungs > 0, 1), sampling=voxel_mm)[1:-1, 1:-1, 1:-1]
    return np.clip(np.ceil(depth), 0, _DEEPEST_MM).astype(np.uint8)
