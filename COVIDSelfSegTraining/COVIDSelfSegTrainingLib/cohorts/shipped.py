"""What the shipped packages are trained on: phantoms, and the scans whose licence allows it.

The rows follow the README of the shared data. Scans marked there "no, evaluation only" must never enter.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from COVIDSelfSegLib.lung_labels import LEFT, RIGHT

from .sources import Source

_COVID_CT_MD = "CC BY 4.0 (COVID-CT-MD)"
_LIDC = "CC BY 3.0 (LIDC-IDRI)"
_LUNA = "CC BY 3.0 / CC BY 4.0 (LIDC-IDRI / LUNA16)"
_LUNG_DX = "CC BY 4.0 (Lung-PET-CT-Dx)"
_PYRADIOMICS = "BSD 3-Clause (PyRadiomics)"
_CIP = "BSD style (Chest Imaging Platform)"

REAL_SCANS = (
    Source("covidctmd_normal001", "healthy", _COVID_CT_MD, "ct/covidctmd_normal001.nii.gz"),
    Source("covidctmd_normal002", "healthy", _COVID_CT_MD, "ct_cropped/covidctmd_normal002.nii.gz"),
    Source("luna_normal1", "healthy", _LUNA, "ct_cropped/luna_normal1.nii.gz"),
    Source("luna_normal2", "healthy", _LUNA, "ct_cropped/luna_normal2.nii.gz"),
    Source("luna_normal3", "healthy", _LUNA, "ct_cropped/luna_normal3.nii.gz"),
    # Of tumour patients, the lung without the tumour. (What is shipped saw both lungs of lidc_0001.)
    Source("lidc_0001_right", "healthy", _LIDC, "ct_cropped/lidc_0001.nii.gz", only_side=RIGHT),
    Source("lidc_0314_left", "healthy", _LIDC, "ct_cropped/lidc_0314.nii.gz", only_side=LEFT),
    Source("lungdx_A0001_right", "healthy", _LUNG_DX, "ct_cropped/lungdx_A0001.nii.gz", only_side=RIGHT),
    Source(
        "pyradiomics_lung2_right",
        "healthy",
        _PYRADIOMICS,
        "ct_cropped/pyradiomics_lung2.nii.gz",
        only_side=RIGHT,
    ),
    Source("cip_ct-64", "healthy", _CIP, "small/cip_ct-64.nii.gz"),
    Source("covidctmd_P001", "diseased", _COVID_CT_MD, "ct/covidctmd_P001.nii.gz"),
    Source("covidctmd_cap001", "diseased", _COVID_CT_MD, "ct_cropped/covidctmd_cap001.nii.gz"),
)
"""Their paths lie below the folder of shared data."""
_PHANTOM_LICENCE = "none needed (made from a seed)"
_HEALTHY_SEEDS = range(1000, 1036)
_DISEASED_SEEDS = range(1100, 1116)
"""Seeds below 1000 are held out for evaluation, demonstration and tests."""


def data_folder() -> Path | None:
    """Folder of real scans: ``$COVIDSELFSEG_DATA`` or ``shared/data`` beside the checkout; None if absent."""
    checkout = Path(__file__).resolve().parents[3]
    named = os.environ.get("COVIDSELFSEG_DATA")
    folder = Path(named) if named else checkout.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def shipped_sources(data: Path | None) -> list[Source]:
    """Everything the shipped packages are trained on; phantoms alone where the real scans are absent."""
    phantoms = [
        Source(f"phantom_{seed}", "healthy", _PHANTOM_LICENCE, seed=seed) for seed in _HEALTHY_SEEDS
    ] + [
        Source(f"phantom_{seed}", "diseased", _PHANTOM_LICENCE, seed=seed, severity=1 + seed % 4)
        for seed in _DISEASED_SEEDS
    ]
    if data is None:
        return phantoms
    real = [replace(one, path=str(data / str(one.path))) for one in REAL_SCANS]
    return real + phantoms
