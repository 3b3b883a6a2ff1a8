"""The mean of the weights of packages of which each began where another ended.

Weights on one path of training can be averaged, and on data of another kind the mean is often better than
each of them (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022): what the end of a
training gains on its own data it partly pays for with what it could do before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_errors import writing_to
from COVIDSelfSegLib.models import ModelPackage, write_package
from torch import Tensor

from .cohorts.cohort import CohortScan
from .lineage import check_in_common, origin
from .recalibration import fitted
from .starting import learned_from, own_recipe


@dataclass(frozen=True)
class Part:
    """A package, and the share of its weights, above 0 and below 1."""

    package: ModelPackage
    share: float


def write_mean(
    parts: Sequence[Part], healthy: list[CohortScan], path: Path, device: Device, *, command: str
) -> ModelPackage:
    """Average the 2D networks of packages, calibrate the mean, and write its package.

    Generator, preset and name are those of the last part; the card names every scan that any part has seen.

    Args:
        parts: two or more.
        healthy: scans to paint lesions on, by which the mean is calibrated.
        path: the package to write.
        device: where to run the network.
        command: what the user typed, for the card.

    Raises:
        UserError: the parts have not one kind of 2D network or no training in common, or their shares do not
            sum up to 1 (exit code 2), or the file cannot be written (5).
    """
    check_parts(parts)
    last = parts[-1].package
    weights = mean_of([(one.package.segmenter().state_dict(), one.share) for one in parts])
    scans = last.card.trained_on
    for one in parts[:-1]:
        scans, _ = learned_from(scans, one.package)
    card = replace(
        last.card,
        inference=fitted(last.card, weights, healthy, device),
        trained_on=scans,
        recipe=own_recipe(last.card) | {"mean_of": [_origin(one) for one in parts]},
        command=command,
        metrics=(),
        known_failures=(),
    )
    with writing_to(path):
        return write_package(path, card, last.generator().state_dict(), weights)


def check_parts(parts: Sequence[Part]) -> None:
    """Refuse packages whose weights have no mean.

    Raises:
        UserError: see :func:`write_mean`.
    """
    check_shares([one.share for one in parts])
    last = parts[-1].package
    for one in parts:
        card = one.package.card
        grids = card.inference.slice_plane, last.card.inference.slice_plane
        if card.segmenter != last.card.segmenter or grids[0] != grids[1]:
            raise UserError(
                f"'{card.name}' has the 2D network {card.segmenter} on {grids[0]}, "
                f"'{last.card.name}' {last.card.segmenter} on {grids[1]}.",
                why="Weights can be averaged only between networks of the same form that see the same grid.",
                fix="Name packages that were trained one from another with --start-from.",
            )
    check_in_common([one.package for one in parts], what="packages", command="train")


def check_shares(shares: Sequence[float]) -> None:
    """Refuse shares that make no mean.

    Raises:
        UserError: fewer than two, one that is not above 0, or a sum that is not 1.
    """
    if len(shares) < 2 or not all(0 < share < 1 for share in shares) or not math.isclose(sum(shares), 1):
        raise UserError(
            f"The shares {', '.join(f'{share:g}' for share in shares)} do not make a mean.",
            why="A mean needs two networks or more, each with a share above 0, and shares that sum up to 1.",
            fix="Give --of FILE SHARE for each of them, for instance 0.5 for both of two.",
        )


def mean_of(states: Sequence[tuple[Mapping[str, Tensor], float]]) -> dict[str, Tensor]:
    """The mean of networks' states by their shares; what is no number with a fraction is the last one's."""
    first, _ = states[0]
    mean = {}
    for name, like in first.items():
        if like.is_floating_point():
            mean[name] = torch.stack([share * state[name].float() for state, share in states]).sum(0)
        else:
            mean[name] = states[-1][0][name]
    return mean


def _origin(part: Part) -> dict[str, object]:
    return {"share": part.share, "name": part.package.card.name} | origin(part.package)
