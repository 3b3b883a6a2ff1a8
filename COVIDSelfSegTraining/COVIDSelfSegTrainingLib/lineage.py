"""Where weights come from, as their cards say: which others they were trained from or are a mean of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from COVIDSelfSegLib.errors import UserError


class Card(Protocol):
    """Of a package or of a lung network."""

    @property
    def command(self) -> str:
        """The command that made the weights."""

    @property
    def recipe(self) -> dict[str, Any]:
        """How; ``started_from`` and ``mean_of`` hold an :func:`origin` or some."""


class Weights(Protocol):
    """A package or a lung network."""

    @property
    def card(self) -> Card:
        """What its file says of it."""

    @property
    def sha256(self) -> str:
        """Of the weights."""


def origin(weights: Weights) -> dict[str, Any]:
    """What a recipe keeps of weights that a training began with or a mean is of; :func:`lineage` reads it."""
    card = weights.card
    return {"weights_sha256": weights.sha256, "command": card.command, "recipe": card.recipe}


def start_sha256(recipe: Mapping[str, Any]) -> str:
    """SHA-256 of the weights that a training began with; empty if from nothing."""
    return next((one["weights_sha256"] for one in _start(recipe)), "")


def lineage(weights: Weights) -> set[str]:
    """SHA-256 of weights, and of all that they come from."""
    return {weights.sha256} | _before(weights.card.recipe)


def check_in_common(weights: Sequence[Weights], *, what: str, command: str) -> None:
    """Refuse weights that have no mean, since their trainings began apart.

    Each must share a part of its lineage with another, and all be joined so. Where cards name all that came
    before, all then have one beginning; those of the first lung networks name the last step alone.

    Args:
        weights: that are to be averaged.
        what: they are, for the message.
        command: that trains them one from another.

    Raises:
        UserError: they are not joined.
    """
    joined, *apart = (lineage(one) for one in weights)
    while related := [family for family in apart if family & joined]:
        apart = [family for family in apart if not family & joined]
        joined = joined.union(*related)
    if apart:
        raise UserError(
            f"These {what} have no training in common.",
            why="Weights of trainings that began apart do not fit each other; their mean finds nothing.",
            fix=f"Name {what} that were trained one from another with '{command} --start-from'.",
        )


def _before(recipe: Mapping[str, Any]) -> set[str]:
    origins = [*_start(recipe), *recipe.get("mean_of", ())]
    return {one["weights_sha256"] for one in origins}.union(*(_before(one["recipe"]) for one in origins))


def _start(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    start = recipe.get("started_from")
    if isinstance(start, str) and start:  # as the first lung networks name it
        return [{"weights_sha256": start, "recipe": {}}]
    return [start] if start else []
