"""Early warning when a GAN stops learning, with what to do about it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

_WINDOW = 10
"""Reports that must agree before anything is said."""
_PINNED = 0.98
_FLAT = 0.05
_COPYING = 0.97
_PATIENCE = 400
"""Steps that a generator may take to begin to change anything."""


@dataclass(frozen=True)
class Warned:
    """Something is going wrong.

    Attributes:
        what: happened.
        why: it matters.
        fix: what to do.
    """

    what: str
    why: str
    fix: str


class CollapseWatch:
    """Looks at the reports of phase 1; says each thing once.

    Args:
        window: reports that must agree.
        patience: steps before copying counts.
    """

    def __init__(self, *, window: int = _WINDOW, patience: int = _PATIENCE) -> None:
        self._patience = patience
        self._recent: deque[dict[str, float]] = deque(maxlen=window)
        self._said: set[str] = set()

    def look(self, iteration: int, means: Mapping[str, float]) -> list[Warned]:
        """Take in one report; gives what has to be said now."""
        self._recent.append(dict(means))
        if len(self._recent) < (self._recent.maxlen or 0):
            return []
        found = []
        if self._all("accuracy", above=_PINNED):
            found.append(
                Warned(
                    "The discriminator is always right.",
                    why="It has won: its signal no longer tells the generator what to change.",
                    fix="Lower gan.discriminator_rate (to a half or a quarter), raise gan.gradient_penalty, "
                    "or set gan.adversarial_loss to 'least-squares' or 'non-saturating'.",
                )
            )
        if self._all("texture", below=_FLAT):
            found.append(
                Warned(
                    "The generator paints every lung with one flat value.",
                    why="Its difference from any scan is then the scan itself, healthy tissue included.",
                    fix="Lower gan.generator_rate and gan.adversarial, set gan.composite to true, and start "
                    "again: a flat generator seldom recovers.",
                )
            )
        if iteration >= self._patience and self._all("error_left", above=_COPYING):
            found.append(
                Warned(
                    "The generator copies its input: it restores nothing in the corrupted lungs.",
                    why="The pseudo-masks would be empty.",
                    fix="Raise gan.lesion_weight or gan.reconstruction, lower gan.untouched, or raise "
                    "gan.generator_rate; with gan.composite, more iterations may be all it needs.",
                )
            )
        new = [one for one in found if one.what not in self._said]
        self._said.update(one.what for one in new)
        return new

    def _all(self, name: str, *, above: float = -float("inf"), below: float = float("inf")) -> bool:
        values = [report[name] for report in self._recent if name in report]
        return len(values) == len(self._recent) and all(above < value < below for value in values)
