"""Patients, licences and masks that a person corrected in a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.volume import files_of

from .found import Found, few
from .sources import Source

_CORRECTABLE = ("patient", "licence", "lesion_mask", "lung_mask")
_READ = ("scan", "series", *_CORRECTABLE)
_MOST_DIGITS = 11
"""Excel writes a longer number as 1.23457E+11."""
_NO_MASK = "none"
"""Instead of a mask. An empty cell changes nothing: a mask drawn after the table was made is used."""


def corrected(found: Sequence[Found], table: Path) -> tuple[list[Found], list[str]]:
    """What was found, with what a table says better, and a note on lines that correct nothing.

    Its column ``scan`` names scans by their path.

    Args:
        found: the scans.
        table: a copy of the ``cohort.csv`` of an earlier run, as a spreadsheet may have saved it.

    Raises:
        UserError: it cannot be read, is another table, or names a mask that is not there.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            # A spreadsheet in German or French writes semicolons, and takes commas for decimal points.
            delimiter = ";" if ";" in file.readline().partition(",")[0] else ","
            file.seek(0)
            reader = csv.DictReader(file, delimiter=delimiter)
            columns = set(reader.fieldnames or ())
            said = [{name: _cell(line, name) for name in _READ} for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{table} cannot be read as a table.",
            why=str(error),
            fix="Give a CSV file in UTF-8 (in Excel: save as 'CSV UTF-8'), such as the cohort.csv of an "
            "earlier run.",
        ) from error
    if "scan" not in columns or not columns & set(_CORRECTABLE):
        raise UserError(
            f"{table} has the columns {', '.join(sorted(columns)) or '(none)'}.",
            why=f"It must have 'scan' (the path) and at least one of {', '.join(_CORRECTABLE)}.",
            fix="Start from the cohort.csv of an earlier run.",
        )
    # A spreadsheet leaves lines without anything below a table.
    lines = {(line["scan"], line["series"]): line for line in said if any(line.values())}
    known = {_key(one.source) for one in found}
    if lines.keys().isdisjoint(known):
        raise UserError(
            f"{table} names none of the scans that were found.",
            why="Its column 'scan' says whom a line corrects, by the whole path of the file or folder.",
            fix="Start from the cohort.csv of an earlier run on these folders, with its columns 'scan' and "
            "'series' as they are.",
        )
    patients = {one.source.patient for one in found}
    better = []
    for one in found:
        source = one.source
        line = lines.get(_key(source), {})
        values: dict[str, str | None] = {name: line[name] for name in _CORRECTABLE if line.get(name)}
        patient = line.get("patient", "")
        if patient and patient not in patients and patient.replace(",", ".") == _as_a_number(source.patient):
            values.pop("patient")
        for name in ("lesion_mask", "lung_mask"):
            if name in values:
                values[name] = _mask(line[name], name.replace("_", " "), source, table)
        source = replace(source, **values)  # type: ignore[arg-type]
        before, after = _masks(one.source), _masks(source)
        gone = {file for mask in before - after for file in files_of(mask)}
        kept = [file for file in one.files if file.absolute() not in gone]
        new = [file for mask in sorted(after - before) for file in files_of(mask)]
        better.append(replace(one, source=source, files=(*kept, *new)))
    unused = sorted(path for path, _ in lines.keys() - known)
    if not unused:
        return better, []
    return better, [f"{len(unused)} lines of {table} name no scan that was found ({few(unused)})."]


def _cell(line: Mapping[str, str | None], column: str) -> str:
    """Without the spaces around it, which nobody sees: they would make another patient."""
    return (line.get(column) or "").strip()


def _key(source: Source) -> tuple[str, str]:
    return (source.path or "").strip(), source.series.strip()


def _as_a_number(patient: str) -> str:
    """What a spreadsheet that opened the table has made of a patient ID of digits."""
    if not (patient.isascii() and patient.isdigit()):
        return patient
    number = patient.lstrip("0") or "0"
    return number if len(number) <= _MOST_DIGITS else f"{int(number):.6G}"


def _mask(cell: str, what: str, source: Source, table: Path) -> str | None:
    """The mask that a cell names, in full: an evaluation may start in another folder."""
    if cell.strip().lower() == _NO_MASK:
        return None
    if not Path(cell).is_file():
        raise UserError(
            f"{table} names the mask {cell}, which does not exist.",
            why=f"It is to be the {what} of {source.path}.",
            fix=f"Correct the path, write '{_NO_MASK}' to use no mask, or leave the cell empty.",
        )
    return str(Path(cell).absolute())


def _masks(source: Source) -> set[Path]:
    return {Path(mask) for mask in (source.lesion_mask, source.lung_mask) if mask is not None}
