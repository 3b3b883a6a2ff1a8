"""``covidselfseg segment`` on odd scans, masks, models and folders; that it is a process is tested beside."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.lung_masks.network import LungNetwork
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.volume import grid_difference, image_like, read_scan

from ..command_runs import refused, run_here, typed
from ..conftest import COARSE


def test_other_files_in_the_output_folder_stay(
    a_coarse_scan_file: Path, a_package: ModelPackage, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    (output / "report.json").write_text("of an earlier run")
    assert run_here(typed(a_coarse_scan_file, output, a_package))[0] == 0
    assert (output / "notes.txt").read_text() == "mine"
    assert "numbers" in (output / "report.json").read_text()


def test_a_scan_that_is_called_like_a_result_is_not_replaced_by_it(
    a_coarse_phantom: Phantom, a_package: ModelPackage, tmp_path: Path
) -> None:
    scan = tmp_path / "lungs" / "lungs.nrrd"
    scan.parent.mkdir()
    sitk.WriteImage(a_coarse_phantom.scan, str(scan))
    before, (_, *named) = scan.read_bytes(), typed(scan, scan.parent, a_package)
    refused(["segment", *named], 2, "would be replaced by a result")
    named[named.index("--output") + 1] = str(tmp_path)  # where a batch puts them into a folder "lungs"
    assert "would be replaced by a result" in refused(["batch", *named], 2, "Not one scan").why
    assert scan.read_bytes() == before


def test_lungs_of_an_earlier_run_that_were_corrected_are_not_replaced(
    a_coarse_scan_file: Path, coarse_lungs: Path, a_package: ModelPackage, tmp_path: Path
) -> None:
    corrected = tmp_path / "out" / "lungs.nrrd"
    corrected.parent.mkdir()
    shutil.copy(coarse_lungs, corrected)
    named = typed(a_coarse_scan_file, corrected.parent, a_package, "--lung-mask", str(corrected))
    refused(named, 2, "would be replaced by a result")
    assert corrected.read_bytes() == coarse_lungs.read_bytes()


def test_a_lung_mask_of_another_grid_exits_with_2(
    a_coarse_scan_file: Path, a_coarse_phantom: Phantom, a_package: ModelPackage, tmp_path: Path
) -> None:
    mask = tmp_path / "mask.nrrd"
    sitk.WriteImage(a_coarse_phantom.lungs[:, :, :-1], str(mask))
    arguments = typed(a_coarse_scan_file, tmp_path / "out", a_package, "--lung-mask", str(mask))
    refused(arguments, 2, "not on the scan's grid")


def test_a_model_cut_in_half_exits_with_3(
    a_coarse_scan_file: Path, a_package: ModelPackage, tmp_path: Path
) -> None:
    half = tmp_path / "half.safetensors"
    content = a_package.path.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    refused(typed(a_coarse_scan_file, tmp_path / "out", replace(a_package, path=half)), 3, "cannot be used")
    gone = replace(a_package, path=tmp_path / "gone.safetensors")
    refused(typed(a_coarse_scan_file, tmp_path / "out", gone), 3, "does not exist")


def test_an_output_that_cannot_be_written_exits_with_5(
    a_coarse_scan_file: Path, a_package: ModelPackage, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    refused(typed(a_coarse_scan_file, tmp_path / "file" / "out", a_package), 5, "cannot be written")
    refused(typed(a_coarse_scan_file, tmp_path / "file", a_package), 5, "cannot be written")
    assert (tmp_path / "file").read_text() == "not a folder"


def test_an_oblique_scan_keeps_its_grid(a_package: ModelPackage, tmp_path: Path) -> None:
    phantom = make_phantom(8, 1, replace(COARSE, size=(80, 80, 66), tilt=(0.3, -0.25)))
    sitk.WriteImage(phantom.scan, str(tmp_path / "scan.nrrd"))
    assert run_here(typed(tmp_path / "scan.nrrd", tmp_path / "out", a_package))[0] == 0
    assert grid_difference(read_scan(tmp_path / "out" / "probability.nrrd"), phantom.scan) is None


def test_a_scan_of_one_lung_goes_through(
    a_coarse_phantom: Phantom, a_package: ModelPackage, tmp_path: Path
) -> None:
    hu = sitk.GetArrayFromImage(a_coarse_phantom.scan)
    hu[sitk.GetArrayFromImage(a_coarse_phantom.lungs) == 2] = 30
    sitk.WriteImage(image_like(hu, a_coarse_phantom.scan), str(tmp_path / "scan.nrrd"))
    code, events = run_here(typed(tmp_path / "scan.nrrd", tmp_path / "out", a_package))
    assert code == 0
    assert events[-1].values["numbers"]["right"]["volume_ml"] > 1000
    assert any("left lung" in finding["what"] for finding in events[-1].values["findings"])


def test_consolidated_lungs_go_through_with_a_lung_mask(
    a_coarse_phantom: Phantom, a_package: ModelPackage, tmp_path: Path
) -> None:
    hu = sitk.GetArrayFromImage(a_coarse_phantom.scan)
    hu[sitk.GetArrayFromImage(a_coarse_phantom.lungs) > 0] = -100
    sitk.WriteImage(image_like(hu, a_coarse_phantom.scan), str(tmp_path / "scan.nrrd"))
    sitk.WriteImage(a_coarse_phantom.lungs, str(tmp_path / "lungs.nrrd"))
    refused(typed(tmp_path / "scan.nrrd", tmp_path / "out", a_package), 2, "No lungs were found")
    mask = ["--lung-mask", str(tmp_path / "lungs.nrrd")]
    code, events = run_here(typed(tmp_path / "scan.nrrd", tmp_path / "out", a_package, *mask))
    assert code == 0
    assert any("is used as it is" in finding["what"] for finding in events[-1].values["findings"])


def test_that_the_lung_network_is_missing_is_a_finding(
    a_coarse_scan_file: Path, a_package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for name in ("there", "missing"):
        if name == "missing":
            monkeypatch.setattr(LungNetwork, "shipped", lambda *_, **__: None)
        code, events = run_here(typed(a_coarse_scan_file, tmp_path / name, a_package))
        assert code == 0
        whats = [finding["what"] for finding in events[-1].values["findings"]]
        found[name] = any("without the network for dense lung" in what for what in whats)
    assert found == {"there": False, "missing": True}


def test_a_scan_of_700_slices_goes_through(
    a_coarse_phantom: Phantom, a_package: ModelPackage, tmp_path: Path
) -> None:
    """Each slice of 5 mm makes eleven."""
    sitk.WriteImage(sitk.Expand(a_coarse_phantom.scan, (1, 1, 11)), str(tmp_path / "scan.nrrd"))
    assert run_here(typed(tmp_path / "scan.nrrd", tmp_path / "out", a_package))[0] == 0
    assert read_scan(tmp_path / "out" / "lesions.seg.nrrd").GetSize() == (80, 68, 726)
