"""What the segments are, in standard codes, as Slicer writes them: context ~ category ~ type ~ modifier ~ ...

Slicer's own list knows no ground glass, consolidation or COVID-19; the lesion's terms are those of
``Resources/Terminologies/COVIDSelfSeg.term.json``.
"""

from __future__ import annotations

LESION_CONTEXT = "COVID-19 findings in chest CT"
_LUNG_CONTEXT = "Segmentation category and type - DICOM master list"
_LUNG = "SCT^123037004^Anatomical Structure~SCT^39607008^Lung"
_NO_ANATOMY = "Anatomic codes - DICOM master list~^^~^^"

RIGHT_LUNG = f"{_LUNG_CONTEXT}~{_LUNG}~SCT^24028007^Right~{_NO_ANATOMY}"
LEFT_LUNG = f"{_LUNG_CONTEXT}~{_LUNG}~SCT^7771000^Left~{_NO_ANATOMY}"
LESION = (
    f"{LESION_CONTEXT}~SCT^49755003^Morphologically Altered Structure"
    "~SCT^882784691000119100^Pneumonia caused by SARS-CoV-2~^^"
    "~Anatomic codes - DICOM master list~SCT^39607008^Lung~^^"
)
