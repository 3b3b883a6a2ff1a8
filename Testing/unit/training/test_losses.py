"""Each loss equals an independent computation."""

from __future__ import annotations

import math

import pytest
import torch
from COVIDSelfSegTrainingLib.adversarial import gradient_penalty, least_squares
from COVIDSelfSegTrainingLib.losses import (
    bce_and_dice,
    enhanced_contrastive,
    learned_temperature,
    masked_l1,
    masked_mse,
    masked_norm,
    sensitivity_enhanced,
    supervised_contrastive,
)
from torch import nn


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_masked_l1_counts_the_mask_alone() -> None:
    prediction, target = torch.tensor([1.0, 1.0, 9.0]), torch.tensor([0.0, 3.0, 0.0])
    assert masked_l1(prediction, target, torch.tensor([1.0, 1.0, 0.0])) == 1.5
    assert masked_l1(prediction, target, torch.zeros(3)) == 0


def test_least_squares_of_a_perfect_judge_is_zero() -> None:
    assert least_squares(torch.ones(4), 1.0) == 0
    assert least_squares(torch.tensor([0.0, 1.0]), 1.0) == 0.5


def test_the_gradient_penalty_of_a_linear_judge_is_its_squared_slope() -> None:
    slope = torch.tensor([[1.0, -2.0, 3.0]])
    volumes = torch.randn(5, 3, requires_grad=True)
    assert gradient_penalty(volumes @ slope.T, volumes) == pytest.approx(14.0)


def test_bce_and_dice_by_hand() -> None:
    logits = torch.tensor([[[[logit(0.8), logit(0.3)], [logit(0.9), logit(0.5)]]]])
    target = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]]])
    lungs = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
    entropy = -(math.log(0.8) + math.log(0.7) + math.log(0.9)) / 3
    dice = (2 * (0.8 + 0.9) + 1) / ((0.8 + 0.3 + 0.9) + 2 + 1)
    assert bce_and_dice(logits, target, lungs).item() == pytest.approx(entropy + 1 - dice, abs=1e-6)


def test_missed_lesion_weighs_more_and_false_alarms_do_not() -> None:
    lungs = torch.ones(1, 1, 1, 1)
    missed, found = (torch.full((1, 1, 1, 1), logit(p)) for p in (0.2, 0.9))
    lesion, clean = torch.ones_like(lungs), torch.zeros_like(lungs)
    weight = 1 + 2.0 * 0.8
    assert sensitivity_enhanced(missed, lesion, lungs, 2.0).item() == pytest.approx(
        -math.log(0.2) * weight, rel=1e-5
    )
    assert sensitivity_enhanced(found, clean, lungs, 2.0).item() == pytest.approx(-math.log(0.1), rel=1e-5)
    beside = torch.cat([missed, found]), torch.cat([lesion, lesion]), torch.cat([lungs, 0 * lungs])
    assert sensitivity_enhanced(*beside, 2.0).item() == pytest.approx(-math.log(0.2) * weight, rel=1e-5)


def test_the_weight_of_a_missed_lesion_has_no_gradient_of_its_own() -> None:
    logits = torch.tensor([[[[logit(0.2)]]]], requires_grad=True)
    ones = torch.ones(1, 1, 1, 1)
    sensitivity_enhanced(logits, ones, ones, 2.0).backward()
    assert logits.grad.item() == pytest.approx((0.2 - 1) * (1 + 2 * 0.8), rel=1e-5)


def khosla(embeddings: torch.Tensor, labels: list[int], temperature: float) -> float:
    """Equation 2 of Khosla 2020, term by term."""
    total, anchors = 0.0, 0
    for i, label in enumerate(labels):
        others = [j for j in range(len(labels)) if j != i]
        positives = [j for j in others if labels[j] == label]
        if not positives:
            continue
        anchors += 1
        similarity = [
            math.exp(float(embeddings[i] @ embeddings[j]) / temperature) for j in range(len(labels))
        ]
        below = sum(similarity[j] for j in others)
        total += sum(-math.log(similarity[j] / below) for j in positives) / len(positives)
    return total / anchors


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_contrastive_loss_is_khoslas(temperature: float) -> None:
    torch.manual_seed(0)
    embeddings = nn.functional.normalize(torch.randn(7, 16), dim=1)
    labels = [0, 0, 1, 1, 1, 2, 0]
    ours = supervised_contrastive(embeddings, torch.tensor(labels), temperature).item()
    assert ours == pytest.approx(khosla(embeddings, labels, temperature), rel=1e-4)


def test_the_contrastive_loss_pulls_a_class_together_and_classes_apart() -> None:
    together = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])
    mixed = torch.tensor([[1.0, 0], [-1, 0], [1, 0], [-1, 0]])
    labels = torch.tensor([0, 0, 1, 1])
    assert supervised_contrastive(together, labels, 0.1) < 0.01
    assert supervised_contrastive(mixed, labels, 0.1) > 5


def test_without_a_positive_the_contrastive_loss_is_zero_and_differentiable() -> None:
    embeddings = nn.functional.normalize(torch.randn(3, 4), dim=1).requires_grad_()
    loss = supervised_contrastive(embeddings, torch.tensor([0, 1, 2]), 0.05)
    loss.backward()
    assert loss == 0
    assert torch.isfinite(embeddings.grad).all()


def test_the_other_differences_by_hand() -> None:
    prediction, target = torch.tensor([[1.0, 5.0, 9.0], [2.0, 2.0, 2.0]]), torch.zeros(2, 3)
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert masked_mse(prediction, target, mask).item() == pytest.approx((1 + 25 + 4) / 3)
    assert masked_norm(prediction, target, mask).item() == pytest.approx((math.sqrt(13) + 2) / 2)
    assert masked_norm(prediction, target, torch.zeros(2, 3)).item() < 1e-5


def enhanced(embeddings: torch.Tensor, labels: list[int], temperature: float) -> float:
    """The repaired equation 4, term by term."""
    per_anchor = []
    for i, label in enumerate(labels):
        others = [j for j in range(len(labels)) if j != i]
        share = {j: math.exp(float(embeddings[i] @ embeddings[j]) / temperature) for j in others}
        positives = [share[j] for j in others if labels[j] == label]
        if positives:
            per_anchor.append(-math.log(sum(positives) / len(positives) / sum(share.values())))
    return sum(per_anchor) / len(per_anchor)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_enhanced_loss_ties_each_positive_to_its_anchor(temperature: float) -> None:
    torch.manual_seed(0)
    embeddings = nn.functional.normalize(torch.randn(7, 16), dim=1)
    labels = [0, 0, 1, 1, 1, 2, 0]
    ours = enhanced_contrastive(embeddings, torch.tensor(labels), temperature).item()
    assert ours == pytest.approx(enhanced(embeddings, labels, temperature), rel=1e-4)


def test_the_slope_in_the_temperature_has_the_right_sign() -> None:
    """(E_w[s of positives] - E_v[s of all]) / tau^2, with softmax weights; the slides have it negative."""
    torch.manual_seed(1)
    embeddings = nn.functional.normalize(torch.randn(6, 8), dim=1)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    tau = torch.tensor(0.3, requires_grad=True)
    enhanced_contrastive(embeddings, labels, tau).backward()
    similarity = embeddings @ embeddings.T
    slopes = []
    for i in range(6):
        others = torch.tensor([j for j in range(6) if j != i])
        positives = others[labels[others] == labels[i]]
        all_s, pos_s = similarity[i, others], similarity[i, positives]
        expected = (torch.softmax(pos_s / 0.3, 0) * pos_s).sum() - (
            torch.softmax(all_s / 0.3, 0) * all_s
        ).sum()
        slopes.append(expected / 0.3**2)
    assert tau.grad.item() == pytest.approx(torch.stack(slopes).mean().item(), rel=1e-4)


def test_an_anchor_without_a_positive_leaves_the_gradient_finite() -> None:
    embeddings = nn.functional.normalize(torch.randn(4, 4), dim=1).requires_grad_()
    enhanced_contrastive(embeddings, torch.tensor([0, 0, 1, 2]), 0.05).backward()
    assert torch.isfinite(embeddings.grad).all()


def test_a_learned_temperature_stays_within_its_bounds() -> None:
    assert learned_temperature(torch.tensor(math.log(0.07))).item() == pytest.approx(0.07)
    assert learned_temperature(torch.tensor(-100.0)).item() == pytest.approx(0.01)
    assert learned_temperature(torch.tensor(100.0)).item() == pytest.approx(0.5)


def test_the_contrastive_loss_is_that_of_pytorch_metric_learning() -> None:
    metric = pytest.importorskip("pytorch_metric_learning.losses")
    torch.manual_seed(2)
    embeddings = nn.functional.normalize(torch.randn(9, 16), dim=1)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 2, 0, 1])
    expected = metric.SupConLoss(temperature=0.1)(embeddings, labels).item()
    assert supervised_contrastive(embeddings, labels, 0.1).item() == pytest.approx(expected, rel=1e-4)


def test_the_soft_dice_is_that_of_monai() -> None:
    monai = pytest.importorskip("monai.losses")
    torch.manual_seed(3)
    logits, target = torch.randn(3, 1, 8, 8), (torch.rand(3, 1, 8, 8) > 0.7).float()
    ones = torch.ones_like(target)
    dice = monai.DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)(logits, target)
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, target)
    assert bce_and_dice(logits, target, ones).item() == pytest.approx((dice + entropy).item(), rel=1e-5)
