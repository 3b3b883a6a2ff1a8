"""Enhanced CT: DICOM files of many frames, whose functional groups say of each frame where it lies.

GDCM gives the voxels and nothing else. It takes the place of the volume from two of its frames, gives up on
distances that differ by a micrometre, leaves the frames in the order of the file, and applies the rescale
of the first frame to all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..errors import UserError
from ..file_names import itk_name
from .slice_stack import check_stack, pixel_sizes_differ, several_stacks

log = logging.getLogger(__name__)

_SAME_DIRECTION = 1e-3
"""Largest difference between direction cosines of one stack."""


@dataclass(frozen=True)
class _Frame:
    """What the functional groups say of one frame.

    Attributes:
        stack: the id of its stack; empty where none is given.
        position: (3,), mm, LPS, of its first pixel.
        axes: (2, 3), unit vectors along its rows and along its columns.
        pixel_mm: along x and along y.
        rescale: slope and intercept from stored values to HU.
        applied: slope and intercept that GDCM applies to it.
    """

    stack: str
    position: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    pixel_mm: tuple[float, float]
    rescale: tuple[float, float]
    applied: tuple[float, float]


def read_multi_frame(paths: Sequence[Path], name: str) -> sitk.Image:
    """Read the frames of one or several files as one volume, sorted along their normal.

    Args:
        paths: of the files of one series.
        name: of the series, for its user.

    Raises:
        UserError: the places of the frames are not known, or they are no single even stack.
        RuntimeError: ITK cannot read the voxels.
    """
    frames = [frame for path in paths for frame in _frames_of(path, name)]
    _check_one_stack(frames, name)
    along_x, along_y = frames[0].axes
    normal = np.cross(along_x, along_y)
    positions = np.array([frame.position for frame in frames])
    order = np.argsort(positions @ normal, kind="stable")
    check_stack(positions[order], normal, name)

    volume = sitk.GetImageFromArray(_sorted_hu(paths, frames, order, name))
    height = float((positions[order[-1]] - positions[order[0]]) @ normal)
    volume.SetSpacing((*frames[0].pixel_mm, height / (len(frames) - 1) if len(frames) > 1 else 1.0))
    volume.SetOrigin(positions[order[0]].tolist())
    volume.SetDirection(np.stack([along_x, along_y, normal], axis=1).ravel().tolist())
    return volume


def _sorted_hu(
    paths: Sequence[Path], frames: Sequence[_Frame], order: npt.NDArray[np.intp], name: str
) -> npt.NDArray[Any]:
    """(frames, y, x), HU, in this order; ``frames`` are in that of the files."""
    images = [sitk.ReadImage(itk_name(path), imageIO="GDCMImageIO") for path in paths]
    planes = [plane for image in images for plane in sitk.GetArrayViewFromImage(image)]
    if len(planes) != len(frames):
        raise _places_unknown(name)
    return np.stack([_in_hu(planes[index], frames[index]) for index in order])


def _in_hu(plane: npt.NDArray[Any], frame: _Frame) -> npt.NDArray[Any]:
    if frame.rescale == frame.applied:
        return plane
    (slope, intercept), (applied_slope, applied_intercept) = frame.rescale, frame.applied
    stored = np.rint((plane.astype(np.float64) - applied_intercept) / applied_slope)
    return stored * slope + intercept


def _check_one_stack(frames: Sequence[_Frame], name: str) -> None:
    first = frames[0]
    stacks = {frame.stack for frame in frames}
    difference = ""
    if len(stacks) > 1:
        difference = f"its frames name {len(stacks)}"
    elif any(np.abs(frame.axes - first.axes).max() > _SAME_DIRECTION for frame in frames):
        difference = "the orientations of its frames differ"
    elif pixel_sizes_differ([frame.pixel_mm for frame in frames]):
        difference = "the pixel sizes of its frames differ"
    if difference:
        raise several_stacks(name, difference)


def _frames_of(path: Path, name: str) -> list[_Frame]:
    """The frames of a file, in its order."""
    import pydicom  # noqa: PLC0415 (only such files need it)

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return list(_frames_in(header))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # pydicom has no one class for what may be wrong with a header
        log.debug("functional groups of %s: %r", path, error)
        raise _places_unknown(name) from error


def _frames_in(header: Any) -> Iterator[_Frame]:
    """The frames of a pydicom dataset.

    Raises:
        ValueError: a value is missing or impossible.
        Exception: pydicom cannot read a value.
    """
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    own = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    if not own or len(own) != int(header.get("NumberOfFrames") or 1):
        raise ValueError("there are not as many functional groups as frames")
    applied = _rescale([*shared, own[0]], header)
    for group in own:
        groups = [group, *shared]
        rows, columns = _numbers(groups, "PixelMeasuresSequence", "PixelSpacing", 2)
        if min(rows, columns) <= 0:
            raise ValueError("a pixel has no size")
        axes = _numbers(groups, "PlaneOrientationSequence", "ImageOrientationPatient", 6).reshape(2, 3)
        if np.abs(axes @ axes.T - np.eye(2)).max() > 1e-2:
            raise ValueError("rows and columns are no unit vectors at right angles")
        yield _Frame(
            stack=str(_value(groups, "FrameContentSequence", "StackID") or ""),
            position=_numbers(groups, "PlanePositionSequence", "ImagePositionPatient", 3),
            axes=axes / np.linalg.norm(axes, axis=1, keepdims=True),
            pixel_mm=(float(columns), float(rows)),
            rescale=_rescale(groups, header),
            applied=applied,
        )


def _rescale(groups: Sequence[Any], header: Any) -> tuple[float, float]:
    """Slope and intercept of the first group that has them, else of the header itself, else 1 and 0."""
    values = []
    for keyword, otherwise in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        value = _value(groups, "PixelValueTransformationSequence", keyword)
        value = header.get(keyword) if value is None else value
        values.append(otherwise if value is None else float(value))
    if not np.isfinite(values).all() or values[0] == 0:
        raise ValueError("the rescale is impossible")
    return values[0], values[1]


def _numbers(groups: Sequence[Any], macro: str, keyword: str, count: int) -> npt.NDArray[np.float64]:
    value = _value(groups, macro, keyword)
    numbers = np.array([] if value is None else value, np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"{keyword} is missing or no {count} numbers")
    return numbers


def _value(groups: Sequence[Any], macro: str, keyword: str) -> Any:
    """A value of the first functional group that has it; None where none does."""
    for group in groups:
        items = group.get(macro)
        if items and items[0].get(keyword) is not None:
            return items[0].get(keyword)
    return None


def _places_unknown(name: str) -> UserError:
    return UserError(
        f"The file of many frames '{name}' does not say where each frame lies.",
        why="Without its functional groups, distances and the order of its slices are guesswork.",
        fix="Export the CT again as a series of single slices, or as an NRRD, NIfTI or MHA file.",
    )
