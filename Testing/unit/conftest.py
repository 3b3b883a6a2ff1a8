"""What the tests share: a small phantom, a small model package with random weights, the real scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.models import (
    Architecture,
    Inference,
    ModelCard,
    ModelPackage,
    TrainingScan,
    write_package,
)
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.phantom_scanner import Acquisition
from COVIDSelfSegTrainingLib.shipped import data_folder

SMALL = Acquisition(size=(160, 160, 66), pixel_mm=2.3, slice_mm=5.0, noise_hu=12.0)
"""A whole chest in few voxels."""


@pytest.fixture(scope="session")
def a_phantom() -> Phantom:
    return make_phantom(3, severity=2, acquisition=SMALL)


@pytest.fixture
def a_scan_file(a_phantom: Phantom, tmp_path: Path) -> Path:
    path = tmp_path / "scan.nii.gz"
    sitk.WriteImage(a_phantom.scan, str(path))
    return path


@pytest.fixture(scope="session")
def a_package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A valid package of small networks with random weights."""
    return small_package(tmp_path_factory.mktemp("models") / "small.safetensors")


def small_package(path: Path) -> ModelPackage:
    torch.manual_seed(0)
    generator = Architecture("generator", {"base_width": 2, "lung_channel": True, "composite": True})
    segmenter = Architecture("compact-transunet", {"width": 8, "blocks": 1, "heads": 2, "mlp": 32})
    card = ModelCard(
        name="small",
        preset="none",
        generator=generator,
        segmenter=segmenter,
        inference=Inference(latent_draws=2),
        trained_on=(TrainingScan("nothing", "none needed", "healthy"),),
        recipe={},
        command="written by a test",
        code_version="0",
    )
    return write_package(path, card, generator.build().state_dict(), segmenter.build().state_dict())


@pytest.fixture(scope="session")
def real_scans() -> Path:
    folder = data_folder()
    if folder is None:
        pytest.skip("the real scans are not here: no ../shared/data and no $COVIDSELFSEG_DATA")
    return folder


@pytest.fixture
def an_oblique_image() -> sitk.Image:
    """An int16 volume with odd sizes, anisotropic voxels and axes turned about x and z."""
    rng = np.random.default_rng(5)
    image = sitk.GetImageFromArray(rng.integers(-1000, 600, (13, 22, 31)).astype(np.int16))
    image.SetSpacing((0.7, 0.9, 2.5))
    image.SetOrigin((-103.5, 42.25, -871.0))
    image.SetDirection(sitk.Euler3DTransform((0, 0, 0), 0.3, 0.0, -0.2).GetMatrix())
    return image
