"""How right the shipped model is, beside what needs no learning; phantoms and real scans kept apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from COVIDSelfSegLib.lungs import find_lungs
from COVIDSelfSegLib.models import ModelPackage, find_package
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.phantom_scanner import draw_acquisition
from COVIDSelfSegLib.pipeline import Options, Run, segment
from COVIDSelfSegLib.quantification import dice
from COVIDSelfSegLib.volume import array_view, read_scan
from COVIDSelfSegTrainingLib.baselines import THRESHOLDS_HU, hu_threshold, threshold_without_vessels
from COVIDSelfSegTrainingLib.evaluation import slice_auc

from .table import Table

_PHANTOMS = "Phantoms (held-out seeds; the machinery works, not clinical performance)"
_REAL = "Real scans"
_OPTIONS = Options(builtin_lungs=True)
HELD_OUT = tuple((seed, 1 + seed % 4) for seed in range(1, 9))
"""Seeds below 1000 are never trained on; each with a severity."""


def measure_accuracy(table: Table, data: Path | None) -> None:
    """Fill in the accuracy sections."""
    package = find_package()
    _phantoms(table, package)
    _healthy_twins(table, package)
    if data is not None:
        _real_lung_masks(table, data)
        _normal(table, package, data)
        _labelled(table, package, data)


def _make(seed: int, severity: int) -> Phantom:
    return make_phantom(seed, severity, draw_acquisition(np.random.default_rng([seed, 9])))


def _phantoms(table: Table, package: ModelPackage) -> None:
    ours, threshold, cleaned, left = [], [], [], []
    for seed, severity in HELD_OUT:
        phantom = _make(seed, severity)
        run = segment(phantom.scan, package, _OPTIONS)
        truth = array_view(phantom.lesions) > 0
        ours.append(dice(array_view(run.lesions) > 0, truth))
        hu, lungs = array_view(phantom.scan), array_view(run.lungs.image) > 0
        threshold.append(max(dice(hu_threshold(hu, lungs, level), truth) for level in THRESHOLDS_HU))
        pixel = phantom.scan.GetSpacing()[0]
        cleaned.append(dice(threshold_without_vessels(hu, lungs, pixel), truth))
        left.append(_error_left(phantom, run))
        print(f"  seed {seed}, CT-{severity}: Dice {ours[-1]:.3f}, error left {left[-1]:.2f}", flush=True)
    beside = f"best HU threshold {np.mean(threshold):.3f}, without vessels {np.mean(cleaned):.3f}"
    name = f"lesion Dice, mean of {len(ours)}"
    table.add(_PHANTOMS, name, f"{np.mean(ours):.3f}", beside=beside, wanted=">= 0.70")
    error = f"{np.mean(left):.2f} of doing nothing"
    table.add(_PHANTOMS, "pseudo-healthy error inside lesions", error, wanted="<= 0.33")


def _error_left(phantom: Phantom, run: Run) -> float:
    """Mean absolute HU error of the pseudo-healthy volume inside lesions, against doing nothing."""
    lesions = array_view(phantom.lesions) > 0
    twin, healthy, scan = (
        array_view(image)[lesions].astype(float)
        for image in (phantom.healthy_twin, run.heatmap.pseudo_healthy, phantom.scan)
    )
    return float(np.abs(healthy - twin).mean() / np.abs(scan - twin).mean())


def _healthy_twins(table: Table, package: ModelPackage) -> None:
    shares = []
    for seed, severity in HELD_OUT[:4]:
        run = segment(_make(seed, severity).healthy_twin, package, _OPTIONS)
        shares.append(100 * run.numbers.both.infected_share)
    value = f"{np.mean(shares):.2f} % (worst {max(shares):.2f} %)"
    table.add(_PHANTOMS, "healthy twins, falsely infected", value, wanted="<= 1 %")


def _real_lung_masks(table: Table, data: Path) -> None:
    pairs = (
        ("ct_cropped/lung1_001.nii.gz", "ct_cropped/lung1_001_lung_mask.nii.gz", ">= 0.94"),
        ("small/cip_ct-64.nii.gz", "small/cip_ct-64_lobe_labels.nii.gz", ">= 0.96"),
    )
    for scan, mask, wanted in pairs:
        found = array_view(find_lungs(read_scan(data / scan), builtin=True).image) > 0
        truth = array_view(read_scan(data / mask)) > 0
        name = f"built-in lung mask Dice, {Path(scan).name}"
        table.add(_REAL, name, f"{dice(found, truth):.3f}", wanted=wanted)


def _normal(table: Table, package: ModelPackage, data: Path) -> None:
    scans = ["ct/covidctmd_normal001", "ct_cropped/covidctmd_normal002"]
    scans += [f"ct_cropped/luna_normal{number}" for number in (1, 2, 3)]
    for name in scans:
        scan = read_scan(data / f"{name}.nii.gz")
        run = segment(scan, package, _OPTIONS)
        lungs = array_view(run.lungs.image) > 0
        plain = threshold_without_vessels(array_view(scan), lungs, scan.GetSpacing()[0])
        share = 100 * run.numbers.both.infected_share
        beside = f"threshold without vessels {100 * plain.sum() / lungs.sum():.2f} %"
        wanted = "<= 2 %" if "normal001" in name else ""
        row = f"{Path(name).name}, falsely infected"
        table.add(_REAL, row, f"{share:.2f} %", beside=beside, wanted=wanted)


def _labelled(table: Table, package: ModelPackage, data: Path) -> None:
    volumes = json.loads((data / "labels" / "covidctmd_slice_labels.json").read_text())["volumes"]
    for name, wanted in (("covidctmd_P001", ">= 0.88"), ("covidctmd_cap001", "")):
        folder = "ct" if name == "covidctmd_P001" else "ct_cropped"
        scan = read_scan(data / folder / f"{name}.nii.gz")
        run = segment(scan, package, _OPTIONS)
        lungs = array_view(run.lungs.image) > 0
        labels = np.array(volumes[name]["slice_infected"], bool)
        plain = threshold_without_vessels(array_view(scan), lungs, scan.GetSpacing()[0])
        ours = slice_auc(array_view(run.lesions) > 0, lungs, labels)
        beside = f"threshold without vessels {slice_auc(plain, lungs, labels):.3f}"
        row = f"{name}, slice AUC of the infected share"
        table.add(_REAL, row, f"{ours:.3f}", beside=beside, wanted=wanted)
