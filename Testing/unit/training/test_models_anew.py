"""The script behind ``make models``, run to its end, two steps of each training on a few phantoms.

What it must show is that each command takes what the one before it left; the weights are good for nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from COVIDSelfSegLib.lung_masks.network import LungCard
from COVIDSelfSegLib.models import open_package
from COVIDSelfSegLib.weight_file import check_weights

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.slow

SHORT = f"""#!{sys.executable}
'''The command line with few phantoms and few steps; the last of an option given twice counts.'''
import sys
from dataclasses import replace

from COVIDSelfSegTrainingLib import cli
from COVIDSelfSegTrainingLib.cohorts import shipped
from COVIDSelfSegTrainingLib.lung_networks import chests
from COVIDSelfSegTrainingLib.presets import PRESETS

if __name__ == "__main__":  # processes that prepare scans import this file again
    shipped._HEALTHY_SEEDS, shipped._DISEASED_SEEDS = range(1000, 1003), range(1100, 1102)
    chests._SEEDS = range(3000, 3002)
    PRESETS["default"] = replace(PRESETS["default"], calibration_batches=4)
    few = {{"train": ["--segmenter-iterations", "2"], "train-lungs": ["--iterations", "2"]}}
    typed = [*sys.argv[1:], *few.get(sys.argv[1], [])]
    if "--gan-iterations" in typed:
        typed += ["--gan-iterations", "2"]
    sys.exit(cli.main(typed))
"""


def run_the_script(folder: Path, commands: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join((str(ROOT / "COVIDSelfSeg"), str(ROOT / "COVIDSelfSegTraining")))
    return subprocess.run(
        ["sh", str(ROOT / "Resources" / "Recipes" / "train_shipped.sh"), str(folder)],
        env=os.environ
        | {
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": paths,
            "COVIDSELFSEG_DATA": str(folder / "no scans here"),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="the recipe is a script for sh")
def test_every_command_of_the_recipe_takes_what_those_before_it_left(tmp_path: Path) -> None:
    commands, models = tmp_path / "bin", tmp_path / "models"
    commands.mkdir()
    (commands / "covidselfseg").write_text(SHORT)
    (commands / "covidselfseg").chmod(0o755)

    done = run_the_script(models, commands)

    assert done.returncode == 0, done.stderr[-2000:]
    package = open_package(models / "covidselfseg-default.safetensors")
    parts = package.card.recipe["mean_of"]
    assert [part["share"] for part in parts] == [0.25, 0.25, 0.5]
    assert {scan.name for scan in package.card.trained_on} == {
        f"phantom_{n}" for n in (1000, 1001, 1002, 1100, 1101)
    }
    for name in ("covidselfseg-lungs", "covidselfseg-lungs-slice"):
        card = LungCard.from_json(check_weights(models / f"{name}.safetensors")[0]["card"])
        assert card.trained_on

    before = {path: path.stat().st_mtime_ns for path in models.rglob("*.safetensors")}
    again = run_the_script(models, commands)
    assert again.returncode == 0, again.stderr[-2000:]
    means = {models / f"{name}.safetensors" for name in ("covidselfseg-default", "covidselfseg-lungs-slice")}
    trained = before.keys() - means  # a mean is made again in seconds
    assert [path for path in trained if path.stat().st_mtime_ns != before[path]] == []
