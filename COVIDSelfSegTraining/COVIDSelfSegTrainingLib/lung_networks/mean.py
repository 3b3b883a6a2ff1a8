"""The mean of lung networks of which each began where another ended; see :mod:`..weight_mean`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from COVIDSelfSegLib import __version__
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_errors import writing_to
from COVIDSelfSegLib.weight_file import write_weights

from ..lineage import check_in_common, origin
from ..weight_mean import check_shares, mean_of
from .training import TrainedLungs


@dataclass(frozen=True)
class LungPart:
    """A lung network, and the share of its weights, above 0 and below 1."""

    lungs: TrainedLungs
    share: float


def write_lung_mean(parts: Sequence[LungPart], path: Path, *, command: str) -> None:
    """Average lung networks; the card names every chest that any of them has seen.

    Args:
        parts: two or more.
        path: the file to write.
        command: what the user typed, for the card.

    Raises:
        UserError: the parts are not of one kind or have no training in common, or their shares do not sum up
            to 1 (exit code 2), or the file cannot be written (5).
    """
    check_shares([one.share for one in parts])
    last = parts[-1].lungs.card
    _check_kind(parts)
    check_in_common([one.lungs for one in parts], what="lung networks", command="train-lungs")
    scans = dict(last.trained_on)
    for one in parts[:-1]:
        scans = dict(one.lungs.card.trained_on) | scans
    card = replace(
        last,
        trained_on=tuple(scans.items()),
        recipe={"mean_of": [{"share": one.share} | origin(one.lungs) for one in parts]},
        command=command,
        code_version=__version__,
    )
    weights = mean_of([(one.lungs.weights, one.share) for one in parts])
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_weights(path, weights, {"card": card.to_json()})


def _check_kind(parts: Sequence[LungPart]) -> None:
    kinds = {(one.lungs.card.widths, one.lungs.card.flat, one.lungs.card.grid_mm) for one in parts}
    if len(kinds) > 1:
        raise UserError(
            "These lung networks are of different kinds: of whole chests and of slices, or of other widths.",
            why="Weights can be averaged only between networks of the same form that see the same grid.",
            fix="Name networks that were trained one from another with 'train-lungs --start-from'.",
        )
