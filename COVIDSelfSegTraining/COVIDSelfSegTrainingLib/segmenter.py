"""Phase 3: train the 2D network on painted lesions and on pseudo-masks of diseased scans."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from COVIDSelfSegLib.devices import Device
from COVIDSelfSegLib.models import Architecture
from COVIDSelfSegLib.networks.transunet import CompactTransUNet
from COVIDSelfSegLib.networks.unet import DenseLstmUNet
from COVIDSelfSegLib.segmentation import segmenter_input
from torch import Tensor, nn

from .augmentation import draw_variation, vary_intensity, vary_mask, warp
from .checkpoint import load_checkpoint, save_checkpoint
from .cohort import CohortScan
from .corruption import paint_slabs
from .losses import bce_and_dice, sensitivity_enhanced, supervised_contrastive
from .presets import Preset
from .pseudo_masks import PseudoMask

_PHASE, _UNSEEN = 3, 4
"""Streams of random numbers: of the training, and of what it never sees."""
_LEAST_TARGET = 0.07
"""Filling from which on a painted voxel is lesion: some 60 HU in healthy lung, as a reader outlines it."""
_SINGLE_SLICE = 0.3
"""Share of slices that stand in for their own neighbours, as in a scan of one slice."""
_AIR_HU = -1000.0

CLEAN, LOW, HIGH = 0, 1, 2


def segmenter_architecture(preset: Preset) -> Architecture:
    """The 2D network that a preset trains."""
    return Architecture("compact-transunet", dict(preset.segmenter.network))


@dataclass(frozen=True)
class _Slabs:
    """Slices with their neighbours on the device; all (batch, channels, y, x)."""

    hu: Tensor
    depths: Tensor
    target: Tensor


class SegmenterTrainer:
    """The 2D network and its optimiser; one step at a time.

    Args:
        preset: the training.
        healthy: scans of healthy lungs, on which lesions are painted.
        diseased: scans of diseased lungs with their pseudo-masks.
        device: where to train.
    """

    def __init__(
        self,
        preset: Preset,
        healthy: list[CohortScan],
        diseased: list[tuple[CohortScan, PseudoMask]],
        device: Device,
    ) -> None:
        self.preset, self.device = preset, device
        self.healthy = healthy
        self._chances = _chances(healthy, preset.segmenter.real_share)
        self.high = _slices_above(diseased, preset.segmenter.high_share)
        self.low = _slices_below(diseased, preset.segmenter.high_share, preset.segmenter.low_factor)
        torch.manual_seed(preset.seed)
        network = segmenter_architecture(preset).build()
        assert isinstance(network, CompactTransUNet | DenseLstmUNet)
        self.network = device.place(network)
        self.average = copy.deepcopy(self.network)
        for parameter in self.average.parameters():
            parameter.requires_grad = False
        phase = preset.segmenter
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), phase.rate, (0.9, 0.99), weight_decay=phase.weight_decay
        )
        self.iteration = 0

    def step(self) -> dict[str, float]:
        """One iteration; returns the losses."""
        phase = self.preset.segmenter
        rng = np.random.default_rng([self.preset.seed, _PHASE, self.iteration])
        torch.manual_seed(int(rng.integers(2**62)))
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        slabs, classes = self._draw(rng)
        hu, lungs, target = self._vary(slabs, rng)
        with self.device.autocast():
            logits, embeddings = self.network.forward_with_embedding(segmenter_input(hu, lungs[:, 0]))
        logits, embeddings = logits.float(), embeddings.float()
        known = phase.painted + phase.clean
        losses = {"painted": bce_and_dice(logits[:known], target[:known], lungs[:known])}
        loss = losses["painted"]
        if len(logits) > known:
            losses["pseudo"] = sensitivity_enhanced(
                logits[known:], target[known:], lungs[known:], phase.sensitivity_beta
            )
            loss = loss + phase.pseudo_weight * losses["pseudo"]
        if phase.contrastive_weight > 0:
            chosen = torch.from_numpy(np.flatnonzero(classes >= 0))
            losses["contrastive"] = supervised_contrastive(
                embeddings[chosen], torch.from_numpy(classes)[chosen].to(embeddings.device), phase.temperature
            )
            loss = loss + phase.contrastive_weight * losses["contrastive"]
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self._update_average()
        self.iteration += 1
        return {name: value.item() for name, value in losses.items()}

    def judge_unseen(self, batches: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Logits of the averaged network on lesions painted anew, and the truth; voxels of the lung."""
        phase = self.preset.segmenter
        known = phase.painted + phase.clean
        network = self.average.eval()
        logits, truths = [], []
        for number in range(batches):
            rng = np.random.default_rng([self.preset.seed, _UNSEEN, number])
            torch.manual_seed(int(rng.integers(2**62)))
            slabs = self._draw(rng)[0]
            slabs = _Slabs(slabs.hu[:known], slabs.depths[:known], slabs.target[:known])
            hu, lungs, target = self._vary(slabs, rng)
            with torch.inference_mode(), self.device.autocast():
                found = network(segmenter_input(hu, lungs[:, 0])).float()
            inside = lungs > 0
            logits.append(found[inside].cpu().numpy())
            truths.append((target[inside] > 0.5).cpu().numpy())
        return np.concatenate(logits), np.concatenate(truths)

    def save(self, path: Path) -> None:
        """Write all that :meth:`load` needs to go on."""
        save_checkpoint(path, self.iteration, self._networks(), {"segmenter": self.optimiser})

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        self.iteration = load_checkpoint(path, self._networks(), {"segmenter": self.optimiser})

    def _draw(self, rng: np.random.Generator) -> tuple[_Slabs, npt.NDArray[np.int64]]:
        """Slices of one step with their classes; painted slices have class -1, being neither."""
        phase = self.preset.segmenter
        painted = [self._any_slice(rng) for _ in range(phase.painted)]
        clean = [self._any_slice(rng) for _ in range(phase.clean)]
        high = _some(self.high, phase.high, rng)
        low = _some(self.low, phase.low, rng)
        chosen = painted + clean + [(scan, index) for scan, index, _ in high + low]
        stacks = [scan.stack(index) for scan, index in chosen]
        device = self.device.handle
        hu = torch.from_numpy(np.stack([stack[0] for stack in stacks])).to(device)
        depths = torch.from_numpy(np.stack([stack[1] for stack in stacks])).to(device).float()
        target = torch.zeros_like(hu[:, :1])
        count = len(painted)
        if count:
            scans, indices = [scan for scan, _ in painted], [index for _, index in painted]
            result = paint_slabs(scans, indices, hu[:count], depths[:count], rng)
            hu[:count] = result.hu
            target[:count, 0] = (result.filling[:, 1] > _LEAST_TARGET).float()
        for place, (_, index, mask) in enumerate(high + low, start=count + len(clean)):
            target[place, 0] = torch.from_numpy(mask.target[index]).to(device).float() / 255
        classes = [-1] * count + [CLEAN] * len(clean) + [HIGH] * len(high) + [LOW] * len(low)
        return _Slabs(hu, depths, target), np.array(classes)

    def _any_slice(self, rng: np.random.Generator) -> tuple[CohortScan, int]:
        scan = self.healthy[rng.choice(len(self.healthy), p=self._chances)]
        return scan, int(rng.choice(scan.holding))

    def _vary(self, slabs: _Slabs, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """HU, lung mask and target as another scanner, position and lung mask would give them."""
        count = len(slabs.hu)
        variation = draw_variation(count, rng)
        lungs = (slabs.depths[:, 1:2] > 0).float()
        hu = warp(variation, slabs.hu, fill=_AIR_HU)
        target = warp(variation, slabs.target, fill=0.0)
        lungs = warp(variation, lungs, fill=0.0, nearest=True)
        single = torch.from_numpy(rng.random(count) < _SINGLE_SLICE).to(hu.device)
        hu = torch.where(single[:, None, None, None], hu[:, 1:2].expand_as(hu), hu)
        hu = vary_intensity(variation, hu, lungs, int(rng.integers(2**62)))
        lungs = vary_mask(lungs, rng)
        return hu, lungs, target * lungs

    def _rate(self) -> float:
        """Linear warm-up, then a cosine to 1 % of the peak."""
        phase = self.preset.segmenter
        if self.iteration < phase.warm_up:
            return phase.rate * (self.iteration + 1) / phase.warm_up
        done = (self.iteration - phase.warm_up) / max(1, phase.iterations - phase.warm_up)
        return phase.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))

    def _update_average(self) -> None:
        decay = min(self.preset.segmenter.ema, (1 + self.iteration) / (10 + self.iteration))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)

    def _networks(self) -> dict[str, nn.Module]:
        return {"segmenter": self.network, "average": self.average}


_Pseudo = tuple[CohortScan, int, PseudoMask]


def _slices_above(diseased: list[tuple[CohortScan, PseudoMask]], share: float) -> list[_Pseudo]:
    """Slices among the top ``share`` by infected share of the lung (2022 paper, section 2.4)."""
    cut = _cut(diseased, share)
    return [
        (scan, int(index), mask)
        for scan, mask in diseased
        for index in scan.holding
        if mask.burden[index] >= cut
    ]


def _slices_below(
    diseased: list[tuple[CohortScan, PseudoMask]], share: float, factor: float
) -> list[_Pseudo]:
    """As many slices as are high, from the band just below ``factor`` times their cut."""
    cut = factor * _cut(diseased, share)
    below = [
        (scan, int(index), mask)
        for scan, mask in diseased
        for index in scan.holding
        if mask.burden[index] < cut
    ]
    below.sort(key=lambda one: -one[2].burden[one[1]])
    return below[: max(1, len(_slices_above(diseased, share)))]


def _cut(diseased: list[tuple[CohortScan, PseudoMask]], share: float) -> float:
    burdens = np.concatenate([mask.burden[scan.holding] for scan, mask in diseased] or [np.zeros(1)])
    return float(np.quantile(burdens, 1 - share))


def _chances(scans: list[CohortScan], real_share: float) -> npt.NDArray[np.float64]:
    """Chance of each scan to be drawn: real scans together have ``real_share``, phantoms the rest."""
    real = np.array([bool(scan.source.path) for scan in scans])
    shares = np.where(real, real_share, 1 - real_share) if real.any() and not real.all() else 1.0
    counts = np.where(real, real.sum(), (~real).sum())
    chances: npt.NDArray[np.float64] = shares / counts
    return chances


def _some(slices: list[_Pseudo], count: int, rng: np.random.Generator) -> list[_Pseudo]:
    return [slices[index] for index in rng.integers(len(slices), size=count)] if slices else []
