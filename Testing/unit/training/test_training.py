"""The three phases on a cohort of small phantoms: they run, learn, stop and go on, and end in a package."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.models import open_package
from COVIDSelfSegTrainingLib import segmenter, segmenter_batches, training
from COVIDSelfSegTrainingLib.augmentation import draw_variation, vary_intensity, vary_mask, warp
from COVIDSelfSegTrainingLib.cohorts import cutting
from COVIDSelfSegTrainingLib.cohorts.cohort import CohortScan, open_cohort
from COVIDSelfSegTrainingLib.cohorts.shipped import shipped_sources
from COVIDSelfSegTrainingLib.cohorts.slabs import Slab
from COVIDSelfSegTrainingLib.cohorts.sources import Source
from COVIDSelfSegTrainingLib.corruption import paint_slabs, paint_volumes
from COVIDSelfSegTrainingLib.gan import GanTrainer
from COVIDSelfSegTrainingLib.presets import Preset
from COVIDSelfSegTrainingLib.pseudo_masks import PseudoMask, residual_hu
from COVIDSelfSegTrainingLib.segmenter import SegmenterTrainer
from COVIDSelfSegTrainingLib.segmenter_batches import SegmenterBatch, SegmenterBatches
from COVIDSelfSegTrainingLib.slice_selection import CLASSES, scan_chances
from COVIDSelfSegTrainingLib.training_run.checkpoint import load_checkpoint, save_checkpoint
from COVIDSelfSegTrainingLib.training_run.curves import PANELS, SAMPLES
from PIL import Image
from torch import nn

from ..conftest import SMALL, TINY, cut_scans

CPU = Device(torch.device("cpu"), torch.float32, "CPU")


@pytest.fixture(scope="module")
def a_cohort(tmp_path_factory: pytest.TempPathFactory) -> list[CohortScan]:
    folder = tmp_path_factory.mktemp("cohort")
    sources = [
        Source("healthy_a", "healthy", "none needed", seed=1),
        Source("healthy_b", "healthy", "none needed", seed=2),
        Source("sick", "diseased", "none needed", seed=3, severity=2),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "draw_acquisition", lambda _rng: SMALL)
        return cut_scans(sources, folder)


def quiet(*_: object) -> None:
    """Takes a report and says nothing."""


def train(preset: Preset, scans: list[CohortScan], folder: Path) -> training.Outcome:
    return training.train(preset, scans, folder, CPU, command="a test", report=quiet)


def test_a_cohort_is_read_back(a_cohort: list[CohortScan]) -> None:
    folder = a_cohort[0].folder.parent
    again = open_cohort(folder)
    assert [scan.source.name for scan in again] == ["healthy_a", "healthy_b", "sick"]
    scan = again[0]
    assert scan.volume.shape == scan.volume_depths.shape == (16, 32, 32)
    assert scan.slices.shape[1:] == (48, 64)
    assert isinstance(scan.slices, np.memmap)
    inside = np.asarray(scan.slice_depths) > 0
    assert -900 < np.median(np.asarray(scan.slices)[inside]) < -700
    # The deepest point of a lung is centimetres away from the pleura.
    assert 20 < scan.slice_depths.max() < 90
    assert set(scan.holding) <= set(np.flatnonzero(inside.any(axis=(1, 2))))


def test_a_cohort_scan_keeps_no_arrays_in_memory(a_cohort: list[CohortScan]) -> None:
    scan = a_cohort[0]
    z_mm = float(scan.holding[len(scan.holding) // 2] * scan.slice_mm[0])
    sites = scan.slice_sites(z_mm, 11.0)
    assert np.abs(sites.places[:, 0] - z_mm).max() <= 11
    assert len(scan.volume_sites().places) > 100
    kept = [value for value in vars(scan).values() if isinstance(value, np.ndarray)]
    large = [array for array in kept if not isinstance(array, np.memmap) and array.nbytes > 10_000]
    assert not large


def test_the_healthy_ones_of_the_shipped_cohort_are_never_evaluation_data() -> None:
    names = {Path(source.path).name for source in shipped_sources(Path("/data")) if source.path}
    assert names
    assert not any("ricord" in name or "lung1_001" in name or "medseg" in name for name in names)
    assert all(source.seed >= 1000 for source in shipped_sources(None))


def test_painted_slabs_change_the_lung_where_they_say(a_cohort: list[CohortScan]) -> None:
    scan = a_cohort[0]
    index = int(scan.holding[len(scan.holding) // 2])
    hu, depths = (torch.from_numpy(array)[None].float() for array in Slab(scan, index).stack())
    painted = paint_slabs([Slab(scan, index)], hu.clone(), depths, np.random.default_rng(2))
    changed = (painted.hu - hu).abs() > 1
    assert changed.any()
    assert not changed[(painted.filling == 0) & (depths > 0)].any()
    far = torch.nn.functional.max_pool2d(depths, 5, 1, 2) == 0
    assert not changed[far].any(), "pixels half lung alone change beside it"
    again = paint_slabs([Slab(scan, index)], hu.clone(), depths, np.random.default_rng(2))
    assert torch.equal(painted.hu, again.hu)


def test_painted_volumes_are_denser_in_the_lung_alone(a_cohort: list[CohortScan]) -> None:
    scans = a_cohort[:2]
    hu = torch.from_numpy(np.stack([scan.volume for scan in scans])).float()
    depths = torch.from_numpy(np.stack([scan.volume_depths for scan in scans])).float()
    painted = paint_volumes(scans, hu, depths, np.random.default_rng(0))
    assert (painted.hu >= hu - 1e-3).all()
    assert torch.equal(painted.hu[depths == 0], hu[depths == 0])
    assert all((painted.filling[number] > 0).any() for number in range(2))


def test_variety_keeps_hu_in_range_and_masks_masks() -> None:
    rng = np.random.default_rng(0)
    hu = torch.from_numpy(rng.normal(-850, 60, (24, 3, 48, 64)).astype(np.float32))
    lungs = torch.zeros(24, 1, 48, 64)
    lungs[:, :, 8:40, 8:56] = 1
    variation = draw_variation(24, rng)
    moved = warp(variation, lungs, fill=0.0, nearest=True)
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    varied = vary_intensity(variation, hu, lungs, 3)
    assert torch.isfinite(varied).all()
    assert torch.equal(varied, vary_intensity(variation, hu, lungs, 3))
    assert -1100 < varied.median() < -600
    kinds = set(variation.marks.tolist())
    assert kinds == {1.0, 0.75, 0.5}
    assert set(vary_mask(lungs, rng).unique().tolist()) == {0.0, 1.0}


def test_some_lung_masks_are_closed_between_the_lungs_and_none_loses_its_inside() -> None:
    lungs = torch.zeros(60, 1, 40, 60)
    lungs[:, :, 5:35, 5:25] = lungs[:, :, 5:35, 32:55] = 1
    varied = vary_mask(lungs, np.random.default_rng(2))
    bridged = (varied[:, 0, 10:30, 25:32] == 1).all(dim=(1, 2))
    # One in ten, as far as the drawn width reaches across; patches fill all of it now and then.
    assert 2 <= bridged.sum() <= 20
    assert (varied[:, :, 8:32, 8:22] == 1).all()


def test_training_ends_in_a_package_that_says_what_it_was_trained_on(
    a_cohort: list[CohortScan], tmp_path: Path
) -> None:
    outcome = train(TINY, a_cohort, tmp_path)
    package = open_package(outcome.package.path)
    assert package.card.preset == "tiny"
    assert {scan.name for scan in package.card.trained_on} == {"healthy_a", "healthy_b", "sick"}
    assert package.card.recipe["gan"]["iterations"] == TINY.gan.iterations
    assert package.card.inference.generator_grid == (16, 32, 32)
    assert package.card.inference.marked
    generator = package.generator()
    assert generator.composite
    left = residual_hu(generator, a_cohort[:2], TINY.pseudo_mask.draws, CPU)
    assert package.card.inference.residual_hu == round(left, 1) > 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {line["phase"] for line in lines} == {"gan", "segmenter"}
    assert {"accuracy", "error_left", "texture"} <= lines[0].keys()
    assert all(np.isfinite(value) for line in lines for value in line.values() if not isinstance(value, str))
    for phase, columns in (("gan", 32), ("segmenter", 64)):  # each panel, and a gap of 2 between them
        with Image.open(tmp_path / SAMPLES / f"{phase}-0000006.png") as picture:
            assert picture.width + 2 == len(PANELS[phase]) * (columns + 2)


def test_another_seed_gives_other_weights(a_cohort: list[CohortScan], tmp_path: Path) -> None:
    one, other = (train(replace(TINY, seed=seed), a_cohort, tmp_path / str(seed)) for seed in (1, 2))
    assert one.package.sha256 != other.package.sha256


def test_a_checkpoint_holds_networks_and_optimisers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    optimiser = torch.optim.Adam(network.parameters(), 0.1)
    network(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    save_checkpoint(tmp_path / "c.safetensors", 7, {"n": network}, {"o": optimiser})
    fresh = nn.Linear(3, 2)
    again = torch.optim.Adam(fresh.parameters(), 0.1)
    assert load_checkpoint(tmp_path / "c.safetensors", {"n": fresh}, {"o": again}) == 7
    for one, two in ((network, optimiser), (fresh, again)):
        two.zero_grad()
        one(torch.tensor([[1.0, 2.0, 3.0]])).sum().backward()
        two.step()
    assert torch.equal(network.weight, fresh.weight)


@pytest.mark.parametrize("phase", ["gan", "segmenter"])
def test_losses_fall_when_a_batch_is_repeated(a_cohort: list[CohortScan], phase: str) -> None:
    """With the same random numbers at every step each network can learn its one batch."""
    healthy, sick = a_cohort[:2], a_cohort[2:]
    trainer: GanTrainer | SegmenterTrainer
    if phase == "gan":
        quick = replace(TINY, gan=replace(TINY.gan, generator_rate=3e-3, discriminator_rate=3e-3))
        trainer, name = GanTrainer(quick, healthy, sick, CPU), "reconstruction"
    else:
        fast = replace(TINY.segmenter, warm_up=0, rate=3e-3, iterations=1000)
        trainer, name = SegmenterTrainer(replace(TINY, segmenter=fast), healthy, [], CPU), "painted"
    losses = []
    for _ in range(25):
        trainer.iteration = 1
        losses.append(trainer.step()[name])
    assert losses[-1] < 0.8 * losses[0]


def test_a_training_that_ends_within_its_warm_up_says_so(
    a_cohort: list[CohortScan], caplog: pytest.LogCaptureFixture
) -> None:
    for iterations, warns in ((20, False), (10, True)):
        caplog.clear()
        phase = replace(TINY.segmenter, iterations=iterations, warm_up=10)
        SegmenterTrainer(replace(TINY, segmenter=phase), a_cohort[:2], [], CPU)
        assert ("learning rate rises to the end" in caplog.text) == warns


def test_few_real_scans_are_drawn_as_often_as_asked_beside_many_phantoms(a_cohort: list[CohortScan]) -> None:
    phantom = a_cohort[0]
    real = replace(phantom, source=replace(phantom.source, path="a scan"))
    chances = scan_chances([real, phantom, phantom, phantom], 0.6)
    assert np.allclose(chances, [0.6, 0.4 / 3, 0.4 / 3, 0.4 / 3])
    for alike in ([real, real], [phantom, phantom]):
        assert np.allclose(scan_chances(alike, 0.6), 0.5)


@pytest.fixture
def a_masked_scan(a_cohort: list[CohortScan]) -> tuple[CohortScan, PseudoMask]:
    """The sick scan with a pseudo-mask that calls its dense half lesion."""
    scan = a_cohort[2]
    dense = np.asarray(scan.slices > -700) & np.asarray(scan.slice_depths > 0)
    burden = dense.sum(axis=(1, 2)) / np.maximum((scan.slice_depths > 0).sum(axis=(1, 2)), 1)
    return scan, PseudoMask((255 * dense).astype(np.uint8), burden, np.zeros(dense.shape, np.uint8))


def test_the_teacher_teaches_from_its_start_on_and_has_nothing_to_say_to_its_equal(
    a_cohort: list[CohortScan], a_masked_scan: tuple[CohortScan, PseudoMask]
) -> None:
    phase = replace(
        TINY.segmenter, teacher_weight=1.0, teacher_start=0.5, iterations=4, augmentation="none", ema=0.9
    )
    trainer = SegmenterTrainer(replace(TINY, segmenter=phase), a_cohort[:2], [a_masked_scan], CPU)
    assert "teacher" not in trainer.step()
    trainer.iteration = 2
    trainer.average.load_state_dict(trainer.network.state_dict())
    equal = trainer.step()["teacher"].item()
    for parameter in trainer.average.parameters():
        parameter.data += 0.3
    trainer.iteration = 2
    assert equal < 1e-6 < trainer.step()["teacher"].item()


@pytest.mark.parametrize(("bound", "wanted"), [(0.5, 1.0), (0.01, -1.0)])
def test_a_learned_temperature_comes_back_from_its_bound(
    a_cohort: list[CohortScan],
    a_masked_scan: tuple[CohortScan, PseudoMask],
    monkeypatch: pytest.MonkeyPatch,
    bound: float,
    wanted: float,
) -> None:
    """It is pushed past it for three steps, and then asked back."""
    push = -wanted
    monkeypatch.setitem(segmenter._CONTRASTIVE, "supervised", lambda _rows, _classes, t: push * t)
    learned = {"learn_temperature": True, "temperature": bound, "contrastive_weight": 1.0}
    phase = replace(TINY.segmenter, **learned, warm_up=0, iterations=1000)
    trainer = SegmenterTrainer(replace(TINY, segmenter=phase), a_cohort[:2], [a_masked_scan], CPU)
    assert trainer.temperature is not None
    for _ in range(3):
        trainer.step()
    push = wanted
    for _ in range(12):
        trainer.step()
    assert wanted * (math.log(bound) - trainer.temperature.logarithm.item()) > 1e-3


def test_pose_alone_moves_slices_and_leaves_their_hu(
    a_cohort: list[CohortScan],
    a_masked_scan: tuple[CohortScan, PseudoMask],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segmenter_batches, "_THICK", 0.0)  # the mean of slices is of the scanner's variety
    drawn = {}
    for kind in ("none", "pose", "scanner"):
        batches = SegmenterBatches(
            replace(TINY.segmenter, augmentation=kind), a_cohort[:2], [a_masked_scan], CPU
        )
        drawn[kind], _ = batches.draw(np.random.default_rng(3))
    assert torch.equal(drawn["pose"].hu, drawn["pose"].plain_hu)
    assert not torch.equal(drawn["pose"].hu, drawn["none"].hu)
    assert torch.equal(drawn["pose"].plain_hu, drawn["scanner"].plain_hu)
    assert torch.equal(drawn["pose"].lungs, drawn["pose"].plain_lungs)
    assert torch.equal(drawn["pose"].lungs, drawn["scanner"].plain_lungs)
    assert not torch.equal(drawn["scanner"].hu, drawn["scanner"].plain_hu)
    assert not torch.equal(drawn["scanner"].lungs, drawn["scanner"].plain_lungs)
    assert drawn["pose"].hu.max() <= drawn["none"].hu.max()


def test_slices_that_hold_no_hu_are_marked_and_judged_apart(
    a_cohort: list[CohortScan], a_masked_scan: tuple[CohortScan, PseudoMask]
) -> None:
    phase = replace(TINY.segmenter, painted=30, clean=10, high=1, low=1)
    trainer = SegmenterTrainer(replace(TINY, segmenter=phase), a_cohort[:2], [a_masked_scan], CPU)
    drawn, _ = trainer.batches.draw(np.random.default_rng(5))
    equalised, picture = drawn.marks == 0.5, drawn.marks == 0.75
    # A fifth of 42: fewer than 2 or more than 18 come once in two thousand draws.
    assert 2 <= equalised.sum() <= 18
    assert picture.any()
    assert (drawn.marks[~equalised & ~picture] == 1).all()
    # A picture has no neighbours.
    assert torch.equal(drawn.hu[drawn.marks < 1, 0], drawn.hu[drawn.marks < 1, 1])
    assert not torch.equal(drawn.hu[drawn.marks == 1, 0], drawn.hu[drawn.marks == 1, 1])
    assert set(drawn.lungs.unique().tolist()) == {0.0, 1.0}
    # Equalising lifts noise: neighbouring pixels of the lung differ more than in any kernel or dose.
    steps = (drawn.hu[:, 1].diff(dim=-1).abs() * drawn.lungs[:, 0, :, 1:]).sum((1, 2)) / drawn.lungs.sum(
        (1, 2, 3)
    )
    # Not a number where a pose moved the lung out of view.
    assert steps[equalised].nanmedian() > steps[~equalised].nanmedian()
    seen: list[torch.Tensor] = []
    trainer.average.register_forward_pre_hook(lambda _network, given: seen.append(given[0]))
    judged = trainer.judge_unseen(1)
    told = seen[0][:, 3].amax((1, 2))
    # Nothing is told of a slice whose lung a pose moved out of view; few are.
    assert (told == 0).float().mean() < 0.1
    assert set(told.tolist()) - {0.0} == {0.5, 0.75, 1.0}
    for values, mark in (("hu", 1.0), ("equalised", 0.5)):
        count = (seen[0][told == mark, 3] > 0).sum()
        assert len(judged[values].logits) == len(judged[values].lesion) == count, values


def test_a_network_is_judged_on_lung_masks_that_no_augmentation_spoiled(
    a_cohort: list[CohortScan], a_masked_scan: tuple[CohortScan, PseudoMask]
) -> None:
    phase = replace(TINY.segmenter, painted=1, clean=40)
    batches = SegmenterBatches(phase, a_cohort[:2], [a_masked_scan], CPU)

    def soft(batch: SegmenterBatch) -> float:
        """Share of the lungs of clean slices that is soft tissue."""
        clean = batch.classes == CLASSES["clean"]
        hu, inside = batch.plain_hu[clean, 1:2], batch.lungs[clean] > 0
        return float((hu[inside] > -100).float().mean())

    known, drawn = batches.draw_known(np.random.default_rng(5)), batches.draw(np.random.default_rng(5))[0]
    assert soft(known) < 0.5 * soft(drawn)


def test_without_the_scanners_variety_nothing_is_marked(
    a_cohort: list[CohortScan], a_masked_scan: tuple[CohortScan, PseudoMask]
) -> None:
    for kind in ("none", "pose"):
        phase = replace(TINY.segmenter, augmentation=kind, painted=30)
        drawn, _ = SegmenterBatches(phase, a_cohort[:2], [a_masked_scan], CPU).draw(np.random.default_rng(5))
        assert (drawn.marks == 1).all()
