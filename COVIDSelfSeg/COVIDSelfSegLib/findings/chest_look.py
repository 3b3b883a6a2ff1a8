"""A quick look at a chest: where lungs, spine and vessels lie, without any network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from ..array_types import BoolArray, FloatArray
from ..frame import LungFrame
from ..lung_labels import LEFT, RIGHT
from ..lung_masks.classical import label_lungs
from ..lung_masks.pooled_scan import PooledScan
from .trachea import find_trachea

_LOOK_MM = 4.0
"""The scan is pooled to this: enough to find lungs, spine and heart in a moment."""
_CUT_SHARE = 0.08
"""Lungs taper to nothing at both ends; where an end has more of their widest section, the scan cuts them."""
_CUT_CM2 = 5.0
"""Lungs that cover more than this of the scan's sides are cut by them."""
_BLUNT_SHARE = 0.5
"""From this share on an end is neither apex nor base. Lower parts of real scans that reach farther out at
their upper end have 0.9 and more there; the base that one real scan ends too early for has 0.43."""
_WIDER = 1.2
"""A lung that reaches so many times farther out at one end than at the other has its base there."""
_GAS_HU = -970.0
"""Lung is brighter but for single voxels; no real scan at hand is warned of by it (``test_doctor.py``)."""
_AIR_HU, _LEAST_AIR_ML, _DARK_SHARE = (-1300.0, -400.0), 300.0, 0.1
"""Between padding and tissue; how much air around the body must be seen; and which share of it is surely free
of clothes and table. No real scan at hand is warned of by it (``test_doctor.py``)."""
_LEANS_MM = 5.0
"""From this on a trachea runs forwards or backwards; less may be chance."""


@dataclass(frozen=True)
class ChestLook:
    """A scan pooled to a few millimetres, in patient axes (z up, y back, x left) as its header says.

    Ask ``lung_ml`` first: where there are no lungs, the other properties mean nothing or raise IndexError.

    Attributes:
        hu: (z, y, x).
        lungs: (z, y, x), 1 right, 2 left, 0 elsewhere.
        voxel_mm: size of a voxel (z, y, x).
    """

    hu: FloatArray
    lungs: npt.NDArray[np.uint8]
    voxel_mm: tuple[float, float, float]

    @classmethod
    def at(cls, scan: sitk.Image) -> ChestLook:
        """Pool a scan in HU, and find its aerated lungs."""
        frame = LungFrame.whole_scan(scan, _LOOK_MM)
        hu = frame.to_network(scan)
        return cls(hu, label_lungs(PooledScan(hu, frame.voxel_mm)), frame.voxel_mm)

    @property
    def lung_ml(self) -> tuple[float, float]:
        """Volume of the right and the left lung in ml."""
        voxel_ml = float(np.prod(self.voxel_mm)) / 1000
        right, left = (np.count_nonzero(self.lungs == side) for side in (RIGHT, LEFT))
        return right * voxel_ml, left * voxel_ml

    @property
    def has_both_lungs(self) -> bool:
        """Whether a right and a left lung were found."""
        right, left = self.lung_ml
        return min(right, left) >= 0.1 * max(right, left)

    @property
    def end_shares(self) -> tuple[float, float]:
        """Section of both lungs where they begin and where they end in z, as shares of their widest one.

        Of the slices that hold lung: those beyond may be padding of a scan that cuts it.
        """
        sections = np.count_nonzero(self.lungs, axis=(1, 2))
        sections = sections[sections > 0]
        return float(sections[0] / sections.max()), float(sections[-1] / sections.max())

    @property
    def hides_which_end_is_up(self) -> bool:
        """Whether the upper end by the header is cut through wide lung, and no trachea tells either."""
        return self._ends_bluntly and not (self.has_both_lungs and self._trachea_leans)

    @property
    def reaches_edge(self) -> bool:
        """Whether the scan cuts the lungs, at an end or at a side."""
        return max(self.end_shares) > _CUT_SHARE or self._is_cut_at_a_side

    @property
    def is_nearly_whole(self) -> bool:
        """Whether the scan cuts the lungs so little that the box around them is about that of whole ones."""
        return max(self.end_shares) < _BLUNT_SHARE and not self._is_cut_at_a_side

    @property
    def _is_cut_at_a_side(self) -> bool:
        inside = self.lungs > 0
        deep_mm, row_mm, column_mm = self.voxel_mm
        front_and_back = int(np.count_nonzero(inside[:, [0, -1]])) * deep_mm * column_mm
        right_and_left = int(np.count_nonzero(inside[:, :, [0, -1]])) * deep_mm * row_mm
        return (front_and_back + right_and_left) / 100 > _CUT_CM2

    @property
    def lung_box_mm(self) -> tuple[float, float, float]:
        """Size of the box around both lungs (z, y, x) in mm."""
        sides = (self.lungs.any(axis=others) for others in ((1, 2), (0, 2), (0, 1)))
        held = (np.flatnonzero(side) for side in sides)
        deep, rows, columns = (int(one[-1] - one[0]) + 1 for one in held)
        return deep * self.voxel_mm[0], rows * self.voxel_mm[1], columns * self.voxel_mm[2]

    @property
    def gas_ml(self) -> float:
        """How much of the lungs is nothing but air, in thick parts: a pneumothorax or bullae."""
        gas = ndimage.binary_opening((self.lungs > 0) & (self.hu < _GAS_HU))
        return float(np.count_nonzero(gas) * np.prod(self.voxel_mm)) / 1000

    @property
    def air_hu(self) -> float | None:
        """HU of the air around the body, without clothes and table; None where not enough of it is seen."""
        darkest, brightest = _AIR_HU
        parts, _ = ndimage.label(self.hu < brightest)
        at_sides = np.unique(np.concatenate([parts[:, [0, -1]].ravel(), parts[:, :, [0, -1]].ravel()]))
        around = np.isin(parts, at_sides[at_sides > 0]) & (self.lungs == 0) & (self.hu > darkest)
        if np.count_nonzero(around) * np.prod(self.voxel_mm) / 1000 < _LEAST_AIR_ML:
            return None
        return float(np.quantile(self.hu[around], _DARK_SHARE))

    @property
    def has_contrast(self) -> bool:
        """Whether much of the tissue in the front three fifths between the lungs is brighter than blood."""
        deep, rows, columns = self._between_lungs()
        most = (rows.stop - rows.start) * 3 // 5
        front = slice(rows.start, rows.start + most)
        if self.flipped_axes[1]:
            front = slice(rows.stop - most, rows.stop)
        block = self.hu[deep, front, columns]
        tissue = block[block > -50]
        return tissue.size > 0 and float((tissue > 110).mean()) > 0.2

    @property
    def flipped_axes(self) -> tuple[bool, bool, bool]:
        """Which patient axes (z, y, x) run against the anatomy.

        The spine must lie behind the middle of the lungs. The trachea must run forwards on its way up; where
        none is seen, both lungs must reach farther out at their base. Where the upper end is cut through wide
        lung, it is the cut that reaches far out, of lower lungs the right way up as of upper ones upside
        down; without a trachea such a scan is left as its header says. So is one of a single lung, for which
        nothing says where the midline is. Right and left cannot be told from a chest with certainty and are
        left likewise.
        """
        if not self.has_both_lungs:
            return False, False, False
        deep, rows, columns = self._between_lungs()
        bone = self.hu[deep, rows, columns] > 130
        half = bone.shape[1] // 2
        front, back = bone[:, :half].sum(), bone[:, half:].sum()
        upside_down_y = front > 3 * max(back, 1)
        ends = [_reach_of_ends(self.lungs == side, _middle(columns)) for side in (RIGHT, LEFT)]
        wider_at_base = all(base > _WIDER * top for base, top in ends)
        wider_at_top = all(top > _WIDER * base for base, top in ends)
        if self._trachea_leans:
            backwards = (self._trachea_forwards_mm < 0) != upside_down_y
            upside_down_z = backwards and not wider_at_base
        else:
            upside_down_z = wider_at_top and not self._ends_bluntly
        return bool(upside_down_z), bool(upside_down_y), False

    @property
    def _ends_bluntly(self) -> bool:
        """Whether the upper end by the header is cut through wide lung, so that it is no base and no apex."""
        return self.end_shares[1] > _BLUNT_SHARE

    @property
    def _trachea_leans(self) -> bool:
        return abs(self._trachea_forwards_mm) >= _LEANS_MM

    @cached_property
    def _trachea_forwards_mm(self) -> float:
        """How far the trachea runs forwards between its lower and its upper end; 0 where none is seen."""
        _, _, columns = self._between_lungs()
        way = find_trachea(self.hu, self.lungs > 0, _middle(columns), self.voxel_mm)
        if not len(way):
            return 0.0
        z, y = way[:, 0], way[:, 1]
        return float(-np.polyfit(z, y, 1)[0] * (z[-1] - z[0]))

    def _between_lungs(self) -> tuple[slice, slice, slice]:
        """The block (z, y, x) between the two lungs, where heart and spine are."""
        inside = self.lungs > 0
        rows = np.flatnonzero(inside.any(axis=(0, 2)))
        deep = np.flatnonzero(inside.any(axis=(1, 2)))
        columns = np.flatnonzero(inside.any(axis=(0, 1)))
        middle = (columns[0] + columns[-1]) // 2
        reach = max(1, (columns[-1] - columns[0]) // 6)
        return (
            slice(int(deep[0]), int(deep[-1]) + 1),
            slice(max(0, int(rows[0]) - 4), int(rows[-1]) + 8),
            slice(int(middle - reach), int(middle + reach + 1)),
        )


def _middle(columns: slice) -> float:
    return (columns.start + columns.stop - 1) / 2


def _reach_of_ends(lung: BoolArray, middle: float) -> tuple[float, float]:
    """How far from column ``middle`` a lung (z, y, x) reaches at its lower and its upper end, in voxels."""
    held = np.flatnonzero(lung.any(axis=(1, 2)))
    if held.size < 6:
        return 0.0, 0.0
    end = held.size // 6
    bottom, top = (
        float(np.abs(np.flatnonzero(lung[part].any(axis=(0, 1))) - middle).max())
        for part in (held[:end], held[-end:])
    )
    return bottom, top
