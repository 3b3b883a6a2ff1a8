"""The aorta stays out of the lung mask where it bulges into the lung; disease that lies there does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from COVIDSelfSegLib.array_types import BoolArray, FloatArray
from COVIDSelfSegLib.lung_masks.classical import builtin_lung_mask, label_lungs
from COVIDSelfSegLib.lung_masks.network import LungNetwork
from COVIDSelfSegLib.lung_masks.pooled_scan import PooledScan
from COVIDSelfSegLib.volume import array_view, read_scan

SIDE_MM = (240.0, 220.0, 320.0)


class _Chest:
    """Two lungs, a spine, a heart: ellipsoids and cylinders, in millimetres from the middle."""

    def __init__(self, slice_mm: float = 2.5) -> None:
        self.voxel_mm = (slice_mm, 2.5, 2.5)
        axes = [
            (np.arange(side / mm) + 0.5) * mm - side / 2
            for side, mm in zip(SIDE_MM, self.voxel_mm, strict=True)
        ]
        self.z, self.y, self.x = np.meshgrid(*axes, indexing="ij")
        self.hu = np.full(self.z.shape, -1000, np.float32)
        self.hu[np.hypot(self.y / 105, self.x / 155) < 1] = 40
        sides = [np.hypot(self.y / 85, (self.x - middle) / 60) for middle in (-66, 66)]
        heart = np.hypot(self.y / 50, self.x / 40) < 1
        self.lung = (abs(self.z) < 100) & (np.minimum(*sides) < 1) & ~heart
        self.hu[self.lung] = -850
        self.spine = np.hypot(self.y - 65, self.x) < 18
        self.hu[self.spine] = 300
        self.hu[np.hypot(self.y - 65, self.x) < 11] = 40  # its canal
        self.dense = np.where(self.lung, 0.95, 0).astype(np.float32)

    def add(self, part: BoolArray, hu: float = 40) -> BoolArray:
        """Soft tissue that the network takes for lung."""
        added: BoolArray = part & ~self.spine
        self.hu[added] = hu
        self.dense[added] = 0.95
        noise = np.random.default_rng(3).normal(0, 12, self.hu.shape)
        self.hu = (self.hu + noise * (self.hu > 0)).astype(np.float32)
        return added

    def tube(self, radius_mm: float = 15) -> BoolArray:
        """An aorta that winds from the spine into the left lung and back."""
        behind, outwards = self.from_axis()
        return (np.hypot(behind, outwards) < radius_mm) & (abs(self.z) < 80)

    def from_axis(self) -> tuple[FloatArray, FloatArray]:
        """How far behind the axis of the tube each voxel lies, and how far outwards."""
        return self.y - 55, self.x - 30 - 8 * np.sin(self.z / 30)

    def straight(self, radius_mm: float = 15, long_mm: float = 160, outwards_mm: float = 42) -> BoolArray:
        """A tube beside the spine, all around it lung."""
        around = np.hypot(self.y - 40, self.x - outwards_mm)
        return (around < radius_mm) & (abs(self.z) < long_mm / 2)

    def found(self) -> BoolArray:
        inside: BoolArray = label_lungs(PooledScan(self.hu, self.voxel_mm), self.dense) > 0
        return inside


@pytest.mark.parametrize("slice_mm", [2.5, 5.0])
@pytest.mark.parametrize("radius_mm", [12, 18])
def test_an_aorta_that_bulges_into_the_left_lung_is_none_of_it(slice_mm: float, radius_mm: float) -> None:
    chest = _Chest(slice_mm)
    aorta = chest.add(chest.tube(radius_mm))
    found = chest.found()
    assert found[aorta].mean() < 0.03
    assert found[chest.lung & ~aorta].mean() > 0.995


@pytest.mark.parametrize(
    ("tube", "is_aorta"),
    [
        ({"radius_mm": 7}, False),
        ({"radius_mm": 9.5}, True),
        ({"radius_mm": 22}, True),
        ({"radius_mm": 27}, False),
        ({"long_mm": 70}, False),
        ({"long_mm": 95}, True),
        ({"outwards_mm": 62}, True),
        ({"outwards_mm": 92}, False),
    ],
    ids=str,
)
def test_an_aorta_is_two_to_four_centimetres_wide_goes_on_for_eight_and_lies_near_the_spine(
    tube: dict[str, float], is_aorta: bool
) -> None:
    """What is narrower, wider, shorter or farther out may be disease."""
    chest = _Chest(5.0)
    dense = chest.add(chest.straight(**tube))
    assert chest.found()[dense].mean() == pytest.approx(float(not is_aorta), abs=0.05)


@pytest.mark.parametrize(("hu", "is_aorta"), [(120, True), (-150, False)], ids=["contrast", "ground glass"])
def test_an_aorta_may_hold_some_contrast_agent_and_is_no_ground_glass(hu: float, is_aorta: bool) -> None:
    chest = _Chest(5.0)
    dense = chest.add(chest.straight(), hu)
    assert chest.found()[dense].mean() == pytest.approx(float(not is_aorta), abs=0.05)


def test_an_aorta_that_winds_as_much_as_it_goes_down_is_followed_through_thick_slices() -> None:
    chest = _Chest(5.0)
    around = np.hypot(chest.y - 40, chest.x - 42 - 20 * np.sin(chest.z / 22))
    aorta = chest.add((around < 15) & (abs(chest.z) < 80))
    assert chest.found()[aorta].mean() < 0.05


@pytest.mark.parametrize("height_mm", [52, 34])
def test_its_arch_is_none_either(height_mm: float) -> None:
    """From the upper end of the tube and on above it, or from below it, where a branch goes on upwards."""
    chest = _Chest(5.0)
    forwards = (chest.y < 55) & (chest.y > -20) & (abs(chest.z - height_mm - 19) < 19)
    arch = forwards & (abs(chest.x - 30 - 8 * np.sin(chest.z / 30)) < 15)
    both = chest.add(chest.tube() | arch)
    assert chest.found()[both & arch].mean() < 0.05


def test_a_consolidation_of_the_other_lung_stays_beside_such_an_aorta() -> None:
    chest = _Chest()
    chest.add(chest.tube())
    disease = chest.add((chest.y > 45) & (chest.x < -30) & (chest.z < 40) & chest.lung)
    assert chest.found()[disease].mean() > 0.95


def test_a_consolidation_along_the_chest_wall_stays_however_long() -> None:
    chest = _Chest()
    disease = chest.add((chest.y > 45) & (chest.x > 20) & chest.lung)
    assert chest.found()[disease].mean() > 0.95


def test_a_round_consolidation_beside_the_spine_stays() -> None:
    chest = _Chest()
    ball = (chest.z**2 + (chest.y - 45) ** 2 + (chest.x - 40) ** 2) < 25**2
    disease = chest.add(ball & chest.lung)
    assert chest.found()[disease].mean() > 0.95


@pytest.mark.parametrize("mirrored", [2, 1], ids=["in the right lung", "in front"])
def test_a_consolidation_as_round_and_long_as_an_aorta_stays_where_none_can_be(mirrored: int) -> None:
    chest = _Chest(5.0)
    disease = chest.add(np.flip(chest.tube(), mirrored) & chest.lung)
    assert chest.found()[disease].mean() > 0.95


@pytest.mark.parametrize(("side", "from_mm"), [("behind", 19), ("outside", 22)])
def test_a_consolidation_that_touches_the_aorta_from_behind_or_outside_stays(
    side: str, from_mm: float
) -> None:
    chest = _Chest(5.0)
    aorta = chest.add(chest.tube())
    behind, outwards = chest.from_axis()
    off = behind if side == "behind" else outwards
    around = np.hypot(behind, outwards)
    chest.add(chest.lung & ~aorta & (off > around / 2) & (around < 45) & (chest.z > 20) & (chest.z < 60))
    disease = chest.lung & ~chest.spine & (chest.hu > -100) & (off > from_mm) & (around < 45)
    found = chest.found()
    assert found[disease].mean() > 0.95
    assert found[aorta].mean() < 0.03


def test_a_consolidation_of_the_upper_lobe_stays_a_few_centimetres_above_the_arch() -> None:
    chest = _Chest(5.0)
    aorta = chest.add(chest.tube() & (chest.z < 40))
    disease = chest.add(chest.lung & (chest.x > 0) & (chest.y > 20) & (chest.z > 40))
    found = chest.found()
    assert found[disease & (chest.z > 70)].mean() > 0.95
    assert found[aorta].mean() < 0.03


def test_of_a_real_scan_aorta_and_arch_are_left_out_and_consolidation_is_not(real_scans: Path) -> None:
    scan = read_scan(real_scans / "ct_cropped" / "ricord1a_001012.nii.gz")
    lungs = array_view(builtin_lung_mask(scan, LungNetwork.shipped()))
    # Voxels (z, y, x) read off the pictures.
    descending = [(80, 113, 132), (124, 112, 130), (150, 104, 129)]
    arch = [(168, 56, 119), (168, 90, 125), (184, 72, 121)]
    for blood in descending + arch:
        assert lungs[blood] == 0, blood
    for consolidation in [(100, 108, 48), (100, 112, 42), (90, 112, 54)]:
        assert lungs[consolidation] == 1, consolidation
