"""The worker as a real process: events, exit codes, what it leaves behind."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib import colors
from COVIDSelfSegLib.cancelling import end_on_signals
from COVIDSelfSegLib.events import Failure, Result, StageProgress, parse_event
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.volume import grid_difference, image_like, read_scan

from ..command_runs import Run, command, leftovers, refused, run_here, run_process, typed
from ..conftest import finding_package

ROOT = Path(__file__).resolve().parents[3]
ALL_FILES = {
    "lungs.nrrd",
    "pseudo_healthy.nrrd",
    "heatmap.nrrd",
    "uncertainty.nrrd",
    "probability.nrrd",
    "lesions.seg.nrrd",
    "overview.png",
    "report.json",
}


@dataclass(frozen=True)
class FinishedRun:
    """A run to its end; what it found depends on the threshold."""

    scan: Path
    package: ModelPackage
    code: int
    events: list
    output: Path


@pytest.fixture(scope="module")
def a_run_at_0_4(a_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    folder = tmp_path_factory.mktemp("run")
    package = finding_package(folder / "finding.safetensors", seed=1)
    scan = folder / "scan.nii.gz"
    sitk.WriteImage(a_phantom.scan, str(scan))
    return finished_run(run_process, scan, package, folder / "out", "--threshold", "0.4")


@pytest.fixture(scope="module")
def a_stricter_run(a_run_at_0_4: FinishedRun) -> FinishedRun:
    """The same scan and package at a threshold of 0.8, in the process of the tests."""
    scan, package, output = a_run_at_0_4.scan, a_run_at_0_4.package, a_run_at_0_4.output.with_name("stricter")
    return finished_run(run_here, scan, package, output, "--threshold", "0.8")


def finished_run(run: Run, scan: Path, package: ModelPackage, output: Path, *more: str) -> FinishedRun:
    return FinishedRun(scan, package, *run(typed(scan, output, package, *more)), output)


def stored(output: Path, name: str) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(output / name)))


def test_a_run_gives_rising_progress_a_result_and_all_files(
    a_run_at_0_4: FinishedRun, a_phantom: Phantom
) -> None:
    assert a_run_at_0_4.code == 0
    *progress, result = a_run_at_0_4.events
    output = a_run_at_0_4.output
    assert all(isinstance(event, StageProgress) for event in progress)
    fractions = [event.fraction for event in progress]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == pytest.approx(1)
    stages = list(dict.fromkeys(event.stage for event in progress))
    assert stages == ["read", "check", "lungs", "synthesis", "segmentation", "measure", "write", "picture"]
    assert isinstance(result, Result)
    assert {path.name for path in output.iterdir()} == ALL_FILES
    assert leftovers(output) == []
    report = json.loads((output / "report.json").read_text())
    assert report == json.loads(json.dumps(result.values))
    assert report["threshold"] == 0.4
    assert report["model"]["sha256"] == a_run_at_0_4.package.sha256
    assert report["lung_mask"]["source"] == "built-in"
    assert report["numbers"]["both"]["volume_ml"] > 2000
    for name in ALL_FILES - {"overview.png", "report.json"}:
        assert grid_difference(read_scan(output / name), a_phantom.scan) is None, name


def test_what_is_written_agrees_with_itself(a_run_at_0_4: FinishedRun, a_phantom: Phantom) -> None:
    output = a_run_at_0_4.output
    images = {path.name: sitk.ReadImage(str(path)) for path in output.glob("*.nrrd")}
    values = {name: sitk.GetArrayFromImage(image) for name, image in images.items()}
    types = {name: image.GetPixelID() for name, image in images.items()}
    assert types == {
        "lungs.nrrd": sitk.sitkUInt8,
        "pseudo_healthy.nrrd": sitk.sitkInt16,
        "heatmap.nrrd": sitk.sitkInt16,
        "uncertainty.nrrd": sitk.sitkUInt8,
        "probability.nrrd": sitk.sitkUInt8,
        "lesions.seg.nrrd": sitk.sitkUInt8,
    }
    scan = sitk.GetArrayFromImage(a_phantom.scan)
    assert np.array_equal(values["pseudo_healthy.nrrd"] + values["heatmap.nrrd"], scan)
    outside = values["lungs.nrrd"] == 0
    for name in ("heatmap.nrrd", "probability.nrrd", "lesions.seg.nrrd"):
        assert (values[name][outside] == 0).all()
    lesion_hu = json.loads((output / "report.json").read_text())["numbers"]["both"]["lesion_hu"]
    assert lesion_hu == pytest.approx(scan[values["lesions.seg.nrrd"] > 0].mean())
    segment = images["lesions.seg.nrrd"]
    assert segment.GetMetaData("Segment0_Name") == "COVID lesion"
    assert segment.GetMetaData("Segment0_LabelValue") == "1"
    columns, rows, slices = a_phantom.scan.GetSize()
    extent = [0, columns - 1, 0, rows - 1, 0, slices - 1]
    assert [int(end) for end in segment.GetMetaData("Segment0_Extent").split()] == extent
    colour = [255 * float(channel) for channel in segment.GetMetaData("Segment0_Color").split()]
    assert colour == pytest.approx(colors.LESION, abs=0.5)


def lesions_of(output: Path, threshold: float, least_ml: float) -> np.ndarray:
    """What a threshold makes of a stored probability, by SimpleITK: parts large enough, joined by faces."""
    probability = sitk.ReadImage(str(output / "probability.nrrd"))
    parts = sitk.ConnectedComponent(sitk.Cast(probability, sitk.sitkFloat32) >= 255 * threshold, False)
    voxels = int(np.ceil(least_ml * 1000 / np.prod(probability.GetSpacing()) - 1e-6))
    return sitk.GetArrayFromImage(sitk.RelabelComponent(parts, voxels)) > 0


def test_the_lesions_are_the_large_parts_of_the_lung_that_reach_the_threshold_asked_for(
    a_run_at_0_4: FinishedRun, a_stricter_run: FinishedRun
) -> None:
    sizes = []
    for output, threshold in ((a_run_at_0_4.output, 0.4), (a_stricter_run.output, 0.8)):
        lesions = stored(output, "lesions.seg.nrrd") > 0
        report = json.loads((output / "report.json").read_text())
        assert np.array_equal(lesions, lesions_of(output, threshold, report["least_lesion_ml"]))
        share = lesions.sum() / (stored(output, "lungs.nrrd") > 0).sum()
        assert report["numbers"]["both"]["infected_share"] == pytest.approx(share)
        sizes.append(share)
    assert 0 < sizes[1] < sizes[0] < 0.6, "neither nothing nor everything is found"


def test_the_same_run_twice_gives_the_same_voxels(
    a_run_at_0_4: FinishedRun, a_stricter_run: FinishedRun
) -> None:
    """A threshold changes the lesions alone."""
    assert a_stricter_run.code == 0
    for name in ("lungs.nrrd", "probability.nrrd", "pseudo_healthy.nrrd", "heatmap.nrrd", "uncertainty.nrrd"):
        assert np.array_equal(stored(a_run_at_0_4.output, name), stored(a_stricter_run.output, name)), name


def test_a_refused_scan_exits_with_2_and_leaves_nothing(a_package: ModelPackage, tmp_path: Path) -> None:
    path = tmp_path / "gray.nrrd"
    gray = np.random.default_rng(0).integers(0, 256, (20, 40, 40)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(gray), str(path))
    refused(typed(path, tmp_path / "out", a_package), 2, "8-bit", run_process)
    assert not (tmp_path / "out").exists()
    assert leftovers(tmp_path / "out") == []


def test_a_disk_that_fills_up_exits_with_5_and_leaves_nothing(
    a_coarse_scan_file: Path, coarse_lungs: Path, a_package: ModelPackage, tmp_path: Path
) -> None:
    """A limit on the size of files fails a write in its middle, as a full disk does."""
    output = tmp_path / "out"
    small = functools.partial(run_process, largest_file=100_000)
    arguments = typed(a_coarse_scan_file, output, a_package, "--lung-mask", str(coarse_lungs))
    failure = refused(arguments, 5, "cannot be written", small)
    assert "disk is full" in failure.why
    assert not output.exists()
    assert leftovers(output) == []


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that runs the tests in the background lets SIGINT be ignored, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("stage", "signal_"),
    [
        ("read", signal.SIGTERM),
        ("lungs", signal.SIGINT),
        ("synthesis", signal.SIGTERM),
        ("segmentation", signal.SIGINT),
        ("write", signal.SIGTERM),
        ("picture", signal.SIGINT),
    ],
)
def test_a_cancelled_run_ends_soon_and_leaves_nothing(
    *,
    a_coarse_scan_file: Path,
    coarse_lungs: Path,
    a_package: ModelPackage,
    tmp_path: Path,
    stage: str,
    signal_: signal.Signals,
) -> None:
    output = tmp_path / "out"
    given = [] if stage in ("read", "lungs") else ["--lung-mask", str(coarse_lungs)]
    worker = subprocess.Popen(
        command(typed(a_coarse_scan_file, output, a_package, *given)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert worker.stdout is not None
    for line in worker.stdout:
        event = parse_event(line)
        if isinstance(event, StageProgress) and event.stage == stage:
            break
    worker.send_signal(signal_)
    _, said = worker.communicate(timeout=60)
    assert worker.returncode == 130, said
    assert "Cancelled" in said
    assert not output.exists()
    assert leftovers(output) == []


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("imported", ["SimpleITK", "torch"])
def test_a_run_that_is_cancelled_while_it_still_loads_its_packages_says_so(
    tmp_path: Path, imported: str
) -> None:
    (tmp_path / f"{imported}.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    output = tmp_path / "out"
    done = subprocess.run(
        command(["segment", "scan.nrrd", "--output", str(output)]),
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr == "Cancelled; nothing was written.\n"
    assert not output.exists()


SWALLOWING = """
import os, signal, sys
from COVIDSelfSegLib import cli
from COVIDSelfSegLib.commands import doctor

def work(parsed):
    try:
        if asked:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
    finally:
        raise SystemError("of a library")

asked = sys.argv[1] == "asked"
doctor.add_arguments = lambda parser: parser.set_defaults(command=work)
sys.exit(cli.main(["doctor"]))
"""


SWALLOWED = """
import os, signal, sys
from COVIDSelfSegLib import cli
from COVIDSelfSegLib.commands import models
from COVIDSelfSegLib.pipeline import StageClock

def work(parsed):
    try:
        os.kill(os.getpid(), int(sys.argv[1]))
        signal.pause()
    except BaseException:
        print("swallowed")
    StageClock().within(0.5)
    print("went on")

models.add_arguments = lambda parser: parser.set_defaults(command=work)
sys.exit(cli.main(["models"]))
"""


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_a_cancellation_that_a_library_swallows_ends_the_run_at_its_next_step(
    signal_: signal.Signals,
) -> None:
    command_line = [sys.executable, "-c", SWALLOWED, str(int(signal_))]
    done = subprocess.run(command_line, capture_output=True, encoding="utf-8", check=False)
    assert done.stdout == "swallowed\n"
    assert done.returncode == 130


@pytest.mark.parametrize(("asked", "code"), [("asked", 130), ("not asked", 1)])
def test_a_cancellation_that_a_library_makes_an_error_of_its_own_is_one_all_the_same(
    asked: str, code: int
) -> None:
    command_line = [sys.executable, "-c", SWALLOWING, asked]
    done = subprocess.run(command_line, check=False, capture_output=True, text=True)
    assert done.returncode == code
    assert ("Cancelled" in done.stderr) == (asked == "asked")
    assert ("of a library" in done.stderr) == (asked != "asked")


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_that_is_meant_for_another_program_does_not_end_a_run_in_the_background() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for a command that ends in "&"
    end_on_signals()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_what_a_killed_run_left_is_cleared_by_the_next(
    a_coarse_scan_file: Path, a_package: ModelPackage, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    worker = subprocess.Popen(
        command(typed(a_coarse_scan_file, output, a_package)), stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert worker.stdout is not None
    worker.stdout.readline()
    worker.kill()
    worker.wait(timeout=60)
    worker.stdout.close()
    assert len(leftovers(output)) == 1
    assert not output.exists()
    assert run_here(typed(a_coarse_scan_file, output, a_package))[0] == 0
    assert leftovers(output) == []


def test_a_scan_that_lies_upside_down_is_mended_and_put_back(
    a_run_at_0_4: FinishedRun, a_phantom: Phantom, tmp_path: Path
) -> None:
    lying = image_like(sitk.GetArrayFromImage(a_phantom.scan)[::-1].copy(), a_phantom.scan)
    sitk.WriteImage(lying, str(tmp_path / "lying.nrrd"))
    turned = finished_run(run_here, tmp_path / "lying.nrrd", a_run_at_0_4.package, tmp_path / "out")
    assert turned.code == 0
    assert grid_difference(read_scan(turned.output / "probability.nrrd"), lying) is None
    right = stored(a_run_at_0_4.output, "probability.nrrd").astype(int)
    assert np.abs(stored(turned.output, "probability.nrrd")[::-1] - right).mean() < 0.5


def test_no_socket_is_opened(a_coarse_scan_file: Path, a_package: ModelPackage, tmp_path: Path) -> None:
    """A worker in which every socket raises still does its whole job."""
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "def _refuse(*_args, **_kwargs):\n"
        "    raise AssertionError('a socket was opened')\n"
        "socket.socket.__init__ = _refuse\n"
        "socket.create_connection = _refuse\n"
        "socket.getaddrinfo = _refuse\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    probe = [sys.executable, "-c", "import socket; socket.socket()"]
    assert subprocess.run(probe, env=environment, capture_output=True, check=False).returncode != 0
    arguments = command(typed(a_coarse_scan_file, tmp_path / "out", a_package))
    done = subprocess.run(arguments, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr


def test_importing_what_slicers_process_uses_brings_no_torch() -> None:
    code = (
        "import sys, COVIDSelfSegLib.events, COVIDSelfSegLib.errors, COVIDSelfSegLib.scan_files.nrrd;"
        "import COVIDSelfSegLib.colors, COVIDSelfSegLib.threshold_curve, COVIDSelfSegLib.status;"
        "assert not {'torch', 'SimpleITK', 'lungmask'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_person_gets_a_bar_and_a_table_even_where_a_terminal_knows_only_ascii(
    a_coarse_scan_file: Path, coarse_lungs: Path, a_package: ModelPackage, tmp_path: Path
) -> None:
    given = ["--lung-mask", str(coarse_lungs)]
    arguments = command(typed(a_coarse_scan_file, tmp_path / "größer", a_package, *given))
    arguments.remove("--events")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(arguments, capture_output=True, encoding="ascii", env=environment, check=True)
    assert "Finding lesions" in done.stderr
    assert "left" in done.stderr
    for words in ("lung volume, ml", "infected, % of lung", "overview.png", "Not a medical device"):
        assert words in done.stdout


def test_errors_reach_a_person_as_three_lines(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "COVIDSelfSegLib", "doctor", str(tmp_path / "nothing.nrrd")]
    done = subprocess.run(arguments, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 2
    what, why, fix = done.stderr.strip().splitlines()
    assert "does not exist" in what
    assert why.strip().startswith("Why: ")
    assert fix.strip().startswith("Fix: ")
    assert "Traceback" not in done.stderr


def test_the_status_of_an_interpreter_is_told_without_its_packages(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "COVIDSelfSegLib.status"], capture_output=True, encoding="utf-8", check=True
    )
    status = json.loads(done.stdout)
    assert status["missing"] == []
    assert status["torch"]["version"]
    done = run_bare(tmp_path, "COVIDSelfSegLib.status")
    assert done.returncode == 0
    assert json.loads(done.stdout)["torch"] is None
    assert "numpy" in json.loads(done.stdout)["missing"]


@pytest.mark.parametrize("package", ["COVIDSelfSegLib", "COVIDSelfSegTrainingLib"])
def test_a_package_that_is_missing_is_told_with_what_to_do(tmp_path: Path, package: str) -> None:
    done = run_bare(tmp_path, package, "--events")
    failure = parse_event(done.stdout)
    assert isinstance(failure, Failure)
    assert done.returncode == failure.code == 3
    assert "is missing" in failure.what
    done = run_bare(tmp_path, package)
    assert done.returncode == 3
    assert "Fix: Install it there" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("package", ["COVIDSelfSegLib", "COVIDSelfSegTrainingLib"])
def test_a_command_line_whose_torch_cannot_be_loaded_says_what_to_do(tmp_path: Path, package: str) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libtorch_cpu.so: cannot open shared object file')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", package, "segment", "scan.nrrd", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, env=environment)
    assert done.returncode == 3
    assert "libtorch_cpu.so" in done.stderr
    assert "Fix: Uninstall it" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_installed_command_tells_of_what_is_missing_too(tmp_path: Path) -> None:
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["covidselfseg"]
    module, _, function = script.partition(":")
    (tmp_path / "installed.py").write_text(
        f"from {module} import {function} as main\nraise SystemExit(main())"
    )
    done = run_bare(tmp_path, "installed")
    assert done.returncode == 3
    assert "Fix: Install it there" in done.stderr


def run_bare(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of our modules in an interpreter that has none of the packages that it needs."""
    paths = [str(ROOT / "COVIDSelfSeg"), str(ROOT / "COVIDSelfSegTraining")]
    code = (
        f"import runpy, sys; sys.path[:0] = {paths!r}; sys.argv = ['x', *{list(arguments)!r}];"
        f"runpy.run_module({module!r}, run_name='__main__')"
    )
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, cwd=folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("raise OSError('libcudart.so.12 is not there')", "libcudart.so.12 is not there"),
        ("raise RuntimeError('built for another Python')", "built for another Python"),
        ("", "no attribute 'cuda'"),  # what an uninstallation left
    ],
)
def test_a_torch_that_cannot_be_loaded_is_told_with_what_to_do(
    tmp_path: Path, content: str, said: str
) -> None:
    status = status_with_torch(tmp_path, content)
    assert said in status["torch"]["error"]
    assert "Uninstall it" in status["torch"]["fix"]
    assert status["models"] == []
    assert status["missing"] == []


def test_a_torch_that_does_not_work_with_the_numpy_beside_it_is_no_torch_to_use(tmp_path: Path) -> None:
    """As the last torch for Intel Macs beside numpy 2: it loads, and fails at the first array."""
    status = status_with_torch(
        tmp_path,
        "from types import SimpleNamespace\n"
        "__version__ = '2.2.2'\n"
        "cuda = SimpleNamespace(is_available=lambda: False)\n"
        "get_num_threads = lambda: 1\n"
        "class zeros:\n"
        "    def __init__(self, _count): pass\n"
        "    def numpy(self): raise RuntimeError('Numpy is not available')\n",
    )
    assert f"PyTorch 2.2.2 does not work with numpy {np.__version__}" in status["torch"]["error"]
    assert "another Python under Advanced" in status["torch"]["fix"]
    assert "version" not in status["torch"]
    assert status["models"] == []


def status_with_torch(folder: Path, content: str) -> dict[str, Any]:
    """What an interpreter says of itself whose torch is this source text."""
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text(content)
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    arguments = [sys.executable, "-m", "COVIDSelfSegLib.status"]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(arguments, env=environment, capture_output=True, encoding="utf-8", check=True)
    return json.loads(done.stdout)
