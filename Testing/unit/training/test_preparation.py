"""``covidselfseg prepare`` on real files: rows, repetition, kills, full disks, damage."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.events import Event, Failure, Result, StageProgress
from COVIDSelfSegLib.file_errors import reading_from
from COVIDSelfSegLib.package_card import Inference
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.volume import array_view
from COVIDSelfSegTrainingLib.cli import main
from COVIDSelfSegTrainingLib.cohorts import cutting, preparation
from COVIDSelfSegTrainingLib.cohorts.cohort import open_cohort, open_scan
from COVIDSelfSegTrainingLib.cohorts.cutting import LungChoice
from COVIDSelfSegTrainingLib.cohorts.found import Found
from COVIDSelfSegTrainingLib.cohorts.rows import Row
from COVIDSelfSegTrainingLib.cohorts.sources import Source
from COVIDSelfSegTrainingLib.commands import prepare as prepare_command
from COVIDSelfSegTrainingLib.presets import PRESETS

from ..command_runs import command, run_here, run_process

MODULE = "COVIDSelfSegTrainingLib"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory, a_coarse_phantom: Phantom) -> Path:
    """Three scans that differ, a copy, a damaged one, a picture; one has a lesion mask."""
    folder = tmp_path_factory.mktemp("scans")
    for part in ("healthy", "covid"):
        (folder / part).mkdir()
    for shift, (part, name) in enumerate((("healthy", "a"), ("covid", "b"), ("covid", "c"))):
        sitk.WriteImage(a_coarse_phantom.scan + shift, str(folder / part / f"{name}.nii.gz"))
    sitk.WriteImage(a_coarse_phantom.lesions, str(folder / "covid" / "b_mask.nii.gz"))
    sitk.WriteImage(a_coarse_phantom.scan, str(folder / "healthy" / "a_again.nrrd"))
    whole = (folder / "covid" / "c.nii.gz").read_bytes()
    (folder / "covid" / "damaged.nii.gz").write_bytes(whole[: len(whole) // 2])
    gray = np.random.default_rng(0).integers(0, 256, (20, 40, 40)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(gray), str(folder / "covid" / "gray.mha"))
    return folder


def typed(scans: Path, cohort: Path, *more: str) -> list[str]:
    folders = ["--healthy", str(scans / "healthy"), "--covid", str(scans / "covid"), "--output", str(cohort)]
    fixed = ["--licence", "CC BY-NC 4.0", "--held-out", "0", "--builtin-lungs", "--workers", "1", "--events"]
    return ["prepare", *folders, *fixed, *more]


def run(arguments: list[str]) -> tuple[int, list[Event]]:
    return run_here(arguments, main)


def read_with_little_memory(_path: Path) -> sitk.Image:
    return sitk.Image(100_000, 100_000, 100_000, sitk.sitkUInt8)


def read_from_nowhere(path: Path) -> sitk.Image:
    """As when a file server goes away after the search."""
    with reading_from(path):
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(
    ("read", "reason"),
    [(read_with_little_memory, "not enough memory"), (read_from_nowhere, "Input/output error")],
    ids=["little memory", "no file server"],
)
def test_a_scan_that_is_not_at_fault_itself_is_tried_again_the_next_time(
    read: Callable[[Path], sitk.Image],
    reason: str,
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only what is rejected for a reason of its own is not."""
    monkeypatch.setattr(cutting, "read_scan", read)
    source = Source("a", "healthy", "CC BY-NC 4.0", str(scans / "healthy" / "a.nii.gz"))
    row = preparation._cut(Found(source, ()), tmp_path, Inference(), LungChoice(builtin=True))
    assert isinstance(row, Row)
    assert row.verdict == "failed"
    assert reason in row.reason


def wait_for_all(process: subprocess.Popen[bytes]) -> bytes:
    """What a process and its workers still say, until the last of them has ended and so let go of stdout."""
    try:
        return process.communicate(timeout=120)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError("a worker outlives its parent") from None


def result_of(events: list[Event]) -> dict:
    assert isinstance(events[-1], Result), events[-1]
    return events[-1].values


def failure_of(events: list[Event]) -> Failure:
    assert isinstance(events[-1], Failure), events[-1]
    return events[-1]


def table(cohort: Path) -> dict[str, dict[str, str]]:
    with (cohort / "cohort.csv").open(newline="", encoding="utf-8-sig") as file:
        return {Path(line["scan"]).name: line for line in csv.DictReader(file)}


def content(cohort: Path) -> dict[str, bytes]:
    files = (path for path in cohort.rglob("*") if path.is_file() and ".rows" not in path.parts)
    return {str(path.relative_to(cohort)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def cohort(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "cohort"
    code, events = run_process(typed(scans, folder, "--workers", "2"), module=MODULE)
    assert code == 0
    *progress, _ = events
    assert all(isinstance(event, StageProgress) and "scans/min" in event.message for event in progress)
    values = result_of(events)
    assert values["verdicts"] == {"used": 3, "rejected": 3}
    assert values["worked"] == 6
    assert values["non_commercial"] == 3
    return folder


def test_every_scan_has_a_row_that_says_what_became_of_it(cohort: Path) -> None:
    assert (cohort / "cohort.csv").read_bytes().startswith("\ufeffname,".encode()), "so Excel reads it"
    rows = table(cohort)
    used = {name for name, row in rows.items() if row["verdict"] == "used"}
    assert used == {"a.nii.gz", "b.nii.gz", "c.nii.gz"}
    assert "copy of" in rows["a_again.nrrd"]["reason"]
    assert "truncated" in rows["damaged.nii.gz"]["reason"]
    assert "8-bit" in rows["gray.mha"]["reason"]
    assert all(row["fix"] for row in rows.values() if row["verdict"] == "rejected")
    assert {row["licence"] for row in rows.values()} == {"CC BY-NC 4.0"}


def test_a_copy_with_a_mask_holds_out_the_other_scans_of_its_patient(
    scans: Path, a_coarse_phantom: Phantom, tmp_path: Path
) -> None:
    patient = tmp_path / "raw" / "covid" / "p17"
    patient.mkdir(parents=True)
    (tmp_path / "raw" / "healthy").mkdir()
    sitk.WriteImage(a_coarse_phantom.scan + 1, str(patient / "visit1.nii.gz"))
    sitk.WriteImage(a_coarse_phantom.scan + 2, str(patient / "visit2.nii.gz"))
    shutil.copy(scans / "covid" / "b.nii.gz", tmp_path / "raw" / "covid" / "case01.nii.gz")
    shutil.copy(scans / "covid" / "b_mask.nii.gz", tmp_path / "raw" / "covid" / "case01_mask.nii.gz")
    shutil.copy(scans / "healthy" / "a.nii.gz", tmp_path / "raw" / "healthy")
    code, events = run(typed(tmp_path / "raw", tmp_path / "cohort"))
    assert code == 0
    assert any("case01 = p17" in note for note in result_of(events)["notes"])
    rows = table(tmp_path / "cohort")
    assert rows["visit1.nii.gz"]["verdict"] == "rejected"
    assert rows["visit2.nii.gz"]["split"] == rows["case01.nii.gz"]["split"] == "held_out"
    assert [scan.source.group for scan in open_cohort(tmp_path / "cohort")] == ["healthy"]


def test_a_scan_with_a_mask_is_held_out_and_the_others_train(cohort: Path) -> None:
    train, held_out = open_cohort(cohort), open_cohort(cohort, "held_out")
    assert [Path(scan.source.path or "").name for scan in held_out] == ["b.nii.gz"]
    assert {scan.source.group for scan in train} == {"healthy", "diseased"}
    assert len(open_cohort(cohort, None)) == 3


def test_the_arrays_are_the_scan_and_the_manifest_has_their_hashes(
    cohort: Path, a_coarse_phantom: Phantom
) -> None:
    scan = open_cohort(cohort, "held_out")[0]
    assert isinstance(scan.slices, np.memmap)
    # Off the border, where voxels of another size hold other shares of the chest wall.
    depths = sitk.SignedMaurerDistanceMap(
        a_coarse_phantom.lungs > 0, insideIsPositive=True, squaredDistance=False, useImageSpacing=True
    )
    lungs = array_view(a_coarse_phantom.scan)[array_view(depths) > 10]
    assert abs(np.median(scan.slices[scan.slice_depths > 10]) - 1 - np.median(lungs)) < 10
    rows = json.loads((cohort / "manifest.json").read_text())["scans"]
    hashes = {row["source"]["name"]: row["facts"]["arrays"] for row in rows if row["verdict"] == "used"}
    assert set(hashes[scan.source.name]) == {"slices", "slice_depths", "volume", "volume_depths"}


def test_another_number_of_processes_gives_the_same_bytes(scans: Path, cohort: Path, tmp_path: Path) -> None:
    assert run(typed(scans, tmp_path / "again"))[0] == 0
    assert content(tmp_path / "again") == content(cohort)


def test_killed_and_run_again_it_does_what_is_missing(scans: Path, cohort: Path, tmp_path: Path) -> None:
    target = tmp_path / "cohort"
    process = subprocess.Popen(
        command(typed(scans, target), MODULE), stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    for _ in range(2):
        process.stdout.readline()
    process.kill()
    wait_for_all(process)
    with pytest.raises(UserError, match="not finished"):
        open_cohort(target)
    code, events = run(typed(scans, target))
    assert code == 0
    assert result_of(events)["worked"] <= 4
    assert content(target) == content(cohort)
    code, events = run(typed(scans, target))
    assert result_of(events)["worked"] == 0


def test_cancelled_it_ends_with_its_workers_before_the_rest_and_leaves_nothing_half_done(
    scans: Path, tmp_path: Path
) -> None:
    target = tmp_path / "cohort"
    process = subprocess.Popen(
        command(typed(scans, target, "--workers", "2"), MODULE),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    said = wait_for_all(process)
    assert process.returncode == 130
    assert len(said.splitlines()) < 5, "all six scans were worked on"
    assert not (target / "manifest.json").exists()
    for file in target.glob("[!.]*/scan.json"):
        open_scan(file.parent)


def test_a_full_disk_is_told_and_nothing_half_written_stays(scans: Path, tmp_path: Path) -> None:
    """A limit on the size of files fails a write in its middle, as a full disk does."""
    target = tmp_path / "cohort"
    code, events = run_process(typed(scans, target), module=MODULE, largest_file=100_000)
    assert code == 5
    failure = failure_of(events)
    assert "cannot be written" in failure.what
    assert "disk is full" in failure.why
    assert not list(target.glob("[!.]*/*.npy"))
    assert not (target / "manifest.json").exists()


def test_damaged_arrays_are_told_and_made_anew(scans: Path, cohort: Path, tmp_path: Path) -> None:
    target = tmp_path / "cohort"
    subprocess.run(["cp", "-rp", str(cohort), str(target)], check=True)
    short, changed = sorted(target.glob("*/volume.npy"))[:2]
    short.write_bytes(short.read_bytes()[:-100])
    changed.write_bytes(changed.read_bytes()[:-100] + bytes(100))
    with pytest.raises(UserError, match="damaged"):
        open_cohort(target, None)
    code, events = run(typed(scans, target, "--verify"))
    assert code == 0
    assert result_of(events)["worked"] == 2
    assert content(target) == content(cohort)


def test_who_is_who_can_be_corrected_without_cutting_again(scans: Path, cohort: Path, tmp_path: Path) -> None:
    target = tmp_path / "cohort"
    subprocess.run(["cp", "-rp", str(cohort), str(target)], check=True)
    text = (cohort / "cohort.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    for row in rows:
        row["patient"], row["licence"] = "one and the same", "CC BY 4.0"
    corrections = tmp_path / "corrected.csv"
    with corrections.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    code, events = run(typed(scans, target, "--corrections", str(corrections)))
    assert code == 0
    assert result_of(events)["worked"] == 0
    # All of the patient whose scan has a mask are held out now.
    held_out = open_cohort(target, "held_out")
    assert len(held_out) == 3
    assert {scan.source.licence for scan in held_out} == {"CC BY 4.0"}
    # As a spreadsheet in German saves it, with a scan that is not there.
    lines = [f"{row['scan']};{row['patient']}" for row in rows]
    german = "scan;patient\n" + "\n".join([*lines, "/another/disk/x.nrrd;me"]) + "\n"
    (tmp_path / "german.csv").write_text(german, encoding="utf-8-sig")
    code, _ = run(typed(scans, target, "--corrections", str(tmp_path / "german.csv")))
    assert code == 0
    assert {scan.source.patient for scan in open_cohort(target, None)} == {"one and the same"}
    notes = json.loads((target / "manifest.json").read_text())["notes"]
    assert [note for note in notes if "1 lines of" in note and "/another/disk/x.nrrd" in note]
    (tmp_path / "wrong.csv").write_text("file,who\na,b\n")
    code, events = run(typed(scans, target, "--corrections", str(tmp_path / "wrong.csv")))
    assert code == 2
    assert "must have 'scan'" in failure_of(events).why
    (tmp_path / "elsewhere.csv").write_text(text.replace(str(scans), "/another/disk"))
    code, events = run(typed(scans, target, "--corrections", str(tmp_path / "elsewhere.csv")))
    assert code == 2
    assert "names none of the scans" in failure_of(events).what
    assert len(open_cohort(target, "held_out")) == 3


def test_a_new_split_that_stops_before_its_end_leaves_no_cohort_with_scans_of_the_old_one(
    scans: Path, cohort: Path, tmp_path: Path
) -> None:
    target = tmp_path / "cohort"
    subprocess.run(["cp", "-rp", str(cohort), str(target)], check=True)
    (target / "cohort.csv").unlink()
    (target / "cohort.csv").mkdir()  # it cannot be written, as one that is open in Excel
    code, events = run(typed(scans, target, "--held-out", "1"))
    assert code == 5
    assert "cohort.csv cannot be written" in failure_of(events).what
    with pytest.raises(UserError, match="not finished"):
        open_cohort(target, None)
    (target / "cohort.csv").rmdir()
    code, events = run(typed(scans, target, "--held-out", "1"))
    assert code == 0
    assert result_of(events)["worked"] == 0
    assert len(open_cohort(target, "held_out")) == 3


def test_a_lesion_mask_in_the_corrections_holds_its_scan_out_and_has_that_scan_alone_read_again(
    scans: Path, cohort: Path, a_coarse_phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, drawn = tmp_path / "cohort", tmp_path / "drawn later.nii.gz"
    subprocess.run(["cp", "-rp", str(cohort), str(target)], check=True)
    sitk.WriteImage(a_coarse_phantom.lesions, str(drawn))
    corrections = tmp_path / "corrected.csv"

    def name(mask: Path) -> list[str]:
        corrections.write_text(f"scan,lesion_mask\n{scans / 'covid' / 'c.nii.gz'},{mask}\n")
        return typed(scans, target, "--corrections", str(corrections))

    code, events = run(name(tmp_path / "forgotten.nii.gz"))
    assert code == 2
    assert "does not exist" in failure_of(events).what
    assert content(target) == content(cohort)
    monkeypatch.chdir(tmp_path)
    code, events = run(name(Path(drawn.name)))  # from here; it is found from another folder, too
    assert code == 0
    assert result_of(events)["worked"] == 1
    masks = {
        Path(scan.source.path or "").name: scan.source.lesion_mask for scan in open_cohort(target, "held_out")
    }
    assert masks == {"b.nii.gz": str(scans / "covid" / "b_mask.nii.gz"), "c.nii.gz": str(drawn)}
    assert [Path(scan.source.path or "").name for scan in open_cohort(target)] == ["a.nii.gz"]
    arrays = [
        {name: data for name, data in content(one).items() if name.endswith(".npy")}
        for one in (cohort, target)
    ]
    assert arrays[0] == arrays[1]


def test_none_in_the_corrections_removes_a_mask_and_an_empty_cell_keeps_it(
    scans: Path, cohort: Path, tmp_path: Path
) -> None:
    target, corrections = tmp_path / "cohort", tmp_path / "corrected.csv"
    subprocess.run(["cp", "-rp", str(cohort), str(target)], check=True)
    masked = scans / "covid" / "b.nii.gz"
    for cell, held_out, worked in (("", ["b.nii.gz"], 0), ("none", [], 1)):
        corrections.write_text(f"scan,lesion_mask,lung_mask\n{masked},{cell},\n")
        code, events = run(typed(scans, target, "--corrections", str(corrections)))
        assert code == 0
        assert [Path(scan.source.path or "").name for scan in open_cohort(target, "held_out")] == held_out
        assert result_of(events)["worked"] == worked
    assert table(target)["b.nii.gz"]["lesion_mask"] == ""
    (stored,) = (path for path in (target / ".rows").glob("b-*.json"))
    assert str(scans / "covid" / "b_mask.nii.gz") not in stored.read_text()


def test_a_scan_that_cannot_be_read_fails_alone_and_keeps_what_was_cut_of_it(
    scans: Path, cohort: Path, tmp_path: Path
) -> None:
    target, unread = tmp_path / "cohort", scans / "covid" / "c.nii.gz"
    subprocess.run(["cp", "-rp", str(cohort), str(target)], check=True)
    away = unread.rename(tmp_path / "away")
    unread.symlink_to("nowhere")  # which root cannot read either
    try:
        code, events = run(typed(scans, target))
    finally:
        away.replace(unread)
    assert code == 0
    assert result_of(events)["verdicts"] == {"used": 2, "rejected": 3, "failed": 1}
    assert "1 files or folders of scans are left out" in result_of(events)["notes"][0]
    assert str(unread) in result_of(events)["notes"][0]
    row = table(target)["c.nii.gz"]
    assert f"{unread} cannot be read" in row["reason"]
    assert "make it readable" in row["fix"]
    assert len(open_cohort(target, None)) == 2
    code, events = run(typed(scans, target))
    assert result_of(events)["worked"] == 0
    assert content(target) == content(cohort)


def test_a_cohort_is_cut_for_the_preset_that_is_named(scans: Path, tmp_path: Path) -> None:
    folders = ["--covid", str(scans / "covid"), "--output", str(tmp_path / "cohort")]
    more = ["--held-out", "0", "--builtin-lungs", "--workers", "1", "--preset", "paper"]
    assert main(["prepare", *folders, *more]) == 0
    wanted = PRESETS["paper"].inference
    for scan in open_cohort(tmp_path / "cohort"):
        assert scan.volume_frame.shape == wanted.generator_grid
        assert scan.slice_frame.shape[1:] == wanted.slice_plane == (128, 128)


def test_so_is_the_cohort_of_the_shipped_models(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Source("b", "diseased", "CC BY 4.0", str(scans / "covid" / "b.nii.gz"))
    monkeypatch.setattr(prepare_command, "shipped_sources", lambda _data: [one])
    assert main(["prepare-shipped", str(tmp_path / "cohort"), "--preset", "paper", "--workers", "1"]) == 0
    (scan,) = open_cohort(tmp_path / "cohort")
    assert scan.volume_frame.shape == PRESETS["paper"].inference.generator_grid


def test_a_folder_of_other_settings_or_a_later_version_is_refused(
    cohort: Path, tmp_path: Path, another_lung_network: Callable[[], None]
) -> None:
    from COVIDSelfSegLib.package_card import Inference
    from COVIDSelfSegTrainingLib.cohorts.cutting import LungChoice
    from COVIDSelfSegTrainingLib.cohorts.preparation import Settings, prepare

    with pytest.raises(UserError, match="other grids"):
        prepare([], cohort, Settings(Inference(slice_plane=(128, 128))))
    target = tmp_path / "cohort"
    subprocess.run(["cp", "-rp", str(cohort), str(target)], check=True)
    for name in ("manifest.json", "*/scan.json"):
        path = sorted(target.glob(name))[0]
        before = path.read_text()
        path.write_text(before.replace('"format": 2', '"format": 99'))
        with pytest.raises(UserError, match="format 99"):
            open_cohort(target, None)
        path.write_text(before)
    same = Settings(lungs=LungChoice(builtin=True))
    with pytest.raises(UserError, match="None of the 0"):
        prepare([], target, same)
    another_lung_network()
    with pytest.raises(UserError, match="another lung model"):
        prepare([], target, same)


def test_nothing_usable_is_an_error_that_says_why(scans: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scans" / "covid"
    folder.mkdir(parents=True)
    (folder / "gray.mha").write_bytes((scans / "covid" / "gray.mha").read_bytes())
    more = ["--output", str(tmp_path / "cohort"), "--workers", "1", "--events"]
    code, events = run(["prepare", "--covid", str(folder), *more])
    assert code == 2
    assert "None of the 1 scans" in failure_of(events).what
    assert "8-bit" in failure_of(events).why
    assert "Export" in failure_of(events).fix, "all scans have one fault: how to mend it is said"


def test_tables_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    path = tmp_path / "cohort.csv"
    code = (
        "import sys; from pathlib import Path; "
        "from COVIDSelfSegLib.whole_files import write_whole; "
        "write_whole(Path(sys.argv[1]), ascii_text.encode().decode('unicode_escape') + chr(0xDCFC))"
    ).replace("ascii_text", repr("\\u041f\\u0451\\u0442\\u0440"))
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code, str(path)], env=plain, check=True, timeout=120)
    assert path.read_bytes() == "Пётр\\udcfc".encode()
