"""The doctor refuses what is no chest CT in HU and says why; it warns of the rest and lets it pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib.doctor import Examination, examine, mend, mend_orientation
from COVIDSelfSegLib.errors import ExitCode, UserError
from COVIDSelfSegLib.findings.chest_look import ChestLook
from COVIDSelfSegLib.findings.finding import Severity
from COVIDSelfSegLib.findings.slice_order import jumps_between_slices
from COVIDSelfSegLib.phantom import Phantom
from COVIDSelfSegLib.volume import image_like

CROPS = [("lower", 0.25), ("lower", 0.3), ("lower", 0.4)] + [
    ("upper", share) for share in (0.25, 0.3, 0.4, 0.5, 0.6)
]
"""Parts of a scan that hold only a part of the lungs, and the share of its slices."""


def part_of(scan: sitk.Image, end: str, share: float) -> sitk.Image:
    """The lower or the upper part of a scan whose slices run upwards."""
    count = scan.GetSize()[2]
    kept = round(share * count)
    return scan[:, :, :kept] if end == "lower" else scan[:, :, count - kept :]


def upside_down(scan: sitk.Image) -> sitk.Image:
    return with_values(scan, lambda hu: hu[::-1].copy())


def thinned(scan: sitk.Image) -> sitk.Image:
    """Averaged to the few millimetres that the doctor looks at; slices run upwards."""
    factors = [max(1, round(4 / mm)) for mm in scan.GetSpacing()]
    return sitk.BinShrink(sitk.DICOMOrient(scan, "LPS"), factors)


def with_values(scan: sitk.Image, change: Callable[[np.ndarray], np.ndarray]) -> sitk.Image:
    return image_like(change(sitk.GetArrayFromImage(scan)), scan)


def refusal(scan: sitk.Image) -> UserError:
    with pytest.raises(UserError) as caught:
        examine(scan).refuse()
    assert caught.value.code == ExitCode.INPUT_REFUSED
    assert caught.value.why
    assert caught.value.fix
    return caught.value


def said(examination: Examination, severity: Severity) -> str:
    return " | ".join(finding.what for finding in examination.findings if finding.severity is severity)


def said_of(scan: sitk.Image) -> str:
    return " | ".join(finding.what for finding in examine(scan).findings)


def scan_of(shares: dict[int, float]) -> sitk.Image:
    """100,000 voxels, of which so many have these HU."""
    counts = [round(100_000 * share) for share in shares.values()]
    return sitk.GetImageFromArray(np.repeat(np.array(list(shares), np.int16), counts).reshape(20, 50, 100))


def test_a_chest_ct_passes(a_phantom: Phantom) -> None:
    examination = examine(a_phantom.scan)
    examination.refuse()
    assert said(examination, Severity.REFUSED) == ""
    assert examination.flipped == (False, False, False)


def test_two_dimensions_are_refused(a_phantom: Phantom) -> None:
    assert "not one 3D volume" in refusal(a_phantom.scan[:, :, 30]).what


def test_fewer_than_eight_slices_are_refused(a_phantom: Phantom) -> None:
    assert "only 7 slices" in refusal(a_phantom.scan[:, :, 30:37]).what


def test_a_preview_of_few_pixels_is_refused(a_phantom: Phantom) -> None:
    preview = sitk.BinShrink(a_phantom.scan, (6, 6, 1))
    assert "only 26 x 22 x 66 voxels" in refusal(preview).what


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 10.5), (12.0, 1.0, 1.0)])
def test_a_spacing_beyond_ten_millimetres_is_refused(
    a_phantom: Phantom, spacing: tuple[float, float, float]
) -> None:
    scan = sitk.Image(a_phantom.scan)
    scan.SetSpacing(spacing)
    assert "mm" in refusal(scan).what


def test_sheared_axes_are_refused(a_phantom: Phantom) -> None:
    scan = sitk.Image(a_phantom.scan)
    scan.SetDirection((1, 0, 0, 0, 1, 0.2, 0, 0, 0.98))
    assert "right angles" in refusal(scan).what


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_numbers_are_refused(a_phantom: Phantom, value: float) -> None:
    def spoil(hu: np.ndarray) -> np.ndarray:
        hu = hu.astype(np.float32)
        hu[40, 7, 9] = value
        return hu

    assert "not numbers" in refusal(with_values(a_phantom.scan, spoil)).what


def test_a_constant_volume_is_refused(a_phantom: Phantom) -> None:
    assert "same value" in refusal(with_values(a_phantom.scan, np.zeros_like)).what


def test_eight_bit_gray_levels_are_refused(a_phantom: Phantom) -> None:
    def window(hu: np.ndarray) -> np.ndarray:
        return (np.clip((hu + 1250) / 1500, 0, 1) * 255).astype(np.int16)

    error = refusal(with_values(a_phantom.scan, window))
    assert "8-bit" in error.what


@pytest.mark.parametrize(
    ("lowest", "saying"), [(0, "not Hounsfield units"), (-1, "which is not a Hounsfield scale")]
)
def test_values_scaled_to_one_are_refused(a_phantom: Phantom, lowest: int, saying: str) -> None:
    def normalise(hu: np.ndarray) -> np.ndarray:
        unit = (hu - hu.min()) / np.ptp(hu.astype(float))
        return (lowest + (1 - lowest) * unit).astype(np.float32)

    error = refusal(with_values(a_phantom.scan, normalise))
    assert f"The values run from {lowest} to 1" in error.what
    assert saying in error.what


def test_a_forgotten_rescale_intercept_is_refused(a_phantom: Phantom) -> None:
    error = refusal(with_values(a_phantom.scan, lambda hu: (hu + 1024).clip(0)))
    assert "intercept" in error.why


def test_a_forgotten_rescale_intercept_is_refused_beside_padding_too(a_phantom: Phantom) -> None:
    """Padding of -2000, as one vendor stores it, looks like air."""

    def store(hu: np.ndarray) -> np.ndarray:
        stored = (hu + 1024).clip(0)
        stored[:, :30, :30] = -2000
        return stored

    error = refusal(with_values(a_phantom.scan, store))
    assert "but for a padding of -2000" in error.what
    assert "intercept" in error.why


@pytest.mark.parametrize("order", ["by name", "of several scans"])
def test_slices_that_do_not_follow_each_other_are_refused(a_coarse_phantom: Phantom, order: str) -> None:
    scan = a_coarse_phantom.scan
    count = scan.GetDepth()
    turned = np.array(
        sorted(range(count), key=lambda number: str(number + 1))
        if order == "by name"
        else np.random.default_rng(0).permutation(count)
    )
    assert "do not follow each other" in refusal(with_values(scan, lambda hu: hu[turned])).what


def test_slices_that_follow_each_other_are_not_refused_for_padding_noise_or_thickness(
    a_coarse_phantom: Phantom,
) -> None:
    scan, noise = a_coarse_phantom.scan, np.random.default_rng(0)
    padded = sitk.ConstantPad(scan, (0, 0, 9), (0, 0, 9), 0)
    noisy = with_values(scan, lambda hu: (hu + noise.normal(0, 150, hu.shape)).astype(np.int16))
    few = sitk.BinShrink(scan, (1, 1, 2))
    for one in (scan, padded, noisy, few, scan[:, :, 20:34], sitk.DICOMOrient(scan, "SAR")):
        assert jumps_between_slices(one) == 0


@pytest.mark.parametrize(("name", "count"), [("lungdx_A0001", 10), ("lung1_001", 19)])
def test_a_short_slab_of_thick_slices_is_not_refused_for_their_order(
    real_scans: Path, name: str, count: int
) -> None:
    """Neighbours may differ as much there as slices that are 40 mm apart."""
    scan = sitk.ReadImage(str(real_scans / "ct_cropped" / f"{name}.nii.gz"))[:, :, ::2]
    for first in range(scan.GetDepth() - count + 1):
        assert jumps_between_slices(scan[:, :, first : first + count]) < 2


def test_a_soft_tissue_window_has_no_air(a_phantom: Phantom) -> None:
    assert "no air" in refusal(with_values(a_phantom.scan, lambda hu: hu.clip(-160, 240))).what


def test_a_lung_window_that_cuts_off_tissue_has_none(a_phantom: Phantom) -> None:
    assert "no soft tissue" in refusal(with_values(a_phantom.scan, lambda hu: hu.clip(-1000, -500))).what


@pytest.mark.parametrize(
    ("saying", "enough", "too_little"),
    [
        ("not a Hounsfield scale", {-100: 0.5, 150: 0.5}, {-500: 0.5, 150: 0.5}),
        ("no air", {-850: 0.005, 40: 0.995}, {-850: 0.02, 40: 0.98}),
        ("no soft tissue", {-1000: 0.5, 40: 0.01, 500: 0.49}, {-1000: 0.5, 40: 0.05, 500: 0.45}),
        ("no soft tissue", {-1000: 0.7, 100: 0.3}, {-1000: 0.85, 100: 0.15}),
        ("cut off", {-1000: 0.5, 40: 0.49, 500: 0.01}, {-1000: 0.5, 40: 0.497, 500: 0.003}),
        ("cut off", {-1000: 0.5, 40: 0.49, 900: 0.01}, {-1000: 0.5, 40: 0.49, 1500: 0.01}),
        ("metal", {-1000: 0.5, 40: 0.4999, 3000: 0.0001}, {-1000: 0.5, 40: 0.49997, 3000: 0.00003}),
        ("metal", {-1000: 0.5, 40: 0.4999, 2700: 0.0001}, {-1000: 0.5, 40: 0.4999, 2500: 0.0001}),
    ],
)
def test_values_are_told_of_where_enough_voxels_have_them(
    saying: str, enough: dict[int, float], too_little: dict[int, float]
) -> None:
    assert saying in said_of(scan_of(enough))
    assert saying not in said_of(scan_of(too_little))


def test_a_tilted_gantry_is_refused_and_an_oblique_scan_whose_axes_were_rounded_is_not() -> None:
    scan = scan_of({-1000: 0.5, 40: 0.5})
    scan.SetDirection((1, 0, 0, 0, 1, np.sin(0.03), 0, 0, np.cos(0.03)))
    assert "right angles" in refusal(scan).what
    turned = sitk.Euler3DTransform((0, 0, 0), 0.3, 0.1, -0.2).GetMatrix()
    scan.SetDirection([float(np.float32(cosine)) for cosine in turned])
    assert "right angles" not in said_of(scan)


def test_few_slices_of_many_pixels_are_enough_and_several_values_a_voxel_are_too_many() -> None:
    assert "only" not in said_of(sitk.Image((64, 64, 9), sitk.sitkInt16))
    assert "not one 3D volume" in refusal(sitk.Image((64, 64, 64), sitk.sitkVectorInt16, 3)).what


def test_a_spacing_that_a_chest_ct_has_is_not_refused_and_refusals_are_told_first() -> None:
    scan = scan_of({0: 1})
    scan.SetSpacing((0.7, 0.7, 10.0))
    refused, warned = examine(scan).findings
    assert (refused.severity, warned.severity) == (Severity.REFUSED, Severity.WARNING)
    assert "same value" in refused.what
    assert "10 mm apart" in warned.what


def test_an_abdomen_has_no_lungs(a_phantom: Phantom) -> None:
    def fill_lungs(hu: np.ndarray) -> np.ndarray:
        filled = hu.copy()
        filled[sitk.GetArrayFromImage(a_phantom.lungs) > 0] = 40
        return filled

    assert "No lungs" in refusal(with_values(a_phantom.scan, fill_lungs)).what


def test_thick_slices_are_warned_of_and_let_pass(a_phantom: Phantom) -> None:
    examination = examine(a_phantom.scan)
    examination.refuse()
    assert "5 mm apart" in said(examination, Severity.WARNING)


@pytest.mark.parametrize(("stored", "spacing"), [("LPS", (2.3, 2.3, 2.5)), ("SAR", (5.0, 1.15, 1.15))])
def test_lungs_whose_spacing_cannot_be_right_are_warned_of(
    a_phantom: Phantom, stored: str, spacing: tuple[float, float, float]
) -> None:
    """Slices were left out, or pixels merged, and the header was not told."""
    scan = sitk.DICOMOrient(a_phantom.scan, stored)
    scan.SetSpacing(spacing)
    examination = examine(scan)
    examination.refuse()
    assert "By the header, the lungs are" in said(examination, Severity.WARNING)
    assert "By the header" not in said(examine(a_phantom.scan), Severity.WARNING)


def test_lungs_cut_by_the_edge_are_warned_of(a_phantom: Phantom) -> None:
    for crop in (a_phantom.scan[:, :, 30:], a_phantom.scan[50:, :, :], a_phantom.scan[:, 48:, :]):
        examination = examine(crop)
        examination.refuse()
        assert "edge of the scan" in said(examination, Severity.WARNING)
    assert "edge" not in said(examine(a_phantom.scan), Severity.WARNING)


@pytest.mark.parametrize(
    ("change", "air"),
    [(lambda hu: hu + 150, -850), (lambda hu: (0.7 * hu).astype(np.int16), -700), (lambda hu: hu + 50, None)],
    ids=["shifted", "scaled", "a little shifted"],
)
def test_values_that_are_no_hu_are_told_by_the_air_around_the_body(
    a_phantom: Phantom, change: Callable[[np.ndarray], np.ndarray], air: int | None
) -> None:
    told = said(examine(with_values(a_phantom.scan, change)), Severity.WARNING)
    assert ("The air around the body has" in told) == (air is not None)
    if air is not None:
        assert int(told.split("around the body has ")[1].split()[0]) == pytest.approx(air, abs=25)


def test_air_around_the_body_is_told_from_padding(a_phantom: Phantom) -> None:
    def pad(hu: np.ndarray) -> np.ndarray:
        shifted = hu + 150
        shifted[:, :, :60] = -3024
        return shifted

    assert ChestLook.at(with_values(a_phantom.scan, pad)).air_hu == pytest.approx(-850, abs=25)


@pytest.mark.parametrize("cut", [20, 30, 40])
def test_lungs_that_a_narrow_view_cuts_are_no_air_around_the_body(a_phantom: Phantom, cut: int) -> None:
    for narrow in (a_phantom.scan[cut:-cut, cut:-cut], a_phantom.scan[2 * cut :], a_phantom.scan[cut:-cut]):
        assert "The air around the body" not in said_of(narrow)


def test_a_pneumothorax_in_the_lung_mask_is_warned_of(a_phantom: Phantom) -> None:
    """Of a patient on his back it lies in front."""
    gas = sitk.GetArrayFromImage(a_phantom.lungs) == 2
    gas[:, int(np.flatnonzero(gas.any(axis=(0, 2)))[0]) + 18 :] = False
    scan = with_values(a_phantom.scan, lambda hu: np.where(gas, -1000, hu).astype(hu.dtype))
    told = said(examine(scan), Severity.WARNING)
    assert "nothing but air" in told
    ml = gas.sum() * float(np.prod(scan.GetSpacing())) / 1000
    assert 0.4 * ml < int(told.split("At least ")[1].split()[0]) < 1.05 * ml
    assert "nothing but air" not in said(examine(a_phantom.scan), Severity.WARNING)
    own_mask = said(examine(scan, lungs_given=True), Severity.WARNING)
    assert "nothing but air" not in own_mask, "which is what the warning asks for"


def test_a_missing_lung_is_warned_of(a_phantom: Phantom) -> None:
    def fill_left(hu: np.ndarray) -> np.ndarray:
        filled = hu.copy()
        filled[sitk.GetArrayFromImage(a_phantom.lungs) == 2] = 30
        return filled

    examination = examine(with_values(a_phantom.scan, fill_left))
    examination.refuse()
    assert "no left lung" in said(examination, Severity.WARNING)


@pytest.mark.parametrize("stored", ["LPS", "SAR"])
def test_what_fills_a_scan_beyond_its_field_of_view_is_told_and_taken_for_air(
    a_phantom: Phantom, stored: str
) -> None:
    """The lung network takes water there for drowned lung: twice the lung, from a scan masked with 0."""
    hu = sitk.GetArrayFromImage(a_phantom.scan)
    down, across = np.ogrid[-1 : 1 : hu.shape[1] * 1j, -1 : 1 : hu.shape[2] * 1j]
    outside = np.broadcast_to(down**2 + across**2 > 0.9, hu.shape)
    hu[30, 60:66, 70:76] = 0
    scan = image_like(np.where(outside, 0, hu).astype(np.int16), a_phantom.scan)
    examination = examine(sitk.DICOMOrient(scan, stored))
    examination.refuse()
    assert "filled with 0 HU beyond its field of view" in said(examination, Severity.WARNING)
    mended = sitk.DICOMOrient(mend(sitk.DICOMOrient(scan, stored), examination), "LPS")
    changed = sitk.GetArrayFromImage(mended) != np.where(outside, -1024, hu)
    assert changed.sum() < 20, "but for single voxels of tissue of just 0 HU that touch it"


def test_a_scan_of_which_only_the_lungs_are_left_has_no_soft_tissue(a_phantom: Phantom) -> None:
    masked = sitk.Mask(a_phantom.scan, a_phantom.lungs)
    assert "no soft tissue" in refusal(masked).what


def test_metal_is_warned_of(a_phantom: Phantom) -> None:
    def implant(hu: np.ndarray) -> np.ndarray:
        hu = hu.copy()
        hu[30:34, 40:50, 60:66] = 3000
        return hu

    assert "metal" in said(examine(with_values(a_phantom.scan, implant)), Severity.WARNING)
    assert "metal" not in said(examine(a_phantom.scan), Severity.WARNING)


def test_a_window_that_keeps_air_and_tissue_is_a_note(a_phantom: Phantom) -> None:
    examination = examine(with_values(a_phantom.scan, lambda hu: hu.clip(-1350, 150)))
    examination.refuse()
    assert "cut off" in said(examination, Severity.NOTE)


@dataclass(frozen=True)
class Look:
    """What a quick look at a chest may say."""

    lung_ml: tuple[float, float] = (2500.0, 2200.0)
    has_both_lungs: bool = True
    reaches_edge: bool = False
    hides_which_end_is_up: bool = False
    has_contrast: bool = False
    flipped_axes: tuple[bool, bool, bool] = (False, False, False)
    is_nearly_whole: bool = True
    lung_box_mm: tuple[float, float, float] = (260.0, 200.0, 280.0)
    gas_ml: float = 4.0
    air_hu: float | None = -992.0


@pytest.mark.parametrize(
    ("look", "saying"),
    [
        (Look(has_contrast=True), "contrast agent"),
        (Look(reaches_edge=True), "edge of the scan"),
        (Look(lung_ml=(2500.0, 90.0), has_both_lungs=False), "no left lung was found (90 ml)"),
        (Look(lung_ml=(80.0, 2500.0), has_both_lungs=False), "no right lung was found (80 ml)"),
        (Look(flipped_axes=(True, False, False)), "lies upside down, contrary"),
        (Look(flipped_axes=(False, True, False)), "lies back to front, contrary"),
        (Look(lung_ml=(120.0, 120.0)), "No lungs were found (240 ml"),
        (Look(lung_box_mm=(130.0, 200.0, 280.0)), "28 cm wide, 20 cm deep and 13 cm tall"),
        (Look(lung_box_mm=(130.0, 100.0, 140.0)), "14 cm wide, as those of a small child"),
        (Look(lung_box_mm=(260.0, 100.0, 140.0)), "14 cm wide, 10 cm deep and 26 cm tall"),
        (Look(lung_box_mm=(260.0, 350.0, 280.0)), "35 cm deep"),
        (Look(lung_box_mm=(260.0, 100.0, 280.0)), "10 cm deep"),
        (Look(gas_ml=101.0), "At least 101 ml of the lungs are nothing but air"),
        (Look(air_hu=-895.0), "The air around the body has -895 HU"),
        (Look(lung_box_mm=(380.0, 300.0, 420.0)), "42 cm wide"),
    ],
)
def test_what_is_seen_is_told_and_nothing_else(
    look: Look, saying: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seen, said_then in ((look, True), (Look(), False)):
        monkeypatch.setattr(ChestLook, "at", lambda _, seen=seen: seen)
        told = said_of(scan_of({-1000: 0.5, 40: 0.4, 1500: 0.1}))
        assert (saying in told) == said_then
        assert told.count("|") == 0, "one thing alone"


def test_little_aerated_lung_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a patient with severe disease, whose scan must not be refused."""
    monkeypatch.setattr(ChestLook, "at", lambda _: Look(lung_ml=(140.0, 120.0)))
    assert said_of(scan_of({-1000: 0.5, 40: 0.4, 1500: 0.1})) == ""


@pytest.mark.parametrize("flip", [(True, False, False), (False, True, False), (True, True, False)])
def test_a_scan_that_lies_the_wrong_way_is_mended(a_phantom: Phantom, flip: tuple[bool, bool, bool]) -> None:
    steps = tuple(slice(None, None, -1 if turned else 1) for turned in flip)
    lying = with_values(a_phantom.scan, lambda hu: hu[steps].copy())
    examination = examine(lying)
    examination.refuse()
    assert examination.flipped == flip
    assert "contrary to its header" in said(examination, Severity.WARNING)
    assert "contrast agent" not in said(examination, Severity.NOTE), "it is the spine that is bright in front"
    mended = mend_orientation(lying, examination.flipped)
    assert examine(mended).flipped == (False, False, False)
    assert np.array_equal(sitk.GetArrayViewFromImage(mended), sitk.GetArrayViewFromImage(lying))


@pytest.mark.parametrize("stored", ["LPS", "SAL", "oblique"])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_mended_direction_turns_that_axis_of_the_patient_however_the_scan_is_stored(
    stored: str, axis: int
) -> None:
    scan = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(np.int16))
    if stored == "oblique":
        scan.SetDirection(sitk.Euler3DTransform((0, 0, 0), 0.3, 0.0, -0.2).GetMatrix())
    else:
        scan = sitk.DICOMOrient(scan, stored)
    mended = mend_orientation(scan, (axis == 0, axis == 1, False))
    before, after = (sitk.GetArrayFromImage(sitk.DICOMOrient(one, "LPS")) for one in (scan, mended))
    assert np.array_equal(after, np.flip(before, axis))
    directions = (np.reshape(one.GetDirection(), (3, 3)) for one in (scan, mended))
    assert sorted((a @ b).round(9) for a, b in zip(*(d.T for d in directions), strict=True)) == [-1, 1, 1]


@pytest.mark.parametrize("share", [0.35, 0.4, 0.45, 0.5])
def test_lower_lungs_alone_are_not_turned_and_that_is_said(a_phantom: Phantom, share: float) -> None:
    lower = part_of(a_phantom.scan, "lower", share)
    for scan in (lower, sitk.ConstantPad(lower, (0, 0, 0), (0, 0, 6), -1024)):
        examination = examine(scan)
        examination.refuse()
        assert examination.flipped == (False, False, False)
        warnings = [finding for finding in examination.findings if "edge of the scan" in finding.what]
        assert ["could not be checked whether" in finding.why for finding in warnings] == [True]


def test_bowel_that_runs_backwards_below_lower_lungs_does_not_turn_the_scan(a_phantom: Phantom) -> None:
    """As in a CT of the belly; a trachea does so in a chest that lies upside down."""
    lower = sitk.GetArrayFromImage(part_of(a_phantom.scan, "lower", 0.45))
    belly = np.repeat(lower[:1], 16, axis=0)
    middle = int(np.flatnonzero((lower[0] > -300).any(axis=0)).mean())
    for z in range(16):
        belly[z, 60 + z : 68 + z, middle - 4 : middle + 4] = -990
    scan = sitk.GetImageFromArray(np.concatenate([belly, lower]))
    scan.SetSpacing(a_phantom.scan.GetSpacing())
    assert examine(scan).flipped == (False, False, False)


def test_a_base_that_the_scan_ends_a_little_too_early_for_is_still_seen_to_be_on_top(
    a_phantom: Phantom,
) -> None:
    held = np.flatnonzero(sitk.GetArrayViewFromImage(a_phantom.lungs).any(axis=(1, 2)))
    assert examine(upside_down(a_phantom.scan[:, :, int(held[0]) + 7 :])).flipped == (True, False, False)


@pytest.mark.parametrize("share", [0.5, 0.6, 0.7])
def test_upper_lungs_alone_are_turned_for_their_trachea_leans(a_phantom: Phantom, share: float) -> None:
    upper = part_of(a_phantom.scan, "upper", share)
    assert examine(upper).flipped == (False, False, False)
    examination = examine(upside_down(upper))
    assert examination.flipped == (True, False, False)
    assert not [finding for finding in examination.findings if "could not be checked" in finding.why]


def test_a_scan_stored_in_another_orientation_is_not_flipped(a_phantom: Phantom) -> None:
    for orientation in ("RAS", "LPI", "SAL"):
        assert examine(sitk.DICOMOrient(a_phantom.scan, orientation)).flipped == (False, False, False)


def test_every_real_scan_passes_and_is_turned_only_where_it_lies_upside_down(real_scans: Path) -> None:
    upper_lungs_turned = []
    for path in sorted([*real_scans.glob("ct*/*.nii.gz"), real_scans / "small" / "cip_ct-64.nii.gz"]):
        if "mask" in path.name:
            continue
        scan = sitk.ReadImage(str(path))
        examination = examine(scan)
        examination.refuse()
        assert examination.flipped == (False, False, False), path.name
        for never in ("By the header", "nothing but air", "The air around the body"):
            assert never not in said(examination, Severity.WARNING), path.name
        assert examination.padding is None, path.name
        few = thinned(scan)
        for end, share in CROPS:
            examination = examine(part_of(few, end, share))
            assert examination.flipped == (False, False, False), (path.name, end, share)
            assert "do not follow" not in said(examination, Severity.REFUSED), (path.name, end, share)
            assert "By the header" not in said(examination, Severity.WARNING), (path.name, end, share)
        assert examine(upside_down(scan)).flipped == (True, False, False), path.name
        turned = examine(upside_down(part_of(few, "upper", 0.5))).flipped
        assert turned in ((False, False, False), (True, False, False)), path.name
        upper_lungs_turned.append(turned[0])
    assert sum(upper_lungs_turned) >= 11, "where the trachea is seen over some way"


def test_lungs_without_air_pass_if_their_user_has_a_mask_of_them(a_phantom: Phantom) -> None:
    inside = sitk.GetArrayFromImage(a_phantom.lungs) > 0
    consolidated = with_values(a_phantom.scan, lambda hu: np.where(inside, -100, hu).astype(hu.dtype))
    assert "No lungs" in refusal(consolidated).what
    examination = examine(consolidated, lungs_given=True)
    examination.refuse()
    assert "is used as it is" in said(examination, Severity.WARNING)
    assert examination.flipped == (False, False, False)
