"""``python -m Testing.make_samples FOLDER``: small scans, the results that they should have, a small model.

Run as a process of its own by the tests inside the stand-in for Slicer, whose process must stay without
torch and SimpleITK, as Slicer's panel does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from COVIDSelfSegLib import results
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.pipeline import Options, segment_file
from COVIDSelfSegLib.quantification import measure, threshold_curve
from COVIDSelfSegLib.volume import image_like, write_image
from scipy import ndimage

from Testing.sample_names import SCANS, THRESHOLD, TRANSFORM
from Testing.unit.conftest import COARSE, SMALL, small_package


def make_truth(phantom: Phantom, folder: Path) -> None:
    """Write what a perfect run would leave: the healthy twin, and a probability around the true lesions."""
    folder.mkdir()
    scan, lungs = sitk.GetArrayFromImage(phantom.scan), sitk.GetArrayFromImage(phantom.lungs)
    twin = sitk.GetArrayFromImage(phantom.healthy_twin)
    healthy = np.where(lungs > 0, twin, scan).astype(np.int16)
    lesions = sitk.GetArrayFromImage(phantom.lesions) > 0
    inside = 2 * ndimage.gaussian_filter(lesions.astype(np.float32), 0.8)
    probability = image_like(
        np.where(lungs > 0, 255 * np.clip(inside, 0, 1), 0).astype(np.uint8), phantom.scan
    )
    mask = image_like((sitk.GetArrayFromImage(probability) >= 255 * THRESHOLD).astype(np.uint8), phantom.scan)
    report = {
        "numbers": measure(phantom.scan, phantom.lungs, mask).to_dict(),
        "threshold": THRESHOLD,
        "least_lesion_ml": 0.0,
        "threshold_curve": threshold_curve(probability, phantom.lungs).to_report(),
        "findings": [],
        "lung_mask": {"source": "given", "sha256": ""},
        "model": {"name": "truth", "calibrated_threshold": THRESHOLD},
        "device": "none",
    }
    write_image(phantom.lungs, folder / results.LUNGS)
    write_image(image_like(healthy, phantom.scan), folder / results.PSEUDO_HEALTHY)
    write_image(image_like((scan - healthy).astype(np.int16), phantom.scan), folder / results.HEATMAP)
    write_image(probability, folder / results.PROBABILITY)
    write_image(results.lesion_segmentation(mask), folder / results.LESIONS)
    (folder / results.REPORT).write_text(json.dumps(report))


def moved(scan: sitk.Image) -> sitk.Image:
    """A scan as it lies after :data:`TRANSFORM` was hardened on it: other directions, same voxels."""
    to_lps = np.array(TRANSFORM).reshape(4, 4)
    image = sitk.Image(scan)
    direction = to_lps[:3, :3] @ np.array(scan.GetDirection()).reshape(3, 3)
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin((to_lps[:3, :3] @ scan.GetOrigin() + to_lps[:3, 3]).tolist())
    return image


def make_samples(folder: Path) -> None:
    """Write everything that the tests inside the stand-in load."""
    phantom = make_phantom(3, 2, COARSE)
    write_image(phantom.scan, folder / "scan.nrrd")
    write_image(phantom.lungs, folder / "lungs.nrrd")
    make_truth(phantom, folder / "truth")
    # The same patient, stored from head to foot with an axis system of the other hand.
    write_image(sitk.Flip(phantom.scan, [False, False, True]), folder / "left_handed.nrrd")
    oblique = make_phantom(8, 1, replace(COARSE, size=(80, 80, 66), tilt=(0.3, -0.25)))
    write_image(oblique.scan, folder / "oblique.nrrd")
    write_image(moved(phantom.scan), folder / "moved.nrrd")
    gray = np.random.default_rng(0).integers(0, 256, (20, 40, 40)).astype(np.uint8)
    write_image(sitk.GetImageFromArray(gray), folder / "gray.nrrd")
    models = folder / "models"
    models.mkdir()
    package = small_package(models / "small.safetensors")
    content = package.path.read_bytes()
    (folder / "half.safetensors").write_bytes(content[: len(content) // 2])


def make_expected(folder: Path) -> None:
    """Segment the samples in a folder as the command line does, and keep the lesions as NIfTI."""
    for name in SCANS:
        options = Options(
            model=str(folder / "models" / "small.safetensors"), builtin_lungs=True, device="cpu"
        )
        output = folder / f"{name}_results"
        segment_file(folder / f"{name}.nrrd", output, options, lambda *_: None)
        lesions = sitk.ReadImage(str(output / results.LESIONS))
        sitk.WriteImage(lesions, str(folder / f"{name}_lesions.nii.gz"))


def make_picture_samples(folder: Path) -> None:
    """Write one finer scan with its truth, for pictures that people look at."""
    fine = replace(SMALL, size=(240, 240, 96), pixel_mm=1.53, slice_mm=3.4)
    phantom = make_phantom(7, 2, fine)
    write_image(phantom.scan, folder / "fine.nrrd")
    make_truth(phantom, folder / "fine_truth")


def make_model(folder: Path) -> None:
    """Write the small model alone."""
    small_package(folder / "small.safetensors")


_PARTS: dict[str, Callable[[Path], None]] = {
    "samples": make_samples,
    "expected": make_expected,
    "pictures": make_picture_samples,
    "model": make_model,
}

if __name__ == "__main__":
    _PARTS[sys.argv[1]](Path(sys.argv[2]))
