"""What may enter a cohort: a scan file, a DICOM series or a phantom, and what is known of it beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["healthy", "diseased"]
Split = Literal["train", "held_out"]

LICENCE_UNKNOWN = "not stated"


@dataclass(frozen=True)
class Source:
    """A scan that is to enter a cohort.

    Attributes:
        name: unique in the cohort; the name of its folder.
        group: whether its lungs are healthy.
        licence: of the scan.
        path: of the scan; None for a phantom.
        lung_mask: file with its lung mask; None lets the built-in one be used.
        only_side: lung label (1 right, 2 left) to keep where the other side is not healthy; 0 keeps both.
        seed: of a phantom.
        severity: of a phantom, 0 .. 4.
        series: SeriesInstanceUID where ``path`` is a folder of DICOM slices.
        patient: all scans of a patient are on one side of the split; empty means a patient of its own.
        split: ``train``, or ``held_out`` for evaluation.
        lesion_mask: file with its lesions, for evaluation alone; never trained on.
        stated_class: what the data set says of it, CT-0 .. CT-4; empty where it says nothing.
    """

    name: str
    group: Group
    licence: str
    path: str | None = None
    lung_mask: str | None = None
    only_side: int = 0
    seed: int = 0
    severity: int = 0
    series: str = ""
    patient: str = ""
    split: Split = "train"
    lesion_mask: str | None = None
    stated_class: str = ""

    @property
    def is_phantom(self) -> bool:
        """Whether it is synthetic; phantoms and real scans are never scored together."""
        return self.path is None
