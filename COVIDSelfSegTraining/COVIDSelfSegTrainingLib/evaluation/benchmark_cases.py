"""What ``covidselfseg benchmark`` scores: the shared real scans, and phantoms of held-out seeds.

The names are those of the shared data's README. Every scan says whether its lungs are healthy; of a tumour
patient only the lung without the tumour counts.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from COVIDSelfSegLib.lung_labels import LEFT

from ..cohorts.shipped import REAL_SCANS
from ..cohorts.sources import Source
from .cases import Case, phantom_cases, read_slice_labels

LUNG_MASKS = (
    ("LUNG1-001", "ct_cropped/lung1_001.nii.gz", "ct_cropped/lung1_001_lung_mask.nii.gz"),
    ("CIP ct-64", "small/cip_ct-64.nii.gz", "small/cip_ct-64_lobe_labels.nii.gz"),
)
"""Name, scan and published lung mask."""

_LABELS = "labels/covidctmd_slice_labels.json"
_FIRST_SEED = 203
"""Of the phantoms, and one of severe disease; training takes none below 1000."""
_PYRADIOMICS = "BSD 3-Clause (PyRadiomics)"
_ONLY_EVALUATED = (
    Source(
        "pyradiomics_lung1_left",
        "healthy",
        _PYRADIOMICS,
        "ct_cropped/pyradiomics_lung1.nii.gz",
        only_side=LEFT,
    ),
    Source("ricord1a_001012", "diseased", "CC BY-NC 4.0 (RICORD)", "ct_cropped/ricord1a_001012.nii.gz"),
)
"""Beside the scans that the shipped package is trained on.

lungdx_A0002 is left out: the lung without its tumour is dense in its lower half, so nobody can say what there
is healthy.
"""

_SIZE_INFERRED = ("luna_normal1", "luna_normal2", "luna_normal3")
"""They came as pictures: their HU are approximate too (the shared data's README)."""


def shared_cases(data: Path) -> list[Case]:
    """The real scans of the shared data that are there, healthy ones first.

    Raises:
        UserError: the labels of slices cannot be read.
    """
    labels = read_slice_labels(data / _LABELS) if (data / _LABELS).is_file() else {}
    cases = []
    for one in sorted((*REAL_SCANS, *_ONLY_EVALUATED), key=lambda one: one.group == "diseased"):
        path = data / str(one.path)
        if path.is_file():
            source = replace(one, path=str(path))
            status = path.stat()
            known = f"{one.path} {status.st_size} {status.st_mtime_ns} {one.only_side}"
            content = hashlib.sha256(known.encode()).hexdigest()
            sized = one.name not in _SIZE_INFERRED
            cases.append(Case(one.name, source, content, labels.get(one.name), has_true_size=sized))
    return cases


def slice_sets(data: Path) -> list[Path]:
    """The sets of annotated slices below a folder, by name; see :func:`.slice_sets.read_slices`.

    They are ``medseg_dev`` and ``radiopaedia_slices_dev``, and any that lie beside them. Never trained on.
    """
    folders = [one for one in data.iterdir() if (one / "images").is_dir() and (one / "masks").is_dir()]
    return sorted([*folders, *data.glob("*/slices.npz")])


def benchmark_phantoms(count: int) -> list[Case]:
    """Phantoms of all severities and scanners, and some without disease."""
    return phantom_cases(range(_FIRST_SEED, _FIRST_SEED + count))
