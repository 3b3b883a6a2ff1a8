"""``covidselfseg train-lungs``: the lung networks that are shipped, made anew."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

from COVIDSelfSegLib import __version__
from COVIDSelfSegLib.commands.number_types import positive_number, whole_number
from COVIDSelfSegLib.commands.run_options import add_device
from COVIDSelfSegLib.devices import choose_device
from COVIDSelfSegLib.errors import stopped_saying
from COVIDSelfSegLib.file_errors import writing_to
from COVIDSelfSegLib.lung_masks.network import LungCard
from COVIDSelfSegLib.networks.lung_unet import widths_of
from COVIDSelfSegLib.weight_file import DamagedFileError, check_weights, write_weights

from ..cohorts.shipped import data_folder
from ..lineage import origin, start_sha256
from ..lung_networks.chests import shipped_chest_names, shipped_chests
from ..lung_networks.training import (
    SLICE_PRESET,
    LungPreset,
    LungTrainer,
    as_teacher,
    read_network,
    read_start,
)
from .arguments import for_the_card

log = logging.getLogger(__name__)

_REPORT_EVERY, _SAVE_EVERY = 20, 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``train-lungs`` takes."""
    parser.add_argument("output", type=Path, help="file to write, .safetensors")
    parser.add_argument("--slices", action="store_true", help="the network for pictures of single slices")
    parser.add_argument("--iterations", type=whole_number, help="instead of the preset's")
    parser.add_argument("--rate", type=positive_number, help="peak learning rate, instead of the preset's")
    parser.add_argument(
        "--seed",
        type=whole_number,
        metavar="N",
        help="instead of the preset's; one that starts from another training should have its own",
    )
    parser.add_argument(
        "--start-from", type=Path, metavar="FILE", help="start from the weights of this lung network"
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="FILE",
        help="learn from diseased scans too, whose lungs this network of whole chests finds",
    )
    add_device(parser)
    parser.set_defaults(command=_train)


def _train(parsed: argparse.Namespace) -> None:
    preset = SLICE_PRESET if parsed.slices else LungPreset()
    preset = replace(
        preset,
        iterations=parsed.iterations or preset.iterations,
        rate=parsed.rate or preset.rate,
        seed=parsed.seed or preset.seed,
    )
    start = None
    if parsed.start_from is not None:
        start = read_start(parsed.start_from, flat=preset.flat)
        preset = replace(preset, started_from=start.sha256)
    teacher = None
    if parsed.teacher is not None:
        teacher = as_teacher(read_network(parsed.teacher), choose_device(parsed.device))
        preset = replace(preset, taught_by=teacher.sha256)
    if _is_made(parsed.output, preset):
        log.info("%s exists already, made with the same recipe; delete it to train it again", parsed.output)
        return
    with writing_to(parsed.output):
        parsed.output.parent.mkdir(parents=True, exist_ok=True)
    chests, licences = [], []
    for chest, licence in shipped_chests(data_folder(), preset.grid_mm, teacher):
        log.info("%s", chest.name)
        chests.append(chest)
        licences.append((chest.name, licence))
    trainer = LungTrainer(preset, chests, choose_device(parsed.device, training=True))
    if start is not None:
        trainer.start_from(start)
        licences += [one for one in start.card.trained_on if one not in licences]
    checkpoint = parsed.output.with_suffix(".checkpoint")
    if checkpoint.is_file():
        trainer.load(checkpoint)
    with stopped_saying(
        f"Stopped. The same command continues from the last checkpoint, {checkpoint}, or from the start if "
        "there is none yet."
    ):
        _learn(trainer, preset.iterations, checkpoint)
    card = LungCard(
        widths=widths_of(flat=preset.flat),
        trained_on=tuple(licences),
        recipe=asdict(preset) | ({"started_from": origin(start)} if start else {}),
        command=for_the_card(parsed),
        code_version=__version__,
        flat=preset.flat,
        grid_mm=preset.grid_mm,
    )
    with writing_to(parsed.output):
        write_weights(parsed.output, trainer.average.state_dict(), {"card": card.to_json()})
    checkpoint.unlink(missing_ok=True)


def _learn(trainer: LungTrainer, iterations: int, checkpoint: Path) -> None:
    while trainer.iteration < iterations:
        losses = trainer.step()
        if trainer.iteration % _SAVE_EVERY == 0:
            trainer.save(checkpoint)
        if trainer.iteration % _REPORT_EVERY == 0:
            told = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
            log.info("%d/%d  %s", trainer.iteration, iterations, told)


def _is_made(output: Path, preset: LungPreset) -> bool:
    """So that ``make models``, stopped later on, does not begin with these again."""
    try:
        card = LungCard.from_json(check_weights(output)[0]["card"])
    except (DamagedFileError, ValueError, KeyError):
        return False
    made = card.recipe | {"started_from": start_sha256(card.recipe)}
    if made != json.loads(json.dumps(asdict(preset))):
        return False
    # Real scans that are there by now, as those of a disk that was not connected, are to be learnt from.
    here = shipped_chest_names(data_folder(), taught=bool(preset.taught_by))
    return here <= {name for name, _ in card.trained_on}
