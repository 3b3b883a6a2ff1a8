"""The running mean of the weights, which is what a package holds."""

from __future__ import annotations

import pytest
import torch
from COVIDSelfSegTrainingLib.averaging import frozen_copy, update_average
from torch import nn


def a_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


@pytest.mark.parametrize(
    ("decay", "kept"),
    [(0.0, [0, 0, 0]), (0.15, [0.1, 0.15, 0.15]), (0.999, [1 / 10, 2 / 11, 3 / 12])],
    ids=["the last weights", "a short mean", "a long one, which forgets its start"],
)
def test_the_mean_keeps_its_share_and_takes_the_rest_from_the_weights(
    decay: float, kept: list[float]
) -> None:
    network = a_network()
    mean = frozen_copy(network)
    expected = [parameter.detach().clone() for parameter in network.parameters()]
    for iteration, share in enumerate(kept):
        for parameter in network.parameters():
            parameter.data.normal_()
        network(torch.randn(3, 1, 4, 4))
        update_average(mean, network, decay, iteration)
        expected = [
            share * old + (1 - share) * new for old, new in zip(expected, network.parameters(), strict=True)
        ]
    for ours, theirs in zip(mean.parameters(), expected, strict=True):
        torch.testing.assert_close(ours, theirs.detach())
    for ours, theirs in zip(mean.buffers(), network.buffers(), strict=True):
        assert torch.equal(ours, theirs), "statistics are means already"


def test_the_mean_is_looked_at_and_never_trained() -> None:
    """With dropout, or norms that see the batch, it would judge otherwise than the package does."""
    network = nn.Sequential(a_network(), nn.Dropout(0.5))
    mean = frozen_copy(network)
    assert not any(part.training for part in mean.modules())
    assert not any(parameter.requires_grad for parameter in mean.parameters())
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_late_in_a_training_the_mean_is_as_long_as_asked() -> None:
    network = nn.Linear(1, 1)
    mean = frozen_copy(network)
    before = mean.weight.item()
    network.weight.data += 1
    update_average(mean, network, 0.99, 100_000)
    assert mean.weight.item() == pytest.approx(before + 0.01, abs=1e-5)
