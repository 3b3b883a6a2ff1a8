"""Which slices the 2D network is shown, and the patterns that are painted on them."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.painting import LesionFoci
from COVIDSelfSegTrainingLib import corruption, patterns, segmenter_batches
from COVIDSelfSegTrainingLib.augmentation import vary_mask
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan
from COVIDSelfSegTrainingLib.cohorts.slabs import Slab
from COVIDSelfSegTrainingLib.corruption import paint_slabs
from COVIDSelfSegTrainingLib.options import SegmenterPreset
from COVIDSelfSegTrainingLib.patterns import foci_of_slice
from COVIDSelfSegTrainingLib.pseudo_masks import PseudoMask
from COVIDSelfSegTrainingLib.segmenter_batches import SegmenterBatches
from COVIDSelfSegTrainingLib.slice_selection import MaskedSlice, any_slice, most_infected
from scipy import ndimage


def test_lesions_of_each_pattern_are_what_it_is_called(
    a_scan: CohortScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    middle = float(a_scan.holding[len(a_scan.holding) // 2] * a_scan.slice_mm[0])

    def drawn(pattern: str) -> dict[str, torch.Tensor]:
        monkeypatch.setattr(patterns, "_SHARES", {pattern: 1.0})
        records = [foci_of_slice(a_scan, middle, np.random.default_rng(seed)) for seed in range(40)]
        return {f.name: torch.cat([getattr(one, f.name)[0] for one in records]) for f in fields(LesionFoci)}

    few, many, wide, nets, solid = map(drawn, ("foci", "scattered", "fields", "nets", "consolidation"))
    assert len(many["radii"]) > 2 * len(few["radii"])
    assert many["radii"].median() < 0.7 * few["radii"].median()
    large = wide["radii"] > few["radii"].quantile(0.9)
    assert large.float().mean() > 0.2
    assert (wide["cores"][large] < 0.5).float().mean() > 0.6, "faint"
    assert nets["fillings"].max() < nets["paving"].min()
    dense = solid["fillings"] > 0.75
    assert dense.float().mean() > 0.2
    assert solid["edges"][dense].max() <= 5, "mm"


def test_nets_are_faint_with_bright_lines_and_lesion_between_them_too(
    a_scan: CohortScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "_SHARES", {"nets": 1.0})
    index = int(a_scan.holding[len(a_scan.holding) // 2])
    slab = Slab(a_scan, index)
    hu, depths = (torch.from_numpy(part.astype(np.float32))[None] for part in slab.stack())
    painted = [
        paint_slabs([slab], hu.clone(), depths, np.random.default_rng(seed)).filling for seed in range(8)
    ]
    filling = torch.cat([one[one > 0] for one in painted])
    assert filling.median() < 0.3
    assert filling.quantile(0.99) > 0.35
    assert (filling > 0.07).float().mean() > 0.7


def test_large_faint_fields_cover_much_of_a_slice(
    a_scan: CohortScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    slabs = [Slab(a_scan, int(a_scan.holding[len(a_scan.holding) // 2]))] * 12
    depths = torch.full((12, 3, *a_scan.slices.shape[1:]), 25.0)

    def covered(pattern: str) -> float:
        monkeypatch.setattr(patterns, "_SHARES", {pattern: 1.0})
        filling = paint_slabs(slabs, depths - 875, depths, np.random.default_rng(2)).filling
        return float((filling[:, 1] > 0.07).float().mean())

    assert covered("fields") > 1.5 * covered("foci")


@pytest.mark.parametrize("together", [1, 4])
def test_consolidation_is_dense_but_for_its_airways_and_these_are_lesion_too(
    a_scan: CohortScan, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "_SHARES", {"consolidation": 1.0})
    slabs = [Slab(a_scan, int(index), together) for index in a_scan.holding[3:-3:2]]
    depths = torch.full((len(slabs), 3, *a_scan.slices.shape[1:]), 25.0)
    lung = torch.full_like(depths, -850.0)

    def painted(share: float) -> tuple[torch.Tensor, torch.Tensor]:
        monkeypatch.setattr(corruption, "_OPEN", share)
        result = paint_slabs(slabs, lung, depths, np.random.default_rng(7))
        solid = result.filling > 0.75
        return result.filling, result.hu[solid]

    filling, with_airways = painted(1.0)
    same_filling, without = painted(0.0)
    assert torch.equal(filling, same_filling)
    assert without.min() > -250
    air = (with_airways < -600).float().mean()
    assert 0.01 < air < 0.2
    assert (with_airways > -250).float().mean() > 0.7


def test_consolidation_at_the_border_of_the_lung_leaves_no_dark_line(
    a_scan: CohortScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "_SHARES", {"consolidation": 1.0})
    monkeypatch.setattr(corruption, "_OPEN", 0.0)
    slab = Slab(a_scan, int(a_scan.holding[len(a_scan.holding) // 2]))
    border = int((slab.stack()[1][1] > 0).sum(axis=0).argmax())
    depths = torch.full((1, 3, *a_scan.slices.shape[1:]), 25.0)
    depths[..., border:] = 0
    hu = torch.where(depths > 0, -850.0, 40.0)
    hu[..., border] = -400.0  # half lung, half tissue
    hu[..., border + 1] = -950.0  # an airway beside the lung
    results = [paint_slabs([slab], hu, depths, np.random.default_rng(seed)) for seed in range(8)]
    dense = torch.cat([one.filling[..., border - 1] > 0.75 for one in results])
    beside = torch.cat([one.hu[..., border] for one in results])
    assert dense.any()
    assert (beside[dense] > -100).all()
    assert all(torch.equal(one.hu[..., border + 1 :], hu[..., border + 1 :]) for one in results)
    assert not any(one.filling[..., border:].any() for one in results)


def test_a_thick_slice_is_the_mean_of_those_around_with_neighbours_beside_it(
    a_scan: CohortScan,
) -> None:
    index = int(a_scan.holding[len(a_scan.holding) // 2])
    hu, depths = Slab(a_scan, index, together=3).stack()
    cast = sitk.Cast(sitk.GetImageFromArray(a_scan.slices[index - 4 : index + 5]), sitk.sitkFloat32)
    np.testing.assert_allclose(hu, sitk.GetArrayFromImage(sitk.BinShrink(cast, (1, 1, 3))), atol=0.01)
    np.testing.assert_array_equal(depths, a_scan.slice_depths[[index - 3, index, index + 3]])
    at_the_end, _ = Slab(a_scan, 0, together=3).stack()
    np.testing.assert_array_equal(at_the_end[0], at_the_end[1])


@pytest.mark.parametrize("together", [4, 5])
def test_a_lesion_fills_a_thick_slice_by_the_mean_of_what_it_fills_in_thin_ones(
    a_scan: CohortScan, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = int(a_scan.holding[len(a_scan.holding) // 2])
    depths = torch.full((1, 3, *a_scan.slices.shape[1:]), 25.0)
    lung = torch.full_like(depths, -850.0)

    def filled(together: int) -> torch.Tensor:
        rng = np.random.default_rng(5)
        return paint_slabs([Slab(a_scan, index, together)], lung, depths, rng).filling

    thick = filled(together)
    step = a_scan.slice_mm[0]
    below = (index - together - together // 2) * step
    thirds = [below + step * (-0.5 + together * (place + 0.5) / 3) for place in range(9)]
    thin = []
    for start in range(3):  # the three thirds of each slice, in three paintings of thin slices
        monkeypatch.setattr(Slab, "heights_mm", lambda _, start=start: thirds[start::3])
        thin.append(filled(1))
    assert thick.max() > 0.2
    assert (thick[:, 0] - thick[:, 2]).abs().max() > 0.05, "its neighbours are their own"
    torch.testing.assert_close(thick, torch.stack(thin).mean(0), atol=1e-5, rtol=0)


def test_a_slice_is_painted_the_same_whatever_is_painted_beside_it(
    training_scans: list[CohortScan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thin and thick ones of several patients, as several processes share them."""
    monkeypatch.setattr(patterns, "_SHARES", {"consolidation": 1.0})
    slabs = [
        Slab(scan, int(scan.holding[len(scan.holding) // 2]), together)
        for scan, together in zip(training_scans[:5], (1, 3, 1, 3, 3), strict=True)
    ]
    stacks = [[torch.from_numpy(np.array(part, np.float32)) for part in slab.stack()] for slab in slabs]
    hu, depths = (torch.stack(parts) for parts in zip(*stacks, strict=True))
    joint = paint_slabs(slabs, hu, depths, np.random.default_rng(3))
    assert joint.filling.flatten(1).any(1).all()
    for row in range(len(slabs)):
        mine = slice(row, row + 1)
        alone = paint_slabs(slabs, hu[mine], depths[mine], np.random.default_rng(3), rows=mine)
        torch.testing.assert_close(alone.filling[0], joint.filling[row], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.hu[0], joint.hu[row], atol=0.05, rtol=0)


@pytest.mark.parametrize("together", [1, 3])
def test_a_slice_that_stands_in_for_a_missing_neighbour_is_painted_as_the_copy_that_it_is(
    a_scan: CohortScan, together: int, tmp_path: Path
) -> None:
    """As in a scan that was cut off within the lungs."""
    first = int(a_scan.holding[len(a_scan.holding) // 2])
    frame = a_scan.slice_frame
    start, shape = (frame.start[0] + first, *frame.start[1:]), (frame.shape[0] - first, *frame.shape[1:])
    cut = replace(a_scan, folder=tmp_path, slice_frame=replace(frame, start=start, shape=shape))
    for name in ("slices", "slice_depths"):
        np.save(tmp_path / f"{name}.npy", getattr(a_scan, name)[first:])
    slab = Slab(cut, 0, together)
    hu, depths = (torch.from_numpy(np.array(part, np.float32))[None] for part in slab.stack())
    assert torch.equal(hu[:, 0], hu[:, 1])
    for seed in range(8):
        painted = paint_slabs([slab], hu, depths, np.random.default_rng(seed))
        assert painted.filling[:, 1].any()
        assert torch.equal(painted.hu[:, 0], painted.hu[:, 1])
        assert not torch.equal(painted.filling[:, 1], painted.filling[:, 2])


@pytest.mark.parametrize(
    ("augmentation", "thick_mm", "together"), [("scanner", 15.0, 3), ("scanner", 4.0, 1), ("pose", 15.0, 1)]
)
def test_slices_are_taken_together_unless_they_are_thick_already_or_nothing_of_the_scanner_is_to_vary(
    a_scan: CohortScan,
    augmentation: Literal["scanner", "pose"],
    thick_mm: float,
    together: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segmenter_batches, "_THICK", 1.0)
    monkeypatch.setattr(segmenter_batches, "_THICK_MM", (thick_mm, thick_mm))
    taken: list[int] = []
    stack = Slab.stack

    def watched(self: Slab) -> Any:
        taken.append(self.together)
        return stack(self)

    monkeypatch.setattr(Slab, "stack", watched)
    preset = SegmenterPreset(painted=2, clean=1, high=0, low=0, augmentation=augmentation)
    batch, _ = SegmenterBatches(preset, [a_scan], [], choose_device("cpu")).draw(np.random.default_rng(0))
    assert a_scan.slice_mm[0] == 5.0
    assert taken == [together] * 3
    assert batch.target.any()
    assert batch.target.shape == batch.lungs.shape


def test_painted_lesion_is_target_where_the_slice_itself_gets_visibly_denser(
    a_scan: CohortScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = int(a_scan.holding[len(a_scan.holding) // 2])
    monkeypatch.setattr(segmenter_batches, "any_slice", lambda *_: (a_scan, index))
    monkeypatch.setattr(corruption, "_OPEN", 0.0)  # airways within are lesion that gets no denser
    preset = SegmenterPreset(painted=12, clean=2, high=0, low=0, augmentation="none")
    batch, _ = SegmenterBatches(preset, [a_scan], [], choose_device("cpu")).draw(np.random.default_rng(0))
    hu = torch.from_numpy(a_scan.slices[index].astype(np.float32))
    clear = torch.from_numpy(a_scan.slice_depths[index] > 0) & (hu < -750)
    denser = batch.hu[:, 1] - hu > 60
    target = batch.target[:, 0] > 0
    assert 0.02 < denser[:12, clear].float().mean() < 0.98
    assert (target == denser)[:, clear].float().mean() > 0.98
    assert not target[12:].any()


def test_a_pseudo_mask_is_the_target_of_its_own_slice_and_counts_less_where_the_generator_was_unsure(
    a_scan: CohortScan,
) -> None:
    shape = a_scan.slices.shape
    drawn = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    unsure = np.random.default_rng(2).integers(0, 80, shape).astype(np.uint8)
    masked = [(a_scan, PseudoMask(drawn, np.linspace(0, 1, len(drawn)), unsure))]
    preset = SegmenterPreset(painted=1, clean=1, high=3, low=3, augmentation="none")
    batches = SegmenterBatches(preset, [a_scan], masked, choose_device("cpu"))
    batch, _ = batches.draw(np.random.default_rng(0))
    assert batch.classes.tolist() == [-1, 0, 2, 2, 2, 1, 1, 1]
    assert (batch.certainty[:2] == 1).all()
    places = []
    for row in range(2, 8):
        (place,) = (z for z in a_scan.holding if np.array_equal(a_scan.slices[z], batch.hu[row, 1]))
        places.append(place)
        inside = a_scan.slice_depths[place] > 0
        assert np.allclose(batch.target[row, 0], drawn[place] / 255 * inside)
        assert np.allclose(batch.certainty[row, 0], np.exp(unsure[place] / -40.0), atol=1e-6)
    assert min(places[:3]) > max(places[3:]), "the highly infected ones are those above"


def test_the_pseudo_mask_of_a_slice_made_thick_is_the_mean_of_those_of_its_slices(
    a_scan: CohortScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenter_batches, "_THICK", 1.0)
    monkeypatch.setattr(segmenter_batches, "_THICK_MM", (3 * a_scan.slice_mm[0],) * 2)
    for name in ("warp", "vary_intensity"):
        monkeypatch.setattr(segmenter_batches, name, lambda _variation, image, *_, **_options: image)
    monkeypatch.setattr(segmenter_batches, "vary_mask", lambda lungs, *_, **_options: lungs)
    rng = np.random.default_rng(1)
    drawn, unsure = (rng.integers(0, 256, a_scan.slices.shape).astype(np.uint8) for _ in range(2))
    place = int(a_scan.holding[len(a_scan.holding) // 2])
    chosen = MaskedSlice(a_scan, place, PseudoMask(drawn, np.zeros(len(drawn)), unsure))
    batches = SegmenterBatches(
        SegmenterPreset(painted=0, clean=0, high=1, low=0), [a_scan], [], choose_device("cpu")
    )
    batches.high = [chosen]
    batch, _ = batches.draw(np.random.default_rng(0))
    around = slice(place - 1, place + 2)
    inside = a_scan.slice_depths[place] > 0
    assert np.allclose(batch.plain_hu[0, 1], a_scan.slices[around].mean(0))
    assert np.allclose(batch.target[0, 0], drawn[around].mean(0) / 255 * inside, atol=1e-6)
    assert np.allclose(batch.certainty[0, 0], np.exp(unsure[around].mean(0) / -40.0), atol=1e-6)


def test_targets_and_certainty_move_with_their_slices(a_scan: CohortScan) -> None:
    bright = a_scan.slices > -780
    unsure = (120 * bright).astype(np.uint8)
    masked = [(a_scan, PseudoMask((255 * bright).astype(np.uint8), np.linspace(0, 1, len(bright)), unsure))]
    preset = SegmenterPreset(painted=0, clean=0, high=8, low=8, augmentation="pose")
    batch, _ = SegmenterBatches(preset, [a_scan], masked, choose_device("cpu")).draw(np.random.default_rng(0))
    inside = batch.lungs[:, 0] > 0
    seen = batch.hu[:, 1] > -780
    assert 0.05 < seen[inside].float().mean() < 0.95
    assert ((batch.target[:, 0] > 0.5) == seen)[inside].float().mean() > 0.85
    assert ((batch.certainty[:, 0] < 0.5) == seen)[inside].float().mean() > 0.85


def test_a_single_slice_stands_in_for_its_neighbours_not_one_of_them_for_it(
    a_scan: CohortScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenter_batches, "_SINGLE_SLICE", 1.0)
    monkeypatch.setattr(segmenter_batches, "vary_intensity", lambda _variation, hu, *_, **_options: hu)
    preset = SegmenterPreset(painted=3, clean=3, high=0, low=0)
    batch, _ = SegmenterBatches(preset, [a_scan], [], choose_device("cpu")).draw(np.random.default_rng(0))
    assert not torch.equal(batch.plain_hu[:, 0], batch.plain_hu[:, 1])
    assert torch.equal(batch.hu, batch.plain_hu[:, 1:2].expand(-1, 3, -1, -1))


def test_slices_with_much_lung_are_drawn_more_often(a_scan: CohortScan) -> None:
    area = (a_scan.slice_depths[a_scan.holding] > 0).sum(axis=(1, 2))
    chances = a_scan.holding_chances
    assert chances.sum() == pytest.approx(1)
    assert chances[area.argmax()] / chances[area.argmin()] == pytest.approx(np.sqrt(area.max() / area.min()))
    rng = np.random.default_rng(1)
    drawn = [any_slice([a_scan], np.ones(1), rng)[1] for _ in range(300)]
    assert set(drawn) <= set(a_scan.holding)
    of_drawn = np.mean([(a_scan.slice_depths[z] > 0).sum() for z in drawn])
    assert of_drawn == pytest.approx((chances * area).sum(), rel=0.04)
    assert of_drawn > 1.04 * area.mean()


def test_lung_masks_are_those_that_other_methods_would_have_as_often_as_said() -> None:
    lung = np.zeros((100, 120), bool)
    lung[30:70, 40:80] = True
    lung[45:49, 40:60] = False  # a vessel that runs in from the hilum
    square = np.ones((3, 3), bool)

    def closed(width: int) -> np.ndarray:
        return ndimage.binary_closing(np.pad(lung, 40), square, iterations=width)[40:-40, 40:-40]

    masks = torch.from_numpy(lung.astype(np.float32)).expand(400, 1, -1, -1)
    varied = vary_mask(masks, np.random.default_rng(3))[:, 0].bool().numpy()
    expected = {
        "as it is": (lung, 0.3),
        "out by 1": (ndimage.binary_dilation(lung, square), 0.1),
        "out by 3": (ndimage.binary_dilation(lung, square, iterations=3), 0.1),  # a rim of the chest wall
        "in by 1": (ndimage.binary_erosion(lung, square), 0.1),
        "in by 2": (ndimage.binary_erosion(lung, square, iterations=2), 0.05),
        "closed": (closed(5), 0.1),
    }
    np.testing.assert_array_equal(closed(5), closed(13))
    for name, (mask, chance) in expected.items():
        assert (varied == mask).all((1, 2)).mean() == pytest.approx(chance, abs=0.04), name


def test_some_lung_masks_take_in_patches_beside_the_lung_and_lose_nothing() -> None:
    lungs = torch.zeros(200, 1, 100, 120)
    lungs[:, :, 40:60, 40:80] = 1
    varied = vary_mask(lungs, np.random.default_rng(3))
    beside = torch.ones(100, 120, dtype=torch.bool)
    beside[37:63, 37:83] = False
    taken = (varied[:, 0] * beside).sum(dim=(1, 2))
    some = taken > 0
    assert 0.15 < some.float().mean() < 0.35
    assert (varied[some, 0, 40:60, 40:80] == 1).all()
    assert 500 < taken[some].mean() < 3000, "neither specks nor all"
    assert not varied[:, 0, :16].any(), "what is far from the lung stays outside"


def test_the_picture_of_a_training_shows_most_lesion_and_not_the_most_infected_rim(
    a_scan: CohortScan,
) -> None:
    inside = a_scan.slice_depths > 0
    first, middle = int(a_scan.holding[0]), int(a_scan.holding[len(a_scan.holding) // 2])
    target = np.zeros(a_scan.slices.shape, np.uint8)
    target[first][inside[first]] = 255
    target[middle][inside[middle]] = 128
    shares = target.sum(axis=(1, 2)) / np.maximum(255 * inside.sum(axis=(1, 2)), 1)
    assert shares.argmax() == first
    assert most_infected(a_scan, PseudoMask(target, shares, np.zeros_like(target))).place == middle


def test_where_hardly_a_slice_is_infected_the_others_are_no_highly_infected_ones(
    a_scan: CohortScan, caplog: pytest.LogCaptureFixture
) -> None:
    burden = np.zeros(len(a_scan.slices))
    target = np.zeros(a_scan.slices.shape, np.uint8)
    ill = [int(place) for place in a_scan.holding[5:7]]
    burden[ill] = 0.02
    mild = SegmenterBatches(
        SegmenterPreset(), [a_scan], [(a_scan, PseudoMask(target, burden, target))], choose_device("cpu")
    )
    assert [one.place for one in mild.high] == ill
    assert mild.low
    assert not {one.place for one in mild.low} & set(ill)
    assert not caplog.records
    well = PseudoMask(target, np.zeros(len(burden)), target)
    none = SegmenterBatches(SegmenterPreset(), [a_scan], [(a_scan, well)], choose_device("cpu"))
    assert not none.high
    assert "No slice of the diseased scans is infected" in caplog.text
