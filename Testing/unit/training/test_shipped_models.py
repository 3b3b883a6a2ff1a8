"""The packages in the repository: what they say of themselves, and what they find."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.array_types import BoolArray
from COVIDSelfSegLib.cli import main
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.lung_masks.network import SHIPPED_WEIGHTS, SLICE_WEIGHTS, LungCard
from COVIDSelfSegLib.lungs import find_lungs
from COVIDSelfSegLib.models import ModelPackage, find_package, open_package
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.phantom_parts.scanner import draw_acquisition
from COVIDSelfSegLib.pipeline import Options, Run, StageClock, find_lesions, segment
from COVIDSelfSegLib.quantification import dice
from COVIDSelfSegLib.segmentation import lesion_mask
from COVIDSelfSegLib.volume import array_view, read_scan
from COVIDSelfSegLib.weight_file import check_weights
from COVIDSelfSegTrainingLib.cohorts.shipped import shipped_sources
from COVIDSelfSegTrainingLib.evaluation.baselines import THRESHOLDS_HU, hu_threshold
from COVIDSelfSegTrainingLib.evaluation.model_card import card_text
from COVIDSelfSegTrainingLib.evaluation.slice_ranking import slice_auc
from COVIDSelfSegTrainingLib.lineage import start_sha256
from COVIDSelfSegTrainingLib.lung_networks.training import SLICE_PRESET
from COVIDSelfSegTrainingLib.preset_files import read_preset

FOLDER = Path(__file__).resolve().parents[3] / "COVIDSelfSeg" / "Resources" / "Models"
RECIPES = FOLDER.parents[2] / "Resources" / "Recipes"
OPTIONS = Options(builtin_lungs=True, device="cpu")
EVALUATION_ONLY = ("medseg", "radiopaedia", "lung1")
EVERY_THIRD = slice(None, None, 3)
"""Slice of real scans of 2 mm; these tests ask for no more."""


@pytest.fixture(scope="session")
def the_package() -> ModelPackage:
    return find_package()


@pytest.fixture(scope="session")
def a_held_out_phantom() -> Phantom:
    """Its seed is below 1000, so no shipped weights have seen it."""
    return make_phantom(8, severity=2, acquisition=draw_acquisition(np.random.default_rng(8)))


@pytest.fixture(scope="session")
def its_run(a_held_out_phantom: Phantom, the_package: ModelPackage) -> Run:
    return segment(a_held_out_phantom.scan, the_package, OPTIONS)


def lesions_and_lungs(scan: sitk.Image, package: ModelPackage) -> tuple[BoolArray, BoolArray]:
    """As a run finds them (z, y, x), without the generator, on which they do not depend."""
    device, inference = choose_device("cpu"), package.card.inference
    lungs = find_lungs(scan, builtin=True, device=device)
    probability, _ = find_lesions(scan, lungs, package, device, StageClock())
    lesions = lesion_mask(probability, inference.threshold, inference.least_lesion_ml)
    return array_view(lesions) > 0, array_view(lungs.image) > 0


def test_fast_products_find_the_same_lungs_and_lesions_as_exact_ones(
    a_held_out_phantom: Phantom, the_package: ModelPackage
) -> None:
    """A CPU without them emulates them, so 5 cm of the chest must do here, and 6 slices for the lesions.

    The generator, on which lesions do not depend, is left out: emulated, one volume takes minutes.
    """
    inference = the_package.card.inference
    middle = int(array_view(a_held_out_phantom.lesions).sum(axis=(1, 2)).argmax())
    reach = round(25 / a_held_out_phantom.scan.GetSpacing()[2])
    scan = a_held_out_phantom.scan[:, :, max(0, middle - reach) : middle + reach]
    slab = slice(min(middle, reach) - 3, min(middle, reach) + 3)
    lungs, lesions, probabilities = [], [], []
    for precision in (torch.bfloat16, torch.float32):
        device = replace(choose_device("cpu"), precision=precision)
        found = find_lungs(scan, builtin=True, device=device)
        part = replace(found, image=found.image[:, :, slab])
        probability, _ = find_lesions(scan[:, :, slab], part, the_package, device, StageClock())
        lungs.append(array_view(found.image) > 0)
        probabilities.append(array_view(probability))
        lesions.append(
            array_view(lesion_mask(probability, inference.threshold, inference.least_lesion_ml)) > 0
        )
    assert dice(*lungs) >= 0.995
    assert lesions[1].any()
    assert dice(*lesions) >= 0.995
    assert (probabilities[0] != probabilities[1]).any()


def test_they_are_small_and_whole() -> None:
    files = sorted(FOLDER.glob("*.safetensors"))
    assert files
    assert sum(file.stat().st_size for file in files) < 40e6
    for file in files:
        package = open_package(file)
        assert not package.generator().training
        assert not package.segmenter().training


def test_they_say_how_they_were_made_and_from_what(the_package: ModelPackage) -> None:
    card = the_package.card
    assert card.command.startswith("covidselfseg mean")
    for part in card.recipe["mean_of"]:
        assert part["command"].startswith("covidselfseg train")
        assert part["recipe"]["segmenter"]["iterations"] > 0
    names = {scan.name for scan in card.trained_on}
    assert names
    sources = shipped_sources(FOLDER)
    of_both_lungs = {"lidc_0001"}  # whose tumour was overlooked; trained anew it is the right lung alone
    assert names <= {source.name for source in sources} | of_both_lungs
    assert not [name for name in names if name.startswith(EVALUATION_ONLY)]
    assert all(scan.licence for scan in card.trained_on)
    assert not [scan for scan in card.trained_on if "NC" in scan.licence]
    assert card.known_failures
    assert {"Dice, mean", "falsely infected, %", "AUC over slices"} <= {one["name"] for one in card.metrics}


def test_the_recipes_that_train_them_anew_are_theirs(the_package: ModelPackage) -> None:
    first, *others = (part["recipe"] for part in the_package.card.recipe["mean_of"])
    script = (RECIPES / "train_shipped.sh").read_text()
    iterations = first["gan"]["iterations"], first["segmenter"]["iterations"]
    assert "--gan-iterations {} --segmenter-iterations {}".format(*iterations) in script
    for name, recipe in zip(("pictures", "nets"), others, strict=True):
        preset = read_preset(RECIPES / f"{name}.toml")
        assert preset.gan.iterations == recipe["gan"]["iterations"] == 0
        for option in ("iterations", "rate", "warm_up", "ema", "real_share"):
            assert getattr(preset.segmenter, option) == recipe["segmenter"][option], (name, option)


def test_the_command_that_trains_the_network_for_chests_anew_is_its_own() -> None:
    script = (RECIPES / "train_shipped.sh").read_text().replace("\\\n", "")
    card = LungCard.from_json(check_weights(SHIPPED_WEIGHTS)[0]["card"])
    first, then = (
        line for line in script.splitlines() if line.startswith('covidselfseg train-lungs "$chests')
    )
    assert first == 'covidselfseg train-lungs "$chests-4500.safetensors"'
    options = dict(pairwise(then.split()))
    for option in ("iterations", "rate", "seed"):
        assert float(options[f"--{option}"]) == card.recipe[option]
    for option, role in (("start-from", "started_from"), ("teacher", "taught_by")):
        assert options[f"--{option}"] in first
        assert f"--{option} covidselfseg-lungs-4500.safetensors" in card.command
        assert card.recipe[role]
    assert start_sha256(card.recipe) == card.recipe["taught_by"]


def test_the_commands_that_train_the_network_for_single_slices_anew_are_its_own() -> None:
    script = (RECIPES / "train_shipped.sh").read_text().replace("\\\n", "")
    lines = [line for line in script.splitlines() if "--slices" in line]
    of_chests = LungCard.from_json(check_weights(SHIPPED_WEIGHTS)[0]["card"])
    parts = LungCard.from_json(check_weights(SLICE_WEIGHTS)[0]["card"]).recipe["mean_of"]
    for part in parts:
        recipe = part["recipe"]
        seed = f"--seed {recipe['seed']}" if recipe["seed"] != SLICE_PRESET.seed else ""
        [line] = [line for line in lines if f"--iterations {recipe['iterations']} " in line and seed in line]
        assert float(line.split("--rate ")[1].split()[0]) == recipe["rate"]
        assert "--teacher" in line
        assert recipe["taught_by"] == of_chests.recipe["taught_by"]
    shares = re.findall(r"mean-lungs .*", script)[0].split()[4::3]
    assert [float(share) for share in shares] == [part["share"] for part in parts]


def test_the_page_in_the_docs_is_the_card_of_the_package_at_hand(the_package: ModelPackage) -> None:
    page = FOLDER.parents[2] / "docs" / "model-card.md"
    assert page.read_text(encoding="utf-8").startswith(card_text(the_package))


def test_the_commands_list_names_them_and_every_scan_that_they_saw(
    the_package: ModelPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    for name in ("covidselfseg-default", "covidselfseg-lungs", "covidselfseg-lungs-slice"):
        assert f"{name}.safetensors" in said
    assert "damaged" not in said
    names = {scan.name for scan in the_package.card.trained_on}
    assert all(name in said for name in names if not name.startswith("phantom"))
    for first, last in re.findall(r"phantom_(\d+) to (\d+)", said):
        names -= {f"phantom_{seed}" for seed in range(int(first), int(last) + 1)}
    assert not any(name.startswith("phantom") for name in names)


def test_lesions_of_an_unseen_phantom_are_found_better_than_by_any_threshold(
    a_held_out_phantom: Phantom, its_run: Run
) -> None:
    truth = array_view(a_held_out_phantom.lesions) > 0
    hu, lungs = array_view(a_held_out_phantom.scan), array_view(its_run.lungs.image) > 0
    ours = dice(array_view(its_run.lesions) > 0, truth)
    best = max(dice(hu_threshold(hu, lungs, level), truth) for level in THRESHOLDS_HU)
    assert ours > 0.6
    assert ours > best + 0.05


def test_the_pseudo_healthy_lung_is_nearer_to_the_healthy_twin(
    a_held_out_phantom: Phantom, its_run: Run
) -> None:
    lesions = array_view(a_held_out_phantom.lesions) > 0
    twin, healthy, scan = (
        array_view(image)[lesions].astype(float)
        for image in (
            a_held_out_phantom.healthy_twin,
            its_run.heatmap.pseudo_healthy,
            a_held_out_phantom.scan,
        )
    )
    assert np.abs(healthy - twin).mean() < 0.45 * np.abs(scan - twin).mean()


def test_a_healthy_twin_has_hardly_a_lesion(a_held_out_phantom: Phantom, the_package: ModelPackage) -> None:
    lesions, lungs = lesions_and_lungs(a_held_out_phantom.healthy_twin, the_package)
    assert lesions[lungs].mean() < 0.02


def test_a_normal_real_scan_has_hardly_a_lesion(real_scans: Path, the_package: ModelPackage) -> None:
    scan = read_scan(real_scans / "ct" / "covidctmd_normal001.nii.gz")[:, :, EVERY_THIRD]
    lesions, lungs = lesions_and_lungs(scan, the_package)
    assert lungs.any()
    assert lesions[lungs].mean() < 0.02


def test_infected_slices_of_a_real_scan_hold_more_lesion(real_scans: Path, the_package: ModelPackage) -> None:
    scan = read_scan(real_scans / "ct" / "covidctmd_P001.nii.gz")[:, :, EVERY_THIRD]
    lesions, lungs = lesions_and_lungs(scan, the_package)
    labels = json.loads((real_scans / "labels" / "covidctmd_slice_labels.json").read_text())
    infected = np.array(labels["volumes"]["covidctmd_P001"]["slice_infected"], bool)[EVERY_THIRD]
    assert slice_auc(lesions, lungs, infected) > 0.85
