"""Losses as pure functions of tensors; each is tested against an independent oracle.

Sums run over the joint batch of all processes; see :mod:`.training_run.distributed`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .training_run.distributed import mean, total

TEMPERATURES = (0.01, 0.5)
"""Bounds of a learned temperature."""


def masked_l1(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference where ``mask`` is 1."""
    return _inside((prediction - target).abs(), mask)


def masked_mse(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference where ``mask`` is 1."""
    return _inside((prediction - target) ** 2, mask)


def masked_norm(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Root of the mean square of each sample's difference where ``mask`` is 1, mean over samples.

    It is the norm of the 2022 paper's third term, up to a factor that depends on the lung's size alone.
    """
    squared = ((prediction - target) ** 2 * mask).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp_min(1)
    return mean((squared + 1e-12).sqrt())


def bce_and_dice(logits: Tensor, target: Tensor, lungs: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice, inside the lung; all (batch, 1, y, x), target 0 .. 1.

    The Dice of a batch is taken over all its pixels together, so that a clean slice weighs by its false
    positives and is not a 0 / 0.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = torch.sigmoid(logits) * lungs
    target = target * lungs
    sums = torch.stack([(probability * target).sum(), probability.sum(), target.sum()])
    overlap, predicted, wanted = total(sums).unbind()
    dice = (2 * overlap + 1) / (predicted + wanted + 1)
    return _inside(cross_entropy, lungs) + 1 - dice


def sensitivity_enhanced(logits: Tensor, target: Tensor, lungs: Tensor, beta: float) -> Tensor:
    """Cross-entropy that weighs missed lesion more: BCE * (1 + beta * t * (1 - p)), mean over the lung.

    The published form multiplies batch sums; this is its pixel-wise reading, with no gradient through the
    weight (2023/24 follow-up, sensitivity-enhanced loss).
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    missed = target * (1 - torch.sigmoid(logits.detach()))
    return _inside(cross_entropy * (1 + beta * missed), lungs)


def supervised_contrastive(embeddings: Tensor, labels: Tensor, temperature: Tensor | float) -> Tensor:
    """Supervised contrastive loss (Khosla 2020, equation 2) of unit-length embeddings.

    Args:
        embeddings: (batch, width), unit length.
        labels: (batch,) classes; positives are the others of the same class, never the anchor itself.
        temperature: divides the similarities.

    Returns:
        Mean over the anchors that have a positive; zero where none has.
    """
    similarity, positive, itself = _pairs(embeddings, labels, temperature)
    log_share = similarity - similarity.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    count = positive.sum(1)
    per_anchor = -(log_share * positive).sum(1) / count.clamp_min(1)
    return per_anchor[count > 0].sum() / (count > 0).sum().clamp_min(1)


def enhanced_contrastive(embeddings: Tensor, labels: Tensor, temperature: Tensor | float) -> Tensor:
    """The follow-up's contrastive loss (its equation 4), with each positive tied to its anchor.

    As printed it is one logarithm of batch sums and keeps each sample's pair with itself. Here an anchor i
    has its mean positive p(i), mean exp(s / tau) over the others of its class, against all others:
    -log(p(i) / sum over a other than i of exp(s(i, a) / tau)). Its slope in the temperature is
    (E_w[s of positives] - E_v[s of all]) / tau^2, w and v being the softmax weights; the slides have the
    opposite sign.

    Args and result are those of :func:`supervised_contrastive`.
    """
    similarity, positive, itself = _pairs(embeddings, labels, temperature)
    count = positive.sum(1)
    anchors = count > 0
    over_all = similarity.masked_fill(itself, -torch.inf).logsumexp(1)
    # Anchors without a positive leave before the logarithm: its gradient at an empty sum is not a number.
    over_positives = similarity[anchors].masked_fill(~positive[anchors], -torch.inf).logsumexp(1)
    per_anchor = over_all[anchors] - over_positives + count[anchors].log()
    return per_anchor.sum() / anchors.sum().clamp_min(1)


def learned_temperature(logarithm: Tensor) -> Tensor:
    """The temperature of its optimised logarithm, within :data:`TEMPERATURES`.

    Beyond them it has no gradient, so the logarithm itself must be kept :func:`within_bounds`.
    """
    return within_bounds(logarithm).exp()


def within_bounds(logarithm: Tensor) -> Tensor:
    """A temperature's logarithm, or the nearest bound's."""
    return logarithm.clamp(math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1]))


def _inside(values: Tensor, mask: Tensor) -> Tensor:
    summed, counted = total(torch.stack([(values * mask).sum(), mask.sum()])).unbind()
    return summed / counted.clamp_min(1)


def _pairs(embeddings: Tensor, labels: Tensor, temperature: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """Similarities over temperature, which pairs are positive, and which are of a sample with itself."""
    similarity = embeddings @ embeddings.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return similarity, (labels[:, None] == labels[None]) & ~itself, itself
