"""The lung mask in thick slices: lungs that run into the air outside, into bowel, or into the trachea."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.array_types import BoolArray
from COVIDSelfSegLib.lung_masks.classical import builtin_lung_mask, label_lungs
from COVIDSelfSegLib.lung_masks.network import LungNetwork
from COVIDSelfSegLib.lung_masks.pooled_scan import PooledScan
from COVIDSelfSegLib.volume import array_view, read_scan

SLICE_MM = 8.0


class _Chest:
    """A body on a hollow table in slices of 8 mm, with lungs and a trachea; millimetres from its middle."""

    def __init__(self, pixel_mm: float = 2.5) -> None:
        self.voxel_mm = (SLICE_MM, pixel_mm, pixel_mm)
        sides_mm = zip((288, 250, 375), self.voxel_mm, strict=True)
        axes = [(np.arange(side // mm) + 0.5) * mm - side / 2 for side, mm in sides_mm]
        self.z, self.y, self.x = np.meshgrid(*axes, indexing="ij")
        self.hu = np.full(self.z.shape, -1000, np.float32)
        self.hu[np.hypot(self.y / 90, self.x / 150) < 1] = 40
        # The shell of the table, on which the body lies, and foam in it.
        self.hu[(self.y > 88) & (self.y < 108)] = 0
        self.hollow = (self.y > 92) & (self.y < 104) & (abs(self.x) < 180)
        self.hu[self.hollow] = -900
        sides = [np.hypot(self.y / 70, (self.x - middle) / 55) for middle in (-66, 66)]
        self.lung = (abs(self.z) < 104) & (np.minimum(*sides) < 1)
        self.hu[self.lung] = -850
        self.trachea = (np.hypot(self.y, self.x) < 8) & (self.z > 20)
        self.hu[self.trachea] = -990

    def found(self, dense: npt.NDArray[np.float32] | None = None) -> BoolArray:
        inside: BoolArray = label_lungs(PooledScan(self.hu, self.voxel_mm), dense) > 0
        return inside


@pytest.mark.parametrize("pixel_mm", [2.5, 4.0])  # of the lung mask, and of the doctor's look
def test_lungs_that_end_under_a_shoulder_do_not_run_out_through_it(pixel_mm: float) -> None:
    chest = _Chest(pixel_mm)
    chest.hu[(abs(chest.x - 66) < 3) & (chest.y < -75)] = -1000  # a furrow; 5 mm of chest wall are left
    shoulder = (chest.z > 100) & (abs(chest.x) > 40)
    chest.hu[shoulder & (chest.y < 88)] = -1000  # right above the lung
    found = chest.found()
    assert found[chest.lung & ~shoulder].mean() > 0.97
    assert not found[chest.hollow].any()
    assert not found[chest.hu == -1000].any()


def test_lungs_that_are_open_to_the_air_through_the_mouth_are_found() -> None:
    chest = _Chest()
    bronchus = (chest.z > 20) & (chest.z < 30) & (abs(chest.y) < 6) & (abs(chest.x) < 20)
    mouth = (chest.z > 120) & (abs(chest.x) < 10) & (chest.y < 5)
    chest.hu[bronchus | mouth] = -990
    found = chest.found()
    assert found[chest.lung].mean() > 0.97
    assert not found[mouth].any()


@pytest.mark.parametrize("lying", ["supine", "prone"])
@pytest.mark.parametrize("width_mm", [180, 400])  # the latter is cut by the sides of the scan
def test_foam_in_the_table_is_no_lung(width_mm: float, lying: str) -> None:
    chest = _Chest()
    foam = (chest.y > 92) & (chest.y < 104) & (abs(chest.x) < width_mm)
    chest.hu[foam] = -900
    if lying == "prone":
        chest.hu, foam, chest.lung = (np.flip(one, 1).copy() for one in (chest.hu, foam, chest.lung))
    found = chest.found()
    assert not found[foam].any()
    assert found[chest.lung].mean() > 0.97


def test_a_lung_that_touches_a_pneumothorax_of_the_other_is_found_and_a_stomach_full_of_gas_is_not() -> None:
    chest = _Chest(4.0)
    touching = (abs(chest.z) < 30) & (abs(chest.x) < 20) & (abs(chest.y + 40) < 10)
    chest.hu[touching] = -850
    chest.hu[chest.lung & (chest.x < 40)] = -1000
    stomach = (np.hypot(chest.y, chest.x - 40) < 50) & (chest.z < -120)
    chest.hu[stomach] = -1000
    assert stomach.sum() * np.prod(chest.voxel_mm) / 1000 > 150
    found = chest.found()
    assert found[chest.lung & (chest.x > 40)].mean() > 0.97
    assert not found[stomach].any()


def test_the_trachea_is_found_though_it_hangs_together_with_one_lung_alone() -> None:
    chest = _Chest()
    bronchus = (chest.z > 20) & (chest.z < 30) & (abs(chest.y) < 6) & (chest.x > 0) & (chest.x < 20)
    chest.hu[bronchus] = -990
    found = chest.found()
    assert found[chest.lung].mean() > 0.97
    assert not found[chest.trachea].any()


@pytest.mark.parametrize(
    ("place", "is_lung"), [((50, 40, -70), True), ((-72, 40, -70), False), ((-8, 45, 0), False)]
)
def test_air_that_consolidation_cuts_off_is_lung_but_not_where_bowel_or_oesophagus_lies(
    place: tuple[float, float, float], is_lung: bool
) -> None:
    chest = _Chest()
    chest.hu[chest.lung & (chest.x < 0) & (chest.y > 15)] = 40
    z, y, x = place
    pocket = (np.hypot(chest.y - y, chest.x - x) < 10) & (abs(chest.z - z) < 20)
    chest.hu[pocket] = -850
    assert chest.found()[pocket].mean() == pytest.approx(float(is_lung), abs=0.05)


def test_the_trachea_stays_out_though_the_lung_network_takes_it_for_lung() -> None:
    chest = _Chest()
    bronchi = (chest.z > 20) & (chest.z < 30) & (abs(chest.y) < 6) & (abs(chest.x) < 20)
    chest.hu[bronchi] = -990
    dense = np.where(chest.lung | chest.trachea | bronchi, 0.95, 0.02).astype(np.float32)
    found = chest.found(dense)
    assert found[chest.trachea].mean() < 0.05
    assert found[chest.lung].mean() > 0.97


def test_a_consolidation_of_three_thick_slices_is_lung_by_the_lung_network() -> None:
    chest = _Chest()
    disease = chest.lung & (abs(chest.z - 52) < 1.5 * SLICE_MM) & (chest.x < 0) & (chest.y > 10)
    chest.hu[disease] = 40
    assert chest.found()[disease].mean() < 0.3
    dense = np.where(chest.lung, 0.95, 0.02).astype(np.float32)
    assert chest.found(dense)[disease].mean() > 0.97


def test_a_dent_of_soft_tissue_is_lung_and_a_rib_that_dents_it_is_not() -> None:
    chest = _Chest()
    dent = chest.lung & (np.hypot(chest.y, abs(chest.x) - 113) < 8)
    rib = dent & (chest.x > 0)
    chest.hu[dent] = np.where(rib, 400, 40)[dent]
    found = chest.found()
    assert found[dent & ~rib].mean() > 0.75
    assert not found[rib].any()


@pytest.fixture
def with_bowel() -> tuple[_Chest, BoolArray, npt.NDArray[np.float32]]:
    """Bowel below the left lung whose gas runs into it; its gas is no darker than lung."""
    chest = _Chest()
    chest.hu[chest.lung & (chest.z < -60) & (chest.x > 0)] = 40
    bowel = (np.hypot(chest.y + 10, chest.x - 60) < 22) & (chest.z < -58) & (chest.z > -120)
    chest.hu[bowel] = -800
    return chest, bowel, np.where(chest.lung & ~bowel & (chest.hu < -400), 0.95, 0.02).astype(np.float32)


def test_bowel_that_runs_into_the_lung_is_none_by_the_lung_network(
    with_bowel: tuple[_Chest, BoolArray, npt.NDArray[np.float32]],
) -> None:
    chest, bowel, dense = with_bowel
    assert chest.found()[bowel].mean() > 0.9  # which a threshold cannot know
    found = chest.found(dense)
    assert found[bowel].mean() < 0.05
    assert found[chest.lung & (chest.z > -50)].mean() > 0.97


@pytest.mark.parametrize(("gas_hu", "is_lung"), [(-990, False), (-950, False), (-935, True)])
def test_bowel_gas_that_is_darker_than_any_lung_is_none_without_the_network_either(
    with_bowel: tuple[_Chest, BoolArray, npt.NDArray[np.float32]], gas_hu: float, is_lung: bool
) -> None:
    chest, bowel, _ = with_bowel
    chest.hu[bowel] = gas_hu
    found = chest.found()
    assert found[bowel].mean() == pytest.approx(float(is_lung), abs=0.1)
    assert found[chest.lung & (chest.z > -50)].mean() > 0.97


def test_lung_of_which_the_network_is_unsure_stays(
    with_bowel: tuple[_Chest, BoolArray, npt.NDArray[np.float32]],
) -> None:
    chest, pocket, dense = with_bowel
    assert chest.found(np.where(pocket, np.float32(0.3), dense))[pocket].mean() > 0.9


def test_a_scan_that_ends_within_the_lungs_loses_none_of_them(
    with_bowel: tuple[_Chest, BoolArray, npt.NDArray[np.float32]],
) -> None:
    chest, bowel, dense = with_bowel
    dense[0, 50, 40] = 0.9
    assert chest.found(dense)[bowel].mean() > 0.9


@pytest.mark.parametrize("name", ["covidctmd_cap001", "covidctmd_normal001", "covidctmd_normal002"])
def test_a_real_scan_has_the_same_lungs_in_slices_of_8_mm(real_scans: Path, name: str) -> None:
    path = next(real_scans.glob(f"ct*/{name}.nii.gz"))
    thin = read_scan(path)
    count = thin.GetSize()[2] // 4
    blocks = array_view(thin)[: 4 * count].reshape(count, 4, *thin.GetSize()[1::-1])
    thick = sitk.GetImageFromArray(np.rint(blocks.mean(axis=1)).astype(np.int16))
    thick.SetSpacing((*thin.GetSpacing()[:2], 4 * thin.GetSpacing()[2]))
    network = LungNetwork.shipped()
    assert network is not None
    of_thin = array_view(builtin_lung_mask(thin, network))[: 4 * count] > 0
    share = of_thin.reshape(blocks.shape).mean(axis=1)
    found = array_view(builtin_lung_mask(thick, network)) > 0
    assert (found & (share == 0)).sum() < 0.006 * share.sum()
    assert (~found & (share == 1)).sum() < 0.006 * share.sum()
