"""Model packages: find, verify, load, describe, write.

A package is one ``.safetensors`` file: fp16 weights of the generator and of the 2D network, and in its
metadata a JSON card that says what they are, how to run them and what they were trained on. It is loaded by
schema and hash only, never by pickle. A user's own package is a peer of the shipped one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor, nn

from .errors import ExitCode, UserError
from .networks.generator import Generator, VolumeGenerator
from .networks.nested_generator import NestedGenerator
from .networks.r50_vit import R50VitTransUNet
from .networks.slice_network import SliceNetwork
from .networks.transunet import CompactTransUNet
from .networks.unet import DenseLstmUNet
from .weight_file import DamagedFileError, check_weights, read_weights, write_weights

SCHEMA = 1
DEFAULT_PACKAGE = "covidselfseg-default"

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
    """A network by name and the arguments that build it."""

    network: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> type[nn.Module]:
        """Its class."""
        return _NETWORKS[self.network]

    def build(self) -> nn.Module:
        """Make the network with fresh weights."""
        arguments = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.arguments.items()
        }
        return self.kind(**arguments)


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
    "neighbour_mm": (0.0, math.inf),
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
    """One thing a package was trained on."""

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
        values = json.loads(text)
        if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
            raise ValueError(f"not a model card of schema {SCHEMA}")
        try:
            values["generator"] = Architecture(**values["generator"])
            values["segmenter"] = Architecture(**values["segmenter"])
            inference = dict(values["inference"])
            for name in ("generator_grid", "slice_plane"):
                inference[name] = tuple(inference[name])
            values["inference"] = Inference(**inference)
            _check_inference(values["inference"])
            values["trained_on"] = tuple(TrainingScan(**one) for one in values["trained_on"])
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
        whole = all(_is_whole(side) and side > 0 and side % GRID_SIDE == 0 for side in sides)
        if len(sides) != count or not whole:
            raise ValueError(f"its {name} {list(sides)} is not {count} multiples of {GRID_SIDE}")
    if not _is_whole(inference.latent_draws) or inference.latent_draws < 1:
        raise ValueError(f"its latent_draws {inference.latent_draws!r} is not a count of at least 1")
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


@dataclass(frozen=True)
class ModelPackage:
    """A package on disk whose schema and hash were checked.

    Attributes:
        path: the file.
        card: what it says of itself.
        sha256: of the weights.
    """

    path: Path
    card: ModelCard
    sha256: str

    def generator(self) -> VolumeGenerator:
        """The generator with its weights, in evaluation mode, on the CPU."""
        network = self._load("generator", self.card.generator)
        assert isinstance(network, VolumeGenerator)
        return network

    def segmenter(self) -> SliceNetwork:
        """The 2D network with its weights, in evaluation mode, on the CPU."""
        network = self._load("segmenter", self.card.segmenter)
        assert isinstance(network, SliceNetwork)
        return network

    def _load(self, part: str, architecture: Architecture) -> nn.Module:
        try:
            network = architecture.build()
            network.load_state_dict(read_weights(self.path, part + "."))
        except (KeyError, TypeError, RuntimeError) as error:
            raise _damaged(self.path, f"its weights do not fit its {part} ({error})") from error
        return network.eval()


def write_package(
    path: Path, card: ModelCard, generator: Mapping[str, Tensor], segmenter: Mapping[str, Tensor]
) -> ModelPackage:
    """Write a package: weights as fp16, with the hash of their bytes.

    Args:
        path: the file to write; it appears whole or not at all.
        card: what to say of it.
        generator: state of the generator.
        segmenter: state of the 2D network.
    """
    weights = {
        f"{part}.{name}": value
        for part, state in (("generator", generator), ("segmenter", segmenter))
        for name, value in state.items()
    }
    digest = write_weights(path, weights, {"card": card.to_json()})
    return ModelPackage(path, card, digest)


def open_package(path: Path) -> ModelPackage:
    """Check a package's schema and hash; its weights are loaded later.

    Raises:
        UserError: missing, cut short, of another schema, or changed (exit code 3).
    """
    if not path.is_file():
        raise UserError(
            f"The model file {path} does not exist.",
            why="Without its weights the networks cannot run.",
            fix="Name another model file, or see 'covidselfseg models' for the available ones.",
            code=ExitCode.MODEL_UNUSABLE,
        )
    try:
        about, digest = check_weights(path)
        if "card" not in about:
            raise DamagedFileError("it carries no COVIDSelfSeg model card")
        card = ModelCard.from_json(about["card"])
    except (DamagedFileError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    return ModelPackage(path, card, digest)


def model_folders() -> list[Path]:
    """Folders that are searched for packages: the user's own, then what came with the program.

    ``$COVIDSELFSEG_MODELS`` names the user's own, several as in ``$PATH``.
    """
    here = Path(__file__).resolve().parent
    named = os.environ.get("COVIDSELFSEG_MODELS", "")
    folders = [Path(folder) for folder in named.split(os.pathsep) if folder]
    folders.append(here.parent / "Resources" / "Models")
    # Where a wheel puts its data: <prefix>/share beside <prefix>/lib/python3.x/site-packages.
    folders.extend(parent / "share" / "covidselfseg" / "models" for parent in list(here.parents)[1:6])
    return [folder for folder in folders if folder.is_dir()]


def find_package(name: str = DEFAULT_PACKAGE) -> ModelPackage:
    """Open a package by its name (without ending) or by its path.

    Raises:
        UserError: there is none, or it is damaged (exit code 3).
    """
    if name.endswith(".safetensors"):
        return open_package(Path(name))
    for folder in model_folders():
        path = folder / f"{name}.safetensors"
        if path.is_file():
            return open_package(path)
    looked = "\n".join(f"    {folder}" for folder in model_folders()) or "    (no folder at all)"
    raise UserError(
        f"The model package '{name}' was not found.",
        why=f"Without its weights the networks cannot run. Looked in\n{looked}",
        fix=f"Put {name}.safetensors into one of these folders, or name a model file.",
        code=ExitCode.MODEL_UNUSABLE,
    )


def weight_files(folder: Path) -> list[Path]:
    """Files of weights in a folder, checked or not; a link that leads nowhere is none."""
    return sorted(path for path in folder.glob("*.safetensors") if path.is_file())


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"The model file {path} cannot be used: {reason}.",
        why="Weights that are not what they should be give results that look right and are not.",
        fix="Copy or download the model file again, or name another one.",
        code=ExitCode.MODEL_UNUSABLE,
    )
