"""Phase 3: train the 2D network on painted lesions and on pseudo-masks of diseased scans."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.networks.slice_network import SliceNetwork
from COVIDSelfSegLib.package_card import Architecture, Inference
from COVIDSelfSegLib.segmentation import MARKS, ValueKind, lesion_logits, segmenter_input
from torch import Tensor, nn

from .averaging import frozen_copy, update_average
from .calibration import Judged, calibrate, stored_threshold
from .cohorts.cohort import CohortScan
from .losses import (
    bce_and_dice,
    enhanced_contrastive,
    learned_temperature,
    masked_mse,
    sensitivity_enhanced,
    supervised_contrastive,
    within_bounds,
)
from .presets import Preset
from .segmenter_batches import SegmenterBatch, SegmenterBatches
from .slice_selection import CLASSES, Diseased
from .training_run.checkpoint import load_checkpoint, save_checkpoint
from .training_run.distributed import joint_rows, seed_dropout, shared, with_joint_norms

log = logging.getLogger(__name__)

_PHASE, _UNSEEN = 3, 4
"""Streams of random numbers: of the training, and of what it never sees."""
_CONTRASTIVE = {"supervised": supervised_contrastive, "enhanced": enhanced_contrastive}


def segmenter_architecture(preset: Preset) -> Architecture:
    """The 2D network that a preset trains."""
    return Architecture(preset.segmenter.architecture, dict(preset.segmenter.network))


class SegmenterTrainer:
    """The 2D network and its optimiser; one step at a time.

    Args:
        preset: the training.
        healthy: scans of healthy lungs, on which lesions are painted.
        diseased: scans of diseased lungs with their pseudo-masks.
        device: where to train.
        compiled: run the network through ``torch.compile``.
    """

    def __init__(
        self,
        preset: Preset,
        healthy: list[CohortScan],
        diseased: Diseased,
        device: Device,
        *,
        compiled: bool = False,
    ) -> None:
        self.preset, self.device = preset, device
        phase = preset.segmenter
        self.batches = SegmenterBatches(phase, healthy, diseased, device)
        torch.manual_seed(preset.seed)
        self.network = device.place(segmenter_architecture(preset).build_slice_network())
        self.average = frozen_copy(self.network)
        self.temperature = _Temperature(phase.temperature) if phase.learn_temperature else None
        groups = [{"params": list(self.network.parameters())}]
        if self.temperature is not None:
            self.temperature.to(device.handle)
            groups.append({"params": list(self.temperature.parameters()), "weight_decay": 0.0})  # type: ignore[dict-item]
        self.optimiser = torch.optim.AdamW(groups, phase.rate, (0.9, 0.99), weight_decay=phase.weight_decay)
        # What is run in training shares its weights with what is saved, under other names.
        run: nn.Module = _Run(with_joint_norms(self.network, device), self.temperature)
        if compiled:
            run = torch.compile(run)  # type: ignore[assignment]
        self._run = shared(run, unused=phase.contrastive_weight == 0)
        if phase.warm_up >= phase.iterations:
            log.warning(
                "The 2D network's warm-up (segmenter.warm_up, %d steps) is no shorter than its training "
                "(%d steps): its learning rate rises to the end. Give a smaller warm_up in a preset file.",
                phase.warm_up,
                phase.iterations,
            )
        self.iteration = 0
        self.batch_names: list[str] = []

    def step(self) -> dict[str, Tensor]:
        """One iteration; returns the losses, still on the device."""
        rng = np.random.default_rng([self.preset.seed, _PHASE, self.iteration])
        seed_dropout(int(rng.integers(2**62)))
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        batch, self.batch_names = self.batches.draw(rng)
        with self.device.autocast():
            logits, embeddings, logarithm = self._run(self._input(batch.hu, batch.lungs, batch.marks))
        losses = self._losses(batch, logits.float(), embeddings.float(), logarithm)
        loss = sum((weight * value for weight, value in losses.values()), torch.zeros_like(logits).sum())
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        if self.temperature is not None:
            self.temperature.keep_within_bounds()
        update_average(self.average, self.network, self.preset.segmenter.ema, self.iteration)
        self.iteration += 1
        return {name: value.detach() for name, (_, value) in losses.items()}

    def judge_unseen(self, batches: int) -> dict[ValueKind, Judged]:
        """What the averaged network says of lesions painted anew, for each kind that is calibrated apart."""
        judged: dict[ValueKind, list[Judged]] = {"hu": [], "equalised": []}
        for number in range(batches):
            rng = np.random.default_rng([self.preset.seed, _UNSEEN, number])
            rng.integers(2**62)  # Taken and left: without it, a training done again would meet other lesions.
            batch = self.batches.draw_known(rng)
            with torch.inference_mode(), self.device.autocast():
                x = self._input(batch.hu, batch.lungs, batch.marks)
                found = lesion_logits(self.average, x, mirrored=self.preset.inference.mirrored)
            for values, parts in judged.items():
                inside = batch.lungs * (batch.marks == MARKS[values]).view(-1, 1, 1, 1) > 0
                lesion = batch.target[inside] > 0.5
                parts.append(Judged(found[inside].cpu().numpy(), lesion.cpu().numpy()))
        return {values: Judged.joined(parts) for values, parts in judged.items()}

    def calibrated(self) -> Inference:
        """How to run the averaged network: calibrations and threshold from lesions painted anew.

        The preset's own where it asks for none. The threshold is that of scans in HU.
        """
        preset = self.preset
        if preset.calibration_batches == 0:
            return preset.inference
        unseen = self.judge_unseen(preset.calibration_batches)
        if not unseen["hu"].lesion.any():
            log.warning("No lesion was painted to calibrate with; the preset's threshold is kept")
            return preset.inference
        found = calibrate(unseen["hu"])
        log.info(
            "Dice %.3f on unseen painted lesions at threshold %.2f, calibration error %.3f",
            found.dice,
            found.threshold,
            found.error,
        )
        inference = replace(
            preset.inference,
            threshold=stored_threshold(found.threshold),
            calibration_slope=round(found.slope, 4),
            calibration_shift=round(found.shift, 4),
        )
        if not unseen["equalised"].lesion.any():
            return inference
        equalised = calibrate(unseen["equalised"])
        return replace(
            inference,
            calibration_equalised_slope=round(equalised.slope, 4),
            calibration_equalised_shift=round(equalised.shift, 4),
        )

    def save(self, path: Path, recipe: dict[str, str]) -> None:
        """Write all that :meth:`load` needs to go on."""
        save_checkpoint(path, self.iteration, self._networks(), {"segmenter": self.optimiser}, recipe)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        self.iteration = load_checkpoint(path, self._networks(), {"segmenter": self.optimiser})

    def _input(self, hu: Tensor, lungs: Tensor, marks: Tensor | None = None) -> Tensor:
        return segmenter_input(hu, lungs[:, 0], channels=self.network.in_channels, marks=marks)

    def _losses(
        self, batch: SegmenterBatch, logits: Tensor, embeddings: Tensor, logarithm: Tensor | None
    ) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of each loss that the preset asks for and the joint batch has slices for."""
        phase = self.preset.segmenter
        known = batch.classes <= CLASSES["clean"]
        masked = batch.classes >= CLASSES["clean"]
        losses: dict[str, tuple[float, Tensor]] = {}
        if phase.painted_weight > 0 and (batch.joint_classes <= CLASSES["clean"]).any():
            value = bce_and_dice(logits[known], batch.target[known], batch.lungs[known])
            losses["painted"] = (phase.painted_weight, value)
        if (batch.joint_classes > CLASSES["clean"]).any():
            if phase.pseudo_weight > 0:
                value = sensitivity_enhanced(
                    logits[~known], batch.target[~known], batch.lungs[~known], phase.sensitivity_beta
                )
                losses["pseudo"] = (phase.pseudo_weight, value)
            if phase.mse_weight > 0:
                value = masked_mse(torch.sigmoid(logits[masked]), batch.target[masked], batch.lungs[masked])
                losses["mse"] = (phase.mse_weight, value)
            if phase.teacher_weight > 0 and self.iteration >= phase.teacher_start * phase.iterations:
                losses["teacher"] = (phase.teacher_weight, self._disagreement(batch, logits, ~known))
        if phase.contrastive_weight > 0:
            losses["contrastive"] = (
                phase.contrastive_weight,
                self._contrastive(batch, embeddings, logarithm),
            )
        return losses

    def _disagreement(self, batch: SegmenterBatch, logits: Tensor, chosen: Tensor) -> Tensor:
        """Squared difference from the running mean of the network, which sees slices and lungs unvaried.

        It counts where both see the lung: of what lies outside of its mask a network says nothing.
        """
        with torch.no_grad(), self.device.autocast():
            taught = self.average(self._input(batch.plain_hu, batch.plain_lungs)).float()
        weight = (batch.lungs * batch.plain_lungs * batch.certainty)[chosen]
        return masked_mse(torch.sigmoid(logits[chosen]), torch.sigmoid(taught[chosen]), weight)

    def _contrastive(self, batch: SegmenterBatch, embeddings: Tensor, logarithm: Tensor | None) -> Tensor:
        phase = self.preset.segmenter
        joint = joint_rows(embeddings, len(batch.joint_classes))
        told_apart = torch.tensor([CLASSES[name] for name in phase.pairing], device=joint.device)
        chosen = torch.isin(batch.joint_classes, told_apart).nonzero().flatten()
        temperature = phase.temperature if logarithm is None else learned_temperature(logarithm)
        compare = _CONTRASTIVE[phase.contrastive]
        return compare(joint[chosen], batch.joint_classes[chosen], temperature)

    def _rate(self) -> float:
        """Linear warm-up, then constant or a cosine to 1 % of the peak."""
        phase = self.preset.segmenter
        if self.iteration < phase.warm_up:
            return phase.rate * (self.iteration + 1) / phase.warm_up
        if phase.schedule == "constant":
            return phase.rate
        done = (self.iteration - phase.warm_up) / max(1, phase.iterations - phase.warm_up)
        return phase.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))

    def _networks(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {"segmenter": self.network, "average": self.average}
        if self.temperature is not None:
            networks["temperature"] = self.temperature
        return networks


class _Temperature(nn.Module):
    """A learned temperature, by its logarithm."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.tensor(math.log(start)))

    @torch.no_grad()
    def keep_within_bounds(self) -> None:
        """Take back what the optimiser went too far: beyond the bounds no gradient would lead back."""
        self.logarithm.copy_(within_bounds(self.logarithm))


class _Run(nn.Module):
    """One forward pass of all that is optimised, as several processes need it."""

    def __init__(self, network: nn.Module, temperature: _Temperature | None) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits, embeddings and the logarithm of the temperature."""
        assert isinstance(self.network, SliceNetwork)
        logits, embeddings = self.network.forward_with_embedding(x)
        # A copy: several processes must not hold a parameter itself as an output.
        logarithm = None if self.temperature is None else self.temperature.logarithm * 1.0
        return logits, embeddings, logarithm
