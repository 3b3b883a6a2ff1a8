"""What is evaluated on: scans of a cohort, read anew on their own grid, and phantoms of held-out seeds."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from COVIDSelfSegLib.array_types import BoolArray
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.phantom import Phantom, make_phantom
from COVIDSelfSegLib.phantom_parts.scanner import Acquisition, draw_acquisition
from COVIDSelfSegLib.volume import array_view, bare_name, files_of, grid_difference, image_like, read_mask

from ..cohorts.card_names import card_name
from ..cohorts.cutting import read_source
from ..cohorts.manifest import read_manifest
from ..cohorts.sources import Source, Split
from ..cohorts.splitting import patient_of

Kind = Literal["real scans", "phantoms"]
_NEARLY_WHOLE = 0.01


def table_suffix(kind: Kind) -> str:
    """What the names of tables call a kind, since they are also names of files."""
    return kind.replace(" ", "_")


@dataclass(frozen=True)
class CaseImages:
    """A case in memory.

    Attributes:
        scan: HU.
        truth: uint8 lesions on the scan's grid; None where nobody drew them.
        twin: a phantom without its lesions; None for a real scan.
    """

    scan: sitk.Image
    truth: sitk.Image | None
    twin: sitk.Image | None = None


@dataclass(frozen=True)
class Case:
    """One scan to evaluate on.

    Attributes:
        name: unique.
        source: the scan.
        content: changes when the scan or its mask does.
        slice_labels: per native slice (z,) whether a reader saw disease in it; None where nobody did.
        scan_sha256: of the scan's voxels; empty for a phantom.
        has_true_size: whether a volume in ml means anything; not where the size of voxels was inferred.
    """

    name: str
    source: Source
    content: str
    slice_labels: tuple[bool, ...] | None = None
    scan_sha256: str = ""
    has_true_size: bool = True

    @property
    def kind(self) -> Kind:
        """Real scans and phantoms are never scored together."""
        return "phantoms" if self.source.is_phantom else "real scans"

    @property
    def is_healthy(self) -> bool:
        """Whether anything found in it is wrong."""
        return self.source.group == "healthy"

    @property
    def patient(self) -> str:
        """Whose scan it is; figures of one patient's scans are no independent ones."""
        return patient_of(self.source)

    @property
    def known_as(self) -> frozenset[str]:
        """Names that this scan may have on the card of a model that learnt from it, from one lung or both."""
        file = bare_name(Path(self.source.path or self.source.name))
        return frozenset({self.source.name, file, card_name(self.source, self.scan_sha256)})

    def seen_by(self, package: ModelPackage) -> bool:
        """Whether a package was trained on this scan (without labels)."""
        return not self.known_as.isdisjoint(scan.name for scan in package.card.trained_on)

    def load(self) -> CaseImages:
        """Read the scan and its mask, or make the phantom.

        Raises:
            UserError: a file is gone, damaged or on another grid, a mask is no label map, or the labels are
                of other slices.
        """
        source = self.source
        if source.is_phantom:
            phantom = phantom_of(source)
            return CaseImages(phantom.scan, phantom.lesions, phantom.healthy_twin)
        scan = read_source(source)
        if self.slice_labels is not None and len(self.slice_labels) != scan.GetDepth():
            raise UserError(
                f"{self.name} has labels of {len(self.slice_labels)} slices, and {scan.GetDepth()} slices.",
                why="Each label belongs to a slice, the first to the scan's first.",
                fix="Correct the file of labels, or take this scan out of it.",
            )
        if source.lesion_mask is None:
            return CaseImages(scan, empty_mask(scan) if self.is_healthy else None)
        mask = read_mask(Path(source.lesion_mask))
        difference = grid_difference(mask, scan)
        if difference is not None:
            raise UserError(
                f"The lesion mask {source.lesion_mask} is not on the grid of {source.path}: {difference}.",
                why="Each voxel of the mask must lie where the same voxel of the scan lies.",
                fix="Export the mask with the CT as its reference geometry, or resample it to the CT.",
            )
        return CaseImages(scan, image_like(_lesions_of(mask, source.lesion_mask), scan))


def _lesions_of(mask: sitk.Image, path: str) -> npt.NDArray[np.uint8]:
    """Where a label map is above 0, (z, y, x).

    Raises:
        UserError: it is no label map; of it, nearly everything or nearly nothing would be lesion.
    """
    labels = array_view(mask)
    low, high = labels.min(), labels.max()
    lesions = np.zeros(labels.shape, np.uint8)
    is_map = low > -_NEARLY_WHOLE
    for of_plane, plane in zip(lesions, labels, strict=True):
        # Whole numbers that were stored with a scale and an offset come back not quite whole, the 0 too.
        whole = np.rint(plane)
        is_map &= np.abs(plane - whole).max() <= _NEARLY_WHOLE
        of_plane[:] = whole > 0
    if not is_map:
        raise UserError(
            f"The lesion mask {path} is no label map: its values go from {low:g} to {high:g}.",
            why="All above 0 would count as lesion. A scan or a map of probabilities looks like this.",
            fix="Export a label map: 0 outside of the lesions, whole numbers above 0 inside.",
        )
    return lesions


def acquisition_of(source: Source) -> Acquisition:
    """The scanner of a phantom."""
    return draw_acquisition(np.random.default_rng([source.seed, 9]))


def phantom_of(source: Source) -> Phantom:
    """The phantom that a source names, by the scanner of :func:`acquisition_of`."""
    return make_phantom(source.seed, source.severity, acquisition_of(source))


def empty_mask(scan: sitk.Image) -> sitk.Image:
    """A mask with nothing in it, on the grid of a scan."""
    mask = sitk.Image(scan.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(scan)
    return mask


def cases_of_cohort(folder: Path, split: Split | None, labels: Path | None = None) -> list[Case]:
    """The real scans of a cohort that are used, by name.

    Args:
        folder: of the cohort.
        split: side to take; None takes both.
        labels: JSON with labels of slices, ``{"volumes": {name: {"slice_infected": [0, 1, ...]}}}``, where
            a name is that of the scan in ``cohort.csv``, or of its file without the ending, if no other
            scan's file is called so.

    Raises:
        UserError: there is no finished cohort, or the labels cannot be read or are of none of these scans.
    """
    rows, _ = read_manifest(folder)
    of_slices = read_slice_labels(labels) if labels else {}
    called = Counter(_file_name(row.source) for row in rows if not row.source.is_phantom)
    cases = []
    for row in rows:
        source = row.source
        if row.verdict != "used" or row.facts is None or split not in (None, source.split):
            continue
        if source.is_phantom:
            continue  # a cohort's phantoms were made to train on; held-out ones have other seeds
        voxels = row.facts.content_sha256
        # A scan whose spacing was put right has the same voxels, and other volumes and distances.
        content = f"{voxels} {row.facts.spacing_mm}{_stamp(source.lesion_mask)}"
        labels_of_scan = of_slices.get(source.name)
        if labels_of_scan is None and called[_file_name(source)] == 1:
            labels_of_scan = of_slices.get(_file_name(source))
        cases.append(Case(source.name, source, content, labels_of_scan, voxels))
    if labels and cases and all(case.slice_labels is None for case in cases):
        raise UserError(
            f"{labels} has labels of none of the scans to evaluate.",
            why=f"Labels go by the column 'name' of cohort.csv, such as '{cases[0].name}', or by the name of "
            f"a file, if only one scan has it, without its ending, such as '{_file_name(cases[0].source)}'.",
            fix="Correct the names, or leave --slice-labels out; --all takes the scans to train on too.",
        )
    return cases


def _file_name(source: Source) -> str:
    return bare_name(Path(source.path or ""))


def phantom_cases(seeds: Sequence[int]) -> list[Case]:
    """Phantoms with all severities, each with the scanner of its seed; a healthy one too of every other seed.

    Args:
        seeds: below 1000, which nothing is trained on.
    """
    cases = []
    for number, seed in enumerate(seeds):
        severities = [1 + seed % 4] + ([0] if number % 2 == 0 else [])
        for severity in severities:
            group: Literal["healthy", "diseased"] = "diseased" if severity else "healthy"
            source = Source(
                f"phantom_{seed}_severity{severity}", group, "none needed", seed=seed, severity=severity
            )
            digest = hashlib.sha256(json.dumps(asdict(source)).encode()).hexdigest()
            cases.append(Case(source.name, source, digest))
    return cases


def bool_view(image: sitk.Image) -> BoolArray:
    """Where an image is not zero (z, y, x)."""
    return array_view(image) > 0


def read_slice_labels(path: Path) -> dict[str, tuple[bool, ...]]:
    """Labels of slices by the name of their scan; see :func:`cases_of_cohort`.

    Raises:
        UserError: the file cannot be read, or is another one.
    """
    try:
        volumes = json.loads(path.read_text(encoding="utf-8-sig"))["volumes"]
        return {name: tuple(map(_as_label, values["slice_infected"])) for name, values in volumes.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} holds no labels of slices ({error}).",
            why='It must be JSON: {"volumes": {name: {"slice_infected": [0, 1, ...]}}}, '
            "a 0 or 1 for each slice.",
            fix="Correct the file, or leave --slice-labels out.",
        ) from error


def _as_label(value: object) -> bool:
    """0 or 1; to Python the text "0" is true, and what nobody has looked at (null) is false.

    Raises:
        ValueError: it is something else.
    """
    if value not in (0, 1):
        raise ValueError(f"{json.dumps(value)} is no label of a slice")
    return bool(value)


def _stamp(mask: str | None) -> str:
    """Which mask, and its files as they are.

    By size and time alone, masks of two readers that come out of one archive may be the same.
    """
    if mask is None:
        return ""
    files = files_of(Path(mask)) if Path(mask).is_file() else []
    stats = [(file.name, status.st_size, status.st_mtime_ns) for file in files for status in [file.stat()]]
    return f" {mask} {stats}"
