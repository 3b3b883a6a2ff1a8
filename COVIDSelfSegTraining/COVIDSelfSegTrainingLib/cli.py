"""The commands of training, and of what comes before and after it, beside those of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from COVIDSelfSegLib import cli
from COVIDSelfSegLib.commands.command import Command

_PREPARE = "COVIDSelfSegTrainingLib.commands.prepare"
_TRAIN = "COVIDSelfSegTrainingLib.commands.train"
_LUNGS = "COVIDSelfSegTrainingLib.commands.train_lungs"
_CALIBRATE = "COVIDSelfSegTrainingLib.commands.calibrate"
_MEAN = "COVIDSelfSegTrainingLib.commands.mean"
_EVALUATE = "COVIDSelfSegTrainingLib.commands.evaluate"
_BENCHMARK = "COVIDSelfSegTrainingLib.commands.benchmark"
_CARD = "COVIDSelfSegTrainingLib.commands.card"
COMMANDS = (
    *cli.COMMANDS,
    Command(
        "prepare", "make a cohort for training and evaluation from folders of scans", _PREPARE, "add_prepare"
    ),
    Command(
        "prepare-shipped",
        "make the cohort of the shipped models, for any preset",
        _PREPARE,
        "add_prepare_shipped",
    ),
    Command("train", "train both networks on a cohort", _TRAIN),
    Command("train-lungs", "train the network that finds dense lung", _LUNGS),
    Command("mean", "average the weights of packages that were trained one from another", _MEAN, "add_mean"),
    Command("mean-lungs", "average the weights of lung networks in the same way", _MEAN, "add_mean_lungs"),
    Command("calibrate", "recalibrate a package's probabilities, without training", _CALIBRATE),
    Command("evaluate", "score a model package on a cohort", _EVALUATE, "add_evaluate"),
    Command("compare", "did it help? two or more model packages on the same scans", _EVALUATE, "add_compare"),
    Command("benchmark", "score model packages on all available data", _BENCHMARK),
    Command("card", "print a package's model card", _CARD),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return cli.run(COMMANDS, arguments)
