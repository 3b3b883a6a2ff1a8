"""``covidselfseg mean-lungs``: the mean of lung networks that were trained one from another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.errors import ExitCode
from COVIDSelfSegLib.lung_masks.network import LungCard, LungNetwork
from COVIDSelfSegLib.networks.lung_unet import LungUNet, widths_of
from COVIDSelfSegLib.weight_file import check_weights, read_weights, write_weights
from COVIDSelfSegTrainingLib.cli import main
from COVIDSelfSegTrainingLib.lineage import lineage, origin
from COVIDSelfSegTrainingLib.lung_networks.training import read_network


def a_network(path: Path, seed: int, *, started_from: Path | None = None, flat: bool = False) -> Path:
    """With random weights, and a card that says what it was trained from and on."""
    torch.manual_seed(seed)
    recipe = {"seed": seed, "started_from": origin(read_network(started_from)) if started_from else ""}
    scans = (("a chest of all", "CC0"), (f"chest {seed}", "CC BY 4.0"))
    card = LungCard(
        widths_of(flat=flat), scans, recipe, f"train-lungs {path.name}", "0", flat, 2.5 if flat else 5.0
    )
    write_weights(path, LungUNet(flat=flat).state_dict(), {"card": card.to_json()})
    return path


@pytest.fixture
def chain(tmp_path: Path) -> list[Path]:
    """Three networks, each trained from the one before."""
    first = a_network(tmp_path / "1.safetensors", 1)
    second = a_network(tmp_path / "2.safetensors", 2, started_from=first)
    return [first, second, a_network(tmp_path / "3.safetensors", 3, started_from=second)]


def mean(output: Path, *parts: tuple[Path, str]) -> int:
    return main(
        ["mean-lungs", str(output), *(w for path, share in parts for w in ("--of", str(path), share))]
    )


def test_each_weight_is_the_mean_of_the_parts_by_their_shares_and_the_network_runs(
    chain: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "new folder" / "mean.safetensors"
    assert mean(output, *zip(chain, ("0.5", "0.25", "0.25"), strict=True)) == ExitCode.DONE
    parts = [{name: value.double().numpy() for name, value in read_weights(path).items()} for path in chain]
    for name, value in read_weights(output).items():
        expected = np.average([part[name] for part in parts], axis=0, weights=[2, 1, 1])
        np.testing.assert_allclose(value.double().numpy(), expected, rtol=2e-3, atol=1e-4)
    network = LungNetwork.shipped(choose_device("cpu"), weights=output)
    assert network is not None
    assert np.isfinite(network.probability(np.full((16, 40, 48), -850, np.float32))).all()


def test_the_card_says_how_it_was_made_and_names_every_chest_that_a_part_has_seen(
    chain: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "mean.safetensors"
    assert mean(output, (chain[0], "0.25"), (chain[1], "0.75")) == ExitCode.DONE
    card = LungCard.from_json(check_weights(output)[0]["card"])
    assert set(card.trained_on) == {
        ("a chest of all", "CC0"),
        ("chest 1", "CC BY 4.0"),
        ("chest 2", "CC BY 4.0"),
    }
    assert card.command == (
        "covidselfseg mean-lungs mean.safetensors --of 1.safetensors 0.25 --of 2.safetensors 0.75"
    )
    said = [
        (part["share"], part["weights_sha256"], part["recipe"]["seed"]) for part in card.recipe["mean_of"]
    ]
    assert said == [(0.25, check_weights(chain[0])[1], 1), (0.75, check_weights(chain[1])[1], 2)]
    digests = {check_weights(path)[1] for path in (*chain[:2], output)}
    assert lineage(read_network(output)) == digests


def test_the_ends_of_a_chain_have_a_mean_without_what_lies_between(chain: list[Path], tmp_path: Path) -> None:
    assert mean(tmp_path / "mean.safetensors", (chain[0], "0.5"), (chain[2], "0.5")) == ExitCode.DONE


def test_a_mean_can_be_averaged_again_with_what_went_into_it(chain: list[Path], tmp_path: Path) -> None:
    first, second = tmp_path / "mean.safetensors", tmp_path / "again.safetensors"
    assert mean(first, (chain[0], "0.5"), (chain[1], "0.5")) == ExitCode.DONE
    assert mean(second, (first, "0.5"), (chain[1], "0.5")) == ExitCode.DONE
    mixed, last, again = (read_weights(path) for path in (first, chain[1], second))
    for name, value in again.items():
        torch.testing.assert_close(
            value.float(), mixed[name].float().lerp(last[name].float(), 0.5), atol=1e-3, rtol=0
        )


@pytest.mark.parametrize("wrong", ["began apart", "of slices", "damaged", "shares"])
def test_what_has_no_mean_is_refused_and_nothing_is_written(
    chain: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    output, other, share = tmp_path / "mean.safetensors", chain[1], "0.5"
    if wrong == "began apart":
        other = a_network(tmp_path / "apart.safetensors", 4)
    if wrong == "of slices":
        other = a_network(tmp_path / "flat.safetensors", 5, started_from=chain[0], flat=True)
    if wrong == "damaged":
        other.write_bytes(other.read_bytes()[:-100])
    if wrong == "shares":
        share = "0.6"
    code = ExitCode.MODEL_UNUSABLE if wrong == "damaged" else ExitCode.INPUT_REFUSED
    assert mean(output, (chain[0], "0.5"), (other, share)) == code
    said = {
        "began apart": "no training in common",
        "of slices": "different kinds",
        "damaged": str(other),
        "shares": "do not make a mean",
    }
    assert said[wrong] in capsys.readouterr().err
    assert not output.exists()
