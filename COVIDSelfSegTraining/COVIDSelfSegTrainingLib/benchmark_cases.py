"""What ``covidselfseg benchmark`` scores: the shared real scans, and phantoms of held-out seeds.

The names are those of the shared data's README. Every scan says whether its lungs are healthy; of a tumour
patient only the lung without the tumour counts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from .cases import Case, phantom_cases, read_slice_labels
from .sources import Group, Source

SLICE_SETS = ("medseg_dev", "radiopaedia_slices_dev/slices.npz")
"""Annotated slices; never trained on."""
LUNG_MASKS = (
    ("LUNG1-001", "ct_cropped/lung1_001.nii.gz", "ct_cropped/lung1_001_lung_mask.nii.gz"),
    ("CIP ct-64", "small/cip_ct-64.nii.gz", "small/cip_ct-64_lobe_labels.nii.gz"),
)
"""Name, scan and published lung mask."""

_LABELS = "labels/covidctmd_slice_labels.json"
_FIRST_SEED = 203
"""Of the phantoms, and one of severe disease; training takes none below 1000."""
_SCANS: tuple[tuple[str, Group, str, int], ...] = (
    ("covidctmd_normal001", "healthy", "ct/covidctmd_normal001.nii.gz", 0),
    ("covidctmd_normal002", "healthy", "ct_cropped/covidctmd_normal002.nii.gz", 0),
    ("luna_normal1", "healthy", "ct_cropped/luna_normal1.nii.gz", 0),
    ("luna_normal2", "healthy", "ct_cropped/luna_normal2.nii.gz", 0),
    ("luna_normal3", "healthy", "ct_cropped/luna_normal3.nii.gz", 0),
    ("lidc_0001", "healthy", "ct_cropped/lidc_0001.nii.gz", 0),
    ("lidc_0314_left", "healthy", "ct_cropped/lidc_0314.nii.gz", 2),
    ("lungdx_A0001_right", "healthy", "ct_cropped/lungdx_A0001.nii.gz", 1),
    ("pyradiomics_lung1_left", "healthy", "ct_cropped/pyradiomics_lung1.nii.gz", 2),
    ("pyradiomics_lung2_right", "healthy", "ct_cropped/pyradiomics_lung2.nii.gz", 1),
    ("covidctmd_P001", "diseased", "ct/covidctmd_P001.nii.gz", 0),
    ("covidctmd_cap001", "diseased", "ct_cropped/covidctmd_cap001.nii.gz", 0),
    ("ricord1a_001012", "diseased", "ct_cropped/ricord1a_001012.nii.gz", 0),
)
"""Name, group, file, and the side that counts (1 right, 2 left, 0 both).

lungdx_A0002 is left out: the lung without its tumour is dense in its lower half, so nobody can say what there
is healthy.
"""


def shared_cases(data: Path) -> list[Case]:
    """The real scans of the shared data that are there.

    Raises:
        UserError: the labels of slices cannot be read.
    """
    labels = read_slice_labels(data / _LABELS) if (data / _LABELS).is_file() else {}
    cases = []
    for name, group, file, side in _SCANS:
        path = data / file
        if path.is_file():
            source = Source(name, group, "evaluation", str(path), only_side=side, split="held_out")
            status = path.stat()
            content = hashlib.sha256(f"{file} {status.st_size} {status.st_mtime_ns} {side}".encode())
            cases.append(Case(name, source, content.hexdigest(), labels.get(name)))
    return cases


def benchmark_phantoms(count: int) -> list[Case]:
    """Phantoms of all severities and scanners, and some without disease."""
    return phantom_cases(range(_FIRST_SEED, _FIRST_SEED + count))
