"""Where a patient's name is doubtful: one name for two people, or for everybody, or two names for one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from .found import Found, few
from .rows import Row
from .splitting import patient_of


def doubtful_patients(found: Iterable[Found]) -> list[str]:
    """Say where one patient name may stand for two people.

    Their scans stay on one side of the split, which is right in either case; but a name that stands for
    many leaves nothing to split.
    """
    by_patient: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        if one.problem is None and one.source.patient:  # a phantom is of nobody
            by_patient[one.source.patient].append(one)
    people = [
        patient
        for patient, scans in by_patient.items()
        if len({scan.identity for scan in scans if all(scan.identity)}) > 1
    ]
    in_both = [
        patient
        for patient, scans in by_patient.items()
        if patient not in people and len({scan.source.group for scan in scans}) > 1
    ]
    notes = []
    advice = (
        "They are kept on one side of the split. If they are different people, say who is who in the column "
        "'patient' of a copy of cohort.csv, and give it with --corrections."
    )
    if people:
        notes.append(
            f"{len(people)} patient names stand for people with different birth dates or sexes "
            f"({few(people)}). {advice}"
        )
    if in_both:
        notes.append(
            f"{len(in_both)} patient names have both healthy and COVID scans ({few(in_both)}). {advice}"
        )
    counts = Counter({patient: len(scans) for patient, scans in by_patient.items()})
    most, times = counts.most_common(1)[0] if counts else ("", 0)
    if times > max(4, counts.total() // 2):
        notes.append(f"{times} of {counts.total()} scans are called patient '{most}'. {advice}")
    return notes


def hold_out_together(rows: Sequence[Row]) -> list[Row]:
    """Hold out every scan of a person of whom one name is held out.

    Two names are one person's if a scan of the one is a copy of a scan of the other, as where the annotated
    scans of a public set are called otherwise than the set they were taken from.
    """
    people = _people(rows)
    held_out = {people[patient_of(row.source)] for row in rows if row.source.split == "held_out"}
    return [
        replace(row, source=replace(row.source, split="held_out"))
        if people[patient_of(row.source)] in held_out
        else row
        for row in rows
    ]


def patients_of_two_names(rows: Sequence[Row]) -> list[str]:
    """Say which names are one person's."""
    names: dict[str, list[str]] = defaultdict(list)
    for patient, person in _people(rows).items():
        names[person].append(patient)
    several = [" = ".join(sorted(own)) for own in names.values() if len(own) > 1]
    if not several:
        return []
    return [
        f"{len(several)} people have several names, since a scan of one name is a copy of a scan of another "
        f"({few(several)}). All of their scans are on one side of the split."
    ]


def _people(rows: Sequence[Row]) -> dict[str, str]:
    """For each patient's name one that all names of this person share."""
    people = {patient_of(row.source): patient_of(row.source) for row in rows}
    copies: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.facts is not None:
            copies[row.facts.content_sha256].add(patient_of(row.source))
    for names in copies.values():
        joined = {people[name] for name in names}
        if len(joined) > 1:
            first = min(joined)
            people = {name: first if person in joined else person for name, person in people.items()}
    return people
