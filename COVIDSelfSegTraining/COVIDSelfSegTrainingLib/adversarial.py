"""Adversarial losses of logits, high for healthy; one function for each side and family."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .options import AdversarialLoss
from .training_run.distributed import mean, total


def discriminator_loss(kind: AdversarialLoss, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator minimises.

    The paper's equation 1 maximises log D(real) + log(1 - D(fake)); the squared forms take half of each side.
    """
    if kind == "least-squares":
        return 0.5 * (least_squares(real, 1.0) + least_squares(fake, 0.0))
    if kind == "one-hot":
        return 0.5 * (one_hot(real, 1.0) + one_hot(fake, 0.0))
    return mean(functional.softplus(-real)) + mean(functional.softplus(fake))


def generator_loss(kind: AdversarialLoss, fake: Tensor) -> Tensor:
    """What the generator minimises: log(1 - D) as in the paper, -log D, or the distance to "real"."""
    if kind == "least-squares":
        return least_squares(fake, 1.0)
    if kind == "one-hot":
        return one_hot(fake, 1.0)
    if kind == "saturating":
        return -mean(functional.softplus(fake))
    return mean(functional.softplus(-fake))


def least_squares(logits: Tensor, label: float) -> Tensor:
    """Least-squares adversarial loss of logits against a label (Mao 2017)."""
    return mean((logits - label) ** 2)


def one_hot(logits: Tensor, label: float) -> Tensor:
    """Mean squared error of a two-way softmax against a one-hot label, as in the authors' released code.

    A two-way softmax depends on the difference of its inputs alone, which is the one logit here; both of its
    errors are then equal, and so is their mean.
    """
    return mean((torch.sigmoid(logits) - label) ** 2)


def accuracy(kind: AdversarialLoss, real: Tensor, fake: Tensor) -> Tensor:
    """Share of right judgements; places without lung, which are exactly 0, do not count."""
    level = 0.5 if kind == "least-squares" else 0.0
    right = ((real > level) & (real != 0)).sum() + ((fake <= level) & (fake != 0)).sum()
    judged = (real != 0).sum() + (fake != 0).sum()
    summed = total(torch.stack([right, judged]).float())
    return summed[0] / summed[1].clamp_min(1)


def gradient_penalty(logits: Tensor, volumes: Tensor) -> Tensor:
    """R1: mean squared norm of the discriminator's gradient at real volumes (Mescheder 2018)."""
    (gradient,) = torch.autograd.grad(logits.sum(), volumes, create_graph=True)
    return mean(gradient.square().flatten(1).sum(1))
