"""Annotated slices as 8-bit pictures: read, scored beside the baselines, kept in a section of their own."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.models import ModelPackage, write_package
from COVIDSelfSegLib.package_card import Inference, ThresholdKind
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.segmentation import ValueKind
from COVIDSelfSegLib.volume import array_view
from COVIDSelfSegTrainingLib.evaluation.annotated_slices import approximate_hu, evenness
from COVIDSelfSegTrainingLib.evaluation.cases import table_suffix
from COVIDSelfSegTrainingLib.evaluation.histogram import ProbabilityHistogram
from COVIDSelfSegTrainingLib.evaluation.lung_scores import OF_SLICES
from COVIDSelfSegTrainingLib.evaluation.overlap import Overlap
from COVIDSelfSegTrainingLib.evaluation.score_curves import add_reliability
from COVIDSelfSegTrainingLib.evaluation.scoring import EVERYTHING, KEEPING_DENSE, MIXTURE, OTSU, PLAIN
from COVIDSelfSegTrainingLib.evaluation.sheet import Sheet
from COVIDSelfSegTrainingLib.evaluation.slice_lungs import SliceLungs
from COVIDSelfSegTrainingLib.evaluation.slice_sets import (
    SliceSet,
    add_slice_sets,
    check_sets,
    read_slices,
    score_slice_set,
    slice_probability,
)
from COVIDSelfSegTrainingLib.pictures import DARK_LUNG_HU
from PIL import Image, ImageFilter
from scipy import stats
from skimage import exposure

from ..conftest import SMALL

CPU = Device(torch.device("cpu"), torch.float32, "CPU")

BASELINES = (
    EVERYTHING,
    PLAIN,
    KEEPING_DENSE,
    OTSU,
    MIXTURE,
    "HU above -720",
    "HU without vessels above -720",
)


@pytest.fixture
def pictures(a_phantom: Phantom, tmp_path: Path) -> Path:
    """Three slices of a phantom, as pictures of a lung window, with their masks."""
    folder = tmp_path / "set"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for z in (24, 30, 36):
        hu = array_view(a_phantom.scan)[z].astype(float)
        gray = np.clip((hu + 1200) / 1400 * 255, 0, 255).astype(np.uint8)
        Image.fromarray(gray).save(folder / "images" / f"s{z}.png")
        Image.fromarray(array_view(a_phantom.lesions)[z] * np.uint8(255)).save(folder / "masks" / f"s{z}.png")
    return folder


def test_pictures_are_scored_beside_the_baselines(
    pictures: Path, a_package: ModelPackage, a_phantom: Phantom
) -> None:
    seen: list[str] = []
    one = score_slice_set(pictures, [("small", a_package)], CPU, lambda _done, name: seen.append(name))
    assert seen == ["s24", "s30", "s36"]
    assert {len(counts) for counts in one.counts.values()} == {3}
    truth = [int(array_view(a_phantom.lesions)[z].sum()) for z in (24, 30, 36)]
    assert [counts.truth for counts in one.counts["small"]] == truth
    lungs = one.counts["everything in the lung"]
    assert list(one.recall_in_lungs) == [OF_SLICES, "classical, without its network", "built-in"]
    assert [counts.sensitivity for counts in lungs] == one.recall_in_lungs[OF_SLICES]
    assert all(recall > 0.5 for name in (OF_SLICES, "built-in") for recall in one.recall_in_lungs[name])
    # The histogram holds each voxel of the truth once, wherever it is.
    assert one.histograms["small"].lesion.sum() == sum(truth)
    sheet = Sheet("slices")
    add_slice_sets(sheet, [one], ["small"])
    page = sheet.write(pictures.parent / "out").read_text()
    assert "never trained on" in page
    best = re.findall(r"(HU above|HU without vessels above) -\d+, best level", page)
    assert sorted(set(best)) == ["HU above", "HU without vessels above"]
    assert "best level&#x27; was chosen over these very slices with the truth in view" in page
    assert "Reliability on the lung of set" in page
    assert (pictures.parent / "out" / "lung_recall_set.csv").is_file()


def test_every_method_has_its_mean_over_the_slices_with_a_lesion(tmp_path: Path) -> None:
    """Else a slice without one would cost those alone that mark it."""
    found, missed = Overlap(30, 10, 20, 940), Overlap(10, 0, 40, 950)
    careful, eager = Overlap(0, 0, 0, 1000), Overlap(0, 100, 0, 900)
    counts = {name: [found, missed, eager] for name in ("careful", *BASELINES)}
    counts["careful"] = [found, missed, careful]
    scans = ["a", "a", "b"]
    histograms = {"careful": ProbabilityHistogram(*np.ones((2, 256), np.int64))}
    one = SliceSet("phantoms", scans, scans, counts, histograms, {"published": [1.0, 1.0, float("nan")]})
    sheet = Sheet("slices")
    # A set of slices may be called as a kind of scans, the tables of which lie in the same folder.
    add_reliability(sheet, histograms, f"calibration_{table_suffix('phantoms')}", "Reliability, phantoms")
    add_slice_sets(sheet, [one], ["careful"])
    page = sheet.write(tmp_path).read_text()
    assert "takes the 2 scans as independent, not their 3 slices" in page
    with (tmp_path / "slices_phantoms.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["Dice, mean"]) for row in rows] == pytest.approx([(found.dice + missed.dice) / 2] * 8)
    assert {(row["slices with a lesion"], row["slices without"]) for row in rows} == {("2", "1")}
    assert [row["of these marked"] for row in rows] == ["0", *["1"] * (len(rows) - 1)]
    precision = (found.precision + missed.precision) / 2
    assert [float(row["precision"]) for row in rows] == pytest.approx([precision] * 8)
    assert [float(row["sensitivity"]) for row in rows] == pytest.approx([(0.6 + 0.2) / 2] * 8)
    pooled = [float(row["Dice, pooled"]) for row in rows]
    assert pooled == pytest.approx([2 * 40 / (50 + 100), *[2 * 40 / (150 + 100)] * 7])


def test_the_interval_counts_patients_where_the_names_of_scans_tell_them(tmp_path: Path) -> None:
    cases = [f"radiopaedia_{patient}_{scan}" for patient in (4, 29) for scan in ("85506_1", "85507_1")]
    gray = np.random.default_rng(0).integers(0, 255, (4, 32, 32)).astype(np.uint8)
    np.savez(tmp_path / "s.npz", image=gray, lung=gray > 90, infection=gray > 150, case=cases)
    patients = [one.patient for one in read_slices(tmp_path / "s.npz")]
    dice = (0.2, 0.4, 0.6, 0.9)
    counts = [Overlap(round(100 * one), round(100 - 100 * one), round(100 - 100 * one), 0) for one in dice]
    for times in (1, 2):
        of_all = dict.fromkeys(BASELINES, counts * times)
        one = SliceSet("set", cases * times, patients * times, of_all, {}, {"published": [1.0]})
        sheet = Sheet("slices")
        add_slice_sets(sheet, [one], [])
        said = f"takes the 2 patients of 4 scans as independent, not their {4 * times} slices"
        assert said in sheet.write(tmp_path).read_text()
    with (tmp_path / "slices_set.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    ends = stats.ttest_1samp(np.reshape(dice, (2, 2)).mean(axis=1), 0).confidence_interval(0.95)
    assert (float(row["95 % low"]), float(row["95 % high"])) == pytest.approx(tuple(ends))


@pytest.mark.parametrize(("kind", "finds"), [("absolute", False), ("slice", True), ("volume", True)])
def test_a_threshold_relative_to_the_maximum_finds_what_an_absolute_one_does_not(
    kind: ThresholdKind, finds: bool, pictures: Path, a_package: ModelPackage, tmp_path: Path
) -> None:
    # Shifted so far that no probability comes near the threshold by itself.
    inference = replace(a_package.card.inference, threshold=0.3, threshold_kind=kind, calibration_shift=-8.0)
    networks = (network.state_dict() for network in (a_package.generator(), a_package.segmenter()))
    card = replace(a_package.card, inference=inference)
    package = write_package(tmp_path / "relative.safetensors", card, *networks)
    one = score_slice_set(pictures, [("it", package)], CPU, lambda _done, _name: None)
    assert [counts.both + counts.found_only > 0 for counts in one.counts["it"]] == [finds] * 3


def test_noise_does_not_move_the_lung_of_a_picture(a_phantom: Phantom) -> None:
    hu = array_view(a_phantom.healthy_twin)[30].astype(float)
    lungs = array_view(a_phantom.lungs)[30] > 0
    clean = np.clip((hu + 1200) / 1500 * 255, 1, 254)
    noisy = np.clip(clean + np.random.default_rng(1).normal(0, 25, hu.shape), 1, 254)
    seen, disturbed = (approximate_hu(np.rint(gray).astype(np.uint8)) for gray in (clean, noisy))
    assert np.median(seen[lungs]) == pytest.approx(np.median(hu[lungs]), abs=60)
    assert np.median(disturbed[lungs]) == pytest.approx(
        np.median(seen[lungs]), abs=80
    )  # 125 without smoothing


def test_a_picture_says_whether_its_contrast_was_equalised(pictures: Path) -> None:
    for path in sorted((pictures / "images").glob("*.png")):
        gray = np.asarray(Image.open(path))
        assert evenness(gray) < 0.94
        equalised = exposure.equalize_adapthist(gray, clip_limit=0.05)
        Image.fromarray((255 * equalised).astype(np.uint8)).save(path)
        assert evenness(np.asarray(Image.open(path))) > evenness(gray)
    assert {one.values for one in read_slices(pictures)} == {"equalised"}
    assert evenness(np.zeros((4, 4), np.uint8)) == 0


def test_pixels_are_about_as_large_as_the_chest_says_whatever_lies_beside_it(pictures: Path) -> None:
    for path in (pictures / "images").iterdir():
        gray = np.asarray(Image.open(path))
        Image.fromarray(np.pad(gray, ((20, 20), (90, 20)))).save(path)
        Image.fromarray(np.zeros((gray.shape[0] + 40, gray.shape[1] + 110), np.uint8)).save(
            pictures / "masks" / path.name
        )
    sizes = [one.hu.GetSpacing()[:2] for one in read_slices(pictures)]
    assert sizes == [pytest.approx((SMALL.pixel_mm, SMALL.pixel_mm), rel=0.1)] * 3


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_is_all_dark(level: int) -> None:
    assert (approximate_hu(np.full((9, 7), level, np.uint8)) == DARK_LUNG_HU).all()


@pytest.mark.parametrize(("marked", "told"), [(True, 0.75), (False, 1.0)])
def test_a_network_that_learned_marks_is_told_that_a_picture_is_one(
    marked: bool, told: float, pictures: Path, a_package: ModelPackage
) -> None:
    network, seen = a_package.segmenter(), []
    network.register_forward_pre_hook(lambda _network, given: seen.append(float(given[0][:, 3].max())))
    inference = replace(a_package.card.inference, marked=marked)
    one = next(iter(read_slices(pictures)))
    lungs = np.ones(one.lesions.shape, np.uint8)
    slice_probability(network, inference, one, SliceLungs(lungs), CPU)
    assert seen == [told]


def test_where_contrast_was_equalised_a_calibration_of_its_own_holds(
    pictures: Path, a_package: ModelPackage
) -> None:
    network, picture = a_package.segmenter(), next(iter(read_slices(pictures)))
    lungs = SliceLungs(np.ones(picture.lesions.shape, np.uint8))
    plain = replace(a_package.card.inference, calibration_slope=1.0, calibration_shift=1.0)
    # Without a mark, so that the network says the same of both.
    own = replace(plain, marked=False, calibration_equalised_slope=0.5, calibration_equalised_shift=-3.0)

    def most(inference: Inference, values: ValueKind) -> float:
        one = replace(picture, values=values)
        return float(array_view(slice_probability(network, inference, one, lungs, CPU)).max())

    shared = most(plain, "picture")
    assert most(own, "picture") == most(own, "hu") == most(plain, "equalised") == shared
    assert most(own, "equalised") < 0.5 * shared


def test_a_lesion_is_as_likely_as_it_is_if_here_is_lung_times_that_here_is_lung(
    pictures: Path, a_package: ModelPackage
) -> None:
    inference = replace(a_package.card.inference, calibration_shift=2.0)
    network, one = a_package.segmenter(), next(iter(read_slices(pictures)))
    mask = np.ones(one.lesions.shape, np.uint8)
    certainty = np.linspace(0, 1, mask.size, dtype=np.float32).reshape(mask.shape)
    if_lung, found = (
        array_view(slice_probability(network, inference, one, SliceLungs(mask, sure), CPU))[0].astype(float)
        for sure in (None, certainty)
    )
    assert if_lung.max() > 100
    assert np.abs(found - if_lung * certainty).max() <= 0.5


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.npz"):
        with pytest.raises(UserError, match="not a set of annotated slices"):
            read_slices(path)


def test_what_of_a_set_does_not_belong_together_is_refused_before_anything_is_scored(
    pictures: Path, tmp_path: Path
) -> None:
    arrays = {name: np.zeros((2, 30, 40), np.uint8) for name in ("image", "lung", "infection")}
    np.savez(tmp_path / "no_lungs.npz", **{**arrays, "lung": arrays["image"][:1]}, case=["a", "b"])
    np.savez(tmp_path / "none.npz", image=arrays["image"], infection=arrays["infection"], case=["a", "b"])
    other_size = shutil.copytree(pictures, tmp_path / "other_size")
    Image.new("L", (20, 20)).save(other_size / "masks" / "s30.png")
    no_mask = shutil.copytree(pictures, tmp_path / "no_mask")
    (no_mask / "masks" / "s30.png").unlink()
    empty = tmp_path / "empty"
    for part in ("images", "masks"):
        (empty / part).mkdir(parents=True)
    stack, damaged = (shutil.copytree(pictures, tmp_path / name) for name in ("stack", "damaged"))
    plane = Image.open(stack / "images" / "s24.png")
    plane.save(stack / "images" / "s24.png", format="TIFF", save_all=True, append_images=[plane])
    (damaged / "masks" / "s24.png").write_text("moved to another disk")
    deep = {**arrays, "image": arrays["image"].astype(np.uint16)}
    np.savez(tmp_path / "deep.npz", **deep, case=["a", "b"])
    np.savez(tmp_path / "objects.npz", **arrays, case=np.array(["a", None]))
    (tmp_path / "text.npz").write_text("moved to another disk")
    (tmp_path / "cut_short.npz").touch()
    np.save(tmp_path / "array.npy", arrays["image"])
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    np.savez(tmp_path / "no_slice.npz", **{name: array[:0] for name, array in arrays.items()}, case=[])
    for path, said in {
        tmp_path / "no_lungs.npz": "its arrays differ in size",
        tmp_path / "none.npz": "holds no array 'lung'",
        other_size: "s30.png and its mask differ in size",
        no_mask: "'masks' holds no mask of s30.png",
        empty: "holds no picture",
        stack: "s24.png or its mask holds several pictures",
        damaged: "s24.png or its mask cannot be read",
        tmp_path / "deep.npz": "holds uint16, where gray levels are uint8",
        tmp_path / "objects.npz": "it cannot be read",
        tmp_path / "text.npz": "it cannot be read",
        tmp_path / "cut_short.npz": "it cannot be read",
        tmp_path / "array.npz": "it cannot be read",
        tmp_path / "no_slice.npz": "it holds no slice",
    }.items():
        with pytest.raises(UserError, match=said):
            check_sets([path])


def test_masks_of_zeros_and_ones_are_masks(pictures: Path) -> None:
    before = [one.lesions for one in read_slices(pictures)]
    for path in (pictures / "masks").glob("*.png"):
        Image.fromarray(np.asarray(Image.open(path)) // np.uint8(255)).save(path)
    after = [one.lesions for one in read_slices(pictures)]
    assert sum(map(np.sum, before)) > 0
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_what_macos_puts_beside_pictures_on_other_disks_is_no_picture(pictures: Path) -> None:
    for part in ("images", "masks"):
        (pictures / part / "._s24.png").write_bytes(b"\0\5\x16\7")
    assert [one.name for one in read_slices(pictures)] == ["s24", "s30", "s36"]


def test_every_class_of_a_mask_is_a_lesion(pictures: Path) -> None:
    """Ground glass is often the lower one of two."""
    before = {one.name: one.lesions for one in read_slices(pictures)}
    for factor, file in zip((1, 80, 257), sorted((pictures / "masks").iterdir()), strict=True):
        lesions = before[file.stem]
        classes = lesions * np.where(np.arange(lesions.shape[1]) % 2, 1, 2)
        Image.fromarray((classes * factor).astype(np.uint16 if factor > 255 else np.uint8)).save(file)
    assert all(np.array_equal(one.lesions, before[one.name]) for one in read_slices(pictures))


def test_a_mask_with_blurred_borders_is_cut_half_way(pictures: Path) -> None:
    file, before = pictures / "masks" / "s30.png", [one.lesions for one in read_slices(pictures)][1]
    blurred = Image.open(file).filter(ImageFilter.GaussianBlur(1.5))
    blurred.save(file)
    after = [one.lesions for one in read_slices(pictures)][1]
    assert np.array_equal(after, np.asarray(blurred) > 127)
    assert after.sum() < 1.2 * before.sum() < 1.2 * (np.asarray(blurred) > 0).sum()


def test_pictures_of_any_kind_and_depth_are_read(pictures: Path) -> None:
    before = {one.name: array_view(one.hu) for one in read_slices(pictures)}
    for ending, file in zip((".PNG", ".tif", ".jpg"), sorted((pictures / "images").iterdir()), strict=True):
        gray = np.asarray(Image.open(file))
        deep = gray if ending == ".jpg" else gray.astype(np.uint16) * 16
        Image.fromarray(deep).save(file.with_suffix(ending), quality=95)
        file.unlink()
    slices = list(read_slices(pictures))
    assert [one.name for one in slices] == list(before)
    for one in slices:
        assert np.abs(array_view(one.hu).astype(float) - before[one.name]).mean() < 20


def test_arrays_lie_upside_down_unless_they_say_that_they_do_not(tmp_path: Path) -> None:
    image = np.arange(2 * 30 * 40).reshape(2, 30, 40).astype(np.uint8)
    arrays = {"image": image, "lung": image > 9, "infection": image > 99, "case": np.array(["a", "b"])}
    np.savez(tmp_path / "published.npz", **arrays)
    np.savez(tmp_path / "upright.npz", **arrays, upside_down=False)
    for name, turn in (("published", -1), ("upright", 1)):
        slices = list(read_slices(tmp_path / f"{name}.npz"))
        assert np.array_equal(slices[0].lesions, (image > 99)[0, ::turn])
        assert np.array_equal(slices[0].lungs, (image > 9)[0, ::turn])


def test_sets_of_one_name_are_refused_before_anything_is_scored(pictures: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / pictures.name
    shutil.copytree(pictures, other)
    check_sets([pictures])
    with pytest.raises(UserError, match=f"would both be called '{pictures.name}'"):
        check_sets([pictures, other])
