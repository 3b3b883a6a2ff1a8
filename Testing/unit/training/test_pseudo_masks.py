"""Phase 2 with generators whose answer is known."""

from __future__ import annotations

import errno
import shutil
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.networks.generator import Encoded, Healthy, VolumeGenerator
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan, open_scan
from COVIDSelfSegTrainingLib.mask_files import make_pseudo_masks
from COVIDSelfSegTrainingLib.options import PseudoMaskPreset
from COVIDSelfSegTrainingLib.pseudo_masks import expected_healthy, make_pseudo_mask, residual_hu
from scipy import ndimage
from torch import Tensor, nn

from ..conftest import cut_scans

CPU = Device(torch.device("cpu"), torch.float32, "CPU")
BARE = PseudoMaskPreset(draws=1, median=1, vessel_mm=0, stands_out_hu=0)
"""The difference alone."""
EXPECTED_HU = -818
"""The most that :class:`Flattening` expects of healthy lung."""


class Simple(VolumeGenerator):
    """Does the same to each voxel."""

    def __init__(self) -> None:
        super().__init__(lung_channel=True, composite=False)

    def encode(self, x: Tensor) -> Encoded:
        return Encoded(x[:, :1], [], x)

    def decode(self, seen: Encoded, _latent: Tensor) -> Healthy:
        return Healthy(self.painted(seen.volume), torch.ones_like(seen.volume))

    @abstractmethod
    def painted(self, volume: Tensor) -> Tensor: ...


class Flattening(Simple):
    """Takes -818 HU for the most that healthy lung can have."""

    def painted(self, volume: Tensor) -> Tensor:
        return volume.clamp(max=(EXPECTED_HU + 1000) / 1400)


class Dimming(Simple):
    """Makes everything half as dense, lesion or not."""

    def painted(self, volume: Tensor) -> Tensor:
        return volume / 2


class Wavering(Flattening):
    """Expects more or less of healthy lung by its first latent number, within 35 HU."""

    def decode(self, seen: Encoded, latent: Tensor) -> Healthy:
        made = super().decode(seen, latent)
        return Healthy(made.volume + 0.05 * latent.flatten()[0], made.share)


class OfWeights(Flattening):
    """Has a weight, for a pseudo-mask to be told from those of other weights."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))


@pytest.fixture
def sick(training_scans: list[CohortScan]) -> CohortScan:
    return next(scan for scan in training_scans if scan.source.group == "diseased")


def test_the_height_above_the_expected_lung_is_the_target(sick: CohortScan) -> None:
    mask = make_pseudo_mask(Flattening(), sick, 0.0, BARE, CPU)
    inside = sick.slice_depths > 0
    assert not mask.target[~inside].any()
    # Wide of its border, so that the coarse grid can show it.
    dense = ndimage.binary_erosion((sick.slices > -600) & inside, iterations=2)
    airy = ndimage.binary_erosion((sick.slices < -800) & inside, iterations=2)
    assert mask.target[dense].mean() > 0.7 * 255
    assert mask.target[airy].mean() < 0.15 * 255
    of_lung = (mask.target / 255).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    assert np.allclose(mask.burden, of_lung, atol=1 / 255)
    twice = make_pseudo_mask(Flattening(), sick, 0.0, replace(BARE, full_hu=500.0), CPU)
    unclipped = mask.target < 255
    assert np.allclose(2.0 * twice.target[unclipped], mask.target[unclipped], atol=2)


def test_what_the_generator_leaves_on_healthy_lung_is_taken_off(sick: CohortScan) -> None:
    whole = make_pseudo_mask(Flattening(), sick, 0.0, BARE, CPU).target.astype(int)
    rest = make_pseudo_mask(Flattening(), sick, 50.0, BARE, CPU).target.astype(int)
    taken = (whole - rest)[whole < 255]
    assert taken.min() >= 0
    assert taken.max() == pytest.approx(255 * 50 / 250, abs=1)


def test_each_stretched_by_itself_a_generator_that_only_dims_finds_nothing(sick: CohortScan) -> None:
    assert make_pseudo_mask(Dimming(), sick, 0.0, BARE, CPU).burden.max() > 0.05
    stretched = replace(BARE, rescale="min-max", full="percentile")
    assert make_pseudo_mask(Dimming(), sick, 0.0, stretched, CPU).burden.max() < 1e-3
    # Stretched, a lung that was cut off at the top is no longer lower where the lesion is.
    unstretched = replace(stretched, rescale="none")
    lower = make_pseudo_mask(Flattening(), sick, 0.0, stretched, CPU)
    assert lower.burden.max() < make_pseudo_mask(Flattening(), sick, 0.0, unstretched, CPU).burden.max()


def test_a_percentile_of_the_scans_own_excess_may_count_as_certain(sick: CohortScan) -> None:
    certain = []
    for percentile in (30.0, 60.0, 99.0):
        preset = replace(BARE, full="percentile", full_percentile=percentile)
        mask = make_pseudo_mask(Flattening(), sick, 0.0, preset, CPU)
        certain.append((mask.target[mask.target > 0] == 255).mean())
    assert certain[0] > certain[1] > certain[2]
    assert certain[2] < 0.05


def all_lung(scan: CohortScan, folder: Path, excess: np.ndarray, on_slices: np.ndarray) -> CohortScan:
    """The scan as if it were lung to its edges, so many HU above what :class:`Flattening` expects.

    Args:
        scan: to change.
        folder: for its arrays.
        excess: on the generator's grid.
        on_slices: the same on the slices' grid, where it may hold what the other is too coarse for.
    """
    shutil.copytree(scan.folder, folder)
    for name, above in (("volume", excess), ("slices", on_slices)):
        np.save(folder / f"{name}.npy", (EXPECTED_HU + above).astype(np.int16))
        np.save(folder / f"{name.removesuffix('s')}_depths.npy", np.full(above.shape, 20, np.uint8))
    return replace(scan, folder=folder)


def test_a_thin_bright_line_leaves_the_target_and_what_lies_beside_it_stays(
    sick: CohortScan, tmp_path: Path
) -> None:
    excess, on_slices = np.full(sick.volume.shape, 200), np.full(sick.slices.shape, 200)
    on_slices[:, :, 20] += 150
    on_slices[:, :, 40] += 80
    scan = all_lung(sick, tmp_path / "scan", excess, on_slices)
    target = make_pseudo_mask(Flattening(), scan, 0.0, replace(BARE, vessel_mm=6.0), CPU).target
    assert not target[:, :, 20].any(), "a vessel"
    assert np.delete(target, 20, axis=2).min() >= 203  # 200 of 250 HU


def test_tissue_that_hardly_stands_out_of_the_expected_lung_leaves_the_target(
    sick: CohortScan, tmp_path: Path
) -> None:
    excess, on_slices = np.full(sick.volume.shape, 200), np.full(sick.slices.shape, 200)
    on_slices[:, :, :32] = 50
    scan = all_lung(sick, tmp_path / "scan", excess, on_slices)
    target = make_pseudo_mask(Flattening(), scan, 0.0, replace(BARE, stands_out_hu=60.0), CPU).target
    assert not target[:, :, :28].any()
    assert target[:, :, 36:].min() >= 203


def test_a_speck_leaves_the_target_and_a_lesion_stays_in_its_place(sick: CohortScan, tmp_path: Path) -> None:
    excess = np.zeros(sick.volume.shape)
    excess[9:13, 8:20, 6:20] = 200
    excess[3, 24, 25] = 200
    on_slices = sick.volume_frame.onto(sick.slice_frame, excess)
    scan = all_lung(sick, tmp_path / "scan", excess, on_slices)
    half, heart = len(on_slices) // 2, ndimage.binary_erosion(on_slices > 190, iterations=3)
    for median, speck in ((1, True), (3, False)):
        target = make_pseudo_mask(Flattening(), scan, 0.0, replace(BARE, median=median), CPU).target
        assert target[:half].any() == speck
        assert target[heart].min() > 190


def test_what_a_generator_leaves_on_healthy_lungs_is_their_ninetieth_percentile_in_the_median_scan(
    sick: CohortScan, tmp_path: Path
) -> None:
    scans = []
    for left in (10, 30, 200):
        excess = np.zeros(sick.volume.shape)
        excess[:, :6] = left  # of 32 rows
        excess[:, 16:] = 900
        scan = all_lung(sick, tmp_path / f"{left}", excess, np.zeros(sick.slices.shape))
        depths = np.full(excess.shape, 20, np.uint8)
        depths[:, 16:] = 0  # outside the lung
        np.save(scan.folder / "volume_depths.npy", depths)
        scans.append(scan)
    assert residual_hu(Flattening(), scans, 1, CPU) == pytest.approx(30, abs=0.5)


def test_a_pseudo_mask_tells_how_unsure_the_generator_was_over_as_many_draws_as_asked(
    sick: CohortScan,
) -> None:
    inside = sick.slice_depths > 0
    assert not make_pseudo_mask(Wavering(), sick, 0.0, BARE, CPU).spread[inside].any(), "of one draw"
    made = make_pseudo_mask(Wavering(), sick, 0.0, replace(BARE, draws=5), CPU)
    expected = expected_healthy(Wavering(), sick, 5, CPU).spread[sick.volume_depths > 0]
    assert expected.min() > 5
    assert np.ptp(expected) < 1e-2, "it wavers as a whole"
    assert (made.spread[inside] == np.rint(expected.mean())).all()


def test_another_generator_residual_or_option_gives_new_pseudo_masks(
    training_scans: list[CohortScan], tmp_path: Path
) -> None:
    scan = training_scans[-1]
    target = tmp_path / scan.source.name / "target.npy"

    def made_anew(weight: float, residual: float, preset: PseudoMaskPreset) -> bool:
        before = target.stat().st_ino if target.is_file() else None
        given = OfWeights(weight), [scan], residual, preset, CPU
        make_pseudo_masks(*given, folder=tmp_path, progress=lambda *_: None)
        return target.stat().st_ino != before

    other = replace(BARE, full_hu=300.0)
    made = [
        made_anew(*given)
        for given in (
            (1.0, 0.0, BARE),
            (1.0, 0.0, BARE),
            (2.0, 0.0, BARE),
            (2.0, 30.0, BARE),
            (2.0, 30.0, other),
            (2.0, 30.0, other),
        )
    ]
    assert made == [True, False, True, True, True, False]


def test_a_scan_that_was_cut_again_gets_a_new_pseudo_mask_and_no_other_does(
    training_scans: list[CohortScan], tmp_path: Path
) -> None:
    first, second = training_scans[-2:]
    assert first.source.lung_mask is not None

    def made_of(*scans: CohortScan) -> list[int]:
        make_pseudo_masks(
            Flattening(), list(scans), 0.0, BARE, CPU, folder=tmp_path, progress=lambda *_: None
        )
        return [(tmp_path / scan.source.name / "target.npy").stat().st_ino for scan in scans]

    before = made_of(first, second)
    assert made_of(first, second) == before
    smaller = sitk.BinaryErode(sitk.ReadImage(first.source.lung_mask) > 0, [4, 4, 1])
    sitk.WriteImage(smaller, str(tmp_path / "smaller.nii.gz"))
    again = cut_scans(
        [replace(first.source, lung_mask=str(tmp_path / "smaller.nii.gz"))], tmp_path / "cohort"
    )
    after = made_of(again[0], second)
    assert after[0] != before[0]
    assert after[1] == before[1]
    target = np.load(tmp_path / first.source.name / "target.npy")
    assert not target[again[0].slice_depths == 0].any()


def test_what_a_full_disk_or_a_killed_run_left_of_a_pseudo_mask_is_removed(
    training_scans: list[CohortScan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, save = training_scans[-1], np.save

    def make() -> None:
        make_pseudo_masks(Flattening(), [scan], 0.0, BARE, CPU, folder=tmp_path, progress=lambda *_: None)

    def save_on_a_full_disk(path: Path, array: np.ndarray) -> None:
        if path.name == "spread.npy":
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path, array)

    monkeypatch.setattr(np, "save", save_on_a_full_disk)
    with pytest.raises(OSError, match="No space"):
        make()
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    (tmp_path / f".{scan.source.name}.12345").mkdir()
    make()
    assert [path.name for path in tmp_path.iterdir()] == [scan.source.name]


def test_of_scans_and_pseudo_masks_no_file_stays_open(
    training_scans: list[CohortScan], tmp_path: Path
) -> None:
    """Of thousands of scans they would be more than a system lets a process have."""
    before = len(list(Path("/dev/fd").iterdir()))
    scans = [open_scan(scan.folder) for scan in training_scans[-2:]]
    masks = make_pseudo_masks(Flattening(), scans, 0.0, BARE, CPU, folder=tmp_path, progress=lambda *_: None)
    looked_at = [
        array[0, 0, 0]
        for scan, mask in zip(scans, masks, strict=True)
        for array in (
            scan.slices,
            scan.slice_depths,
            scan.volume,
            scan.volume_depths,
            mask.target,
            mask.spread,
        )
    ]
    assert len(looked_at) == 12
    assert len(list(Path("/dev/fd").iterdir())) == before
