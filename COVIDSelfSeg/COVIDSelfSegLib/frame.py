"""LungFrame: the one place where coordinates change between a scan's grid and a network's grid.

A frame turns the scan's axes to (z up, y to the back, x to the patient's left), cuts a box and resamples
it. What remains of an oblique direction (less than 45 degrees) stays in the frame: the network sees the
scan's own slices. So scan, box and network grid have parallel axes, and each axis is resampled by itself
(see :mod:`~.resampling`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy.sparse import csr_array

from .array_types import FloatArray
from .resampling import (
    area_weights,
    interpolation_weights,
    linear_weights,
    nearest_weights,
    resample_plane,
    resample_volume,
    voxels_inside,
)
from .volume import array_view

Filter = Literal["area", "nearest"]
Triple = tuple[int, int, int]
T = TypeVar("T")

AIR_HU = -1024.0
"""What lies outside the scan, where a frame reaches beyond it."""
_ROWS = 16
"""Rows are added in such steps; the sides of every 2D network's input are multiples of it."""


@dataclass(frozen=True)
class LungFrame:
    """A box of a scan, turned to patient axes, and the network grid laid over it.

    Attributes:
        size: voxels of the scan (x, y, z), as SimpleITK says it.
        spacing: voxel size of the scan in mm (x, y, z).
        origin: position of the first voxel in mm.
        direction: nine direction cosines of the scan.
        axes: for each of the frame's axes (z, y, x), the axis of the scan's array it runs along.
        flips: for each of the frame's axes (z, y, x), whether it runs backwards.
        start: lower faces of the box (z, y, x) in voxels of the turned scan, whose outer face is 0.
        stop: upper faces of the box (z, y, x).
        shape: network grid (z, y, x) laid over the box.
    """

    size: Triple
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]
    axes: Triple
    flips: tuple[bool, bool, bool]
    start: tuple[float, float, float]
    stop: tuple[float, float, float]
    shape: Triple

    @classmethod
    def whole_scan(cls, scan: sitk.Image, voxel_mm: float, *, divide_slices: bool = False) -> Self:
        """A frame over the whole scan, pooled to voxels of about ``voxel_mm`` but never finer than its own.

        The box ends with the scan, so the network voxels may be a little larger than asked for.

        Args:
            scan: any image; only its grid counts.
            voxel_mm: of the network's voxels.
            divide_slices: thicker slices become several of the network's, by interpolation.
        """
        axes, flips = _patient_axes(scan)
        count = _of_axes(scan.GetSize(), axes)
        fine = _of_axes(scan.GetSpacing(), axes)
        least = (0.0 if divide_slices else fine[0], *fine[1:])
        shape = _triple(
            max(1, int(n * mm / max(voxel_mm, floor) + 1e-6))
            for n, mm, floor in zip(count, fine, least, strict=True)
        )
        return cls(*_grid(scan), axes, flips, (0.0, 0.0, 0.0), _triple(map(float, count)), shape)

    @classmethod
    def around_lungs(
        cls,
        lungs: sitk.Image,
        shape: tuple[int | None, int, int],
        *,
        margin_mm: float = 5.0,
        square_pixels: bool = False,
        taller: bool = False,
    ) -> Self:
        """A frame over the bounding box of a lung mask and a margin.

        Args:
            lungs: label map, non-zero inside the lungs, on the scan's grid.
            shape: network grid (z, y, x); None for z keeps the scan's own slices.
            margin_mm: added on every side of the bounding box, as far as the scan reaches.
            square_pixels: widen the box in plane so that pixels are square (it may then reach beyond the
                scan); otherwise the box is stretched to the grid, as both papers do.
            taller: with square pixels, lungs too tall for the grid get more rows, up to a square, instead of
                larger pixels. A square grid's rows above and below other lungs would hold nothing.

        Raises:
            ValueError: the mask is empty (the doctor refuses such a scan before this).
        """
        axes, flips = _patient_axes(lungs)
        spacing = _of_axes(lungs.GetSpacing(), axes)
        inside = _turn(array_view(lungs), axes, flips) > 0
        start, stop = [], []
        for axis in range(3):
            others = tuple(other for other in range(3) if other != axis)
            held = np.flatnonzero(inside.any(axis=others))
            if held.size == 0:
                raise ValueError("the lung mask is empty")
            margin = margin_mm / spacing[axis]
            low, high = held[0] - margin, held[-1] + 1 + margin
            if axis == 0 and shape[0] is None:
                low, high = np.floor(low), np.ceil(high)
            start.append(float(max(low, 0)))
            stop.append(float(min(high, inside.shape[axis])))
        rows, columns = shape[1:]
        if square_pixels:
            height, width = ((stop[axis] - start[axis]) * spacing[axis] for axis in (1, 2))
            if taller:
                # Spacings come from files as float32: what is taller by so little is not taller.
                wanted = math.ceil(height / width * columns / _ROWS - 1e-3) * _ROWS
                rows = max(rows, min(columns, wanted))
            pixel = max(height / rows, width / columns)
            for axis, count in ((1, rows), (2, columns)):
                middle, half = (start[axis] + stop[axis]) / 2, pixel * count / spacing[axis] / 2
                start[axis], stop[axis] = middle - half, middle + half
        slices = shape[0] or round(stop[0] - start[0])
        return cls(*_grid(lungs), axes, flips, _triple(start), _triple(stop), (slices, rows, columns))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The frame that ``dataclasses.asdict`` (and JSON) took apart."""
        return cls(**{name: tuple(value) for name, value in values.items()})

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Size of a network voxel in mm (z, y, x)."""
        spacing = _of_axes(self.spacing, self.axes)
        return _triple((self.stop[a] - self.start[a]) * spacing[a] / self.shape[a] for a in range(3))

    def to_network(self, image: sitk.Image, kind: Filter = "area", fill: float = AIR_HU) -> FloatArray:
        """Resample the box of an image on the scan's grid to the network grid.

        Args:
            image: any image on the scan's grid.
            kind: ``area`` averages what a network voxel covers and interpolates linearly where it is finer
                than the scan; ``nearest`` takes the voxel at its centre (label maps).
            fill: value beyond the scan.

        Returns:
            float32 array (z, y, x) of ``shape``.
        """
        turned = self.turned(image)
        make = nearest_weights if kind == "nearest" else area_weights
        weights = [make(turned.shape[a], self.start[a], self.stop[a], self.shape[a]) for a in range(3)]
        result = resample_volume(turned, weights)
        for axis, matrix in enumerate(weights):
            beyond = ~matrix.any(axis=1)
            if beyond.any():
                result[(slice(None),) * axis + (beyond,)] = fill
        return result

    def to_scan(
        self,
        array: npt.NDArray[Any],
        *,
        dtype: npt.DTypeLike = np.float32,
        within: sitk.Image | None = None,
    ) -> sitk.Image:
        """Put an array on the network grid back on the scan's grid, by linear interpolation.

        Args:
            array: (z, y, x) of ``shape``.
            dtype: type of the result; integers are rounded and clipped to their range.
            within: label map on the scan's grid; the result is 0 where it is.

        Returns:
            An image on the scan's own grid, 0 outside the box.
        """
        whole = np.zeros(self.size[::-1], dtype)
        view = self.turn(whole)[self.box]
        inside = None if within is None else self.turned(within)[self.box]
        for z, plane in enumerate(self.planes(array)):
            values = _as_type(plane, dtype)
            view[z] = values if inside is None else np.where(inside[z] > 0, values, 0)
        return self.image(whole)

    @cached_property
    def box(self) -> tuple[slice, slice, slice]:
        """The voxels of the turned scan (z, y, x) whose centres lie in the box."""
        count = _of_axes(self.size, self.axes)
        return _triple(voxels_inside(count[a], self.start[a], self.stop[a]) for a in range(3))

    def plane(self, array: npt.NDArray[Any], z: float) -> FloatArray:
        """Interpolate an array on the network grid at one slice of the turned scan.

        Args:
            array: (z, y, x) of ``shape``.
            z: slice of the turned scan; fractions lie between slices.

        Returns:
            float32 values at the rows and columns of ``box``.
        """
        below, share = self._between(array, z)
        plane = array[below].astype(np.float32)
        if share:
            plane = (1 - share) * plane + share * array[below + 1]
        return resample_plane(plane, *self._to_box)

    def planes(self, array: npt.NDArray[Any]) -> Iterator[FloatArray]:
        """:meth:`plane` at each slice of ``box`` in turn, faster.

        Lets a caller combine a coarse result with the scan at the scan's resolution, slice by slice, without
        a second full-size float copy; see ``turned``. What it yields is to be read, not written.
        """
        resampled: dict[int, FloatArray] = {}
        for z in range(self.box[0].start, self.box[0].stop):
            below, share = self._between(array, z)
            # Many slices of a scan lie between the same two planes of a coarse grid.
            resampled = {
                number: resampled[number]
                if number in resampled
                else resample_plane(array[number].astype(np.float32), *self._to_box)
                for number in ((below, below + 1) if share else (below,))
            }
            if share:
                yield (1 - share) * resampled[below] + share * resampled[below + 1]
            else:
                yield resampled[below]

    def _between(self, array: npt.NDArray[Any], z: float) -> tuple[int, np.float32]:
        """Which plane of an array lies below a slice of the turned scan, and the share of the next one."""
        if array.shape != self.shape:
            raise ValueError(f"an array of {array.shape} is not on a frame of {self.shape}")
        place = (z + 0.5 - self.start[0]) / (self.stop[0] - self.start[0]) * self.shape[0] - 0.5
        place = min(max(place, 0.0), self.shape[0] - 1.0)
        return int(place), np.float32(place - int(place))

    def onto(self, other: LungFrame, array: npt.NDArray[Any]) -> FloatArray:
        """Interpolate an array on this frame's grid at the grid of another frame of the same scan.

        Args:
            other: the frame to go to; where it reaches beyond this one, the outermost values count.
            array: (z, y, x) of ``shape``.

        Returns:
            float32 array of the other frame's ``shape``.
        """
        weights = []
        for a in range(3):
            step = (other.stop[a] - other.start[a]) / other.shape[a]
            centres = other.start[a] + step * (np.arange(other.shape[a]) + 0.5)
            places = (centres - self.start[a]) / (self.stop[a] - self.start[a]) * self.shape[a] - 0.5
            weights.append(csr_array(interpolation_weights(places, self.shape[a])))
        through, down, across = weights
        deep = (through @ array.reshape(self.shape[0], -1).astype(np.float32)).reshape(-1, *self.shape[1:])
        return np.stack([resample_plane(plane, down, across) for plane in deep])

    @cached_property
    def _to_box(self) -> tuple[csr_array, csr_array]:
        """Matrices that interpolate rows and columns of the network grid at the voxels of ``box``."""
        down, across = (
            csr_array(linear_weights(self.box[a], self.start[a], self.stop[a], self.shape[a])) for a in (1, 2)
        )
        return down, across

    def stored_slice(self, z: int) -> int:
        """Number, from 1, of a slice of the turned scan in the order in which the scan is stored."""
        return _of_axes(self.size, self.axes)[0] - z if self.flips[0] else z + 1

    def image(self, array: npt.NDArray[Any]) -> sitk.Image:
        """Make an image on the scan's grid of an array in the scan's own axes."""
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def turned(self, image: sitk.Image) -> npt.NDArray[Any]:
        """Read-only view of an image on the scan's grid with its axes turned to (z up, y back, x left)."""
        return self.turn(array_view(image))

    def turn(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """View of an array in the scan's own axes with its axes turned to (z up, y back, x left)."""
        return _turn(array, self.axes, self.flips)


def _grid(
    image: sitk.Image,
) -> tuple[Triple, tuple[float, float, float], tuple[float, float, float], tuple[float, ...]]:
    return (
        _triple(image.GetSize()),
        _triple(image.GetSpacing()),
        _triple(image.GetOrigin()),
        tuple(image.GetDirection()),
    )


def _patient_axes(image: sitk.Image) -> tuple[Triple, tuple[bool, bool, bool]]:
    """Which array axis of the image runs along z, y and x of the patient (LPS), and which run backwards."""
    letters = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    axes, flips = [], []
    for forwards, backwards in ("SI", "PA", "LR"):
        image_axis = next(axis for axis, letter in enumerate(letters) if letter in (forwards, backwards))
        axes.append(2 - image_axis)
        flips.append(letters[image_axis] == backwards)
    return _triple(axes), _triple(flips)


def _of_axes(values: tuple[T, ...], axes: Triple) -> tuple[T, T, T]:
    """Take what SimpleITK says per image axis (x, y, z) for the frame's axes (z, y, x)."""
    return _triple(values[2 - axis] for axis in axes)


def _turn(array: npt.NDArray[Any], axes: Triple, flips: tuple[bool, bool, bool]) -> npt.NDArray[Any]:
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    return array.transpose(axes)[steps]


def _as_type(values: FloatArray, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(np.dtype(dtype))
        return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return values.astype(dtype)


def _triple(values: Iterable[T]) -> tuple[T, T, T]:
    first, second, third = values
    return first, second, third
