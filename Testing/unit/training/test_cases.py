"""What a scan is scored against: a mask of its lesions, and labels of its slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.volume import array_view, image_like
from COVIDSelfSegTrainingLib.cohorts.sources import Source
from COVIDSelfSegTrainingLib.evaluation.cases import Case, read_slice_labels


@pytest.mark.parametrize("holds", ["probabilities", "HU", "labels", "labels stored with a scale"])
def test_the_truth_of_a_scan_is_a_label_map(a_coarse_phantom: Phantom, tmp_path: Path, holds: str) -> None:
    """Of a map of probabilities all above 0 would be true, of the HU of the lesions next to nothing."""
    scan, lesions = a_coarse_phantom.scan, array_view(a_coarse_phantom.lesions) > 0
    mask = {
        "probabilities": 0.05 + 0.9 * lesions,
        "HU": array_view(scan) * lesions,
        "labels": lesions * 7,
        "labels stored with a scale": lesions * 2.00003 + 1e-6,
    }[holds]
    sitk.WriteImage(scan, str(tmp_path / "scan.nii.gz"))
    sitk.WriteImage(image_like(mask.astype(np.float32), scan), str(tmp_path / "mask.nii.gz"))
    paths = (str(tmp_path / "scan.nii.gz"), str(tmp_path / "mask.nii.gz"))
    case = Case("scan", Source("scan", "diseased", "any", paths[0], lesion_mask=paths[1]), "")
    if holds.startswith("labels"):
        truth = case.load().truth
        assert truth is not None
        assert np.array_equal(array_view(truth) > 0, lesions)
    else:
        with pytest.raises(UserError, match="is no label map: its values go from"):
            case.load()


def test_labels_are_read_as_editors_on_windows_write_them(tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    text = '{"volumes": {"Müller": {"slice_infected": [0, 1]}}}'
    labels.write_text(text, encoding="utf-8-sig")
    assert read_slice_labels(labels) == {"Müller": (False, True)}


@pytest.mark.parametrize("labels", ['["0", "1"]', "[0, null, 1]", "[0, 2]", '"01"', "[0, 0.5]", "[[0, 1]]"])
def test_labels_of_slices_are_zeros_and_ones(tmp_path: Path, labels: str) -> None:
    """Texts would all be true, and slices that nobody has labelled free of disease."""
    file = tmp_path / "labels.json"
    file.write_text(f'{{"volumes": {{"a": {{"slice_infected": {labels}}}}}}}')
    with pytest.raises(UserError, match="is no label of a slice") as refused:
        read_slice_labels(file)
    assert "a 0 or 1 for each slice" in refused.value.why


def test_labels_of_slices_may_be_true_and_false(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    file.write_text('{"volumes": {"a": {"slice_infected": [true, false, 1, 0]}}}')
    assert read_slice_labels(file) == {"a": (True, False, True, False)}
