"""What the doctor finds of the lungs: are they there, whole, the right way up, and of a possible size."""

from __future__ import annotations

from collections.abc import Iterator

from .chest_look import ChestLook
from .finding import Finding, note, refusal, warning

_TALL, _DEEP, _WIDEST_MM = (0.55, 1.6), (0.4, 1.2), 400.0
"""Least and largest height and depth of both lungs as shares of their width, and their largest width; no real
scan at hand, and no part of one, is warned of by them (``test_doctor.py``)."""
_NARROWEST_MM = 170.0
"""Of both lungs of an adult; likewise."""

_LEAST_GAS_ML = 100.0
_BRIGHTEST_AIR_HU = -900.0
"""Of a CT in HU, air has -1000."""


def anatomy_findings(look: ChestLook, lungs_given: bool) -> Iterator[Finding]:
    """What the lungs of a scan tell about it.

    Args:
        look: at the scan.
        lungs_given: its user has a lung mask, which may leave out what is no lung tissue.
    """
    right, left = look.lung_ml
    if look.reaches_edge:
        unsure = look.hides_which_end_is_up
        yield warning(
            "The lungs reach the edge of the scan.",
            "A part of them is missing, so volumes and the infected share describe only the rest."
            + (" It could not be checked whether the scan lies upside down." if unsure else ""),
            "If the whole scan is at hand, use it."
            + (" Otherwise check by eye that it is the right way up." if unsure else ""),
        )
    if not look.has_both_lungs:
        missing = "left" if left < right else "right"
        yield warning(
            f"Almost no {missing} lung was found ({min(right, left):.0f} ml).",
            "It is missing, collapsed, or so dense that it looks like soft tissue. Or the axes of the scan "
            "are exchanged, so that the lungs do not lie side by side; then the lesions are wrong too.",
            "Check the lung mask, and that axial slices look axial; give a mask of your own if dense lung is "
            "left out.",
        )
    elif look.is_nearly_whole:
        yield from _size_findings(look.lung_box_mm)
        if look.air_hu is not None and look.air_hu > _BRIGHTEST_AIR_HU:
            yield warning(
                f"The air around the body has {look.air_hu:.0f} HU, where a CT has -1000.",
                "The values are shifted or scaled, as by a wrong rescale or in a cone-beam CT. Healthy lung "
                "is brighter than expected then, and may be taken for lesions.",
                "Export the scan again from its DICOM source, in HU.",
            )
    if look.gas_ml >= _LEAST_GAS_ML and not lungs_given:
        yield warning(
            f"At least {look.gas_ml:.0f} ml of the lungs are nothing but air.",
            "It is a pneumothorax, large bullae or severe emphysema. Where it counts as lung, the infected "
            "share is lower than that of the lung tissue.",
            "Look at the scan; where it is a pneumothorax, give a lung mask of your own without it.",
        )
    if look.has_contrast:
        yield note(
            "The scan was taken with contrast agent.",
            "Vessels are brighter than in the scans without, and may be taken for small lesions more often.",
            "Nothing to do; look at single bright spots with care.",
        )


def airless_finding(look: ChestLook, lungs_given: bool) -> Finding:
    """What to say of a scan in which hardly any air is held by lungs."""
    ml = f"{sum(look.lung_ml):.0f} ml"
    if lungs_given:
        return warning(
            f"Hardly any aerated lung was found ({ml}); the lung mask that was given is used as it is.",
            "It could not be checked whether the scan lies upside down.",
            "Check by eye that it is the right way up, and that the mask covers the lungs.",
        )
    return refusal(
        f"No lungs were found ({ml} of lung-like tissue).",
        "Lesions are looked for inside the lungs only.",
        "Load a chest CT that shows the lungs, or give a lung mask of your own.",
    )


def flip_finding(flipped: tuple[bool, bool, bool]) -> Finding:
    """What to say of axes (z, y, x) whose direction contradicts the anatomy."""
    names = [
        name for name, flip in zip(("upside down", "back to front", "mirrored"), flipped, strict=True) if flip
    ]
    return warning(
        f"The scan lies {' and '.join(names)}, contrary to its header.",
        "The networks expect a patient the right way up; it is turned for them, and the results are put "
        "back on the scan's own grid. Right and left may be exchanged.",
        "Correct the direction in the header, and check the side labels.",
    )


def _size_findings(lung_box_mm: tuple[float, float, float]) -> Iterator[Finding]:
    """Of both lungs, about whole, with a box (z, y, x) of this size."""
    tall, deep, wide = lung_box_mm
    is_usual = _TALL[0] < tall / wide < _TALL[1] and _DEEP[0] < deep / wide < _DEEP[1] and wide < _WIDEST_MM
    if not is_usual:
        yield warning(
            f"By the header, the lungs are {wide / 10:.0f} cm wide, {deep / 10:.0f} cm deep and "
            f"{tall / 10:.0f} cm tall.",
            "Lungs are hardly ever like this. The size of the voxels may be wrong, and with it all volumes "
            "in ml; or a large part of the lungs holds no air and was not seen.",
            "Compare the spacing with that of the DICOM source: where pixels were merged or slices left out, "
            "it must be larger. If it is right, check the lung mask.",
        )
    elif wide < _NARROWEST_MM:
        yield warning(
            f"By the header, the lungs are {wide / 10:.0f} cm wide, as those of a small child.",
            "The networks have learnt from adults alone. Or the size of the voxels is wrong, and with it all "
            "volumes in ml.",
            "Compare the spacing with that of the DICOM source. Of a child, check lungs and lesions by eye.",
        )
