"""Where a patient's name is doubtful: one name for two people, or for everybody."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from .scan_folders import Found, few


def doubtful_patients(found: Iterable[Found]) -> list[str]:
    """Say where one patient name may stand for two people.

    Their scans stay on one side of the split, which is right in either case; but a name that stands for
    many leaves nothing to split.
    """
    by_patient: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        if one.problem is None and one.source.patient:
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
    counts = Counter(one.source.patient for one in found if one.problem is None)
    most, times = counts.most_common(1)[0] if counts else ("", 0)
    if times > max(4, counts.total() // 2):
        notes.append(f"{times} of {counts.total()} scans are called patient '{most}'. {advice}")
    return notes
