"""How far slices may lie from where one rectangular grid has them."""

from __future__ import annotations

import numpy as np
import pytest
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.scan_files.slice_stack import check_stack

NORMAL = np.array([0.0, 0.0, 1.0])


def stack(gaps: list[float], slant_deg: float = 0.0) -> np.ndarray:
    z = np.cumsum([-300.0, *gaps])
    return np.stack([0 * z, np.tan(np.deg2rad(slant_deg)) * z, z], axis=1)


@pytest.mark.parametrize(
    "positions",
    [
        stack([2.0] * 5 + [2.19] + [2.0] * 5),
        stack([2.0] * 5 + [1.81] + [2.0] * 5),
        stack([0.3] * 5 + [0.34] + [0.3] * 5),  # rounded to a tenth of a mm
        stack([2.0] * 9, slant_deg=1.0),
        stack([2.0] * 9, slant_deg=-1.0),
        stack([]),
    ],
)
def test_slices_that_are_rounded_are_a_stack(positions: np.ndarray) -> None:
    check_stack(positions, NORMAL, "chest")


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        (stack([2.0] * 5 + [2.21] + [2.0] * 5), "uneven slices: 2.21 mm after slice 6, usually 2.00 mm"),
        (stack([2.0] * 5 + [1.79] + [2.0] * 5), "uneven slices: 1.79 mm after slice 6"),
        (stack([0.3] * 5 + [0.36] + [0.3] * 5), "uneven slices"),
        (stack([2.0] * 9, slant_deg=1.3), "tilted gantry"),
        (stack([2.0] * 9, slant_deg=-1.3), "tilted gantry"),
        (stack([2.0] * 5 + [0.0] + [2.0] * 5), "several slices at one position"),
        (stack([0.0, 2.0] * 5 + [0.0]), "several slices at one position"),
    ],
)
def test_slices_that_are_missing_doubled_or_at_a_slant_are_none(positions: np.ndarray, said: str) -> None:
    with pytest.raises(UserError, match=f"'chest' .*{said}"):
        check_stack(positions, NORMAL, "chest")
