"""The network that finds lung too dense for a threshold: consolidated, collapsed, drowned.

It sees the whole chest on a coarse grid, so its answer costs little on any scan. Where its weights or torch
are missing, the built-in lung mask does without. A second one sees single slices, for pictures that have no
chest around them.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..array_types import FloatArray
from ..file_names import is_there
from ..frame import AIR_HU
from ..hounsfield import to_unit
from ..memory import is_out_of_memory

if TYPE_CHECKING:
    from torch import Tensor

    from ..devices import Device
    from ..networks.lung_unet import LungUNet

log = logging.getLogger(__name__)

LUNG_GRID_MM = 5.0
LUNG_SHARE = 0.5
"""Probability from which on dense tissue is lung."""
_SHIPPED = Path(__file__).resolve().parents[2] / "Resources" / "Models" / "lungs"
SHIPPED_WEIGHTS = _SHIPPED / "covidselfseg-lungs.safetensors"
SLICE_WEIGHTS = _SHIPPED / "covidselfseg-lungs-slice.safetensors"
_SCHEMA = 1
_MOST_LEVELS, _MOST_CHANNELS, _GRID_MM = 8, 1024, (1.0, 20.0)
"""Of a card; with more, or on finer voxels, a run would take all memory."""


@dataclass(frozen=True)
class LungCard:
    """What a file of lung network weights says of itself.

    Attributes:
        widths: of the network.
        trained_on: name and licence of every chest.
        recipe: the preset as it was used, with the recipe of what it ``started_from``, or ``mean_of``: the
            parts, their shares and recipes.
        command: the command that made the weights.
        code_version: of the code that made them.
        flat: whether it sees each slice by itself.
        grid_mm: size of the voxels that it sees.
    """

    widths: tuple[int, ...]
    trained_on: tuple[tuple[str, str], ...]
    recipe: dict[str, Any]
    command: str
    code_version: str
    flat: bool = False
    grid_mm: float = LUNG_GRID_MM

    @classmethod
    def from_json(cls, text: str) -> LungCard:
        """Read a card.

        Raises:
            ValueError: not a card of this schema, or the network cannot be run as it says.
        """
        try:
            values = json.loads(text)
        except RecursionError as error:
            raise ValueError("the lung model card is nested too deeply") from error
        if not isinstance(values, dict) or values.pop("schema", None) != _SCHEMA:
            raise ValueError(f"not a lung model card of schema {_SCHEMA}")
        try:
            values["widths"] = tuple(values["widths"])
            values["trained_on"] = tuple((name, licence) for name, licence in values["trained_on"])
            card = cls(**values)
            _check_types(card)
            return card
        except (KeyError, TypeError) as error:
            raise ValueError(f"the lung model card is incomplete ({error})") from error

    def to_json(self) -> str:
        """Write the card; :meth:`from_json` reads it."""
        return json.dumps({"schema": _SCHEMA, **asdict(self)}, indent=1)


def _check_types(card: LungCard) -> None:
    """Of a card that anybody may have written: a run shall not end in a traceback half-way.

    Raises:
        TypeError: a value of another type, or out of its range.
    """
    texts = [card.command, card.code_version, *(text for one in card.trained_on for text in one)]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a name is no text")
    whole = all(type(width) is int and 0 < width <= _MOST_CHANNELS for width in card.widths)
    if not whole or not 0 < len(card.widths) <= _MOST_LEVELS:
        raise TypeError(f"its widths are not 1 to {_MOST_LEVELS} counts up to {_MOST_CHANNELS}")
    least, most = _GRID_MM
    # NaN is not between any two numbers.
    if type(card.grid_mm) not in (int, float) or not least <= card.grid_mm <= most:
        raise TypeError(f"its grid_mm is not a number from {least:g} to {most:g}")
    if type(card.flat) is not bool:
        raise TypeError("its flat is neither true nor false")
    if not isinstance(card.recipe, dict):
        raise TypeError("its recipe has no names")


class LungNetwork:
    """The network with its weights, on a device.

    Args:
        network: in evaluation mode, on ``device``.
        device: where to run.
        grid_mm: size of the voxels that it sees.
        sha256: of its weights.
        trained_on: names of the scans that it has learnt from.
    """

    def __init__(
        self,
        network: LungUNet,
        device: Device,
        *,
        grid_mm: float,
        sha256: str,
        trained_on: frozenset[str],
    ) -> None:
        self._network, self._device, self.grid_mm, self.sha256 = network, device, grid_mm, sha256
        self.trained_on = trained_on

    @classmethod
    def shipped(cls, device: Device | None = None, *, weights: Path = SHIPPED_WEIGHTS) -> LungNetwork | None:
        """A network that came with the program; None, and a line in the log, where there is none to be used.

        Args:
            device: where to run.
            weights: :data:`SHIPPED_WEIGHTS` or :data:`SLICE_WEIGHTS`; a file of the same name in another
                folder of models goes before it, unless it is damaged or of the other kind.
        """
        if find_spec("torch") is None:
            log.warning("The lung network is not used: torch is missing")
            return None
        from ..devices import choose_device  # noqa: PLC0415 (with torch)
        from ..models import model_folders  # noqa: PLC0415
        from ..weight_file import DamagedFileError, check_weights, read_weights  # noqa: PLC0415

        inside = Path(_SHIPPED.name) / weights.name
        own = [folder / inside for folder in model_folders()] if weights.parent == _SHIPPED else []
        for path in dict.fromkeys([*(file for file in own if is_there(file)), weights]):
            try:
                about, digest = check_weights(path)
                card = LungCard.from_json(about["card"])
                if path in own and card.flat != (weights == SLICE_WEIGHTS):
                    raise ValueError(f"it is for {'single slices' if card.flat else 'whole chests'}")
                return cls.of_weights(card, read_weights(path), digest, device or choose_device())
            except (DamagedFileError, KeyError, ValueError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise  # the weights may be as they should be, and fit elsewhere
                log.warning("The lung network is not used: %s (%s)", error, path)
        return None

    @classmethod
    def of_weights(
        cls, card: LungCard, weights: dict[str, Tensor], sha256: str, device: Device
    ) -> LungNetwork:
        """A network of weights in memory.

        Args:
            card: of the weights.
            weights: its state.
            sha256: of the weights.
            device: where to run.

        Raises:
            RuntimeError: the weights are not of the network that the card describes.
        """
        from ..networks.lung_unet import LungUNet  # noqa: PLC0415 (with torch)

        network = LungUNet(widths=card.widths, flat=card.flat)
        network.load_state_dict(weights)
        # Not channels-last: group norms would then add up in an order that depends on the threads, and the
        # cohort that several processes prepare would differ from that of one.
        placed = network.to(device.handle)
        placed.eval()
        names = frozenset(name for name, _ in card.trained_on)
        return cls(placed, device, grid_mm=card.grid_mm, sha256=sha256, trained_on=names)

    def probability(self, hu: FloatArray) -> FloatArray:
        """Lung probability 0 .. 1 (z, y, x) of HU on a grid of about ``grid_mm``; z up, y back, x left."""
        import torch  # noqa: PLC0415

        side = self._network.shrinkage
        sides = (1 if self._network.flat else side, side, side)
        pads = [(0, -size % side) for size, side in zip(hu.shape, sides, strict=True)]
        padded = np.pad(hu, pads, constant_values=AIR_HU)
        x = torch.from_numpy(padded)[None, None].to(self._device.handle)
        with torch.inference_mode(), self._device.autocast():
            logits = self._network(to_unit(x))[0, 0].float()
        found: FloatArray = torch.sigmoid(logits).cpu().numpy()
        return found[tuple(slice(0, size) for size in hu.shape)]
