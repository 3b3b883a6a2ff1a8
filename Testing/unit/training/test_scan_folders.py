"""Folders of scans: what is found in them, which mask belongs to which scan, who is a patient."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.package_card import Inference, is_non_commercial
from COVIDSelfSegLib.results import HEATMAP, LESIONS, LUNGS, PROBABILITY, PSEUDO_HEALTHY, REPORT, UNCERTAINTY
from COVIDSelfSegTrainingLib.cohorts import cutting
from COVIDSelfSegTrainingLib.cohorts.cutting import LungChoice, read_source
from COVIDSelfSegTrainingLib.cohorts.found import Found, Root
from COVIDSelfSegTrainingLib.cohorts.layouts import mask_of, stated_class
from COVIDSelfSegTrainingLib.cohorts.patients import doubtful_patients
from COVIDSelfSegTrainingLib.cohorts.preparation import _cut
from COVIDSelfSegTrainingLib.cohorts.rows import Row
from COVIDSelfSegTrainingLib.cohorts.scan_folders import Search, search
from COVIDSelfSegTrainingLib.cohorts.sources import Source
from COVIDSelfSegTrainingLib.cohorts.splitting import split_by_patient
from COVIDSelfSegTrainingLib.cohorts.stored_rows import stamp_of, store_row, stored_row

from ..dicom_files import write_series

HU = np.random.default_rng(2).integers(-1000, 900, (10, 40, 48)).astype(np.int16)


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.Image((4, 4, 4), sitk.sitkInt16), str(path))
    return path


def by_file(found: Search) -> dict[str, Found]:
    return {Path(one.source.path or "").name: one for one in found.found}


@pytest.mark.parametrize(
    ("file", "mask"),
    [
        ("masks/study_0255_mask.nii.gz", ("study_0255", "lesions")),
        ("case1_lung_mask.nii", ("case1", "lungs")),
        ("Infection_Mask/case_001.nii.gz", ("case_001", "lesions")),
        ("lesions.nrrd", ("", "lesions")),
        ("a_gtv_mask.nii.gz", ("a", "other")),
        ("lung_and_infection_mask/a.nii.gz", ("a", "other")),
        ("lung1_001.nii.gz", None),
        ("covid/case1_lung.nii.gz", None),
    ],
)
def test_a_mask_says_in_its_name_or_folder_that_it_is_one(file: str, mask: tuple[str, str] | None) -> None:
    assert mask_of(Path(file)) == mask


def test_a_class_folder_says_how_severe_a_scan_is() -> None:
    assert stated_class(Path("studies/CT-3/study_0001.nii.gz")) == "CT-3"
    assert stated_class(Path("ct2/a.nii")) == "CT-2"
    assert stated_class(Path("CT-7/a.nii")) == stated_class(Path("CT-1.nii")) == ""


def test_mosmed_folders_say_the_group_and_masks_find_their_scan(tmp_path: Path) -> None:
    write(tmp_path / "studies" / "CT-0" / "study_0001.nii.gz")
    write(tmp_path / "studies" / "CT-1" / "study_0255.nii.gz")
    write(tmp_path / "studies" / "CT-4" / "study_1109.nii.gz")
    write(tmp_path / "stray" / "study_2000.nii.gz")
    write(tmp_path / "studies" / "CT-1" / "._study_0255.nii.gz")
    write(tmp_path / "$RECYCLE.BIN" / "S-1-5-21" / "$R0W1N2D.nii.gz")
    mask = write(tmp_path / "masks" / "study_0255_mask.nii.gz")
    write(tmp_path / "masks" / "study_0300_mask.nii.gz")
    found = search([Root(tmp_path, None, "CC BY-NC-ND 3.0")])
    scans = by_file(found)
    assert len(scans) == 4
    healthy, sick = scans["study_0001.nii.gz"], scans["study_0255.nii.gz"]
    assert healthy.source.group == "healthy"
    assert (sick.source.group, sick.source.stated_class) == ("diseased", "CT-1")
    assert sick.source.lesion_mask == str(mask)
    assert mask in sick.files
    # Class folders with few scans are no patients.
    assert sick.source.patient == "study_0255"
    assert "CT-0 .. CT-4" in str(scans["study_2000.nii.gz"].problem)
    assert "study_0300" in found.notes[0]


def test_the_voxels_beside_a_header_are_files_of_its_scan_and_mask(tmp_path: Path) -> None:
    scan, mask = write(tmp_path / "scan.mhd"), write(tmp_path / "scan_mask.mhd")
    files = by_file(search([Root(tmp_path, "healthy", "none needed")]))["scan.mhd"].files
    assert set(files) == {one.with_suffix(ending) for one in (scan, mask) for ending in (".mhd", ".raw")}


def test_a_healthy_class_in_the_covid_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "CT-0" / "a.nii.gz")
    write(tmp_path / "CT-2" / "b.nii.gz")
    scans = by_file(search([Root(tmp_path, "diseased", "")]))
    assert "--mosmed" in str(scans["a.nii.gz"].problem)
    assert scans["b.nii.gz"].problem is None


def test_scans_of_one_name_in_folders_of_patients_have_the_masks_of_their_patients(tmp_path: Path) -> None:
    for patient in ("anna", "bert"):
        write(tmp_path / "images" / patient / "ct.nii.gz")
        write(tmp_path / "masks" / patient / "ct.nii.gz")
        write(tmp_path / "images" / patient / "ct_lung_mask.nii.gz")
    found = search([Root(tmp_path, "diseased", "")])
    for one in found.found:
        patient = Path(str(one.source.path)).parent.name
        assert one.source.lesion_mask == str(tmp_path / "masks" / patient / "ct.nii.gz")
        assert one.source.lung_mask == str(tmp_path / "images" / patient / "ct_lung_mask.nii.gz")
    assert not found.notes


def test_a_scan_without_a_mask_does_not_take_that_of_another_patient_whose_scan_is_called_the_same(
    tmp_path: Path,
) -> None:
    for patient in ("anna", "bert", "carl"):
        write(tmp_path / "images" / patient / "ct.nii.gz")
    annas = write(tmp_path / "masks" / "anna" / "ct.nii.gz")
    berts = write(tmp_path / "images" / "bert" / "lesions.nii.gz")
    masks = {
        Path(str(one.source.path)).parent.name: one.source.lesion_mask
        for one in search([Root(tmp_path, "diseased", "")]).found
    }
    assert masks == {"anna": str(annas), "bert": str(berts), "carl": None}


def test_a_phantom_folder_holds_one_scan_with_both_masks(tmp_path: Path) -> None:
    for name in ("scan", "lungs", "lesions", "healthy_twin"):
        write(tmp_path / f"{name}.nrrd")
    scans = by_file(search([Root(tmp_path, "diseased", "")]))
    assert set(scans) == {"scan.nrrd", "healthy_twin.nrrd"}
    assert scans["scan.nrrd"].source.lesion_mask == str(tmp_path / "lesions.nrrd")
    assert scans["scan.nrrd"].source.lung_mask == str(tmp_path / "lungs.nrrd")
    assert scans["healthy_twin.nrrd"].source.lesion_mask is None


def test_results_of_a_run_that_lie_among_the_scans_are_no_scans(tmp_path: Path) -> None:
    """A pseudo-healthy volume would pass for the chest of another patient."""
    for name in (LUNGS, PSEUDO_HEALTHY, HEATMAP, UNCERTAINTY, PROBABILITY, LESIONS):
        write(tmp_path / "results" / "a" / name)
    (tmp_path / "results" / "a" / REPORT).touch()
    write(tmp_path / "a.nii.gz")
    write(tmp_path / "named so" / PROBABILITY)
    found = search([Root(tmp_path, "diseased", "")])
    assert set(by_file(found)) == {"a.nii.gz", PROBABILITY}
    assert "6 files" in found.notes[0]
    assert len(found.notes) == 1


def test_links_to_folders_are_told_since_they_are_not_followed_and_links_to_files_are(
    tmp_path: Path,
) -> None:
    scan = write(tmp_path / "archive" / "anna" / "a.nii.gz")
    chosen = tmp_path / "chosen"
    (chosen / "bert").mkdir(parents=True)
    (chosen / "anna").symlink_to(scan.parent)
    with pytest.raises(UserError, match="No scan was found") as caught:
        search([Root(chosen, "healthy", "")])
    assert "links" in caught.value.fix
    (chosen / "bert" / "b.nii.gz").symlink_to(scan)
    found = search([Root(chosen, "healthy", "")])
    assert set(by_file(found)) == {"b.nii.gz"}
    assert [str(chosen / "anna") in note for note in found.notes] == [True]


def test_small_sub_folders_are_patients_and_large_ones_are_not(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / "anna" / f"day{number}.nii.gz")
    for number in range(6):
        write(tmp_path / "batch" / f"case{number}.nii.gz")
    patients = {
        name: one.source.patient for name, one in by_file(search([Root(tmp_path, "healthy", "")])).items()
    }
    assert patients["day0.nii.gz"] == patients["day1.nii.gz"] == "anna"
    assert patients["case3.nii.gz"] == "case3"


def test_visits_in_folders_of_their_own_are_of_one_patient_below_folders_of_many(tmp_path: Path) -> None:
    for person in ("anna", "bert", "carl"):
        for visit in ("ses-1", "ses-2"):
            write(tmp_path / "site" / person / visit / f"{person}{visit}.nii.gz")
    write(tmp_path / "site" / "CT-1" / "dora" / "ses-1" / "dora.nii.gz")
    patients = {
        name: one.source.patient for name, one in by_file(search([Root(tmp_path, "diseased", "")])).items()
    }
    assert patients["annases-1.nii.gz"] == patients["annases-2.nii.gz"] == "site/anna"
    assert patients["bertses-1.nii.gz"] == "site/bert"
    assert patients["dora.nii.gz"] == "site/CT-1/dora"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_letters_that_are_not_utf8_in_a_file_name_or_a_patient_id_stop_no_search(tmp_path: Path) -> None:
    """As archives of German hospitals have them, and disks of old versions of Windows."""
    write_series(tmp_path / "series", HU, patient_id="M?ller")
    for slice_ in (tmp_path / "series").iterdir():
        slice_.write_bytes(slice_.read_bytes().replace(b"M?ller", b"M\xfcller"))
    (tmp_path / "M\udcfcller").mkdir()
    write(tmp_path / "a.nii.gz").rename(tmp_path / "M\udcfcller" / "M\udcfcller.nii.gz")
    found = search([Root(tmp_path, "healthy", "")]).found
    assert {source.patient for source in split_by_patient((one.source for one in found), 0.5)} == {
        "Müller",
        "M\udcfcller",
    }
    (file,) = (one.source for one in found if not one.source.series)
    with pytest.raises(UserError, match="not valid UTF-8"):
        read_source(file)


def test_names_are_unique_and_stay_when_scans_are_added(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder / "data" / "case1.nii.gz")
    roots = [Root(tmp_path / folder / "data", "healthy", "") for folder in ("a", "b")]
    before = {one.source.path: one.source.name for one in search(roots).found}
    assert len(set(before.values())) == 2
    write(tmp_path / "a" / "data" / "case0.nii.gz")
    after = {one.source.path: one.source.name for one in search(roots).found}
    assert before.items() <= after.items()


def test_a_folder_holds_the_same_scans_however_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scans"
    write_series(folder, HU, series="1", study="1")
    write_series(folder, HU, series="2", study="2")
    write(folder / "a.nii.gz")
    whole = search([Root(folder, "healthy", "")])
    assert [one.source.patient for one in whole.found if one.source.series] == ["scans"] * 2
    for start, typed in ((tmp_path, "scans"), (folder, ".")):
        monkeypatch.chdir(start)
        assert search([Root(Path(typed), "healthy", "")]) == whole


def test_a_folder_without_scans_or_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    for folder, words in ((tmp_path, "No scan was found"), (tmp_path / "none", "is not a folder")):
        with pytest.raises(UserError, match=words) as caught:
            search([Root(folder, "healthy", "")])
        assert caught.value.fix


def test_what_cannot_be_read_is_told_with_its_reason_and_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to nothing is not read even by root, who may read all else."""
    write(tmp_path / "whole.nii.gz")
    write(tmp_path / "masked.nii.gz")
    for gone in ("gone.nii.gz", "masked_mask.nii.gz", "other.raw", ".hidden.nii.gz", "whole/notes"):
        (tmp_path / gone).parent.mkdir(exist_ok=True)
        (tmp_path / gone).symlink_to("nowhere")
    for series, person in (("1", "whole"), ("2", "holed"), ("3", "cut")):
        write_series(tmp_path / person, HU, series=series, study=series)
    for part in (1, 2):
        heights = [2.0 * (z + 5 * part) for z in range(5)]
        write_series(tmp_path / "spread" / str(part), HU[:5], series="4", study="4", heights=heights)
    write_series(tmp_path / "scout", HU[:1], series="5", study="5", image_type="ORIGINAL\\PRIMARY\\LOCALIZER")
    (tmp_path / "scout" / "IM5001.dcm").symlink_to("nowhere")
    slices = {folder: sorted((tmp_path / folder).iterdir()) for folder in ("holed", "cut")}
    slices["holed"][0].unlink()
    slices["holed"][0].symlink_to("nowhere")
    for file in slices["cut"]:
        file.write_bytes(file.read_bytes()[:500])
    closed = [str(tmp_path / name) for name in ("closed", "spread/3", ".snapshots")]
    for name in closed:
        Path(name).mkdir()
    scandir = os.scandir

    def locked(path: str) -> object:
        if str(path) in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    found = search([Root(tmp_path, "diseased", "")]).found
    rows = {
        str(Path(one.source.path).relative_to(tmp_path)): Row.refused(one.source, one.problem)
        for one in found
        if one.problem is not None and "localizer" not in one.problem.what
    }
    said = {path: (row.verdict, row.reason.split(":")[0]) for path, row in rows.items()}
    assert said == {
        "gone.nii.gz": ("failed", f"{tmp_path / 'gone.nii.gz'} cannot be read"),
        "masked.nii.gz": ("failed", f"{tmp_path / 'masked_mask.nii.gz'} cannot be read"),
        ".": ("failed", f"{tmp_path / 'other.raw'} cannot be read"),
        "holed": ("failed", f"{slices['holed'][0]} cannot be read"),
        "whole": ("failed", f"{tmp_path / 'whole' / 'notes'} cannot be read"),
        "cut": ("rejected", said["cut"][1]),
        "scout": ("failed", f"{tmp_path / 'scout' / 'IM5001.dcm'} cannot be read"),
        "closed": ("failed", f"{closed[0]} cannot be read"),
        "spread": ("failed", f"{closed[1]} cannot be read"),
        "spread/3": ("failed", f"{closed[1]} cannot be read"),
    }
    assert f"{slices['cut'][0]} is damaged (and 9 more such files)" in rows["cut"].reason
    assert "Permission denied" in rows["closed"].reason
    assert all(row.fix for row in rows.values())
    whole = {Path(one.source.path).name: one.source for one in found if one.problem is None}
    assert set(whole) == {"whole.nii.gz", "whole"}
    assert np.array_equal(sitk.GetArrayFromImage(read_source(whole["whole"])), HU)
    closed.append(str(tmp_path))
    with pytest.raises(UserError, match="cannot be read"):
        search([Root(tmp_path, "diseased", "")])


def test_a_series_is_looked_at_again_when_a_damaged_file_is_taken_from_beside_its_slices(
    tmp_path: Path,
) -> None:
    write_series(tmp_path / "scans", HU)
    damaged = tmp_path / "scans" / "empty.dcm"
    damaged.touch()
    roots = [Root(tmp_path / "scans", "healthy", "")]
    (before,) = search(roots).found
    (tmp_path / ".rows").mkdir()
    store_row(tmp_path, Row(before.source, "rejected", "It would have a hole."), stamp_of(before))
    assert stored_row(tmp_path, before) is not None
    damaged.unlink()
    (after,) = search(roots).found
    assert after.source == before.source
    assert stored_row(tmp_path, after) is None


@pytest.mark.parametrize(
    "meanwhile",
    [lambda file: file.write_bytes(file.read_bytes() + b"more"), Path.unlink],
    ids=["still being copied", "its disk goes away"],
)
def test_a_scan_that_changes_while_it_is_cut_is_cut_again(
    meanwhile: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, cohort = write(tmp_path / "scans" / "a.nii.gz"), tmp_path / "cohort"
    (cohort / ".rows").mkdir(parents=True)
    [one] = search([Root(tmp_path / "scans", "diseased", "")]).found
    read = cutting.read_scan

    def read_meanwhile(path: Path) -> sitk.Image:
        scan = read(path)
        meanwhile(file)
        return scan

    monkeypatch.setattr(cutting, "read_scan", read_meanwhile)
    assert _cut(one, cohort, Inference(), LungChoice(builtin=True)).verdict == "rejected"
    assert stored_row(cohort, one) is None
    monkeypatch.undo()
    write(file)
    _cut(one, cohort, Inference(), LungChoice(builtin=True))
    assert stored_row(cohort, one) is not None


def test_one_name_for_two_people_is_told() -> None:
    def scan(name: str, patient: str, identity: tuple[str, str] = ("", ""), group: str = "healthy") -> Found:
        source = Source(name, "healthy" if group == "healthy" else "diseased", "", path=name, patient=patient)
        return Found(source, (), None, identity)

    same = [scan("a", "1", ("1970", "F")), scan("b", "1", ("1970", "F")), scan("c", "2")]
    assert doubtful_patients(same) == []
    two = [scan("a", "1", ("1970", "F")), scan("b", "1", ("1980", "F"))]
    assert "different birth dates" in doubtful_patients(two)[0]
    both = [scan("a", "1"), scan("b", "1", group="diseased")]
    assert "both healthy and COVID" in doubtful_patients(both)[0]
    crowd = [scan(str(number), "X") for number in range(6)]
    assert "6 of 6 scans are called patient 'X'" in doubtful_patients(crowd)[0]
    assert all("--corrections" in note for note in doubtful_patients([*two, *crowd]))
    nobodys = [scan(str(number), "") for number in range(6)]
    assert doubtful_patients(nobodys) == [], "as the phantoms of the shipped cohort"


@pytest.mark.parametrize(
    ("licence", "answer"),
    [
        ("CC BY-NC 4.0", True),
        ("CC BY-NC-ND 3.0 (MosMedData)", True),
        ("CC BY 4.0", False),
        ("Synchrotron", False),
    ],
)
def test_non_commercial_licences_are_known(licence: str, answer: bool) -> None:
    assert is_non_commercial(licence) == answer
