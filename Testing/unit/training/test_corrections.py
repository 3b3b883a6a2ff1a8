"""What a person corrects in a table of scans, and what a spreadsheet does to it on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegTrainingLib.cohorts.corrections import corrected
from COVIDSelfSegTrainingLib.cohorts.found import Found
from COVIDSelfSegTrainingLib.cohorts.sources import Source


def scan(name: str, patient: str) -> Found:
    return Found(Source(name, "healthy", "", path=f"/scans/{name}", series="1.2.3", patient=patient), ())


def patients(found: list[Found], table: Path) -> dict[str, str]:
    return {one.source.name: one.source.patient for one in corrected(found, table)[0]}


def test_spaces_that_nobody_sees_make_no_other_patient(tmp_path: Path) -> None:
    table = tmp_path / "corrected.csv"
    table.write_text("patient,scan,series\nanna,/scans/a,1.2.3\nanna ,/scans/b ,1.2.3\n  ,/scans/c,1.2.3\n")
    found = [scan("a", "1"), scan("b", "2"), scan("c", "3")]
    assert patients(found, table) == {"a": "anna", "b": "anna", "c": "3"}


def test_lines_without_anything_below_a_table_are_no_scans_that_were_not_found(tmp_path: Path) -> None:
    table = tmp_path / "corrected.csv"
    table.write_text("scan;series;patient\n/scans/a;1.2.3;anna\n;;\n ; ;\n;;bert\n")
    better, notes = corrected([scan("a", "1")], table)
    assert better[0].source.patient == "anna"
    assert [note.startswith("1 lines of") for note in notes] == [True], "the one of bert"


def test_patient_ids_of_digits_outlive_a_spreadsheet_that_takes_them_for_numbers(tmp_path: Path) -> None:
    """It drops zeros in front, and all but six digits of a long one."""
    table = tmp_path / "corrected.csv"
    lines = ["/scans/a;1.2.3;7", "/scans/b;1.2.3;1,97001E+11", "/scans/c;1.2.3;8", "/scans/d;1.2.3;9"]
    table.write_text("scan;series;patient\n" + "\n".join(lines) + "\n")
    found = [scan("a", "007"), scan("b", "197001011234"), scan("c", "007"), scan("d", "009"), scan("e", "9")]
    kept = {"a": "007", "b": "197001011234"}
    # Corrected by a person; and 9 may be meant, which another scan is called.
    assert patients(found, table) == {**kept, "c": "8", "d": "9", "e": "9"}


def test_a_table_that_is_no_text_or_never_ends_a_cell_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "corrected.csv"
    for content in (b"scan,patient\n/scans/M\xfcller,anna\n", b'scan,patient\n"' + b"a" * 200_000):
        table.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as a table"):
            corrected([scan("a", "1")], table)
