"""Pseudo-masks on disk: made once for a generator, read back memory-mapped, shared by several processes.

A cohort of a thousand scans has more of them than fit into memory.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.networks.generator import VolumeGenerator
from COVIDSelfSegLib.whole_files import put_in_place

from .cohorts.cohort import CohortScan, mapped_array
from .options import PseudoMaskPreset
from .pseudo_masks import PseudoMask, make_pseudo_mask
from .training_run.distributed import rows, wait_for_all

_ARRAYS = ("target", "burden", "spread")


@dataclass(frozen=True)
class StoredMask:
    """A pseudo-mask on disk. Its large arrays are mapped anew each time, as those of a scan are.

    Attributes:
        folder: that holds it.
        burden: see :class:`.pseudo_masks.PseudoMask`.
    """

    folder: Path
    burden: npt.NDArray[np.float64]

    @classmethod
    def in_folder(cls, folder: Path) -> StoredMask:
        """The one that was written there."""
        return cls(folder, np.load(folder / "burden.npy"))

    @property
    def target(self) -> npt.NDArray[np.uint8]:
        """See :class:`.pseudo_masks.PseudoMask`."""
        return mapped_array(self.folder / "target.npy")

    @property
    def spread(self) -> npt.NDArray[np.uint8]:
        """Likewise."""
        return mapped_array(self.folder / "spread.npy")


def make_pseudo_masks(
    generator: VolumeGenerator,
    scans: list[CohortScan],
    residual: float,
    preset: PseudoMaskPreset,
    device: Device,
    *,
    folder: Path,
    progress: Callable[[int, int], object],
) -> list[StoredMask]:
    """Make the pseudo-masks of all scans, or take those that the same generator made of the same arrays.

    Several processes share the scans; the folder must be one that all of them see.

    Args:
        generator: in evaluation mode, on ``device``.
        scans: of diseased lungs.
        residual: see :func:`.pseudo_masks.make_pseudo_mask`.
        preset: likewise.
        device: where to run.
        folder: one sub-folder a scan.
        progress: called with the number of scans done here and of all that this process does.
    """
    maker = _fingerprint(generator, residual, preset)
    mine = scans[rows()]
    for number, scan in enumerate(mine, start=1):
        target, own = folder / scan.source.name, f"{maker} {scan.fingerprint}"
        if not _is_of(target, own):
            _write(make_pseudo_mask(generator, scan, residual, preset, device), target, own)
        progress(number, len(mine))
    wait_for_all()
    return [StoredMask.in_folder(folder / scan.source.name) for scan in scans]


def _fingerprint(generator: VolumeGenerator, residual: float, preset: PseudoMaskPreset) -> str:
    digest = hashlib.sha256(json.dumps([residual, asdict(preset)]).encode())
    for name, value in generator.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _is_of(folder: Path, maker: str) -> bool:
    made_by = folder / "made_by"
    return made_by.is_file() and made_by.read_text(encoding="utf-8") == maker


def _write(mask: PseudoMask, folder: Path, maker: str) -> None:
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.[0-9]*"):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            np.save(partial / f"{name}.npy", getattr(mask, name))
        (partial / "made_by").write_text(maker, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
