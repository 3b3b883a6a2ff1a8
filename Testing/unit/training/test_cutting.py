"""One scan into the networks' grids, on the side of it that is healthy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegTrainingLib.cohorts.cohort import open_scan
from COVIDSelfSegTrainingLib.cohorts.cutting import cut_source
from COVIDSelfSegTrainingLib.cohorts.sources import Source

from ..conftest import SMALL_GRIDS


@pytest.fixture(scope="module")
def files(a_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("scan")
    names = str(folder / "scan.nrrd"), str(folder / "lungs.nrrd")
    for image, name in zip((a_phantom.scan, a_phantom.lungs), names, strict=True):
        sitk.WriteImage(image, name)
    return names


@pytest.mark.parametrize(("side", "other"), [(1, 2), (2, 1)], ids=["right", "left"])
def test_of_a_scan_with_one_healthy_lung_the_other_is_left_out(
    side: int, other: int, files: tuple[str, str], a_phantom: Phantom, tmp_path: Path
) -> None:
    scan, lungs = files
    source = Source("one", "healthy", "none needed", scan, lungs, only_side=side)
    facts = cut_source(source, tmp_path / "one", SMALL_GRIDS)
    labels = sitk.GetArrayFromImage(a_phantom.lungs)
    voxel_ml = np.prod(a_phantom.lungs.GetSpacing()) / 1000
    assert facts.lung_ml == pytest.approx((labels == side).sum() * voxel_ml, abs=0.1)
    cut = open_scan(tmp_path / "one")
    for frame, depths in ((cut.slice_frame, cut.slice_depths), (cut.volume_frame, cut.volume_depths)):
        inside = sitk.GetArrayFromImage(frame.to_scan((depths > 0).astype(np.float32))) > 0.5
        assert inside[labels == side].mean() > 0.85
        assert inside[labels == other].mean() < 0.01


def test_a_mask_with_next_to_no_lung_in_it_is_refused_before_a_training_draws_from_it(
    files: tuple[str, str], a_phantom: Phantom, tmp_path: Path
) -> None:
    few = np.zeros_like(sitk.GetArrayFromImage(a_phantom.lungs))
    few[20, 30:32, 30:32] = 1
    mask = sitk.GetImageFromArray(few)
    mask.CopyInformation(a_phantom.lungs)
    sitk.WriteImage(mask, str(tmp_path / "few.nrrd"))
    source = Source("one", "healthy", "none needed", files[0], str(tmp_path / "few.nrrd"))
    with pytest.raises(UserError, match="in no slice as much as 1 cm2"):
        cut_source(source, tmp_path / "one", SMALL_GRIDS)
    assert not (tmp_path / "one").exists()


def test_a_mask_without_the_lung_that_is_to_be_kept_is_refused(
    files: tuple[str, str], a_phantom: Phantom, tmp_path: Path
) -> None:
    left = sitk.Mask(a_phantom.lungs, a_phantom.lungs == 2)
    sitk.WriteImage(left, str(tmp_path / "left.nrrd"))
    source = Source("one", "healthy", "none needed", files[0], str(tmp_path / "left.nrrd"), only_side=1)
    with pytest.raises(UserError, match="No lungs were found"):
        cut_source(source, tmp_path / "one", SMALL_GRIDS)
    assert not (tmp_path / "one").exists()
