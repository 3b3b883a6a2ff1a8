"""``covidselfseg card``: what changes a package changes it wholly or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from COVIDSelfSegLib.errors import ExitCode
from COVIDSelfSegLib.models import ModelPackage, open_package
from COVIDSelfSegTrainingLib.cli import main
from COVIDSelfSegTrainingLib.evaluation.model_card import RUN_HASH
from COVIDSelfSegTrainingLib.evaluation.sheet import Cell, Sheet


@pytest.fixture
def package(a_package: ModelPackage, tmp_path: Path) -> Path:
    return Path(shutil.copy(a_package.path, tmp_path / "copy.safetensors"))


@pytest.fixture
def scored(a_package: ModelPackage, tmp_path: Path) -> Path:
    """A sheet with a figure of the package at its own threshold."""
    inference = a_package.card.inference
    sheet = Sheet("Evaluation")
    row: dict[str, Cell] = {"method": "it", "threshold": inference.threshold, RUN_HASH: inference.sha256}
    sheet.table("packages", [row | {"SHA-256 of the weights": a_package.sha256}])
    sheet.table("slices_set", [{"method": "it", "Dice, mean": 0.5}])
    return sheet.write(tmp_path / "sheet").parent


def test_a_sheet_that_is_refused_leaves_threshold_and_figures_as_they_were(
    package: Path, scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take_over = ["card", str(package), "--sheet", str(scored), "--label", "it"]
    assert main(take_over) == ExitCode.DONE
    assert [one["value"] for one in open_package(package).card.metrics] == [0.5]
    before = package.read_bytes()
    assert main([*take_over, "--threshold", "0.77"]) == ExitCode.INPUT_REFUSED
    assert "was made with the threshold" in capsys.readouterr().err
    assert package.read_bytes() == before


@pytest.mark.parametrize("by", ["semicolons", "a byte order mark"])
def test_tables_that_another_program_saved_are_refused(
    package: Path, scored: Path, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    table = scored / "packages.csv"
    text = table.read_text()
    table.write_text(text.replace(",", ";") if by == "semicolons" else "\ufeff" + text, encoding="utf-8")
    assert main(["card", str(package), "--sheet", str(scored), "--label", "it"]) == ExitCode.INPUT_REFUSED
    assert "packages.csv has been changed by another program" in capsys.readouterr().err
    assert open_package(package).card.metrics == ()
