"""The lung mask: right and left, trachea out, disease kept inside; three sources behind one call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.classical_lungs import split_lungs
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.lungs import R231_FILE, find_lungs, lung_volumes_ml, r231_weights
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.quantification import dice
from COVIDSelfSegLib.volume import array_view, grid_difference, image_like

from .conftest import SMALL


@pytest.fixture(autouse=True)
def _no_weights_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def labels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


@pytest.mark.parametrize("seed", [3, 11, 12])
def test_both_lungs_of_a_phantom_are_found_each_on_its_side(seed: int) -> None:
    phantom = make_phantom(seed, 1, replace(SMALL, slice_mm=2.5, size=(200, 200, 128), pixel_mm=1.8))
    found = find_lungs(phantom.scan)
    assert found.source == "built-in"
    assert grid_difference(found.image, phantom.scan) is None
    for side in (1, 2):
        assert dice(labels(found.image) == side, labels(phantom.lungs) == side) > 0.96


def test_the_trachea_is_left_out(a_phantom: Phantom) -> None:
    truth, found = labels(a_phantom.lungs), labels(find_lungs(a_phantom.scan).image)
    hu = labels(a_phantom.scan)
    middle = slice(a_phantom.scan.GetWidth() // 2 - 6, a_phantom.scan.GetWidth() // 2 + 6)
    lumen = (hu[:, 60:100, middle] < -960) & (truth[:, 60:100, middle] == 0)
    assert lumen.sum() > 50
    assert (found[:, 60:100, middle][lumen] > 0).mean() < 0.05


def test_dense_disease_at_the_pleura_stays_inside() -> None:
    phantom = make_phantom(9, 2, replace(SMALL, slice_mm=2.5, size=(200, 200, 128), pixel_mm=1.8))
    found = labels(find_lungs(phantom.scan).image) > 0
    lesions = labels(phantom.lesions) > 0
    assert found[lesions].mean() > 0.85


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "SAL"])
def test_the_sides_do_not_depend_on_how_the_scan_is_stored(a_phantom: Phantom, orientation: str) -> None:
    stored = sitk.DICOMOrient(a_phantom.scan, orientation)
    again = sitk.DICOMOrient(find_lungs(stored).image, "LPS")
    assert np.array_equal(labels(again), labels(find_lungs(a_phantom.scan).image))


@pytest.mark.parametrize("side", [1, 2])
def test_a_single_lung_keeps_its_name(a_phantom: Phantom, side: int) -> None:
    hu = labels(a_phantom.scan)
    hu[labels(a_phantom.lungs) == 3 - side] = 35
    found = labels(find_lungs(image_like(hu, a_phantom.scan)).image)
    assert (found == side).sum() > 50 * max(1, (found == 3 - side).sum())


def test_lungs_cut_by_the_edge_are_found_and_air_outside_is_not(a_phantom: Phantom) -> None:
    cropped = a_phantom.scan[28:120, 30:, 10:50]
    truth = labels(a_phantom.lungs[28:120, 30:, 10:50]) > 0
    assert dice(labels(find_lungs(cropped).image) > 0, truth) > 0.93


def test_a_volume_without_lungs_has_an_empty_mask(a_phantom: Phantom) -> None:
    solid = image_like(np.full(a_phantom.scan.GetSize()[::-1], 40, np.int16), a_phantom.scan)
    assert not labels(find_lungs(solid).image).any()


def test_a_given_mask_with_sides_is_used_as_it_is(a_phantom: Phantom, tmp_path: Path) -> None:
    path = tmp_path / "mask.nrrd"
    sitk.WriteImage(a_phantom.lungs, str(path))
    found = find_lungs(a_phantom.scan, mask_file=path)
    assert found.source == "given"
    assert len(found.sha256) == 64
    assert np.array_equal(labels(found.image), labels(a_phantom.lungs))
    assert lung_volumes_ml(found.image)[0] > 1000


def test_a_given_mask_without_sides_is_split(a_phantom: Phantom, tmp_path: Path) -> None:
    truth = labels(a_phantom.lungs)
    for name, mask in {"one": truth > 0, "lobes": np.where(truth > 0, 7 + truth, 0)}.items():
        path = tmp_path / f"{name}.nii.gz"
        sitk.WriteImage(image_like(mask.astype(np.int16), a_phantom.scan), str(path))
        found = labels(find_lungs(a_phantom.scan, mask_file=path).image)
        assert np.array_equal(found > 0, truth > 0)
        assert (found == truth)[truth > 0].mean() > 0.995


def test_a_mask_of_another_grid_is_refused(a_phantom: Phantom, tmp_path: Path) -> None:
    path = tmp_path / "mask.nrrd"
    sitk.WriteImage(a_phantom.lungs[:, :, 1:], str(path))
    with pytest.raises(UserError, match=r"not on the scan's grid: size") as caught:
        find_lungs(a_phantom.scan, mask_file=path)
    assert caught.value.code == ExitCode.INPUT_REFUSED


def test_an_empty_mask_is_refused(a_phantom: Phantom, tmp_path: Path) -> None:
    path = tmp_path / "mask.nrrd"
    sitk.WriteImage(a_phantom.lungs * 0, str(path))
    with pytest.raises(UserError, match="empty"):
        find_lungs(a_phantom.scan, mask_file=path)


def test_splitting_a_mask_loses_no_voxel(a_phantom: Phantom) -> None:
    both = image_like((labels(a_phantom.lungs) > 0).astype(np.uint8), a_phantom.scan)
    split = labels(split_lungs(both))
    assert np.array_equal(split > 0, labels(both) > 0)


def test_named_weights_that_are_missing_or_damaged_are_refused(a_phantom: Phantom, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist") as caught:
        find_lungs(a_phantom.scan, weights=tmp_path / "nothing.pth")
    assert caught.value.code == ExitCode.MODEL_UNUSABLE
    pytest.importorskip("lungmask", reason="lungmask is optional")
    damaged = tmp_path / R231_FILE
    damaged.write_bytes(b"half a file")
    with pytest.raises(UserError, match="SHA-256"):
        r231_weights(damaged)


def test_damaged_weights_in_the_hub_folder_are_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / R231_FILE).write_bytes(b"half a file")
    assert r231_weights() is None
    assert "not used" in caplog.text


def test_lungmask_runs_with_weights_from_a_file(a_phantom: Phantom, tmp_path: Path) -> None:
    """Random weights: what is tested is that lungmask is called rightly, not what it finds."""
    lungmask = pytest.importorskip("lungmask.mask", reason="lungmask is optional")
    torch.manual_seed(0)
    network = lungmask.UNet(
        n_classes=3, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False
    )
    weights = tmp_path / "random.pth"
    torch.save(network.state_dict(), weights)
    few = a_phantom.scan[:, :, 28:36]
    found = find_lungs(few, weights=weights)
    assert found.source == "lungmask R231"
    assert len(found.sha256) == 64
    assert grid_difference(found.image, few) is None
    assert set(np.unique(labels(found.image))) <= {0, 1, 2}


@pytest.mark.parametrize(
    ("scan", "mask", "least"),
    [
        ("ct_cropped/lung1_001.nii.gz", "ct_cropped/lung1_001_lung_mask.nii.gz", 0.94),
        ("small/cip_ct-64.nii.gz", "small/cip_ct-64_lobe_labels.nii.gz", 0.96),
    ],
)
def test_real_lungs_agree_with_their_published_masks(
    real_scans: Path, scan: str, mask: str, least: float
) -> None:
    image = sitk.ReadImage(str(real_scans / scan))
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(real_scans / mask))) > 0
    found = labels(find_lungs(image).image)
    assert dice(found > 0, truth) >= least
    right, left = (np.nonzero(found == side)[2].mean() for side in (1, 2))
    assert right < left
    assert array_view(image).shape == found.shape
