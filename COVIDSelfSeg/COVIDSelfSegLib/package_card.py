"""The card of a model package: its networks, how they are run, what they were trained on.

A package carries its card as JSON; :mod:`~.models` finds and opens packages. A card may come from anybody, so
what a run relies on is checked when the card is read, and its networks when the package is opened (see
:mod:`~.network_trial`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, Literal, get_args

from torch import nn

from .networks.generator import Generator, VolumeGenerator
from .networks.nested_generator import NestedGenerator
from .networks.r50_vit import R50VitTransUNet
from .networks.slice_network import SliceNetwork
from .networks.transunet import CompactTransUNet
from .networks.unet import DenseLstmUNet

SCHEMA = 1
"""Of the JSON; a card of another schema is refused."""

_NETWORKS: dict[str, type[nn.Module]] = {
    "generator": Generator,
    "nested-generator": NestedGenerator,
    "compact-transunet": CompactTransUNet,
    "dense-lstm-unet": DenseLstmUNet,
    "r50-vit-b16": R50VitTransUNet,
}
_NON_COMMERCIAL = re.compile(r"\bNC\b|non-?\s?commercial", re.IGNORECASE)

GRID_SIDE = 16
"""The sides of both networks' grids are multiples of it."""
LARGEST_SIDE = 1024
MOST_DRAWS = 1000
"""Of a card; with more a run would take all memory, or never end."""
FARTHEST_MM = 1000.0
"""No neighbour of a slice lies farther away."""
_REPEATED = ("blocks", "units")
_MOST_REPEATS = 256
"""Of a part, in any network; without memory for weights, too, a billion of them take all there is."""

ThresholdKind = Literal["absolute", "volume", "slice"]
"""What a threshold is a share of: certainty, the scan's highest probability, or that of each slice.

``slice`` is what the authors' released code does (0.2 of each slice's own maximum); a clean slice then always
gets a lesion. It is there to reproduce the paper.
"""


def is_non_commercial(licence: str) -> bool:
    """Whether a licence text forbids commercial use (CC BY-NC and the like)."""
    return _NON_COMMERCIAL.search(licence) is not None


@dataclass(frozen=True)
class Architecture:
    """A network by name and the arguments that build it.

    Attributes:
        network: name of its class on a card, such as ``compact-transunet``.
        arguments: of its class, by name; a list, which JSON makes of a tuple, is taken as a tuple.
    """

    network: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> type[nn.Module]:
        """Its class.

        Raises:
            KeyError: no network has this name.
        """
        return _NETWORKS[self.network]

    def build(self) -> nn.Module:
        """Make the network with fresh weights.

        Raises:
            KeyError: no network has this name.
            TypeError: its class takes no such arguments.
            ValueError: it would repeat a part too often.
        """
        arguments = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.arguments.items()
        }
        for name in _REPEATED:
            given = arguments.get(name, 0)
            for count in given if isinstance(given, tuple) else (given,):
                if _is_whole(count) and count > _MOST_REPEATS:
                    raise ValueError(f"{count} {name} are more than {_MOST_REPEATS}")
        return self.kind(**arguments)

    def build_generator(self) -> VolumeGenerator:
        """Make the network with fresh weights, where a generator is asked for.

        Raises:
            KeyError: no network has this name.
            TypeError: it is another network, or takes no such arguments.
        """
        network = self.build()
        if not isinstance(network, VolumeGenerator):
            raise TypeError(f"a {self.network} is no generator")
        return network

    def build_slice_network(self) -> SliceNetwork:
        """Make the network with fresh weights, where a 2D network is asked for.

        Raises:
            KeyError: no network has this name.
            TypeError: it is another network, or takes no such arguments.
        """
        network = self.build()
        if not isinstance(network, SliceNetwork):
            raise TypeError(f"a {self.network} is no 2D network")
        return network


@dataclass(frozen=True)
class Inference:
    """How a package is run; everything that must be as it was in training.

    Attributes:
        generator_grid: grid of the generator (z, y, x).
        slice_plane: grid of the 2D network (rows, columns); square pixels. A scan of taller lungs gets more
            rows, up to as many as columns.
        margin_mm: around the lungs' bounding box.
        neighbour_mm: distance to the neighbouring slices that the 2D network sees, at least one slice.
        latent_draws: draws of the generator to average.
        residual_hu: excess that the generator leaves on clearly healthy lung.
        threshold: probability 0 .. 1 from which on a voxel is lesion.
        threshold_kind: what the threshold is a share of; see :data:`ThresholdKind`.
        calibration_slope: see :class:`~.segmentation.Calibration`.
        calibration_shift: likewise.
        calibration_equalised_slope: likewise, of pictures whose contrast was equalised; 0: as other slices.
        calibration_equalised_shift: likewise.
        least_lesion_ml: components smaller than this are dropped.
        marked: whether the 2D network was told in training which slices hold no HU; see
            :data:`~.segmentation.MARKS`.
        mirrored: whether the 2D network also sees each slice's mirror image, and the mean logit counts.
    """

    generator_grid: tuple[int, int, int] = (32, 128, 128)
    slice_plane: tuple[int, int] = (192, 256)
    margin_mm: float = 5.0
    neighbour_mm: float = 2.5
    latent_draws: int = 4
    residual_hu: float = 0.0
    threshold: float = 0.5
    threshold_kind: ThresholdKind = "absolute"
    calibration_slope: float = 1.0
    calibration_shift: float = 0.0
    calibration_equalised_slope: float = 0.0
    calibration_equalised_shift: float = 0.0
    least_lesion_ml: float = 0.05
    marked: bool = False
    mirrored: bool = False

    @property
    def sha256(self) -> str:
        """Of all of this: the same weights, calibrated anew or at another threshold, find something else."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


_RANGES = {
    "margin_mm": (0.0, math.inf),
    "neighbour_mm": (0.0, FARTHEST_MM),
    "residual_hu": (-math.inf, math.inf),
    "threshold": (0.0, 1.0),
    "calibration_slope": (-math.inf, math.inf),
    "calibration_shift": (-math.inf, math.inf),
    "calibration_equalised_slope": (-math.inf, math.inf),
    "calibration_equalised_shift": (-math.inf, math.inf),
    "least_lesion_ml": (0.0, math.inf),
}
"""Least and largest value of each number of :class:`Inference`; all are finite."""


@dataclass(frozen=True)
class TrainingScan:
    """One thing a package was trained on.

    Attributes:
        name: of the scan, or of a group of phantoms.
        licence: that its publisher put it under.
        role: ``healthy`` or ``diseased``, as the training took its lungs to be.
    """

    name: str
    licence: str
    role: str


@dataclass(frozen=True)
class ModelCard:
    """What a package says of itself.

    Attributes:
        name: of the package.
        preset: name of the training preset.
        generator: architecture of the generator.
        segmenter: architecture of the 2D network.
        inference: how to run them.
        trained_on: every scan (or group of phantoms) with its licence and role.
        recipe: the whole preset as it was used.
        command: the command that made the weights.
        code_version: of the code that made them.
        metrics: name, value and protocol of each figure.
        known_failures: where it goes wrong, in words.
    """

    name: str
    preset: str
    generator: Architecture
    segmenter: Architecture
    inference: Inference
    trained_on: tuple[TrainingScan, ...]
    recipe: dict[str, Any]
    command: str
    code_version: str
    metrics: tuple[dict[str, Any], ...] = ()
    known_failures: tuple[str, ...] = ()

    @property
    def non_commercial(self) -> tuple[TrainingScan, ...]:
        """What it was trained on under a licence that forbids commercial use; that use ends with it."""
        return tuple(scan for scan in self.trained_on if is_non_commercial(scan.licence))

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card.

        Raises:
            ValueError: not a card of this schema, or the networks cannot be run as it says.
        """
        try:
            values = json.loads(text)
        except RecursionError as error:
            raise ValueError("its model card is nested too deeply") from error
        if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
            raise ValueError(f"not a model card of schema {SCHEMA}")
        try:
            for part in ("generator", "segmenter"):
                values[part] = Architecture(**values[part])
                if not isinstance(values[part].arguments, dict):
                    raise TypeError(f"the arguments of its {part} have no names")
            inference = dict(values["inference"])
            for name in ("generator_grid", "slice_plane"):
                inference[name] = tuple(inference[name])
            values["inference"] = Inference(**inference)
            _check_inference(values["inference"])
            values["trained_on"] = tuple(TrainingScan(**one) for one in values["trained_on"])
            texts = [values[name] for name in ("name", "preset", "command", "code_version")]
            texts += [text for scan in values["trained_on"] for text in astuple(scan)]
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("a name is no text")
            values["metrics"] = tuple(values["metrics"])
            values["known_failures"] = tuple(values["known_failures"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"the model card is incomplete ({error})") from error

    def to_json(self) -> str:
        """Write the card; :meth:`from_json` reads it."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1)


def _check_inference(inference: Inference) -> None:
    """Of a card that anybody may have written: a run shall not end half-way, nor with a senseless result.

    Raises:
        ValueError: a value of another type, not a finite number, or out of its range.
    """
    for name, count in (("generator_grid", 3), ("slice_plane", 2)):
        sides = getattr(inference, name)
        whole = all(_is_whole(side) and 0 < side <= LARGEST_SIDE and side % GRID_SIDE == 0 for side in sides)
        if len(sides) != count or not whole:
            raise ValueError(
                f"its {name} {list(sides)} is not {count} multiples of {GRID_SIDE} up to {LARGEST_SIDE}"
            )
    if not _is_whole(inference.latent_draws) or not 1 <= inference.latent_draws <= MOST_DRAWS:
        raise ValueError(f"its latent_draws {inference.latent_draws!r} is not a count from 1 to {MOST_DRAWS}")
    for name, (least, most) in _RANGES.items():
        value = getattr(inference, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not least <= value <= most:
            raise ValueError(f"its {name} {value!r} is not a number from {least:g} to {most:g}")
    if inference.threshold_kind not in get_args(ThresholdKind):
        raise ValueError(f"its threshold_kind {inference.threshold_kind!r} is unknown")
    for name in ("marked", "mirrored"):
        if not isinstance(getattr(inference, name), bool):
            raise ValueError(f"its {name} {getattr(inference, name)!r} is neither true nor false")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
