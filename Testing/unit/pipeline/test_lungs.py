"""The lung mask: right and left, trachea out, disease kept inside; three sources behind one call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib import lungs as lungs_module
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.lung_masks import r231
from COVIDSelfSegLib.lung_masks.classical import builtin_lung_mask
from COVIDSelfSegLib.lung_masks.sides import split_lungs
from COVIDSelfSegLib.lungs import LungMask, find_lungs, lung_volumes_ml, r231_weights
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.quantification import dice
from COVIDSelfSegLib.torch_hub import R231_FILE
from COVIDSelfSegLib.volume import array_view, grid_difference, image_like

from ..conftest import SMALL


@pytest.fixture(autouse=True)
def _no_weights_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def labels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


FINER = replace(SMALL, slice_mm=2.5, size=(200, 170, 128), pixel_mm=1.8)


@pytest.fixture(scope="module")
def a_finer_phantom() -> Phantom:
    """A third of its lungs is infected, and half of that too dense for a threshold."""
    return make_phantom(9, 3, FINER)


@pytest.fixture(scope="module")
def its_lungs(a_finer_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> LungMask:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
        return find_lungs(a_finer_phantom.scan)


def test_both_lungs_of_a_phantom_are_found_each_on_its_side(
    a_finer_phantom: Phantom, its_lungs: LungMask
) -> None:
    other = make_phantom(11, 3, SMALL)
    for phantom, found in ((a_finer_phantom, its_lungs), (other, find_lungs(other.scan))):
        assert_are_found_each_on_its_side(phantom, found)


def assert_are_found_each_on_its_side(phantom: Phantom, found: LungMask) -> None:
    assert found.source == "built-in"
    assert grid_difference(found.image, phantom.scan) is None
    for side in (1, 2):
        assert dice(labels(found.image) == side, labels(phantom.lungs) == side) > 0.96
    assert lung_volumes_ml(found.image) == pytest.approx(lung_volumes_ml(phantom.lungs), rel=0.02)


def test_the_trachea_is_left_out(a_phantom: Phantom) -> None:
    truth, found = labels(a_phantom.lungs), labels(find_lungs(a_phantom.scan).image)
    hu = labels(a_phantom.scan)
    middle = slice(a_phantom.scan.GetWidth() // 2 - 6, a_phantom.scan.GetWidth() // 2 + 6)
    lumen = (hu[:, 60:100, middle] < -960) & (truth[:, 60:100, middle] == 0)
    assert lumen.sum() > 50
    assert (found[:, 60:100, middle][lumen] > 0).mean() < 0.05


def test_consolidation_at_the_pleura_stays_inside_by_the_network_and_is_lost_without_it(
    a_finer_phantom: Phantom, its_lungs: LungMask
) -> None:
    dense = (labels(a_finer_phantom.lesions) > 0) & (labels(a_finer_phantom.scan) > -300)
    with_network, without = (
        labels(mask) > 0 for mask in (its_lungs.image, builtin_lung_mask(a_finer_phantom.scan))
    )
    assert with_network[dense].mean() > 0.93
    assert without[dense].mean() < 0.5


def test_vessels_belong_to_the_lung(a_finer_phantom: Phantom, its_lungs: LungMask) -> None:
    """Those of the hilum are dents of what is aerated, not holes in it."""
    clear = (labels(a_finer_phantom.lungs) > 0) & (labels(a_finer_phantom.lesions) == 0)
    vessels = clear & (labels(a_finer_phantom.scan) > -300)
    assert (labels(its_lungs.image)[vessels] > 0).mean() > 0.9


def test_the_sides_do_not_depend_on_how_the_scan_is_stored(a_phantom: Phantom) -> None:
    found = labels(find_lungs(a_phantom.scan).image)
    for orientation in ("RAS", "LPI", "SAL"):
        stored = sitk.DICOMOrient(a_phantom.scan, orientation)
        again = sitk.DICOMOrient(find_lungs(stored).image, "LPS")
        assert np.array_equal(labels(again), found), orientation


@pytest.mark.parametrize("side", [1, 2])
def test_a_single_lung_keeps_its_name(a_phantom: Phantom, side: int) -> None:
    hu = labels(a_phantom.scan)
    hu[labels(a_phantom.lungs) == 3 - side] = 35
    found = labels(find_lungs(image_like(hu, a_phantom.scan)).image)
    aerated = found[labels(a_phantom.lungs) == side]
    assert (aerated == side).mean() > 0.9
    assert (aerated == 3 - side).mean() < 0.01


def test_lungs_cut_by_the_edge_are_found_and_air_outside_is_not(a_phantom: Phantom) -> None:
    cropped = a_phantom.scan[28:120, 18:, 10:50]
    truth = labels(a_phantom.lungs[28:120, 18:, 10:50]) > 0
    assert dice(labels(find_lungs(cropped).image) > 0, truth) > 0.93


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


@pytest.mark.parametrize("with_sides", [True, False])
def test_a_given_mask_whose_origin_was_rounded_is_taken_onto_the_scans_own_grid(
    a_phantom: Phantom, tmp_path: Path, with_sides: bool
) -> None:
    mask = sitk.Image(a_phantom.lungs if with_sides else a_phantom.lungs != 0)
    mask.SetOrigin([one + 0.004 for one in mask.GetOrigin()])
    with pytest.raises(RuntimeError, match="same physical space"):
        sitk.Mask(a_phantom.scan, mask)
    sitk.WriteImage(mask, str(tmp_path / "mask.nrrd"))
    found = find_lungs(a_phantom.scan, mask_file=tmp_path / "mask.nrrd").image
    assert np.array_equal(labels(found) > 0, labels(a_phantom.lungs) > 0)
    assert found.GetOrigin() == a_phantom.scan.GetOrigin()
    sitk.Mask(a_phantom.scan, found)


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


def test_what_is_no_mask_of_lungs_is_refused(a_phantom: Phantom, tmp_path: Path) -> None:
    hu, lungs = a_phantom.scan, labels(a_phantom.lungs)
    holes = np.where(lungs > 0, 1.0, np.nan)
    every_second = (lungs > 0) * (np.arange(len(lungs)) % 2)[:, None, None]
    for mask, said in {
        "the scan itself": (hu, "no label map: it holds"),
        "no numbers outside": (image_like(holes, hu), "no label map"),
        "all of the scan": (image_like(np.ones_like(lungs), hu), "litres"),
        "every second slice": (image_like(every_second, hu), "some slices only"),
    }.values():
        path = tmp_path / "mask.nrrd"
        sitk.WriteImage(mask if mask is hu else sitk.Cast(mask, sitk.sitkFloat32), str(path))
        with pytest.raises(UserError, match=said) as caught:
            find_lungs(hu, mask_file=path)
        assert caught.value.code == ExitCode.INPUT_REFUSED


def two_boxes(folder: Path, values: np.ndarray) -> tuple[sitk.Image, Path, np.ndarray]:
    """A scan of nothing, a mask file of two boxes that hold these values, and which box is which."""
    sides = np.zeros((12, 40, 40), np.uint8)
    sides[2:10, 10:30, 2:14], sides[2:10, 10:30, 26:38] = 1, 2
    mask = sitk.GetImageFromArray((values * (sides > 0)).astype(np.uint8))
    mask.SetSpacing((4.0, 4.0, 4.0))
    sitk.WriteImage(mask, str(folder / "mask.nrrd"))
    return sitk.Cast(mask * 0, sitk.sitkInt16), folder / "mask.nrrd", sides


def test_a_mask_of_lobes_is_one_of_lungs_and_one_of_percents_is_none(tmp_path: Path) -> None:
    z, _, x = np.mgrid[:12, :40, :40]
    scan, path, sides = two_boxes(tmp_path, 1 + (z > 5) + 2 * (x > 20))
    assert np.array_equal(labels(find_lungs(scan, mask_file=path).image), sides)
    scan, path, _ = two_boxes(tmp_path, 1 + z + x)
    with pytest.raises(UserError, match="no label map"):
        find_lungs(scan, mask_file=path)


@pytest.mark.parametrize(("voxel_mm", "litres"), [(13.5, 9), (16.5, 17)])
def test_a_mask_of_large_lungs_is_one_and_one_of_more_than_lungs_hold_is_none(
    tmp_path: Path, voxel_mm: float, litres: int
) -> None:
    scan, path, sides = two_boxes(tmp_path, 1 + (np.mgrid[:12, :40, :40][2] > 20))
    mask = sitk.ReadImage(str(path))
    for image in (mask, scan):
        image.SetSpacing(3 * [voxel_mm])
    sitk.WriteImage(mask, str(path))
    if litres < 15:
        assert np.array_equal(labels(find_lungs(scan, mask_file=path).image), sides)
        return
    with pytest.raises(UserError, match=f"{litres} litres"):
        find_lungs(scan, mask_file=path)


def test_a_single_thin_slice_does_not_say_which_lung_is_which(tmp_path: Path) -> None:
    scan, path, _ = two_boxes(tmp_path, np.mgrid[:12, :40, :40][0] == 5)
    for slice_mm, refused in ((4.0, False), (1.0, True)):
        mask = sitk.ReadImage(str(path))
        for image in (mask, scan):
            image.SetSpacing((4.0, 4.0, slice_mm))
        sitk.WriteImage(mask, str(path))
        if not refused:
            assert set(np.unique(labels(find_lungs(scan, mask_file=path).image))) == {0, 1, 2}
            continue
        with pytest.raises(UserError, match="some slices only"):
            find_lungs(scan, mask_file=path)


def test_who_asks_for_the_built_in_mask_gets_it_whatever_weights_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, path, _ = two_boxes(tmp_path, np.ones(1))
    found = sitk.ReadImage(str(path))
    monkeypatch.setattr(lungs_module, "builtin_lung_mask", lambda *_: found)
    missing = tmp_path / "missing.pth"
    assert find_lungs(scan, weights=missing, builtin=True).source == "built-in"
    with pytest.raises(UserError, match="cannot be used"):
        find_lungs(scan, weights=missing)


def test_a_stray_voxel_above_the_lungs_is_no_second_drawing(a_phantom: Phantom, tmp_path: Path) -> None:
    mask = np.array(labels(a_phantom.lungs) > 0, np.uint8)
    mask[-1, 3, 3] = 1
    sitk.WriteImage(image_like(mask, a_phantom.scan), str(tmp_path / "mask.nrrd"))
    found = labels(find_lungs(a_phantom.scan, mask_file=tmp_path / "mask.nrrd").image)
    assert (found == labels(a_phantom.lungs))[labels(a_phantom.lungs) > 0].mean() > 0.995


def test_a_body_without_lungs_is_refused(a_phantom: Phantom) -> None:
    hu = labels(a_phantom.scan)
    hu[labels(a_phantom.lungs) > 0] = 30
    with pytest.raises(UserError, match="No lungs were found") as caught:
        find_lungs(image_like(hu, a_phantom.scan))
    assert caught.value.code == ExitCode.INPUT_REFUSED


def test_splitting_a_mask_loses_no_voxel(a_phantom: Phantom) -> None:
    both = image_like((labels(a_phantom.lungs) > 0).astype(np.uint8), a_phantom.scan)
    split = labels(split_lungs(both, a_phantom.scan))
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


@pytest.fixture(scope="module")
def random_r231(a_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that tell three classes apart somehow: what is tested is how the network is run."""
    lungmask = pytest.importorskip("lungmask.mask", reason="lungmask is optional")
    torch.manual_seed(0)
    network = lungmask.UNet(
        n_classes=3, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False
    ).eval()
    slices = torch.from_numpy(labels(a_phantom.scan)[30:32, ::2, ::2].astype(np.float32))[:, None]
    with torch.inference_mode():
        logits = network((slices[..., :64, :64].clamp(max=600) + 1024) / 1624)
    network.last.bias.data -= logits.mean(dim=(0, 2, 3))
    weights = tmp_path_factory.mktemp("r231") / "random.pth"
    torch.save(network.state_dict(), weights)
    return weights


def test_lungmasks_network_for_lobes_is_refused(a_phantom: Phantom, tmp_path: Path) -> None:
    lungmask = pytest.importorskip("lungmask.mask", reason="lungmask is optional")
    lobes = lungmask.UNet(
        n_classes=6, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False
    )
    torch.save(lobes.state_dict(), tmp_path / "lobes.pth")
    with pytest.raises(UserError, match="does not hold the weights of R231") as caught:
        find_lungs(a_phantom.scan[:, :, 28:36], weights=tmp_path / "lobes.pth")
    assert caught.value.code == ExitCode.MODEL_UNUSABLE


def test_lungmask_runs_with_weights_from_a_file(a_phantom: Phantom, random_r231: Path) -> None:
    few = a_phantom.scan[:, :, 30:32]
    found = find_lungs(few, weights=random_r231)
    assert found.source == "lungmask R231"
    assert len(found.sha256) == 64
    assert grid_difference(found.image, few) is None
    assert set(np.unique(labels(found.image))) <= {0, 1, 2}


@pytest.mark.parametrize("orientation", ["RAI", "LSA"])
def test_the_plain_run_is_lungmasks_own(a_phantom: Phantom, random_r231: Path, orientation: str) -> None:
    lungmask = pytest.importorskip("lungmask.mask", reason="lungmask is optional")
    few = sitk.DICOMOrient(a_phantom.scan[:, :, 30:32], orientation)
    own = lungmask.LMInferer(modelpath=str(random_r231), force_cpu=True, tqdm_disable=True).apply(few)
    found = find_lungs(few, weights=random_r231, plain=True, device=choose_device("cpu"))
    assert set(np.unique(own)) == {0, 1, 2}
    assert np.array_equal(labels(found.image), own)


def test_thick_slices_are_all_seen_and_of_thin_ones_some(
    a_phantom: Phantom, random_r231: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = r231._label_slices
    monkeypatch.setattr(
        r231, "_label_slices", lambda network, hu, *a, **k: seen.append(len(hu)) or real(network, hu, *a, **k)
    )
    few = a_phantom.scan[:, :, 28:32]
    for spacing in (5.0, 2.0, 1.0):
        few.SetSpacing((2.3, 2.3, spacing))
        assert len(array_view(find_lungs(few, weights=random_r231).image)) == 4
    assert seen == [4, 3, 2]  # the last slice is always seen


def test_masks_between_slices_are_interpolated_by_their_shape() -> None:
    """A leaning cone: a straight line between slices is what it is, so little may be lost."""
    z, y, x = np.mgrid[0:41, 0:120, 0:120]
    radius = 10 + 0.8 * z
    cone = ((y - 60) ** 2 + (x - 45 - 0.5 * z) ** 2 < radius**2).astype(np.uint8)
    cone[(cone > 0) & (x > 62)] = 2
    places = np.array([0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40])
    filled = r231.interpolate_labels(cone[places], places)
    assert np.array_equal(filled[places], cone[places])
    for label in (1, 2):
        assert dice(filled == label, cone == label) > 0.99
    nearest = cone[places][np.round(np.arange(41) / 4).astype(int)]
    assert (filled != cone).sum() < 0.3 * (nearest != cone).sum()


def test_a_mask_ends_midway_between_a_slice_that_has_it_and_one_that_has_not() -> None:
    known = np.zeros((2, 40, 40), np.uint8)
    known[0, 10:30, 10:30] = 1
    filled = r231.interpolate_labels(known, np.array([0, 4]))
    areas = filled.sum(axis=(1, 2))
    assert areas[0] > areas[1] > areas[2] >= areas[3] == areas[4] == 0


def test_a_file_that_would_run_code_is_not_opened_as_weights(a_phantom: Phantom, tmp_path: Path) -> None:
    pytest.importorskip("lungmask", reason="lungmask is optional")
    trap = tmp_path / "trap.pth"
    torch.save({"a": Trap(tmp_path / "sprung")}, trap)
    with pytest.raises(UserError, match="does not hold the weights"):
        find_lungs(a_phantom.scan, weights=trap)
    assert not (tmp_path / "sprung").exists()


def test_weights_for_which_there_is_no_memory_are_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run says then that memory ran out; to put the same file there again would not help."""
    pytest.importorskip("lungmask", reason="lungmask is optional")

    def fill(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 85 bytes.")

    monkeypatch.setattr(torch, "load", fill)
    with pytest.raises(RuntimeError, match="allocate memory"):
        r231._load(tmp_path / "weights.pth")


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("scan", "mask", "least"),
    [
        ("ct_cropped/lung1_001.nii.gz", "ct_cropped/lung1_001_lung_mask.nii.gz", 0.92),
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
    # The mask of LUNG1 leaves out tumour, consolidation and effusion, which ours keeps in.
    aerated = sitk.GetArrayFromImage(image) < -500
    assert dice((found > 0) & aerated, truth & aerated) >= 0.99
    right, left = (np.nonzero(found == side)[2].mean() for side in (1, 2))
    assert right < left
    assert array_view(image).shape == found.shape
