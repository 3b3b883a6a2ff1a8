"""What pip is asked for along with the package goes together on every machine."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("system", "machine", "numpy_2"),
    [("darwin", "x86_64", False), ("darwin", "arm64", True), ("linux", "x86_64", True)],
)
def test_numpy_2_goes_everywhere_but_on_intel_macs_whose_last_torch_fails_with_it(
    system: str, machine: str, numpy_2: bool
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(text) for text in project["dependencies"]]
    there = {"sys_platform": system, "platform_machine": machine}
    numpy = [one for one in asked if one.name == "numpy" and (not one.marker or one.marker.evaluate(there))]
    assert all(one.specifier.contains("1.26.4") for one in numpy)
    assert all(one.specifier.contains("2.4.0") for one in numpy) == numpy_2
