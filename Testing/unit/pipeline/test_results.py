"""Results appear whole where the user asked for them, whatever lies there and whatever a killed run left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from COVIDSelfSegLib import processes
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.file_errors import output_not_writable, writing_to
from COVIDSelfSegLib.results import HEATMAP, REPORT, UNCERTAINTY, results_folder


def test_a_folder_that_is_on_another_disk_gets_its_results(tmp_path: Path) -> None:
    other_disk = Path("/dev/shm")  # noqa: S108 (a file system of its own on Linux)
    if not other_disk.is_dir() or other_disk.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at hand")
    there = other_disk / f"covidselfseg-test-{os.getpid()}"
    there.mkdir()
    link = tmp_path / "results"
    link.symlink_to(there, target_is_directory=True)
    try:
        with results_folder(link) as folder:
            (folder / "x").write_text("x")
        assert [file.name for file in there.iterdir()] == ["x"]
        assert [file.name for file in tmp_path.iterdir()] == ["results"]
    finally:
        (there / "x").unlink(missing_ok=True)
        there.rmdir()


def test_folders_that_results_lie_in_are_made(tmp_path: Path) -> None:
    for name in ("far/below", "far/beside"):
        with results_folder(tmp_path / name) as folder:
            (folder / "x").write_text("x")
        assert (tmp_path / name / "x").is_file()


def test_nothing_is_written_beside_a_folder_that_exists(tmp_path: Path) -> None:
    target = tmp_path / "results"
    target.mkdir()
    with results_folder(target) as folder:
        (folder / "x").write_text("x")
        assert folder.parent == target
    assert [file.name for file in target.iterdir()] == ["x"]


@pytest.mark.parametrize("stuck", [HEATMAP, UNCERTAINTY])
def test_a_folder_whose_files_could_not_all_be_replaced_has_no_report(tmp_path: Path, stuck: str) -> None:
    files = (HEATMAP, UNCERTAINTY, REPORT)
    target = tmp_path / "results"
    with results_folder(target) as folder:
        for name in files:
            (folder / name).write_text("old")
    (target / stuck).unlink()
    (target / stuck / "kept").mkdir(parents=True)  # a folder in the way of the file

    def replace() -> None:
        with results_folder(target) as folder:
            for name in files:
                (folder / name).write_text("new")

    with pytest.raises(UserError, match="cannot be written"):
        replace()
    assert not (target / REPORT).exists()
    shutil.rmtree(target / stuck)
    replace()
    assert {(target / name).read_text() for name in files} == {"new"}


@pytest.mark.parametrize("exists", [False, True])
def test_what_a_killed_run_of_the_same_number_left_is_cleared(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "[scan] 1"
    if exists:
        target.mkdir()
    left = (target if exists else tmp_path) / f".{target.name}.partial-{os.getpid()}-0a1b2c"
    left.mkdir()
    (left / "half").write_text("half")
    with results_folder(target) as folder:
        (folder / "x").write_text("x")
    assert [file.name for file in target.iterdir()] == ["x"]
    assert not left.exists()


@pytest.mark.parametrize("letter", ["x", "肺"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_may_have_the_longest_name_that_the_system_takes(
    tmp_path: Path, letter: str, exists: bool
) -> None:
    target = tmp_path / (letter * (255 // len(letter.encode())))
    if exists:
        target.mkdir()
    with results_folder(target) as folder:
        (folder / "x").write_text("x")
    assert [file.name for file in target.iterdir()] == ["x"]
    assert list(tmp_path.iterdir()) == [target]


def test_what_belongs_to_a_run_that_is_still_going_stays(tmp_path: Path) -> None:
    other = tmp_path / f".out.partial-{os.getppid()}-0a1b2c"
    other.mkdir()
    with results_folder(tmp_path / "out") as folder:
        (folder / "x").write_text("x")
    assert other.exists()
    assert (tmp_path / "out" / "x").exists()


def test_on_windows_what_a_killed_run_left_a_day_ago_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, running = (tmp_path / f".out.partial-{os.getppid()}-{letter}" for letter in "ab")
    for folder in (left, running):
        folder.mkdir()
    os.utime(left, (0, left.stat().st_mtime - 25 * 3600))
    # No os.kill: on Windows it would end the process that it asks for.
    monkeypatch.setattr(processes, "os", SimpleNamespace(name="nt"))
    with results_folder(tmp_path / "out") as folder:
        (folder / "x").write_text("x")
    assert not left.exists()
    assert running.exists()


def test_results_made_anew_take_the_place_of_all_that_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(ZeroDivisionError), results_folder(target, anew=True):
        _ = 1 / 0
    assert [file.name for file in target.iterdir()] == ["old"]
    with results_folder(target, anew=True) as folder:
        (folder / "new").write_text("new")
    assert [file.name for file in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_error_of_something_else_is_not_told_as_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), results_folder(tmp_path / "out"):
        raise PermissionError("a model that may not be read")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "below", "far/below"])
def test_a_file_in_place_of_the_output_folder_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "a file").write_text("of somebody")
    with pytest.raises(UserError) as caught, results_folder(tmp_path / "a file" / below):
        pass
    assert caught.value.code == ExitCode.OUTPUT_NOT_WRITABLE
    assert caught.value.why == f"{tmp_path / 'a file'} is a file, where a folder is needed."
    assert (tmp_path / "a file").read_text() == "of somebody"


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught, writing_to(tmp_path):
        tmp_path.write_text("text")
    assert caught.value.why == "It is a folder, where a file is needed."


def test_what_cannot_be_written_is_told_of_the_folder_that_the_user_named(tmp_path: Path) -> None:
    for fails in (OSError(28, "No space left on device"), output_not_writable(tmp_path / "hidden")):
        with (
            pytest.raises(UserError, match="cannot be written") as caught,
            results_folder(tmp_path / "out") as folder,
            writing_to(folder),
        ):
            raise fails
        assert caught.value.code == ExitCode.OUTPUT_NOT_WRITABLE
        assert caught.value.what.startswith(str(tmp_path / "out "))
    assert list(tmp_path.iterdir()) == []
