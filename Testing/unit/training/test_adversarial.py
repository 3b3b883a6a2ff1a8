"""Adversarial losses equal their definitions; their gradients point the right way."""

from __future__ import annotations

import pytest
import torch
from COVIDSelfSegTrainingLib.adversarial import accuracy, discriminator_loss, generator_loss
from COVIDSelfSegTrainingLib.options import AdversarialLoss
from torch import nn

REAL, FAKE = torch.tensor([1.5, -0.5, 0.3]), torch.tensor([-2.0, 0.7])


def test_cross_entropy_is_equation_1_of_the_paper() -> None:
    d_real, d_fake = torch.sigmoid(REAL), torch.sigmoid(FAKE)
    expected = -(d_real.log().mean() + (1 - d_fake).log().mean())
    for kind in ("saturating", "non-saturating"):
        assert discriminator_loss(kind, REAL, FAKE).item() == pytest.approx(expected.item(), rel=1e-5)
    assert generator_loss("saturating", FAKE).item() == pytest.approx(
        (1 - d_fake).log().mean().item(), rel=1e-5
    )
    assert generator_loss("non-saturating", FAKE).item() == pytest.approx(
        -d_fake.log().mean().item(), rel=1e-5
    )


def test_least_squares_are_maos() -> None:
    expected = 0.5 * (((REAL - 1) ** 2).mean() + (FAKE**2).mean())
    assert discriminator_loss("least-squares", REAL, FAKE).item() == pytest.approx(expected.item())
    assert generator_loss("least-squares", FAKE).item() == pytest.approx(((FAKE - 1) ** 2).mean().item())


def test_one_logit_stands_for_a_two_way_softmax() -> None:
    """The released code: two outputs, softmax, mean squared error against (1, 0) or (0, 1)."""
    two = torch.stack([REAL + 0.4, torch.full_like(REAL, 0.4)], 1)
    target = torch.tensor([[1.0, 0.0]]).expand_as(two)
    expected = nn.functional.mse_loss(torch.softmax(two, 1), target)
    assert generator_loss("one-hot", REAL).item() == pytest.approx(expected.item(), rel=1e-5)
    d_fake = torch.sigmoid(FAKE)
    expected = (expected + (d_fake**2).mean()) / 2
    assert discriminator_loss("one-hot", REAL, FAKE).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["least-squares", "non-saturating", "saturating", "one-hot"])
def test_each_side_moves_judgements_its_way(kind: AdversarialLoss) -> None:
    real, fake = torch.zeros(4, requires_grad=True), torch.full((4,), 0.1, requires_grad=True)
    torch.autograd.backward(discriminator_loss(kind, real, fake))
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    fake.grad = None
    torch.autograd.backward(generator_loss(kind, fake))
    assert (fake.grad < 0).all()


def test_accuracy_counts_right_judgements_and_no_places_without_lung() -> None:
    real, fake = torch.tensor([0.9, 0.2, 0.0]), torch.tensor([0.1, 0.8, 0.0])
    assert accuracy("least-squares", real, fake) == 0.5
    assert accuracy("non-saturating", torch.tensor([0.9, 0.2]), torch.tensor([-0.1, 0.8])) == 0.75
    assert accuracy("non-saturating", torch.tensor([-0.9, 0.0]), torch.tensor([-0.1, 0.0])) == 0.5
