"""Studies of DICOM series in folders: which series enters, and whose it is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.package_card import Inference
from COVIDSelfSegLib.scan_files.dicom import list_series
from COVIDSelfSegTrainingLib.cohorts import readable_series
from COVIDSelfSegTrainingLib.cohorts.cutting import LungChoice, read_source
from COVIDSelfSegTrainingLib.cohorts.found import Root
from COVIDSelfSegTrainingLib.cohorts.preparation import _cut
from COVIDSelfSegTrainingLib.cohorts.rows import Row
from COVIDSelfSegTrainingLib.cohorts.scan_folders import search

from ..dicom_files import read_as_on_windows, write_series

HU = np.random.default_rng(2).integers(-1000, 900, (10, 40, 48)).astype(np.int16)


def test_visits_without_a_patient_id_in_their_dicom_headers_are_of_one_patient(tmp_path: Path) -> None:
    visits = [(person, visit) for person in ("anna", "bert", "carl") for visit in ("ses-1", "ses-2")]
    for number, (person, visit) in enumerate(visits):
        folder = tmp_path / "site" / person / visit
        write_series(folder, HU, series=f"{number}1", study=str(number), description="Chest 2.0 soft")
        write_series(folder, HU[:9], series=f"{number}2", study=str(number), description="Chest 2.0 sharp")
    found = search([Root(tmp_path, "diseased", "")]).found
    assert len(found) == 12
    patients = {Path(one.source.path).relative_to(tmp_path): one.source.patient for one in found}
    assert set(patients.values()) == {f"site/{person}" for person in ("anna", "bert", "carl")}
    assert all(path.as_posix().startswith(patient) for path, patient in patients.items())


def test_a_pseudonym_with_a_number_is_a_patient_and_one_that_all_have_is_none(tmp_path: Path) -> None:
    for number, (visit, patient) in enumerate(
        [("v1", "ANON0017"), ("v2", "ANON0017"), ("v3", "Anonymized"), ("v4", "anonymous")]
    ):
        write_series(tmp_path / visit, HU, series=str(number), study=str(number), patient_id=patient)
    found = search([Root(tmp_path, "diseased", "")]).found
    patients = {Path(one.source.path).name: one.source.patient for one in found}
    assert patients == {"v1": "ANON0017", "v2": "ANON0017", "v3": "v3", "v4": "v4"}


def test_of_a_dicom_study_one_ct_series_enters_and_the_others_say_why(tmp_path: Path) -> None:
    write_series(tmp_path / "p1", HU, series="1", description="Chest 2.0 soft")
    write_series(tmp_path / "p1", HU[:9], series="2", description="Chest 2.0 sharp")
    write_series(tmp_path / "p1", HU[:9], series="3", modality="MR", description="Liver")
    write_series(tmp_path / "p1", HU[:1], series="4", image_type="ORIGINAL\\PRIMARY\\LOCALIZER")
    found = search([Root(tmp_path, "diseased", "")]).found
    problems = {one.source.series[-1]: str(one.problem or "") for one in found}
    assert problems["1"] == ""
    assert "Another series of the same study" in problems["2"]
    assert "modality MR" in problems["3"]
    assert "a localizer" in problems["4"]
    # Without a patient ID in its header the folder stands for the patient.
    assert {one.source.patient for one in found} == {"p1"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_series_whose_folder_has_a_name_that_no_reader_takes_is_told(tmp_path: Path) -> None:
    write_series(tmp_path / "scans" / "anna", HU, series="1", study="1")
    write_series(tmp_path / "scans" / "bert", HU, series="2", study="2")
    (tmp_path / "scans" / "bert").rename(tmp_path / "scans" / "M\udcfcller")
    found = search([Root(tmp_path / "scans", "diseased", "")]).found
    problems = {Path(one.source.path).name: one.problem for one in found}
    assert problems.keys() == {"anna", "M\udcfcller"}
    assert problems["anna"] is None
    assert "not valid UTF-8" in str(problems["M\udcfcller"])
    with pytest.raises(UserError, match="not valid UTF-8"):
        list_series(tmp_path / "scans")


def test_a_dicom_series_in_a_folder_with_any_letters_is_found_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path / "Müller", HU)
    read_as_on_windows(tmp_path / "Müller", tmp_path / "MLLER~1", monkeypatch)
    [one] = search([Root(tmp_path / "Müller", "diseased", "")]).found
    assert one.problem is None


def test_a_study_that_was_exported_twice_is_two_scans_of_one_series_each(tmp_path: Path) -> None:
    """Which are known as copies when they are read, and their patients as one."""
    for person in ("p1", "p1 again"):
        write_series(tmp_path / person, HU, series="1", description="Chest 2.0 soft")
        write_series(tmp_path / person, HU[:9], series="2", description="Chest 2.0 sharp")
    entering = [one.source for one in search([Root(tmp_path, "diseased", "")]).found if one.problem is None]
    assert {source.patient for source in entering} == {"p1", "p1 again"}
    assert {source.series[-1] for source in entering} == {"1"}
    for source in entering:
        assert np.array_equal(sitk.GetArrayFromImage(read_source(source)), HU)


def test_a_second_export_of_one_series_of_a_study_brings_in_no_other_series(tmp_path: Path) -> None:
    write_series(tmp_path / "study", HU, series="1", description="Chest 2.0 soft")
    for folder in ("study", "again"):
        write_series(tmp_path / folder, HU[:9], series="2", description="Chest 2.0 sharp")
    found = search([Root(tmp_path, "diseased", "")]).found
    assert [one.source.series[-1] for one in found if one.problem is None] == ["1"]
    reasons = [one.problem.what for one in found if one.problem is not None]
    assert reasons == ["Another series of the same study was taken ('Chest 2.0 soft')."] * 2


def test_a_slice_that_can_no_longer_be_read_when_it_is_cut_rejects_nothing_for_good(
    tmp_path: Path,
) -> None:
    write_series(tmp_path / "study", HU)
    [one] = search([Root(tmp_path, "diseased", "")]).found
    lost = one.files[3].rename(tmp_path / "away")
    one.files[3].symlink_to("nowhere")
    with pytest.raises(UserError, match="cannot be read") as caught:
        read_source(one.source)
    assert Row.refused(one.source, caught.value).verdict == "failed"
    lost.replace(one.files[3])
    assert np.array_equal(sitk.GetArrayFromImage(read_source(one.source)), HU)


def test_of_a_folder_of_many_series_only_the_files_of_the_one_that_is_cut_are_looked_into_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in "123":
        write_series(tmp_path / "flat", HU, series=number, study=number)
    one = search([Root(tmp_path / "flat", "diseased", "")]).found[1]
    looked_into, read_header = [], readable_series.read_header

    def noted(path: Path) -> object:
        looked_into.append(path)
        return read_header(path)

    monkeypatch.setattr(readable_series, "read_header", noted)
    _cut(one, tmp_path / "cohort", Inference(), LungChoice(builtin=True))
    assert sorted(looked_into) == sorted(one.files)
    assert np.array_equal(sitk.GetArrayFromImage(read_source(one.source, one.files)), HU)
    for file in one.files:
        file.unlink()
    with pytest.raises(UserError, match="cannot be read") as caught:
        read_source(one.source, one.files)
    assert Row.refused(one.source, caught.value).verdict == "failed"
