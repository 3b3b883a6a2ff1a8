"""How well a mask covers the truth, from four counts; what is undefined is NaN, never 0 or 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from COVIDSelfSegLib.array_types import BoolArray


@dataclass(frozen=True)
class Overlap:
    """Voxels of a mask against the truth.

    Attributes:
        both: in the mask and in truth.
        found_only: in the mask alone.
        truth_only: in truth alone.
        neither: in none of them, inside the region looked at.
    """

    both: int
    found_only: int
    truth_only: int
    neither: int

    @property
    def dice(self) -> float:
        """2 |A and B| / (|A| + |B|); NaN where both are empty, for that is neither right nor wrong."""
        return _ratio(2 * self.both, 2 * self.both + self.found_only + self.truth_only)

    @property
    def sensitivity(self) -> float:
        """Share of the truth that was found; NaN without truth."""
        return _ratio(self.both, self.both + self.truth_only)

    @property
    def precision(self) -> float:
        """Share of the found that is true; NaN where nothing was found."""
        return _ratio(self.both, self.both + self.found_only)

    @property
    def specificity(self) -> float:
        """Share of the lesion-free region that was left alone."""
        return _ratio(self.neither, self.neither + self.found_only)

    @property
    def found(self) -> int:
        """Voxels of the mask."""
        return self.both + self.found_only

    @property
    def truth(self) -> int:
        """Voxels of the truth."""
        return self.both + self.truth_only


def overlap(found: BoolArray, truth: BoolArray, within: BoolArray | None = None) -> Overlap:
    """Count a mask against the truth.

    Args:
        found: any shape.
        truth: the same shape.
        within: where to count what is in neither; everywhere by default. Found and true voxels count
            wherever they are.
    """
    both = int(np.count_nonzero(found & truth))
    found_only = int(np.count_nonzero(found)) - both
    truth_only = int(np.count_nonzero(truth)) - both
    if within is None:
        neither = found.size - both - found_only - truth_only
    else:
        neither = int(np.count_nonzero(within & ~found & ~truth))
    return Overlap(both, found_only, truth_only, neither)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
