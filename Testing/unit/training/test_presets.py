"""A preset is whole, readable, and refused with a reason when it cannot work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegTrainingLib.gan import generator_architecture
from COVIDSelfSegTrainingLib.preset_checks import check_preset
from COVIDSelfSegTrainingLib.preset_files import (
    differences,
    find_preset,
    preset_from_dict,
    read_preset,
    write_preset,
)
from COVIDSelfSegTrainingLib.presets import PRESETS, Preset
from COVIDSelfSegTrainingLib.segmenter import segmenter_architecture

EVERY = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)


@pytest.mark.parametrize("preset", [*PRESETS.values(), Preset(name="Süd 𠮷")], ids=[*PRESETS, "any script"])
@pytest.mark.parametrize("ending", ["toml", "json"])
def test_a_preset_survives_a_file(preset: Preset, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"preset.{ending}"
    write_preset(preset, path)
    assert read_preset(path) == preset
    assert find_preset(str(path)) == preset


@EVERY
def test_a_preset_can_work(preset: Preset) -> None:
    check_preset(preset, preset.name)
    generator_architecture(preset).build()
    segmenter_architecture(preset).build()


def test_the_papers_preset_has_the_papers_networks() -> None:
    generator, segmenter = (
        sum(parameter.numel() for parameter in architecture(PRESETS["paper"]).build().parameters())
        for architecture in (generator_architecture, segmenter_architecture)
    )
    assert generator == 7_861_643
    assert 4.8e6 < segmenter < 5.3e6


def test_the_papers_preset_is_what_the_paper_says() -> None:
    gan, segmenter, inference = (
        getattr(PRESETS["paper"], name) for name in ("gan", "segmenter", "inference")
    )
    assert (gan.iterations, gan.batch // 2, gan.generator_rate) == (10_000, 8, 5e-5)
    assert (gan.adversarial_loss, gan.joint, gan.noise_share) == ("saturating", False, 1.0)
    assert (gan.noise.octaves, gan.noise.persistence, gan.noise.repeat) == (10, (-0.5, 0.49), 140.0)
    assert (gan.noise.scale, gan.noise.base, gan.noise.slices) == ((10.0, 29.0), (0, 999), 8 / 32)
    assert (segmenter.high_share, segmenter.low_factor, segmenter.temperature) == (0.08, 0.7, 0.05)
    assert (inference.threshold, inference.threshold_kind) == (0.2, "slice")
    assert (inference.generator_grid, inference.slice_plane) == ((32, 128, 128), (128, 128))


def test_a_file_may_hold_only_what_differs_from_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('based_on = "paper"\nseed = 7\n[gan]\nbatch = 4\n')
    paper = PRESETS["paper"]
    assert read_preset(path) == replace(paper, name="mine", seed=7, gan=replace(paper.gan, batch=4))
    assert differences(paper, read_preset(path)) == [
        "gan.batch: 16, not 4",
        "name: paper, not mine",
        "seed: 20, not 7",
    ]


@pytest.mark.parametrize(
    ("values", "what", "fix"),
    [
        ({"gan": {"bach": 3}}, "no option 'gan.bach'", "Did you mean 'gan.batch'?"),
        ({"gan": {"noise": {"octave": 3}}}, "no option 'gan.noise.octave'", "octaves"),
        ({"gan": {"batch": 4.5}}, "'gan.batch' is 4.5", "whole number"),
        ({"gan": {"joint": 1}}, "'gan.joint' is 1", "true or false"),
        ({"gan": {"batch": True}}, "'gan.batch' is True", "whole number"),
        ({"gan": 3}, "'gan' is 3", "table"),
        ({"gan": {"betas": [0.5]}}, "'gan.betas' has 1 values", "have 2"),
        ({"gan": {"discriminator": "big"}}, "'gan.discriminator' is 'big'", "'patch'"),
        ({"segmenter": {"pairing": ["high", "x"]}}, "'segmenter.pairing[1]' is 'x'", "'low'"),
        ({"based_on": "nnunet"}, "based_on is 'nnunet'", "paper"),
        ({"based_on": ["paper"]}, "based_on is ['paper']", "paper"),
        ({"gan": {"generator_rate": float("nan")}}, "'gan.generator_rate' is nan", "finite"),
        ({"name": "../mine"}, "name is '../mine'", "without folders"),
        ({"name": "ward 3: mine"}, "name is 'ward 3: mine'", "of which Windows allows none"),
        ({"gan": {"batch": 3}}, "gan.batch is 3", "even"),
        ({"gan": {"discriminator_dropout": 0.5}}, "no dense layers", "'text'"),
        ({"segmenter": {"clean": 0}}, "pairing names clean", "contrastive_weight to 0"),
        ({"segmenter": {"painted": 0, "pseudo_weight": 0.0}}, "nothing to learn lesions from", "painted"),
        ({"segmenter": {"network": {"depth": 3}}}, "network.depth is no argument", "blocks"),
        ({"segmenter": {"network": {"width": "8"}}}, "{'width': '8'} cannot run", "width = 32"),
        ({"segmenter": {"network": {"width": 30}}}, "{'width': 30} cannot run", "sizes that divide"),
        ({"segmenter": {"network": {"blocks": 10**9}}}, "1000000000 blocks are more than", "blocks = 6"),
        ({"segmenter": {"network": {"heads": 3}}}, "{'heads': 3} cannot run", "heads = 8"),
        ({"segmenter": {"network": {"heads": 0}}}, "{'heads': 0} cannot run", "heads = 8"),
        (
            {"segmenter": {"architecture": "r50-vit-b16", "network": {"width": 8, "heads": 5}}},
            "'heads': 5} cannot run",
            "heads = 12",
        ),
        ({"segmenter": {"network": {"in_channels": "4"}}}, "in_channels is '4'", "Use 4"),
        ({"inference": {"margin_mm": -5.0}}, "inference.margin_mm is -5.0", "0 or more"),
        ({"inference": {"neighbour_mm": -1.0}}, "inference.neighbour_mm is -1.0", "0 or more"),
        ({"inference": {"latent_draws": 1001}}, "inference.latent_draws is 1001", "1000 at most"),
        ({"inference": {"neighbour_mm": 1001.0}}, "inference.neighbour_mm is 1001.0", "1000 at most"),
        ({"inference": {"slice_plane": [1040, 128]}}, "slice_plane is [1040, 128]", "1024 at most"),
        ({"inference": {"least_lesion_ml": -1.0}}, "inference.least_lesion_ml is -1.0", "0 or more"),
        ({"pseudo_mask": {"rescale": "min-max"}}, "leaves no HU", "percentile"),
        ({"inference": {"slice_plane": [100, 128]}}, "slice_plane is [100, 128]", "multiples of 16"),
        ({"inference": {"threshold_kind": "slice"}}, "cannot be calibrated", "calibration_batches to 0"),
        ({"seed": -1}, "preset.seed is -1", "0 or more"),
    ],
)
def test_what_cannot_work_is_refused_by_name(values: dict[str, Any], what: str, fix: str) -> None:
    with pytest.raises(UserError) as refused:
        preset_from_dict(values)
    assert what in refused.value.what
    assert fix in refused.value.fix
    assert refused.value.why


def test_the_published_transunet_may_be_made_smaller() -> None:
    smaller = {"width": 8, "blocks": 1}
    preset = preset_from_dict({"segmenter": {"architecture": "r50-vit-b16", "network": smaller}})
    assert preset.segmenter.network == smaller


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(UserError, match=r"gan\.batch is 3.*segmenter\.rate is 0"):
        preset_from_dict({"gan": {"batch": 3}, "segmenter": {"rate": 0.0}})


@pytest.mark.parametrize(("name", "text"), [("a.toml", "gan = ["), ("a.json", "[1]"), ("missing.toml", None)])
def test_a_file_that_is_no_preset_is_refused(name: str, text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=name):
        find_preset(str(tmp_path / name))
    with pytest.raises(UserError, match="no preset 'unknown'"):
        find_preset("unknown")


def test_a_preset_file_that_is_not_there_is_not_to_be_corrected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file") as refused:
        find_preset(str(tmp_path / "missing.toml"))
    assert "Check its name" in refused.value.fix


@pytest.mark.parametrize(("ending", "text"), [("toml", "seed = 7\n"), ("json", '{"seed": 7}')])
def test_a_preset_file_may_begin_with_the_mark_of_windows_editors(
    ending: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / f"mine.{ending}"
    path.write_text(text, encoding="utf-8-sig")
    assert read_preset(path) == replace(PRESETS["default"], name="mine", seed=7)


def test_a_preset_is_written_only_to_a_file_that_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    with pytest.raises(UserError, match="does not end in"):
        write_preset(PRESETS["paper"], path)
    assert not path.exists()
