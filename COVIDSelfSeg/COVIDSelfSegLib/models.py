"""Model packages: find, verify, load, describe, write.

A package is one ``.safetensors`` file: fp16 weights of the generator and of the 2D network, and in its
metadata a JSON card that says what they are, how to run them and what they were trained on (see
:mod:`~.package_card`). It is loaded by schema and hash only, never by pickle. A package of a user is a
peer of the shipped one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .errors import ExitCode, UserError
from .file_names import is_there
from .memory import is_out_of_memory
from .network_trial import Network, TrialError, outline, try_out
from .networks.generator import VolumeGenerator
from .networks.slice_network import SliceNetwork
from .package_card import ModelCard
from .weight_file import DamagedFileError, check_weights, read_weights, weight_shapes, write_weights

DEFAULT_PACKAGE = "covidselfseg-default"


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
        return self._load("generator", self.card.generator.build_generator)

    def segmenter(self) -> SliceNetwork:
        """The 2D network with its weights, in evaluation mode, on the CPU."""
        return self._load("segmenter", self.card.segmenter.build_slice_network)

    def _load(self, part: str, build: Callable[[], Network]) -> Network:
        try:
            # A batch loads them hours after the file was opened, and reports what it was then.
            if check_weights(self.path)[1] != self.sha256:
                raise _replaced(self.path)
            network = build()
            network.load_state_dict(read_weights(self.path, part + "."))
        except DamagedFileError as error:
            raise _damaged(self.path, str(error)) from error
        except (KeyError, TypeError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
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
    """Check a package's schema and hash, and that its networks can run; its weights are loaded later.

    Raises:
        UserError: missing, cut short, of another schema, changed, or not to be run (exit code 3).
    """
    with suppress(OSError):  # of a folder that may not be entered: who reads the file says so
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
        _check_network(path, "generator", card.generator.build_generator)
        _check_network(path, "segmenter", card.segmenter.build_slice_network)
    except (DamagedFileError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    return ModelPackage(path, card, digest)


def model_folders() -> list[Path]:
    """Folders that are searched for packages: the user's own, then what came with the program.

    ``$COVIDSELFSEG_MODELS`` names the user's own, several as in ``$PATH``. One that is not there is none, nor
    is one that the system does not let be seen, of which pathlib would raise.
    """
    here = Path(__file__).resolve().parent
    named = os.environ.get("COVIDSELFSEG_MODELS", "")
    folders = [Path(folder) for folder in named.split(os.pathsep) if folder]
    folders.append(here.parent / "Resources" / "Models")
    # Where a wheel puts its data: <prefix>/share beside <prefix>/lib/python3.x/site-packages.
    folders.extend(parent / "share" / "covidselfseg" / "models" for parent in list(here.parents)[1:6])
    return [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112


def find_package(name: str = DEFAULT_PACKAGE) -> ModelPackage:
    """Open a package by its name (without ending) or by its path.

    Raises:
        UserError: there is none, or it is damaged (exit code 3).
    """
    if name.endswith(".safetensors"):
        return open_package(Path(name))
    for folder in model_folders():
        path = folder / f"{name}.safetensors"
        if is_there(path):
            return open_package(path)
    looked = "\n".join(f"    {folder}" for folder in model_folders()) or "    (no folder at all)"
    raise UserError(
        f"The model package '{name}' was not found.",
        why=f"Without its weights the networks cannot run. Looked in\n{looked}",
        fix=f"Put {name}.safetensors into one of these folders, or name a model file.",
        code=ExitCode.MODEL_UNUSABLE,
    )


def weight_files(folder: Path) -> list[Path]:
    """Files of weights in a folder, checked or not.

    A link that leads nowhere is none, nor is what macOS puts beside a file on a disk of another system.
    """
    return sorted(path for path in folder.glob("[!.]*.safetensors") if is_there(path))


def _check_network(path: Path, part: str, build: Callable[[], Network]) -> None:
    """Find out now what would end a run half-way.

    Raises:
        DamagedFileError: the network cannot be built or run, or has other weights than the file holds.
    """
    try:
        network = outline(build)
        # First: a trial takes the memory that the card asks for, and only a file as large may ask for much.
        if weight_shapes(path, part + ".") != {
            name: tuple(value.shape) for name, value in network.state_dict().items()
        }:
            raise DamagedFileError(f"its weights do not fit its {part}")
        try_out(network)
    except TrialError as error:
        raise DamagedFileError(f"its {part} cannot run as its card describes it ({error})") from error


def _replaced(path: Path) -> UserError:
    return UserError(
        f"The model file {path} has been replaced since it was opened.",
        why="The report would name the former weights.",
        fix="Run again, with the file as it is now; a batch then also repeats what the former weights made.",
        code=ExitCode.MODEL_UNUSABLE,
    )


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"The model file {path} cannot be used: {reason}.",
        why="Weights that are not what they should be give results that look right and are not.",
        fix="Copy or download the model file again, or name another one.",
        code=ExitCode.MODEL_UNUSABLE,
    )
