"""Losses as pure functions of tensors; each is tested against an independent oracle."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def masked_l1(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference where ``mask`` is 1."""
    return ((prediction - target).abs() * mask).sum() / mask.sum().clamp_min(1)


def least_squares(logits: Tensor, label: float) -> Tensor:
    """Least-squares adversarial loss of logits against a label (Mao 2017)."""
    return ((logits - label) ** 2).mean()


def gradient_penalty(logits: Tensor, volumes: Tensor) -> Tensor:
    """R1: mean squared norm of the discriminator's gradient at real volumes (Mescheder 2018)."""
    (gradient,) = torch.autograd.grad(logits.sum(), volumes, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def bce_and_dice(logits: Tensor, target: Tensor, lungs: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice, inside the lung; all (batch, 1, y, x), target 0 .. 1.

    The Dice of a batch is taken over all its pixels together, so that a clean slice weighs by its false
    positives and is not a 0 / 0.
    """
    inside = lungs.sum().clamp_min(1)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = torch.sigmoid(logits) * lungs
    target = target * lungs
    overlap = (probability * target).sum()
    dice = (2 * overlap + 1) / (probability.sum() + target.sum() + 1)
    return (cross_entropy * lungs).sum() / inside + 1 - dice


def sensitivity_enhanced(logits: Tensor, target: Tensor, lungs: Tensor, beta: float) -> Tensor:
    """Cross-entropy that weighs missed lesion more: BCE * (1 + beta * t * (1 - p)), mean over the lung.

    The published form multiplies batch sums; this is its pixel-wise reading, with no gradient through the
    weight (2023/24 follow-up, sensitivity-enhanced loss).
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    missed = target * (1 - torch.sigmoid(logits.detach()))
    return (cross_entropy * (1 + beta * missed) * lungs).sum() / lungs.sum().clamp_min(1)


def supervised_contrastive(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla 2020, equation 2) of unit-length embeddings.

    Args:
        embeddings: (batch, width), unit length.
        labels: (batch,) classes; positives are the others of the same class, never the anchor itself.
        temperature: divides the similarities.

    Returns:
        Mean over the anchors that have a positive; zero where none has.
    """
    similarity = embeddings @ embeddings.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    log_share = similarity - similarity.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    positive = (labels[:, None] == labels[None]) & ~itself
    count = positive.sum(1)
    per_anchor = -(log_share * positive).sum(1) / count.clamp_min(1)
    return per_anchor[count > 0].sum() / (count > 0).sum().clamp_min(1)
