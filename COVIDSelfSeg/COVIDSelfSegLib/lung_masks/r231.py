"""lungmask's R231 network (Hofmanninger 2020) at a fraction of its cost: fewer slices, fast arithmetic.

lungmask runs every slice in float32. Lungs hardly change within four millimetres, so here the network sees
slices that far apart at most, channels-last and in the device's own precision, and the masks between are
interpolated by their shape. What happens to a slice before and after the network is lungmask's own code.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from scipy import ndimage

from ..array_types import FloatArray
from ..devices import Device
from ..errors import ExitCode, UserError
from ..memory import is_out_of_memory
from ..volume import array_view, image_like

if TYPE_CHECKING:
    from torch import nn

Labels = npt.NDArray[np.uint8]

_STEP_MM = 4.0
"""Slices the network sees lie at most this far apart."""
_GRID = [256, 256]
_BATCH = 8
_CLASSES = 3
"""Background, right and left lung. lungmask's network for lobes has more, which nothing here is made for."""


def r231_lung_mask(scan: sitk.Image, weights: Path, device: Device, *, plain: bool = False) -> sitk.Image:
    """Lung mask of a scan: 0 outside, 1 right lung, 2 left lung; uint8 on the scan's grid.

    Args:
        scan: HU.
        weights: file of R231's weights.
        device: where to run.
        plain: as lungmask itself does it: every slice, in float32.

    Raises:
        UserError: the weights are none of this network (exit code 3).
    """
    upright = sitk.DICOMOrient(scan, "LPS")
    hu = array_view(upright)
    step = 1 if plain else max(1, int(_STEP_MM / upright.GetSpacing()[2] + 1e-3))
    seen = np.unique(np.append(np.arange(0, len(hu), step), len(hu) - 1))
    network = _load(weights)
    if not plain:
        device.place(network)
    network.to(device.handle)
    labels = _label_slices(network, hu[seen], device, exact=plain)
    if len(seen) < len(hu):
        labels = interpolate_labels(labels, seen)
    back = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(scan.GetDirection())
    return image_like(array_view(sitk.DICOMOrient(image_like(labels, upright), back)), scan)


def interpolate_labels(labels: Labels, places: npt.NDArray[np.integer]) -> Labels:
    """Fill in slices between others by shape (Raya and Udupa 1990): signed distances, linear in between.

    Args:
        labels: (n, y, x), the slices that are known.
        places: (n,) where they lie, rising.

    Returns:
        (places[-1] + 1, y, x); where two labels claim a voxel, the one deeper inside has it.
    """
    whole = np.zeros((int(places[-1]) + 1, *labels.shape[1:]), np.uint8)
    whole[places] = labels
    held = labels.max(axis=0)
    if not held.any():
        return whole
    rows, columns = np.flatnonzero(held.max(axis=1)), np.flatnonzero(held.max(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    values = [value for value in np.unique(labels) if value]
    below = _depths(labels[0][box], values)
    for number in range(1, len(places)):
        above = _depths(labels[number][box], values)
        start, end = int(places[number - 1]), int(places[number])
        for place in range(start + 1, end):
            share = np.float32((place - start) / (end - start))
            depth = (1 - share) * _or_gone(below, above) + share * _or_gone(above, below)
            deepest = depth.argmax(axis=0)
            inside = np.take_along_axis(depth, deepest[None], 0)[0] > 0
            whole[place][box] = np.where(inside, np.array(values, np.uint8)[deepest], 0)
        below = above
    return whole


def _depths(labels: Labels, values: list[int]) -> FloatArray:
    """Signed distance to each label's border, positive inside (labels, y, x), in pixels; NaN if absent."""
    depths = np.full((len(values), *labels.shape), np.nan, np.float32)
    for depth, value in zip(depths, values, strict=True):
        mask = np.pad(labels == value, 1)
        if not mask.any():
            continue
        inside = ndimage.distance_transform_edt(mask)[1:-1, 1:-1]
        outside = ndimage.distance_transform_edt(~mask)[1:-1, 1:-1]
        depth[:] = np.where(inside > 0, inside - 0.5, 0.5 - outside)
    return depths


def _or_gone(depths: FloatArray, beside: FloatArray) -> FloatArray:
    """The depths of a slice, with numbers for labels that it lacks.

    Such a label is taken to lie as far outside as it reaches inside in the slice ``beside``; its shape then
    shrinks to nothing half-way between the two.
    """
    deepest = np.nan_to_num(beside.max(axis=(1, 2), keepdims=True), nan=1.0)
    return np.where(np.isnan(depths), -deepest, depths)


def _label_slices(network: nn.Module, hu: npt.NDArray[np.integer], device: Device, *, exact: bool) -> Labels:
    """Labels (n, y, x) of slices as lungmask gives them."""
    from lungmask import utils  # noqa: PLC0415 (optional, and slow to import)

    cut, boxes = utils.preprocess(hu, resolution=_GRID)
    found = np.empty(cut.shape, np.uint8)
    with torch.inference_mode(), device.autocast(enabled=not exact):
        for start in range(0, len(cut), _BATCH):
            part = torch.from_numpy(cut[start : start + _BATCH].astype(np.float32))
            unit = ((part.clamp(max=600) + 1024) / 1624)[:, None].to(device.handle)
            found[start : start + _BATCH] = network(unit).argmax(1).byte().cpu().numpy()
    found = utils.postprocessing(found, disable_tqdm=True)
    whole = [
        utils.reshape_mask(one, box, hu.shape[1:]).astype(np.uint8)
        for one, box in zip(found, boxes, strict=True)
    ]
    return np.stack(whole)


def _load(weights: Path) -> nn.Module:
    """The network with its weights, read without running any code that the file may hold."""
    from lungmask.resunet import UNet  # noqa: PLC0415

    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        network: nn.Module = UNet(
            n_classes=_CLASSES, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False
        )
        network.load_state_dict(state)
    except Exception as error:
        if is_out_of_memory(error):
            raise  # the weights may be as they should be
        raise UserError(
            f"The lung model {weights} cannot be used: it does not hold the weights of R231.",
            why=f"The network cannot be built from it ({type(error).__name__}).",
            fix="Put the published file there again, or run without a lung model.",
            code=ExitCode.MODEL_UNUSABLE,
        ) from error
    return network.eval()
