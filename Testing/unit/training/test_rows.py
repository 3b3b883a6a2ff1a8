"""Copies of a scan, and which patients are held out."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.lungs import r231_weights
from COVIDSelfSegTrainingLib.cohorts.cutting import Facts
from COVIDSelfSegTrainingLib.cohorts.patients import hold_out_together, patients_of_two_names
from COVIDSelfSegTrainingLib.cohorts.rows import Row, reject_copies, to_csv
from COVIDSelfSegTrainingLib.cohorts.sources import Group, Source
from COVIDSelfSegTrainingLib.cohorts.splitting import one_sided, split_by_patient


def row(name: str, content: str, group: Group = "healthy", lesion_mask: str | None = None) -> Row:
    facts = Facts(content, (64, 64, 40), (1.0, 1.0, 5.0), 4000.0, "built-in", (), {})
    source = Source(name, group, "CC BY-NC 4.0", path=f"/{name}.nii", lesion_mask=lesion_mask)
    return Row(source, "used", facts=facts)


def test_a_scan_in_both_folders_is_used_in_neither() -> None:
    rows = reject_copies([row("a", "1"), row("b", "2"), row("c", "1", "diseased")])
    assert [one.verdict for one in rows] == ["rejected", "used", "rejected"]
    assert "healthy and as COVID (/c.nii)" in rows[0].reason
    assert "Take it out" in rows[0].fix


def test_of_copies_the_one_with_a_mask_is_kept() -> None:
    rows = reject_copies([row("a", "1"), row("b", "1", lesion_mask="/m.nii"), row("c", "1")])
    assert [one.verdict for one in rows] == ["rejected", "used", "rejected"]
    assert "copy of /b.nii" in rows[0].reason


def test_a_refused_scan_is_no_copy_of_anything() -> None:
    error = UserError("Damaged.", why="Half of it is missing.", fix="Copy it again.")
    refused = Row.refused(replace(row("a", "1").source), error)
    assert reject_copies([refused, row("b", "1")])[1].verdict == "used"
    assert "Half of it" in refused.reason


def test_a_scan_whose_lung_model_is_gone_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        r231_weights(tmp_path / "on a drive that went away.pth")
    assert Row.refused(row("a", "1").source, caught.value).verdict == "failed"


def test_rows_survive_json_and_the_table_can_be_read_back() -> None:
    one = row("a", "1")
    assert Row.from_dict(one.to_dict()) == one
    table = list(csv.DictReader(io.StringIO(to_csv([one]))))
    assert table[0]["verdict"] == "used"
    assert table[0]["non_commercial"] == "yes"
    assert table[0]["scan"] == "/a.nii"


def sources(count: int) -> list[Source]:
    return [Source(f"s{n}", "healthy", "", path=f"/{n}", patient=f"p{n // 3}") for n in range(count)]


def test_no_patient_is_on_both_sides_and_about_the_share_is_held_out() -> None:
    split = split_by_patient(sources(600), 0.2)
    sides: dict[str, set[str]] = {}
    for source in split:
        sides.setdefault(source.patient, set()).add(source.split)
    assert all(len(side) == 1 for side in sides.values())
    held_out = sum(side == {"held_out"} for side in sides.values())
    assert 25 <= held_out <= 55  # of 200, expected 40


def test_a_patients_side_stays_when_others_are_added_and_changes_with_the_seed() -> None:
    few, many = split_by_patient(sources(90), 0.3), split_by_patient(sources(300), 0.3)
    assert few == many[:90]
    assert split_by_patient(sources(90), 0.3, seed=1) != few


def test_patients_with_a_mask_are_held_out() -> None:
    scans = sources(6)
    scans[4] = replace(scans[4], lesion_mask="/m.nii")
    split = split_by_patient(scans, 0.0)
    assert [source.split for source in split] == ["train"] * 3 + ["held_out"] * 3


def test_that_masks_leave_nobody_to_train_on_is_said_as_the_reason() -> None:
    well, ill = sources(6), [replace(one, group="diseased", lesion_mask="/m.nii") for one in sources(9)[6:]]
    notes = one_sided(split_by_patient([*well, *ill], 0.0))
    [note] = [note for note in notes if "no diseased scan to train on" in note]
    assert "have a lesion mask" in note
    assert "--held-out" not in note


def test_a_side_without_anybody_is_told() -> None:
    notes = one_sided(split_by_patient(sources(9), 0.0))
    assert any("no healthy scan to evaluate on" in note for note in notes)
    assert any("no diseased scan to train on" in note for note in notes)


def test_a_person_with_two_names_is_on_one_side_and_told() -> None:
    """An annotated copy of a first visit is held out; so are all visits, whatever leads to them."""
    first, second, third = (
        replace(one, source=replace(one.source, patient=patient, split="train"))
        for one, patient in ((row("v1", "1"), "p17"), (row("v2", "2"), "p17"), (row("w", "2"), "mr x"))
    )
    annotated = row("case", "1", lesion_mask="/m.nii")
    annotated = replace(annotated, source=replace(annotated.source, split="held_out"))
    other = replace(row("o", "3"), source=replace(row("o", "3").source, split="train"))
    rows = hold_out_together(reject_copies([first, second, third, annotated, other]))
    assert [one.source.split for one in rows] == ["held_out"] * 4 + ["train"]
    assert [one.source.name for one in rows if one.verdict == "used"] == ["v2", "case", "o"]
    [note] = patients_of_two_names(rows)
    assert "case = mr x = p17" in note
    assert not patients_of_two_names([first, second, other])
