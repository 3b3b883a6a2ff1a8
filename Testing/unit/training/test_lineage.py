"""Which weights come from one another, by their cards alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.lung_masks.network import LungCard
from COVIDSelfSegTrainingLib.lineage import check_in_common, lineage, origin, start_sha256
from COVIDSelfSegTrainingLib.lung_networks.training import TrainedLungs


def named(sha256: str, **recipe: Any) -> TrainedLungs:
    return TrainedLungs(LungCard((8,), (), recipe, f"train {sha256}", "0"), {}, sha256)


def trained_from(start: TrainedLungs, sha256: str) -> TrainedLungs:
    return named(sha256, started_from=origin(start))


def mean_of(sha256: str, *parts: TrainedLungs) -> TrainedLungs:
    return named(sha256, mean_of=[{"share": 1 / len(parts)} | origin(part) for part in parts])


FIRST = named("first", started_from="")
SECOND = trained_from(FIRST, "second")
THIRD = trained_from(SECOND, "third")
BESIDE = trained_from(FIRST, "beside")
MEAN = mean_of("mean", SECOND, BESIDE)
APART = named("apart")


def test_weights_come_from_all_that_any_step_before_them_began_with_or_is_a_mean_of() -> None:
    assert lineage(FIRST) == {"first"}
    assert lineage(THIRD) == {"first", "second", "third"}
    assert lineage(trained_from(MEAN, "last")) == {"first", "second", "beside", "mean", "last"}
    assert [start_sha256(one.card.recipe) for one in (FIRST, THIRD, MEAN)] == ["", "second", ""]


@pytest.mark.parametrize(
    "parts", [(FIRST, THIRD), (THIRD, BESIDE), (MEAN, THIRD, FIRST), (MEAN, trained_from(MEAN, "last"))]
)
def test_weights_of_one_beginning_have_a_training_in_common(parts: tuple[TrainedLungs, ...]) -> None:
    check_in_common(parts, what="networks", command="train")


@pytest.mark.parametrize("parts", [(FIRST, APART), (FIRST, SECOND, APART), (APART, THIRD, FIRST)])
def test_weights_that_began_apart_have_none(parts: tuple[TrainedLungs, ...]) -> None:
    with pytest.raises(UserError, match="These networks have no training in common") as refused:
        check_in_common(parts, what="networks", command="train")
    assert "'train --start-from'" in refused.value.fix


def test_of_cards_that_name_the_last_step_alone_each_must_lead_to_another() -> None:
    second, third, fourth = (
        named(sha256, started_from=before)
        for before, sha256 in pairwise(["first", "second", "third", "fourth"])
    )
    assert lineage(third) == {"second", "third"}
    assert start_sha256(third.card.recipe) == "second"
    check_in_common([FIRST, second, third, fourth], what="networks", command="train")
    with pytest.raises(UserError):
        check_in_common([FIRST, third], what="networks", command="train")
