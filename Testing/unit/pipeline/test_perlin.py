"""Perlin noise equals the ``noise`` package, and its values stored for where that cannot be built."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from COVIDSelfSegLib.perlin import lattice_axes, perlin

STORED = Path(__file__).parent / "noise_values.json"
"""Values of noise 1.2.2; this file, run as a program, writes them where noise can be built."""

PAPER = {"octaves": 10, "persistence": 0.42, "lacunarity": 2.0, "repeat": 140}
PLANES = [
    {"scale": 17.3, "base": 0, **PAPER},
    {"scale": 10.0, "base": 1, **PAPER, "persistence": -0.5},
    {"scale": 29.0, "base": 0, **PAPER, "octaves": 1},
    {"scale": 3.1, "base": 0, "octaves": 4, "persistence": 0.5, "lacunarity": 2.3, "repeat": 5},
    {"scale": 0.4, "base": 0, "octaves": 3, "persistence": 0.9, "lacunarity": 2.0, "repeat": 1024},
]
VOLUMES = [
    {"scale": 7.3, "base": 0, "octaves": 4, "persistence": 0.6, "lacunarity": 2.0, "repeat": 4},
    {"scale": 1.7, "base": 0, "octaves": 2, "persistence": 0.5, "lacunarity": 2.0, "repeat": 1024},
    {"scale": 0.6, "base": 0, "octaves": 3, "persistence": -0.4, "lacunarity": 1.9, "repeat": 6},
]
PLANE_SHAPE, VOLUME_SHAPE = (19, 23), (5, 7, 11)


def ours(case: dict, shape: tuple[int, ...]) -> np.ndarray:
    arguments = {key: value for key, value in case.items() if key != "scale"}
    return perlin(lattice_axes(shape, case["scale"]), **arguments)[0].numpy()


def of_noise(case: dict, shape: tuple[int, ...]) -> np.ndarray:
    import noise

    names = ("octaves", "persistence", "lacunarity", "base")
    arguments = {name: case[name] for name in names}
    function = noise.pnoise2 if len(shape) == 2 else noise.pnoise3
    for axis in "xyz"[: len(shape)]:
        arguments[f"repeat{axis}"] = case["repeat"]
    values = np.empty(shape)
    for place in np.ndindex(shape):
        values[place] = function(*(index / case["scale"] for index in place), **arguments)
    return values


CASES = [(case, PLANE_SHAPE) for case in PLANES] + [(case, VOLUME_SHAPE) for case in VOLUMES]


@pytest.mark.parametrize(("case", "shape"), CASES)
def test_values_equal_the_noise_package(case: dict, shape: tuple[int, ...]) -> None:
    pytest.importorskip("noise", reason="noise is compiled on install, and there was no compiler")
    assert np.abs(ours(case, shape) - of_noise(case, shape)).max() < 1e-5


@pytest.mark.parametrize("number", range(len(CASES)))
def test_values_equal_those_stored_of_the_noise_package(number: int) -> None:
    case, shape = CASES[number]
    stored = np.array(json.loads(STORED.read_text())[number]).reshape(shape)
    assert np.abs(ours(case, shape) - stored).max() < 1e-5


def test_each_sample_of_a_batch_has_its_own_arguments() -> None:
    first, second = PLANES[:2]
    both = perlin(
        lattice_axes(PLANE_SHAPE, [first["scale"], second["scale"]]),
        octaves=10,
        persistence=torch.tensor([first["persistence"], second["persistence"]]),
        repeat=140,
        base=torch.tensor([first["base"], second["base"]]),
    )
    assert np.allclose(both[0], ours(first, PLANE_SHAPE), atol=1e-6)
    assert np.allclose(both[1], ours(second, PLANE_SHAPE), atol=1e-6)


def test_without_a_phase_noise_is_zero_at_every_lattice_point_and_with_one_it_is_not() -> None:
    plain = perlin(lattice_axes((41, 41), 10.0), octaves=3)
    assert plain[0, ::10, ::10].abs().max() == 0
    moved = perlin(lattice_axes((41, 41), 10.0, torch.tensor([[0.3, 0.7]])), octaves=3)
    assert moved[0, ::10, ::10].abs().max() > 0.05
    assert torch.allclose(moved[0, :-3, :-7], plain[0, 3:, 7:], atol=1e-5), (
        "by its own share of a cell along each axis"
    )


def test_other_bases_are_other_fields_of_the_same_kind() -> None:
    fields = perlin(lattice_axes((64, 64), [9.0] * 4), octaves=3, base=torch.tensor([0, 7, 500, 999]))
    flat = fields.flatten(1)
    correlation = torch.corrcoef(flat) - torch.eye(4)
    assert correlation.abs().max() < 0.35
    assert flat.std(1).max() < 1.5 * flat.std(1).min()


def test_noise_repeats_with_its_period() -> None:
    axes = [axis + 0.37 for axis in lattice_axes((64, 64), 8.0)]
    field = perlin(axes, octaves=2, repeat=4)[0]
    assert torch.allclose(field[:32, :32], field[32:, 32:], atol=1e-5)
    assert not torch.allclose(field[:32, :32], field[16:48, 16:48], atol=1e-2)


def test_one_dimension_and_no_octaves_are_refused() -> None:
    with pytest.raises(ValueError, match="2 or 3 axes"):
        perlin(lattice_axes((8,), 2.0))
    with pytest.raises(ValueError, match="an octave"):
        perlin(lattice_axes((8, 8), 2.0), octaves=0)


if __name__ == "__main__":
    rows = [of_noise(case, shape).ravel().round(9).tolist() for case, shape in CASES]
    STORED.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
