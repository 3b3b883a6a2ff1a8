"""Files appear whole or not at all, also where another program has them open, as happens on Windows."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.results import REPORT, results_folder
from COVIDSelfSegLib.weight_file import write_weights
from COVIDSelfSegLib.whole_files import write_whole

HoldOn = Callable[[str, int], None]
"""Lets another program hold on to files of a name for so many attempts to put them in their place."""


@pytest.fixture
def hold_on(monkeypatch: pytest.MonkeyPatch) -> HoldOn:
    replace = Path.replace
    left: dict[str, int] = {}

    def as_on_windows(self: Path, target: Path) -> Path:
        if left.get(target.name, 0) > 0:
            left[target.name] -= 1
            raise PermissionError(13, "Access is denied", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", as_on_windows)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    return left.__setitem__


def write_results(folder: Path, text: str) -> None:
    with results_folder(folder) as partial:
        (partial / "heatmap.nrrd").write_text(text)
        (partial / REPORT).write_text(text)


@pytest.mark.parametrize("name", ["table.csv", "weights.safetensors", "results"])
def test_what_was_just_written_waits_for_the_virus_scanner(
    name: str, tmp_path: Path, hold_on: HoldOn
) -> None:
    hold_on(name, 2)
    if name == "table.csv":
        write_whole(tmp_path / name, "a,b\n")
    elif name == "weights.safetensors":
        write_weights(tmp_path / name, {"a": torch.ones(2)}, {})
    else:
        write_results(tmp_path / name, "new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_table_that_is_open_in_excel_stays_as_it_was_and_that_is_said(
    tmp_path: Path, hold_on: HoldOn
) -> None:
    table = tmp_path / "batch.csv"
    write_whole(table, "the former one\n")
    hold_on(table.name, 1000)
    with pytest.raises(UserError, match=r"batch\.csv cannot be written") as refused:
        write_whole(table, "the new one\n")
    assert refused.value.code == ExitCode.OUTPUT_NOT_WRITABLE
    assert "another program has it open" in refused.value.why
    assert "Close it there" in refused.value.fix
    assert table.read_text() == "the former one\n"
    assert [path.name for path in tmp_path.iterdir()] == [table.name]


def test_a_result_that_is_open_is_named_and_leaves_no_report_of_other_files(
    tmp_path: Path, hold_on: HoldOn
) -> None:
    write_results(tmp_path / "case", "old")
    hold_on("heatmap.nrrd", 1000)
    with pytest.raises(UserError, match=r"heatmap\.nrrd cannot be written") as refused:
        write_results(tmp_path / "case", "new")
    assert "another program has it open" in refused.value.why
    assert [path.name for path in (tmp_path / "case").iterdir()] == ["heatmap.nrrd"]
