"""What the tests share: a small phantom, a small model package with random weights, the real scans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.lung_masks.network import SHIPPED_WEIGHTS
from COVIDSelfSegLib.models import ModelPackage, write_package
from COVIDSelfSegLib.package_card import Architecture, Inference, ModelCard, TrainingScan
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.phantom_parts.scanner import Acquisition
from COVIDSelfSegLib.weight_file import check_weights, read_weights, write_weights
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan, open_scan
from COVIDSelfSegTrainingLib.cohorts.cutting import cut_source
from COVIDSelfSegTrainingLib.cohorts.shipped import data_folder
from COVIDSelfSegTrainingLib.cohorts.sources import Source
from COVIDSelfSegTrainingLib.options import GanPreset, SegmenterPreset
from COVIDSelfSegTrainingLib.presets import Preset

SMALL = Acquisition(size=(160, 136, 66), pixel_mm=2.3, slice_mm=5.0, noise_hu=12.0)
"""A whole chest in few voxels; not square, so that rows and columns cannot be mixed up unseen."""
COARSE = replace(SMALL, size=(80, 68, 66), pixel_mm=4.6)
"""A quarter of the voxels, for tests that run many scans and ask nothing of their detail."""
SQUARE = (160, 160, 66)
"""Size for a tilted one, which needs the room."""
SMALL_GRIDS = Inference(generator_grid=(16, 32, 32), slice_plane=(48, 64), latent_draws=1)
TINY = Preset(
    name="tiny",
    seed=1,
    gan=GanPreset(iterations=6, batch=4, base_width=2),
    segmenter=SegmenterPreset(
        iterations=6,
        painted=3,
        clean=1,
        high=2,
        low=2,
        warm_up=2,
        network={"width": 8, "blocks": 1, "heads": 2, "mlp": 16},
    ),
    calibration_batches=1,
    inference=SMALL_GRIDS,
)
"""A whole training in seconds; it learns nothing."""


@pytest.fixture(scope="session")
def a_phantom() -> Phantom:
    return make_phantom(3, severity=2, acquisition=SMALL)


@pytest.fixture(scope="session")
def a_coarse_phantom() -> Phantom:
    return make_phantom(3, severity=2, acquisition=COARSE)


@pytest.fixture
def a_scan_file(a_phantom: Phantom, tmp_path: Path) -> Path:
    path = tmp_path / "scan.nii.gz"
    sitk.WriteImage(a_phantom.scan, str(path))
    return path


@pytest.fixture
def a_coarse_scan_file(a_coarse_phantom: Phantom, tmp_path: Path) -> Path:
    path = tmp_path / "scan.nii.gz"
    sitk.WriteImage(a_coarse_phantom.scan, str(path))
    return path


@pytest.fixture(scope="session")
def coarse_lungs(a_coarse_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lung mask of the coarse phantom, for runs of which one asks nothing of finding lungs."""
    path = tmp_path_factory.mktemp("lungs") / "lungs.nrrd"
    sitk.WriteImage(a_coarse_phantom.lungs, str(path))
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
        inference=replace(SMALL_GRIDS, latent_draws=2),
        trained_on=(TrainingScan("nothing", "none needed", "healthy"),),
        recipe={},
        command="written by a test",
        code_version="0",
    )
    return write_package(path, card, generator.build().state_dict(), segmenter.build().state_dict())


@pytest.fixture(scope="session")
def training_scans(tmp_path_factory: pytest.TempPathFactory) -> list[CohortScan]:
    """A cohort of coarse phantoms on small grids, four healthy and three diseased."""
    return cut_phantoms(COARSE, tmp_path_factory)


def cut_phantoms(acquisition: Acquisition, tmp_path_factory: pytest.TempPathFactory) -> list[CohortScan]:
    files, folder = tmp_path_factory.mktemp("scans"), tmp_path_factory.mktemp("cohort")
    sources = []
    for seed, severity in ((301, 0), (302, 0), (303, 0), (304, 0), (311, 2), (312, 3), (314, 2)):
        phantom = make_phantom(seed, severity, acquisition)
        scan, lungs = files / f"{seed}.nii.gz", files / f"{seed}_lungs.nii.gz"
        sitk.WriteImage(phantom.scan, str(scan))
        sitk.WriteImage(phantom.lungs, str(lungs))
        group = "diseased" if severity else "healthy"
        sources.append(Source(f"{group}_{seed}", group, "none needed", str(scan), str(lungs)))
    return cut_scans(sources, folder)


def cut_scans(sources: list[Source], folder: Path) -> list[CohortScan]:
    """A cohort of these scans on small grids."""
    for source in sources:
        cut_source(source, folder / source.name, SMALL_GRIDS)
    return [open_scan(folder / source.name) for source in sources]


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


def finding_package(
    path: Path, seed: int, contrastive: float = 0.0, trained_on: str = "nothing"
) -> ModelPackage:
    """Small networks with random weights that find something, but not everything."""
    torch.manual_seed(seed)
    generator = Architecture("generator", {"base_width": 2, "lung_channel": True, "composite": True})
    segmenter = Architecture("compact-transunet", {"width": 8, "blocks": 1, "heads": 2, "mlp": 32})
    card = ModelCard(
        name=f"small{seed}",
        preset="none",
        generator=generator,
        segmenter=segmenter,
        inference=Inference((16, 32, 32), (48, 64), latent_draws=1, calibration_slope=20.0),
        trained_on=(TrainingScan(trained_on, "CC BY-NC 4.0", "healthy"),),
        recipe={"seed": 1, "segmenter": {"contrastive_weight": contrastive}},
        command="written by a test",
        code_version="0",
    )
    return write_package(path, card, generator.build().state_dict(), segmenter.build().state_dict())


@pytest.fixture
def another_lung_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Puts another lung network before the shipped one, as a user's folder of models may."""

    def put() -> None:
        other = tmp_path / "models" / "lungs" / SHIPPED_WEIGHTS.name
        other.parent.mkdir(parents=True)
        about, _ = check_weights(SHIPPED_WEIGHTS)
        zeros = {name: 0 * value for name, value in read_weights(SHIPPED_WEIGHTS).items()}
        write_weights(other, zeros, about)
        monkeypatch.setenv("COVIDSELFSEG_MODELS", str(other.parents[1]))

    return put
