"""Lung mask from one of three sources behind one call: a file, lungmask R231, or the built-in method."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .errors import ExitCode, UserError
from .file_names import is_there
from .lung_labels import LEFT, RIGHT
from .lung_masks.classical import builtin_lung_mask
from .lung_masks.network import LungNetwork
from .lung_masks.pooled_scan import POOLED_MM
from .lung_masks.sides import split_lungs
from .torch_hub import (
    R231_FILE,
    checkpoint_file,
    file_sha256,
    lungmask_version,
    r231_problem,
)
from .volume import array_view, grid_difference, image_like, read_mask, voxel_volume_ml

if TYPE_CHECKING:
    from .devices import Device

log = logging.getLogger(__name__)

_MOST_LABELS, _LARGEST_LUNGS_L = 20, 15.0
"""More values, or a larger volume, no mask of lungs or of their lobes holds."""

GIVEN = "given"
WITHOUT_NETWORK = "built-in, without its network"
"""Sources of a mask: the user's own file; the built-in method without its network for dense lung, which is
missing or damaged."""


@dataclass(frozen=True)
class LungMask:
    """A lung mask and where it comes from.

    Attributes:
        image: uint8 on the scan's grid: 0 outside, 1 right lung, 2 left lung.
        source: ``lungmask R231``, ``built-in``, :data:`WITHOUT_NETWORK` or :data:`GIVEN`.
        sha256: of the weights or of the file it comes from; empty where there are none.
    """

    image: sitk.Image
    source: str
    sha256: str = ""


def find_lungs(
    scan: sitk.Image,
    *,
    mask_file: Path | None = None,
    weights: Path | None = None,
    builtin: bool = False,
    plain: bool = False,
    device: Device | None = None,
) -> LungMask:
    """Find the lungs of a scan.

    Args:
        scan: HU.
        mask_file: a lung mask to use as it is. Labels 1 and 2 are right and left, and 2 alone is the left
            lung. 1 alone and any other labels all mean lung: the sides are told apart by where they lie, and
            a single lung's by the side of the body.
        weights: R231 weights for lungmask; without it the torch hub folder is looked into.
        builtin: do not use lungmask even where it could be.
        plain: run lungmask as it does itself, on every slice in float32; see :mod:`.lung_masks.r231`.
        device: where a network runs; chosen if None.

    Raises:
        UserError: the mask file cannot be read, is not on the scan's grid, or cannot be a mask of lungs; no
            lungs were found (exit code 2). Weights that were named are missing or damaged, or lungmask is
            not installed (3).
    """
    if mask_file is not None:
        return LungMask(_given(scan, mask_file), GIVEN, file_sha256(mask_file))
    found = _find(scan, weights, builtin, plain, device)
    if not array_view(found.image).any():
        raise UserError(
            "No lungs were found.",
            why="Lesions are looked for inside the lungs only.",
            fix="Load a chest CT that shows the lungs, or give a lung mask of your own.",
        )
    return found


def _find(
    scan: sitk.Image, weights: Path | None, builtin: bool, plain: bool, device: Device | None
) -> LungMask:
    path = None if builtin else r231_weights(weights)
    if path is not None:
        # With torch, which no other source needs.
        from .devices import choose_device  # noqa: PLC0415
        from .lung_masks.r231 import r231_lung_mask  # noqa: PLC0415

        found = r231_lung_mask(scan, path, device or choose_device(), plain=plain)
        return LungMask(found, "lungmask R231", file_sha256(path))
    network = LungNetwork.shipped(device)
    if network is None:
        return LungMask(builtin_lung_mask(scan), WITHOUT_NETWORK, "")
    return LungMask(builtin_lung_mask(scan, network), "built-in", network.sha256)


def lung_weights_sha256(weights: Path | None = None, *, builtin: bool = False) -> str:
    """SHA-256 of the weights that :func:`find_lungs` would use; empty where it would use none.

    What is kept of earlier runs counts as long as it stays the same.

    Args:
        weights: as for :func:`find_lungs`.
        builtin: likewise.

    Raises:
        UserError: weights that were named are missing or damaged.
    """
    path = None if builtin else r231_weights(weights)
    if path is not None:
        return file_sha256(path)
    from .devices import choose_device  # noqa: PLC0415 (with torch)

    network = LungNetwork.shipped(choose_device("cpu"))  # nothing runs, and a GPU may be full
    return network.sha256 if network else ""


def lung_volumes_ml(lungs: sitk.Image) -> tuple[float, float]:
    """Volume of the right and the left lung in ml."""
    labels = array_view(lungs)
    ml = voxel_volume_ml(lungs)
    return np.count_nonzero(labels == RIGHT) * ml, np.count_nonzero(labels == LEFT) * ml


def r231_weights(named: Path | None = None) -> Path | None:
    """The R231 weight file: the one named, or the one in the torch hub folder if lungmask can use it.

    Raises:
        UserError: a file was named and is missing, damaged, or lungmask is not installed (exit code 3).
    """
    path = named or checkpoint_file(R231_FILE)
    if named is None and not is_there(path):
        return None
    problem = r231_problem(path)
    if not problem and lungmask_version() is None:
        problem = "the Python package lungmask, which runs it, is not installed"
    if not problem:
        return path
    if named is None:
        log.warning("lungmask R231 is not used: %s (%s)", problem, path)
        return None
    raise UserError(
        f"The lung model {path} cannot be used: {problem}.",
        why="It was asked for by name; using another lung mask would silently change the result.",
        fix=f"Install lungmask and put the published {R231_FILE} there, or run without a lung model.",
        code=ExitCode.MODEL_UNUSABLE,
    )


def _given(scan: sitk.Image, path: Path) -> sitk.Image:
    mask = read_mask(path)
    difference = grid_difference(mask, scan)
    if difference is not None:
        raise UserError(
            f"The lung mask {path.name} is not on the scan's grid: {difference}.",
            why="Each voxel of the mask must lie where the same voxel of the scan lies.",
            fix="Export the mask with the CT as its reference geometry, or resample it to the CT.",
        )
    labels = array_view(mask)
    if not labels.any():
        raise UserError(
            f"The lung mask {path.name} is empty.",
            why="Lesions are looked for inside the lungs only.",
            fix="Give the mask that holds the lungs, or run without a mask file.",
        )
    held = set(np.unique(labels)) - {0}
    if len(held) > _MOST_LABELS or not np.isfinite(list(held)).all():
        raise UserError(
            f"The lung mask {path.name} is no label map: it holds {len(held)} values, from "
            f"{np.nanmin(labels):g} to {np.nanmax(labels):g}.",
            why="All but 0 would count as lung. A scan or a map of probabilities looks like this.",
            fix="Give a mask with 0 outside of the lungs, 1 in the right one and 2 in the left.",
        )
    litres = float(np.count_nonzero(labels) * voxel_volume_ml(scan)) / 1000
    if litres > _LARGEST_LUNGS_L:
        raise UserError(
            f"The lung mask {path.name} holds {litres:.0f} litres.",
            why="No lungs are so large, so it holds something else, and all numbers would be of that.",
            fix="Give the mask of the lungs alone, with 0 outside.",
        )
    # What holds 1 alone may be both lungs or any of them.
    if held in ({RIGHT, LEFT}, {LEFT}):
        return image_like(labels.astype(np.uint8), scan)
    _refuse_single_slices(labels, scan, path)
    return split_lungs(image_like((labels != 0).astype(np.uint8), scan), scan)


def _refuse_single_slices(labels: npt.NDArray[Any], scan: sitk.Image, path: Path) -> None:
    """Refuse lungs drawn on some slices only: which of them is which, cannot be told.

    Raises:
        UserError: there are slices without lung between most others, or hardly any with it.
    """
    with_lung = np.flatnonzero(labels.any(axis=(1, 2)))
    runs = 1 + np.count_nonzero(np.diff(with_lung) > 1)
    scattered = runs > 2 and 4 * runs > with_lung.size  # not so by a stray voxel above or below the lungs
    if scattered or with_lung.size * scan.GetSpacing()[2] < POOLED_MM:
        raise UserError(
            f"The lung mask {path.name} is drawn on some slices only, and does not say which lung is which.",
            why="The right and the left lung are told apart by how the slices hang together.",
            fix="Label the right lung 1 and the left one 2, or draw them on all slices.",
        )
