"""What the benchmark is made of: which scans, in which order, and what is known of each."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from COVIDSelfSegLib.lung_labels import LEFT, RIGHT
from COVIDSelfSegTrainingLib.cohorts.shipped import REAL_SCANS, shipped_sources
from COVIDSelfSegTrainingLib.evaluation.benchmark_cases import benchmark_phantoms, shared_cases, slice_sets

FILES = (
    *(str(one.path) for one in REAL_SCANS),
    "ct_cropped/pyradiomics_lung1.nii.gz",
    "ct_cropped/ricord1a_001012.nii.gz",
    "ct_cropped/lungdx_A0002.nii.gz",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The layout of the shared data; no test here reads a scan."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_all_shared_scans_are_scored_and_of_a_tumour_patient_the_clean_lung_alone(data: Path) -> None:
    cases = shared_cases(data)
    assert [case.is_healthy for case in cases] == [True] * 11 + [False] * 3, "healthy ones first"
    assert [case.name for case in cases if not case.is_healthy] == [
        *("covidctmd_P001", "covidctmd_cap001", "ricord1a_001012")
    ]
    assert {case.name: case.source.only_side for case in cases if case.source.only_side} == {
        **{"lidc_0001_right": RIGHT, "lidc_0314_left": LEFT, "lungdx_A0001_right": RIGHT},
        **{"pyradiomics_lung2_right": RIGHT, "pyradiomics_lung1_left": LEFT},
    }
    assert not any("A0002" in str(case.source.path) for case in cases)
    assert all(Path(str(case.source.path)).read_text() in FILES for case in cases)
    assert {case.kind for case in cases} == {"real scans"}
    assert {case.name for case in cases if not case.has_true_size} == {f"luna_normal{n}" for n in (1, 2, 3)}


def test_what_is_only_evaluated_is_never_trained_on(data: Path) -> None:
    trained = {source.path for source in shipped_sources(data)}
    alone = {case.name for case in shared_cases(data) if case.source.path not in trained}
    assert alone == {"pyradiomics_lung1_left", "ricord1a_001012"}


def test_scans_that_are_not_there_are_left_out(data: Path) -> None:
    (data / "ct" / "covidctmd_P001.nii.gz").unlink()
    assert len(shared_cases(data)) == 13
    assert shared_cases(data / "ct") == []


@pytest.mark.parametrize("change", ["size", "date"])
def test_a_scan_whose_file_was_changed_is_another_one(data: Path, change: str) -> None:
    file = data / "small" / "cip_ct-64.nii.gz"
    os.utime(file, (10**9, 10**9))
    before = {case.name: case.content for case in shared_cases(data)}
    assert len(set(before.values())) == 14
    assert before == {case.name: case.content for case in shared_cases(data)}
    if change == "size":
        file.write_text(file.read_text() + " mended")
    os.utime(file, (10**9 + (change == "date"), 10**9 + (change == "date")))
    after = {case.name: case.content for case in shared_cases(data)}
    assert {name for name in after if after[name] != before[name]} == {"cip_ct-64"}


def test_labels_of_slices_belong_to_the_scan_that_they_name(data: Path) -> None:
    assert {case.slice_labels for case in shared_cases(data)} == {None}
    (data / "labels").mkdir()
    text = json.dumps({"volumes": {"covidctmd_cap001": {"slice_infected": [0, 1, 1]}}})
    (data / "labels" / "covidctmd_slice_labels.json").write_text(text)
    labelled = {case.name: case.slice_labels for case in shared_cases(data) if case.slice_labels}
    assert labelled == {"covidctmd_cap001": (False, True, True)}


def test_every_folder_of_pictures_with_masks_is_a_set_and_every_file_of_slices(data: Path) -> None:
    for folder in ("z_set/images", "z_set/masks", "no_set/images", "a_set/images", "a_set/masks", "npz_set"):
        (data / folder).mkdir(parents=True)
    (data / "npz_set" / "slices.npz").touch()
    (data / "npz_set" / "others.npz").touch()
    assert slice_sets(data) == [data / "a_set", data / "npz_set" / "slices.npz", data / "z_set"]


def test_phantoms_of_all_severities_and_healthy_ones_are_held_out() -> None:
    cases = benchmark_phantoms(8)
    assert Counter(case.source.severity for case in cases) == {0: 4, 1: 2, 2: 2, 3: 2, 4: 2}
    assert [case.source.seed for case in cases if case.source.severity] == list(range(203, 211))
    assert [case.source.severity for case in benchmark_phantoms(1)] == [4, 0], "one is one of severe disease"
    assert [case.is_healthy for case in cases] == [not case.source.severity for case in cases]
    assert {case.kind for case in cases} == {"phantoms"}
    assert len({case.content for case in cases}) == len({case.name for case in cases}) == 12
    assert {source.seed for source in shipped_sources(None)}.isdisjoint(case.source.seed for case in cases)
