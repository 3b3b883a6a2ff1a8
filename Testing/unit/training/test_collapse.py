"""A GAN that stops learning says so once, with what to do."""

from __future__ import annotations

import pytest
from COVIDSelfSegTrainingLib.training_run.collapse import CollapseWatch

WELL = {"accuracy": 0.7, "texture": 0.9, "error_left": 0.4}


def said(reports: list[dict[str, float]], *, start: int = 1000) -> list[str]:
    watch = CollapseWatch(window=3, patience=500)
    return [one.what for step, report in enumerate(reports) for one in watch.look(start + step, report)]


def test_a_healthy_training_is_left_in_peace() -> None:
    assert said([WELL] * 20) == []


@pytest.mark.parametrize(
    ("wrong", "word"),
    [({"accuracy": 0.995}, "always right"), ({"texture": 0.01}, "flat"), ({"error_left": 0.99}, "copies")],
)
def test_each_collapse_is_said_once(wrong: dict[str, float], word: str) -> None:
    (what,) = said([WELL] * 3 + [WELL | wrong] * 8)
    assert word in what


def test_one_bad_report_is_no_collapse() -> None:
    assert said([WELL, WELL | {"accuracy": 1.0}, WELL, WELL | {"texture": 0.0}, WELL, WELL]) == []


def test_a_young_generator_may_copy() -> None:
    assert said([WELL | {"error_left": 1.0}] * 8, start=10) == []


def test_every_warning_says_why_and_what_to_do() -> None:
    watch = CollapseWatch(window=1, patience=0)
    warned = watch.look(1, {"accuracy": 1.0, "texture": 0.0, "error_left": 1.0})
    assert len(warned) == 3
    assert all(one.why and "gan." in one.fix for one in warned)
