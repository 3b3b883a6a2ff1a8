"""Model packages are loaded by schema and hash; anything else is refused with exit code 3."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from COVIDSelfSegLib import models
from COVIDSelfSegLib.cli import main
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.lungs import r231_weights
from COVIDSelfSegLib.models import (
    ModelPackage,
    find_package,
    model_folders,
    open_package,
    weight_files,
    write_package,
)
from COVIDSelfSegLib.package_card import Architecture, ModelCard
from COVIDSelfSegLib.status import status
from COVIDSelfSegLib.torch_hub import R231_FILE, checkpoint_file, lungmask_version

from ..conftest import small_package

CHECKOUT = Path(__file__).parents[3]


def refuse(path: Path, saying: str) -> None:
    with pytest.raises(UserError, match=saying) as caught:
        open_package(path)
    assert caught.value.code == ExitCode.MODEL_UNUSABLE


def test_a_package_is_what_was_written(a_package: ModelPackage) -> None:
    opened = open_package(a_package.path)
    assert opened == a_package
    assert ModelCard.from_json(opened.card.to_json()) == opened.card
    for network in (opened.generator(), opened.segmenter()):
        assert not network.training
        assert all(
            value.dtype == torch.float32
            for value in network.state_dict().values()
            if value.is_floating_point()
        )


def test_weights_come_back_within_half_precision(tmp_path: Path, a_package: ModelPackage) -> None:
    torch.manual_seed(3)
    generator, segmenter = a_package.card.generator.build(), a_package.card.segmenter.build()
    written = write_package(
        tmp_path / "again.safetensors", a_package.card, generator.state_dict(), segmenter.state_dict()
    )
    back = open_package(written.path).segmenter().state_dict()
    for name, value in segmenter.state_dict().items():
        assert torch.allclose(back[name], value, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.999])
def test_a_package_cut_short_is_refused(a_package: ModelPackage, tmp_path: Path, kept: float) -> None:
    content = a_package.path.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(content[: int(kept if kept > 1 or kept == 0 else kept * len(content))])
    refuse(cut, "cannot be used")


def test_one_flipped_bit_in_the_weights_is_noticed(a_package: ModelPackage, tmp_path: Path) -> None:
    content = bytearray(a_package.path.read_bytes())
    content[-1234] ^= 1
    changed = tmp_path / "changed.safetensors"
    changed.write_bytes(content)
    refuse(changed, "SHA-256")


@pytest.mark.parametrize("part", ["generator", "segmenter"])
@pytest.mark.parametrize("value", [float("nan"), 1e6], ids=["no number", "beyond half precision"])
def test_a_package_with_a_weight_that_is_no_number_is_refused_as_every_lung_would_be_found_healthy(
    a_package: ModelPackage, tmp_path: Path, part: str, value: float
) -> None:
    weights = {one: getattr(a_package, one)().state_dict() for one in ("generator", "segmenter")}
    next(reversed(weights[part].values())).view(-1)[0] = value
    diverged = write_package(tmp_path / "diverged.safetensors", a_package.card, **weights)
    refuse(diverged.path, "not all of its weights are numbers")


def test_a_network_with_batch_norms_may_be_trained_for_more_steps_than_half_precision_counts(
    a_package: ModelPackage, tmp_path: Path
) -> None:
    dense = Architecture("dense-lstm-unet", {"width": 2})
    weights = dense.build().state_dict()
    next(value for name, value in weights.items() if name.endswith("num_batches_tracked")).fill_(70_000)
    card = replace(a_package.card, segmenter=dense)
    path = tmp_path / "long.safetensors"
    write_package(path, card, a_package.generator().state_dict(), weights)
    assert open_package(path).segmenter() is not None


def test_weights_that_were_replaced_since_their_file_was_opened_are_refused(tmp_path: Path) -> None:
    opened = small_package(tmp_path / "mine.safetensors")
    generator, segmenter = opened.generator().state_dict(), opened.segmenter().state_dict()
    write_package(opened.path, replace(opened.card, name="of the same weights"), generator, segmenter)
    assert opened.segmenter() is not None
    write_package(opened.path, opened.card, generator, {name: value + 1 for name, value in segmenter.items()})
    with pytest.raises(UserError, match="has been replaced since it was opened") as caught:
        opened.segmenter()
    assert caught.value.code == ExitCode.MODEL_UNUSABLE
    assert "Run again" in caught.value.fix, "the file may be whole"


def test_weights_without_a_card_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(3)}, path)
    refuse(path, "no COVIDSelfSeg model card")


def taken_apart(package: ModelPackage) -> tuple[dict[str, Any], bytes]:
    """The header of a file of weights, and what comes after it."""
    content = package.path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def put_together(path: Path, header: Any, weights: bytes) -> Path:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + weights)
    return path


def with_card(package: ModelPackage, path: Path, **changed: object) -> Path:
    """A package whose weights are whole and whose card says something else, as one of an older version."""
    header, weights = taken_apart(package)
    about = header["__metadata__"]
    del about["header_sha256"]
    about["card"] = json.dumps(json.loads(about["card"]) | changed)
    return put_together(path, header, weights)


def test_a_changed_threshold_and_weights_that_changed_places_are_noticed(
    a_package: ModelPackage, tmp_path: Path
) -> None:
    header, weights = taken_apart(a_package)
    assert open_package(put_together(tmp_path / "same.safetensors", header, weights)) is not None
    about = header["__metadata__"]
    other = about | {"card": about["card"].replace('"threshold": 0.', '"threshold": 0.1')}
    assert other != about
    changed = put_together(tmp_path / "other.safetensors", header | {"__metadata__": other}, weights)
    refuse(changed, "was changed")
    one, two = [name for name in header if header[name].get("shape") == [8]][:2]
    places = {one: header[two], two: header[one]}
    refuse(put_together(tmp_path / "swapped.safetensors", header | places, weights), "was changed")


def test_a_file_whose_header_is_none_of_safetensors_is_refused(
    a_package: ModelPackage, tmp_path: Path
) -> None:
    header, weights = taken_apart(a_package)
    about = {name: text for name, text in header["__metadata__"].items() if name != "header_sha256"}
    one = next(name for name in header if name != "__metadata__")
    for damaged in (
        [],
        header | {"__metadata__": ["weights_sha256"]},
        header | {"__metadata__": about | {"card": 5}},
        header | {"__metadata__": about, one: header[one] | {"data_offsets": [0, 10**9]}},
        "[" * 10**5,
    ):
        refuse(put_together(tmp_path / "odd.safetensors", damaged, weights), "not a safetensors file")
    nested = header | {"__metadata__": about | {"card": "[" * 10**5}}
    refuse(put_together(tmp_path / "odd.safetensors", nested, weights), "nested too deeply")


def test_weights_that_cannot_be_put_in_place_leave_no_half_written_file(
    a_package: ModelPackage, tmp_path: Path
) -> None:
    (tmp_path / "a folder.safetensors").mkdir()
    weights = a_package.generator().state_dict(), a_package.segmenter().state_dict()
    with pytest.raises(IsADirectoryError):
        write_package(tmp_path / "a folder.safetensors", a_package.card, *weights)
    assert [path.name for path in tmp_path.iterdir()] == ["a folder.safetensors"]


def test_another_schema_and_an_incomplete_card_are_refused(a_package: ModelPackage, tmp_path: Path) -> None:
    refuse(with_card(a_package, tmp_path / "other.safetensors", schema=99), "schema")
    refuse(with_card(a_package, tmp_path / "part.safetensors", inference=None), "incomplete")
    unnamed = {"name": "a scan", "licence": None, "role": "healthy"}
    for changed in ({"name": 5}, {"trained_on": [unnamed]}):
        refuse(with_card(a_package, tmp_path / "odd.safetensors", **changed), "a name is no text")


@pytest.mark.parametrize(
    "changed",
    [
        {"threshold": "0.3"},
        {"threshold": float("nan")},
        {"threshold": 1.5},
        {"threshold": True},
        {"threshold_kind": "some"},
        {"latent_draws": 0},
        {"latent_draws": 1.5},
        {"latent_draws": 10**9},
        {"slice_plane": [192]},
        {"slice_plane": [100, 100]},
        {"slice_plane": ["192", "256"]},
        {"generator_grid": [0, 32, 32]},
        {"generator_grid": [16 * 10**6, 32, 32]},
        {"margin_mm": -5},
        {"neighbour_mm": None},
        {"neighbour_mm": 1e300},
        {"residual_hu": float("inf")},
        {"calibration_slope": float("nan")},
        {"least_lesion_ml": -0.1},
        {"mirrored": "no"},
    ],
    ids=str,
)
def test_a_card_by_which_the_networks_cannot_be_run_is_refused_before_they_are(
    a_package: ModelPackage, tmp_path: Path, changed: dict[str, object]
) -> None:
    inference = asdict(a_package.card.inference) | changed
    refuse(with_card(a_package, tmp_path / "odd.safetensors", inference=inference), next(iter(changed)))


@pytest.mark.parametrize(
    ("part", "network", "saying"),
    [
        ("segmenter", ("compact-transunet", {"width": 18}), r"num_channels \(9\) must be divisible"),
        ("segmenter", ("compact-transunet", {"width": "8"}), "segmenter cannot run"),
        ("segmenter", ("compact-transunet", {"width": 8, "depth": 3}), "'depth'"),
        ("segmenter", ("compact-transunet", {"width": 16}), "do not fit its segmenter"),
        ("segmenter", ("compact-transunet", {"width": 8, "blocks": 1, "mlp": 32, "heads": 0}), "zero"),
        ("segmenter", ("compact-transunet", {"width": 8, "blocks": 1, "mlp": 32, "heads": 3}), "cannot run"),
        ("segmenter", ("compact-transunet", {"width": 8, "blocks": 10**9}), "0 blocks are more than 256"),
        ("segmenter", ("r50-vit-b16", {"width": 8, "units": [3, 10**9, 9]}), "0 units are more than 256"),
        ("segmenter", ("compact-transunet", [8]), "arguments of its segmenter have no names"),
        ("segmenter", ("r50-vit-b16", {"width": 8, "heads": 5}), "divisible by num_heads"),
        ("segmenter", ("generator", {"base_width": 2}), "a generator is no 2D network"),
        ("generator", ("compact-transunet", {"width": 8}), "a compact-transunet is no generator"),
        ("generator", ("generator", {"base_width": -1}), "generator cannot run"),
        ("generator", ("nnunet", {}), "there is no network 'nnunet'"),
    ],
    ids=str,
)
def test_a_card_whose_network_cannot_be_built_or_run_is_refused_before_a_run_begins(
    a_package: ModelPackage, tmp_path: Path, part: str, network: tuple[str, object], saying: str
) -> None:
    described = dict(zip(("network", "arguments"), network, strict=True))
    refuse(with_card(a_package, tmp_path / "odd.safetensors", **{part: described}), saying)


def test_a_network_that_takes_channels_in_of_which_a_scan_has_none_is_refused(
    a_package: ModelPackage, tmp_path: Path
) -> None:
    small = a_package.card.segmenter
    five = Architecture(small.network, small.arguments | {"in_channels": 5})
    package = write_package(
        tmp_path / "five.safetensors",
        replace(a_package.card, segmenter=five),
        a_package.generator().state_dict(),
        five.build().state_dict(),
    )
    refuse(package.path, "takes 5 channels in, not 1 or 4")


def test_to_open_a_package_draws_no_random_numbers(a_package: ModelPackage) -> None:
    before = torch.get_rng_state()
    open_package(a_package.path)
    assert torch.equal(torch.get_rng_state(), before)


def test_whole_numbers_will_do_where_others_are_usual(a_package: ModelPackage, tmp_path: Path) -> None:
    inference = asdict(a_package.card.inference) | {"threshold": 1, "margin_mm": 5}
    opened = open_package(with_card(a_package, tmp_path / "whole.safetensors", inference=inference))
    assert opened.card.inference.threshold == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"generator_grid": [16, 16, 1024], "slice_plane": [16, 1024], "latent_draws": 1000}
        | {"neighbour_mm": 1000.0, "threshold": 1.0},
        {"generator_grid": [16, 16, 16], "slice_plane": [16, 16], "latent_draws": 1}
        | {"neighbour_mm": 0.0, "threshold": 0.0, "margin_mm": 0.0, "least_lesion_ml": 0.0},
    ],
    ids=["largest", "smallest"],
)
def test_the_least_and_the_most_that_a_card_may_say_will_do(
    a_package: ModelPackage, tmp_path: Path, changed: dict[str, object]
) -> None:
    inference = asdict(a_package.card.inference) | changed
    assert open_package(with_card(a_package, tmp_path / "far.safetensors", inference=inference)) is not None


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "pickled.safetensors"
    torch.save({"weights": torch.zeros(3)}, path)
    refuse(path, "not a safetensors file")


def test_weights_of_another_architecture_are_refused(a_package: ModelPackage, tmp_path: Path) -> None:
    generator = a_package.card.generator.build().state_dict()
    generator.popitem()
    package = write_package(
        tmp_path / "odd.safetensors", a_package.card, generator, a_package.card.segmenter.build().state_dict()
    )
    with pytest.raises(UserError, match="do not fit its generator"):
        package.generator()


def test_a_users_own_package_is_found_by_name_before_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVIDSELFSEG_MODELS", str(tmp_path))
    mine = small_package(tmp_path / "covidselfseg-default.safetensors")
    assert model_folders()[0] == tmp_path
    assert find_package() == mine
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    (tmp_path / "._covidselfseg-default.safetensors").write_bytes(b"\0\5\x16\7")  # as macOS writes it
    assert weight_files(tmp_path) == [mine.path]
    listed = [model["path"] for model in status()["models"]]
    assert str(mine.path) == listed[0]
    assert main(["models"]) == 0


def test_an_installed_wheel_finds_the_models_that_came_with_it(tmp_path: Path) -> None:
    """As pip lays a wheel out: its packages below lib, its shared data where the project file says."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    (shared,) = (
        place for folder, place in wheel["shared-data"].items() if folder.endswith("Resources/Models")
    )
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    source = Path(models.__file__).parent
    shutil.copytree(source, packages / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / shared).mkdir(parents=True)
    shipped = small_package(tmp_path / shared / "covidselfseg-default.safetensors")
    elsewhere = {name: value for name, value in os.environ.items() if name != "COVIDSELFSEG_MODELS"}
    done = subprocess.run(
        [sys.executable, "-m", source.name, "models"],
        capture_output=True,
        encoding="utf-8",
        check=True,
        cwd=tmp_path,
        env=elsewhere | {"PYTHONPATH": str(packages)},
    )
    folder, package = done.stdout.splitlines()[:2]
    assert folder == f"folder {tmp_path / shared}"
    assert package.startswith("covidselfseg-default.safetensors")
    assert package.endswith(f"present, SHA-256 {shipped.sha256}")


def test_a_missing_package_says_where_was_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVIDSELFSEG_MODELS", str(tmp_path))
    with pytest.raises(UserError, match="'mine' was not found") as caught:
        find_package("mine")
    assert str(tmp_path) in caught.value.why
    with pytest.raises(UserError, match="does not exist"):
        find_package(str(tmp_path / "mine.safetensors"))


def test_a_model_that_may_not_be_read_is_refused_as_a_model(
    a_package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    refuse(a_package.path, "Permission denied")


@pytest.mark.parametrize(
    ("torch_home", "cache"), [(None, None), ("~/t", None), (None, "/c"), (None, "~/c"), ("/t", "/c")]
)
def test_weights_are_looked_for_where_torch_puts_them(
    torch_home: str | None, cache: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TORCH_HOME", torch_home), ("XDG_CACHE_HOME", cache)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert checkpoint_file("x.pth") == Path(torch.hub.get_dir()) / "checkpoints" / "x.pth"


@pytest.mark.skipif(sys.platform == "win32", reason="homes are found in another way there")
def test_a_user_without_a_home_has_no_downloaded_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_uid: int) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert checkpoint_file(R231_FILE) == Path(torch.hub.get_dir()) / "checkpoints" / R231_FILE
    assert r231_weights() is None
    assert status()["lungmask"]["present"] is False


def test_weights_in_a_folder_that_may_not_be_entered_are_not_there(
    a_package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        if isinstance(path, str | Path) and tmp_path in Path(path).parents:
            raise PermissionError(13, "Permission denied", str(path))  # root is kept out of no folder
        return really(path, **options)

    shutil.copy(a_package.path, tmp_path / "mine.safetensors")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("COVIDSELFSEG_MODELS", os.pathsep.join([str(tmp_path / "models"), str(tmp_path)]))
    monkeypatch.setattr(os, "stat", stat)
    assert status()["lungmask"]["present"] is False
    assert r231_weights() is None
    assert model_folders()[0] == tmp_path
    assert weight_files(tmp_path) == []
    with pytest.raises(UserError, match="was not found"):
        find_package("mine")
    monkeypatch.setattr(Path, "read_bytes", stat)
    refuse(tmp_path / "mine.safetensors", "Permission denied")


def test_the_folder_that_an_uninstalled_lungmask_leaves_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lungmask").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert lungmask_version() is None


def test_a_python_that_is_too_old_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    told = status()
    assert "too old" in told["torch"]["error"]
    assert "3.11 or later" in told["torch"]["fix"]
    assert told["models"] == []
