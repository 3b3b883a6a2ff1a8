"""HU on the networks' scale and back, and as files hold them."""

from __future__ import annotations

import numpy as np
import torch
from COVIDSelfSegLib.hounsfield import as_stored, to_hu, to_unit


def test_air_is_zero_and_bone_one_and_nothing_lies_beyond() -> None:
    hu = np.array([-3000, -1000, -300, 400, 3000], np.float32)
    unit = [0, 0, 0.5, 1, 1]
    assert np.allclose(to_unit(hu), unit)
    assert np.allclose(to_unit(torch.from_numpy(hu)), unit)
    assert np.allclose(to_hu(np.array(unit, np.float32)), hu.clip(-1000, 400))


def test_stored_hu_are_the_nearest_that_twelve_bits_hold() -> None:
    hu = np.array([-2000, -850.6, -850.4, -0.6, 0.6, 40.4, 20000], np.float32)
    stored = as_stored(hu)
    assert stored.dtype == np.int16
    assert stored.tolist() == [-1024, -851, -850, -1, 1, 40, 3071]
