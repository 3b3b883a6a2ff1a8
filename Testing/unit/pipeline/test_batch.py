"""``covidselfseg batch``: many scans, the same results as one by one, and nothing done twice."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from COVIDSelfSegLib import batch
from COVIDSelfSegLib.batch import Job, Outcome, name_jobs, part_of, write_table
from COVIDSelfSegLib.cli import main
from COVIDSelfSegLib.commands import batch as batch_command
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.events import StageProgress, parse_event
from COVIDSelfSegLib.models import ModelPackage, write_package
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.pipeline import segment
from COVIDSelfSegLib.volume import array_view

from ..command_runs import refused
from ..conftest import finding_package
from ..dicom_files import write_colour_picture, write_series

LESIONS, REPORT = "lesions.seg.nrrd", "report.json"


@pytest.fixture(scope="module")
def a_model(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return finding_package(tmp_path_factory.mktemp("model") / "small.safetensors", seed=1)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory, a_coarse_phantom: Phantom) -> list[Path]:
    """A sick chest, a picture that is no CT, a file cut short, a healthy chest."""
    folder = tmp_path_factory.mktemp("scans")
    sitk.WriteImage(a_coarse_phantom.scan, str(folder / "sick.nii.gz"))
    gray = sitk.Cast(sitk.IntensityWindowing(a_coarse_phantom.scan, -1200, 200, 0, 255), sitk.sitkUInt8)
    sitk.WriteImage(gray, str(folder / "picture.nrrd"))
    (folder / "cut.nii.gz").write_bytes((folder / "sick.nii.gz").read_bytes()[:5000])
    sitk.WriteImage(a_coarse_phantom.healthy_twin, str(folder / "well.mha"))
    return [folder / name for name in ("sick.nii.gz", "picture.nrrd", "cut.nii.gz", "well.mha")]


def arguments(a_model: ModelPackage, output: Path, *more: str) -> list[str]:
    fixed = ["--model", str(a_model.path), "--builtin-lungs", "--device", "cpu"]
    return ["batch", "--output", str(output), *fixed, *more]


def table(output: Path, name: str = "batch.csv") -> list[dict[str, str]]:
    with (output / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, a_model: ModelPackage, scans: list[Path]) -> Path:
    output = tmp_path_factory.mktemp("batch") / "out"
    assert main(arguments(a_model, output, *map(str, scans))) == ExitCode.DONE
    return output


def test_each_scan_has_the_results_that_it_has_alone(
    finished: Path, a_model: ModelPackage, scans: list[Path], tmp_path: Path
) -> None:
    for scan, name in ((scans[0], "sick"), (scans[3], "well")):
        alone = ["segment", str(scan), *arguments(a_model, tmp_path / name)[1:]]
        assert main(alone) == ExitCode.DONE
        for file in (LESIONS, "heatmap.nrrd", "probability.nrrd", "lungs.nrrd"):
            ours, theirs = (sitk.ReadImage(str(folder / name / file)) for folder in (finished, tmp_path))
            assert np.array_equal(array_view(ours), array_view(theirs)), (name, file)
        reports = [json.loads((folder / name / "report.json").read_text()) for folder in (finished, tmp_path)]
        assert reports[0]["numbers"] == reports[1]["numbers"]
        assert reports[0]["seconds"].keys() == reports[1]["seconds"].keys()


@pytest.mark.parametrize("step", ["segment", "write_results"])
def test_a_scan_too_large_for_the_memory_is_a_row_and_the_next_is_done(
    step: str, a_model: ModelPackage, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_little_memory_at_first(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            sitk.Image(100_000, 100_000, 100_000, sitk.sitkUInt8)
        return real(*arguments)

    calls: list[Any] = []
    real = getattr(batch, step)
    monkeypatch.setattr(batch, step, with_little_memory_at_first)
    assert main(arguments(a_model, tmp_path, str(scans[0]), str(scans[3]))) == ExitCode.DONE
    rows = table(tmp_path)
    assert [row["verdict"] for row in rows] == ["refused", "done"]
    assert "not enough memory" in rows[0]["why"]
    assert not (tmp_path / "sick").exists()


def test_a_batch_whose_scans_were_all_too_large_for_the_memory_says_so_by_its_exit_code(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more memory the same command does them; with a damaged one among them that is not so."""
    monkeypatch.setattr(batch, "segment", lambda *_: sitk.Image(100_000, 100_000, 100_000, sitk.sitkUInt8))
    for code, second in ((ExitCode.OUT_OF_MEMORY, scans[3]), (ExitCode.INPUT_REFUSED, scans[2])):
        typed = arguments(a_model, tmp_path, "--events", str(scans[0]), str(second))
        refused(typed, code, "Not one scan of 2")
        assert "not enough memory" in table(tmp_path)[0]["why"]


def test_a_refused_scan_is_a_row_that_says_why_and_the_others_are_done(finished: Path) -> None:
    rows = table(finished)
    assert [row["name"] for row in rows] == ["sick", "picture", "cut", "well"]
    assert [row["verdict"] for row in rows] == ["done", "refused", "refused", "done"]
    assert all(row["why"] for row in rows[1:3])
    assert not (finished / "picture").exists()
    assert not (finished / "cut").exists()
    report = json.loads((finished / "sick" / "report.json").read_text())
    numbers, row = report["numbers"], rows[0]
    for side, key in itertools.product(
        ("right", "left", "both"), ("volume_ml", "infected_ml", "infected_share")
    ):
        assert float(row[f"{side} {key}"]) == numbers[side][key] > 0
    assert numbers["right"]["volume_ml"] != numbers["left"]["volume_ml"]
    assert (row["severity"], float(row["threshold"])) == (numbers["severity"], report["threshold"])
    assert float(row["seconds"]) == round(sum(report["seconds"].values()), 1)
    assert rows[1]["seconds"] == ""


def test_tables_have_the_same_columns_whatever_became_of_their_scans(finished: Path, tmp_path: Path) -> None:
    """Those of a job array's parts are put below one another."""
    refused_one = Outcome(Job("a", Path("a")), "refused", "Why not.", {})
    for number, outcomes in enumerate(([], [refused_one])):
        write_table(outcomes, tmp_path / f"{number}.csv")
    tables = (finished / "batch.csv", tmp_path / "0.csv", tmp_path / "1.csv")
    assert len({file.read_text().splitlines()[0] for file in tables}) == 1
    assert table(tmp_path, "1.csv")[0]["why"] == "Why not."


def test_a_batch_whose_scans_were_all_refused_exits_with_2_and_a_part_without_scans_with_0(
    a_model: ModelPackage, tmp_path: Path
) -> None:
    """A script goes by the exit code: a disk that is not connected is no work that is done."""
    write_colour_picture(tmp_path / "report" / "1.dcm")
    paths = [str(tmp_path / name) for name in ("report", "nothing.nrrd")]
    typed = arguments(a_model, tmp_path / "out", "--events")
    failure = refused([*typed, *paths], ExitCode.INPUT_REFUSED, "Not one scan of 2")
    rows = table(tmp_path / "out")
    assert [row["verdict"] for row in rows] == ["refused", "refused"]
    assert "holds no CT series" in rows[0]["why"]
    assert "does not exist" in rows[1]["why"]
    assert failure.why.endswith(rows[0]["why"])
    assert main([*typed, "--part", "2/2", paths[0]]) == ExitCode.DONE


def test_a_list_that_is_called_like_the_table_in_its_place_is_refused_and_stays(
    a_model: ModelPackage, tmp_path: Path
) -> None:
    scans = tmp_path / "batch.csv"
    scans.write_text("nothing.nrrd\n")
    failure = refused(
        arguments(a_model, tmp_path, "--list", str(scans), "--events"),
        ExitCode.INPUT_REFUSED,
        "would be replaced by the table",
    )
    assert "another output folder" in failure.fix
    assert scans.read_text() == "nothing.nrrd\n"


def test_a_path_that_the_system_does_not_take_is_a_row_and_the_next_is_done(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path
) -> None:
    long = str(tmp_path / f"{'x' * 300}.nii.gz")
    assert main(arguments(a_model, tmp_path / "out", long, str(scans[3]))) == ExitCode.DONE
    rows = table(tmp_path / "out")
    assert [row["verdict"] for row in rows] == ["refused", "done"]
    assert "cannot be opened" in rows[0]["why"]


def test_a_scan_that_is_gone_once_it_was_read_has_its_result(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def segment_and_lose(scan: sitk.Image, *arguments: Any) -> Any:
        shutil.rmtree(lost.parent, ignore_errors=True)
        return segment(scan, *arguments)

    lost = tmp_path / "disk" / "lost.mhd"
    lost.parent.mkdir()
    sitk.WriteImage(sitk.ReadImage(str(scans[3])), str(lost))
    monkeypatch.setattr(batch, "segment", segment_and_lose)
    assert main(arguments(a_model, tmp_path / "out", str(lost))) == ExitCode.DONE
    assert table(tmp_path / "out")[0]["verdict"] == "done"
    assert main(arguments(a_model, tmp_path / "out", str(lost))) == ExitCode.INPUT_REFUSED
    assert table(tmp_path / "out")[0]["verdict"] == "refused"
    assert (tmp_path / "out" / "lost" / REPORT).is_file(), "it is of that very file, which may come back"


def test_a_scan_that_grows_while_it_is_segmented_is_not_done(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def segment_and_grow(scan: sitk.Image, *arguments: Any) -> Any:
        sitk.WriteImage(whole, str(growing))
        return segment(scan, *arguments)

    whole, growing = sitk.ReadImage(str(scans[3])), tmp_path / "growing.nrrd"
    sitk.WriteImage(whole[:, :, : whole.GetDepth() * 2 // 3], str(growing))
    with monkeypatch.context() as during:
        during.setattr(batch, "segment", segment_and_grow)
        assert main(arguments(a_model, tmp_path / "out", str(growing))) == ExitCode.DONE
    partial = table(tmp_path / "out")[0]
    assert main(arguments(a_model, tmp_path / "out", str(growing))) == ExitCode.DONE
    assert table(tmp_path / "out")[0]["verdict"] == "done", "not already done"
    assert float(table(tmp_path / "out")[0]["both volume_ml"]) > float(partial["both volume_ml"])
    # Now its file is damaged: no report may speak of what it was.
    growing.write_bytes(growing.read_bytes()[:500])
    assert main(arguments(a_model, tmp_path / "out", str(growing))) == ExitCode.INPUT_REFUSED
    assert table(tmp_path / "out")[0]["verdict"] == "refused"
    assert not (tmp_path / "out" / "growing" / REPORT).exists()


def test_a_table_of_former_results_is_gone_once_they_are_replaced(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    assert main(arguments(a_model, out, str(scans[3]))) == ExitCode.DONE
    monkeypatch.setattr(batch, "segment", stop)
    assert main(arguments(a_model, out, str(scans[3]), "--model", "nowhere")) == ExitCode.MODEL_UNUSABLE
    assert (out / "batch.csv").is_file()
    assert main(arguments(a_model, out, str(scans[3]), "--threshold", "0.9")) == ExitCode.CANCELLED
    assert not (out / "batch.csv").exists()


def test_a_result_of_another_version_is_made_anew(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    typed = arguments(a_model, tmp_path, str(scans[3]))
    assert main(typed) == ExitCode.DONE
    monkeypatch.setattr(batch, "segment", stop)
    assert main(typed) == ExitCode.DONE
    file = tmp_path / "well" / REPORT
    report = json.loads(file.read_text())
    report["versions"]["covidselfseg"] = "0.0.9"
    file.write_text(json.dumps(report))
    assert main(typed) == ExitCode.CANCELLED


@pytest.mark.skipif(sys.platform == "win32", reason="no limit to the size of files there")
def test_a_table_that_does_not_fit_on_the_disk_leaves_the_former_one_whole(tmp_path: Path) -> None:
    file = tmp_path / "batch.csv"
    file.write_text("the former one\n")
    code = (
        "import resource, sys; from pathlib import Path; "
        "from COVIDSelfSegLib.batch import Job, Outcome, write_table; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); "
        "rows = [Outcome(Job(f'{i}', Path('x')), 'refused', 'why not', {}) for i in range(1000)]; "
        "write_table(rows, Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False
    )
    assert "batch.csv cannot be written" in done.stderr
    assert file.read_text() == "the former one\n"
    assert list(tmp_path.iterdir()) == [file]


def test_run_again_it_does_what_is_missing_alone(
    finished: Path, a_model: ModelPackage, scans: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    stamp = (finished / "sick" / LESIONS).stat().st_mtime_ns
    assert main(arguments(a_model, finished, *map(str, scans))) == ExitCode.DONE
    assert (finished / "sick" / LESIONS).stat().st_mtime_ns == stamp
    assert "0 done, 2 already done, 2 refused" in capsys.readouterr().out
    assert table(finished)[0]["verdict"] == "already done"
    # Another threshold is another result.
    again = arguments(a_model, finished, str(scans[0]), "--threshold", "0.9")
    assert main(again) == ExitCode.DONE
    assert (finished / "sick" / LESIONS).stat().st_mtime_ns != stamp


@pytest.mark.parametrize("kind", ["header and voxels", "header and voxels called batch", "DICOM folder"])
def test_run_again_it_finds_its_work_done_where_the_results_lie_beside_the_scan(
    kind: str, a_model: ModelPackage, a_coarse_phantom: Phantom, tmp_path: Path
) -> None:
    if kind == "DICOM folder":
        scan = tmp_path / "case"  # the results come to lie among its slices
        slices = sitk.Expand(a_coarse_phantom.scan, [2, 2, 2])  # a smaller chest, at 1.5 x 1.5 x 2 mm
        write_series(scan, sitk.GetArrayFromImage(slices))
    else:
        scan = tmp_path / ("batch.mhd" if kind.endswith("batch") else "case.mhd")  # the table is batch.csv
        sitk.WriteImage(a_coarse_phantom.scan, str(scan))
    for verdict in ("done", "already done"):
        assert main(arguments(a_model, tmp_path, str(scan))) == ExitCode.DONE
        assert table(tmp_path)[0]["verdict"] == verdict
        if scan.is_dir():  # as one who looks at it makes macOS do
            (scan / ".DS_Store").write_bytes(b"Bud1")
    if kind != "DICOM folder":
        os.utime(scan.with_suffix(".raw"))
        assert main(arguments(a_model, tmp_path, str(scan))) == ExitCode.DONE
        assert table(tmp_path)[0]["verdict"] == "done", "its voxels are others"


def test_the_same_weights_calibrated_anew_make_their_results_anew(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path
) -> None:
    weights = a_model.generator().state_dict(), a_model.segmenter().state_dict()
    mine = write_package(tmp_path / "mine.safetensors", a_model.card, *weights)
    typed = arguments(mine, tmp_path / "out", str(scans[0]))
    for verdict in ("done", "already done"):
        assert main(typed) == ExitCode.DONE
        assert table(tmp_path / "out")[0]["verdict"] == verdict
    inference = replace(mine.card.inference, calibration_shift=1.0)
    anew = write_package(mine.path, replace(mine.card, inference=inference), *weights)
    assert anew.sha256 == mine.sha256
    assert main(typed) == ExitCode.DONE
    assert table(tmp_path / "out")[0]["verdict"] == "done"


def test_another_lung_network_makes_its_results_anew(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path, another_lung_network: Callable[[], None]
) -> None:
    typed = arguments(a_model, tmp_path / "out", str(scans[0]))
    for verdict in ("done", "already done"):
        assert main(typed) == ExitCode.DONE
        assert table(tmp_path / "out")[0]["verdict"] == verdict
    another_lung_network()
    assert main(typed) == ExitCode.DONE
    assert table(tmp_path / "out")[0]["verdict"] == "done"


def test_stopped_in_the_middle_it_goes_on_later(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    third = tmp_path / "third.mha"
    shutil.copy(scans[3], third)
    typed = arguments(a_model, output, "--events", str(scans[0]), str(scans[3]), str(third))
    process = subprocess.Popen(
        [sys.executable, "-m", "COVIDSelfSegLib", *typed],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    assert isinstance(parse_event(process.stdout.readline()), StageProgress)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == ExitCode.CANCELLED
    assert f"What was finished stays in {output}" in said
    assert "nothing was written" not in said
    # What was finished when the first was told is whole; the rest is not there at all.
    assert (output / "sick" / "report.json").is_file()
    assert not (output / "third").exists()
    assert not list(output.glob(".*"))
    assert main(arguments(a_model, output, str(scans[0]), str(scans[3]), str(third))) == ExitCode.DONE
    verdicts = {row["name"]: row["verdict"] for row in table(output)}
    assert verdicts["sick"] == "already done"
    assert verdicts["third"] == "done"


def test_the_parts_of_a_job_array_share_the_scans_and_the_whole_collects_them(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path
) -> None:
    listed = tmp_path / "scans.txt"
    listed.write_text(f"{scans[0]}\n\n{scans[3]}\n", encoding="utf-8-sig")  # as Windows' editors write it
    output = tmp_path / "out"
    for part in ("1/2", "2/2"):
        assert main(arguments(a_model, output, "--list", str(listed), "--part", part)) == ExitCode.DONE
    assert [row["name"] for row in table(output, "batch-1-of-2.csv")] == ["sick"]
    assert [row["name"] for row in table(output, "batch-2-of-2.csv")] == ["well"]
    assert main(arguments(a_model, output, "--list", str(listed))) == ExitCode.DONE
    assert [row["verdict"] for row in table(output)] == ["already done", "already done"]


def test_a_pattern_stands_for_its_files_where_no_shell_has_put_them_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["b.nii.gz", "a.nii.gz", "notes.txt", "._notes.txt", "what?.nii.gz"]
    for name in names:
        (tmp_path / name).touch()
    asked: list[Job] = []
    monkeypatch.setattr(batch_command, "segment_batch", lambda jobs, *_, **__: asked.extend(jobs) or [])
    monkeypatch.chdir(tmp_path.parent)
    relative = Path(tmp_path.name)
    none = [tmp_path / "no*.mha", tmp_path / "no**.mha"]
    patterns = [tmp_path / "?.nii.gz", relative / "*.txt", tmp_path / "what?.nii.gz", *none]
    assert main(["batch", "--output", str(tmp_path), *map(str, patterns)]) == ExitCode.DONE
    assert [job.scan for job in asked] == [
        tmp_path / "a.nii.gz",
        tmp_path / "b.nii.gz",
        relative / "notes.txt",
        tmp_path / "what?.nii.gz",
        *none,
    ]


def test_every_job_is_in_one_part() -> None:
    jobs = [Job(str(number), Path(str(number))) for number in range(10)]
    parts = [part_of(jobs, part, 3) for part in (1, 2, 3)]
    assert sorted((job for part in parts for job in part), key=lambda job: int(job.name)) == jobs


def test_scans_of_one_name_are_told_apart_by_their_folders() -> None:
    scans = [Path("/a/x/ct.nii.gz"), Path("/b/x/ct.nrrd"), Path("/c/head.MHA"), Path("/d/series")]
    assert [job.name for job in name_jobs(scans)] == ["a_x_ct", "b_x_ct", "head", "series"]
    with pytest.raises(UserError, match="named twice"):
        name_jobs([Path("/a/ct.nii"), Path("/a/ct.nii")])


def test_results_never_share_a_folder_where_capitals_do_not_count() -> None:
    assert [job.name for job in name_jobs([Path("/a/CT.nii"), Path("/b/ct.nii")])] == ["a_CT", "b_ct"]
    for other in ("CT.nii", "ct.nii.gz"):
        with pytest.raises(UserError, match=rf"/a/ct\.nii and /a/{other} differ only") as told:
            name_jobs([Path("/a/ct.nii"), Path("/b/head.nii"), Path("/a") / other])
        assert told.value.fix == "Rename one of them."


def test_every_name_is_a_folder_inside_of_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = tmp_path / "patient" / "series"
    series.mkdir(parents=True)
    monkeypatch.chdir(series)
    scans = [Path(".."), Path(), Path("../../patient/.."), Path("...nii.gz"), Path(".nii")]
    names = ["patient", "series", tmp_path.name, "...nii.gz", ".nii"]
    assert [job.name for job in name_jobs(scans)] == names
    assert [job.scan for job in name_jobs(scans)] == scans


def test_an_unusable_model_ends_the_batch_at_once(scans: list[Path], tmp_path: Path) -> None:
    typed = [
        "batch",
        str(scans[0]),
        "--output",
        str(tmp_path / "out"),
        "--model",
        str(tmp_path / "no.safetensors"),
    ]
    assert main(typed) == ExitCode.MODEL_UNUSABLE
    assert main(["batch", "--output", str(tmp_path / "out")]) == ExitCode.INPUT_REFUSED


def test_a_folder_that_cannot_be_written_ends_the_batch_without_a_table(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next scan's results would be lost likewise, on a full disk."""
    monkeypatch.setattr(batch, "segment", lambda *_: None)
    (tmp_path / "well").write_text("a file of somebody")
    typed = arguments(a_model, tmp_path, "--events", str(scans[3]))
    refused(typed, ExitCode.OUTPUT_NOT_WRITABLE, "well cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == ["well"]


def test_a_gpu_that_is_not_there_ends_the_batch_at_once_unless_all_is_done(
    a_model: ModelPackage, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cuda = arguments(a_model, tmp_path / "out", str(scans[3]), "--device", "cuda")
    failure = refused([*cuda, "--events"], ExitCode.INPUT_REFUSED, "No CUDA device")
    assert "--device auto or cpu" in failure.fix
    assert list((tmp_path / "out").iterdir()) == []
    assert main(arguments(a_model, tmp_path / "out", str(scans[3]))) == ExitCode.DONE
    assert main(cuda) == ExitCode.DONE
    assert table(tmp_path / "out")[0]["verdict"] == "already done"
