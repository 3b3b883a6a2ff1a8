"""What a card and a user ask for reaches the step that it is for; no network runs here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from COVIDSelfSegLib import pipeline
from COVIDSelfSegLib.doctor import Examination
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.findings.finding import Finding, Severity
from COVIDSelfSegLib.frame import LungFrame
from COVIDSelfSegLib.lungs import GIVEN, LungMask
from COVIDSelfSegLib.models import ModelPackage
from COVIDSelfSegLib.package_card import Inference
from COVIDSelfSegLib.pipeline import Options, Run, segment
from COVIDSelfSegLib.segmentation import Calibration
from COVIDSelfSegLib.synthesis import Synthesis
from COVIDSelfSegLib.volume import image_like

ODD = Inference(
    generator_grid=(16, 32, 48),
    slice_plane=(32, 48),
    margin_mm=7.0,
    neighbour_mm=9.0,
    latent_draws=3,
    residual_hu=21.0,
    calibration_slope=0.5,
    calibration_shift=-1.5,
    threshold=0.3,
    threshold_kind="volume",
    least_lesion_ml=0.2,
    mirrored=True,
)


class Steps:
    """Stands in for the steps of a run, and remembers what each was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, flipped: tuple[bool, bool, bool]) -> None:
        self.given: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        noted = Finding(Severity.NOTE, "A note.", "", "")
        self.lungs = np.zeros((12, 40, 40), np.uint8)
        self.lungs[2:10, 8:30, 5:18], self.lungs[2:10, 8:30, 22:35] = 1, 2
        hu = np.where(self.lungs > 0, -850, 40).astype(np.int16)
        self.scan = sitk.GetImageFromArray(hu)
        self.scan.SetSpacing((2.0, 2.0, 3.0))
        for name, answer in {
            "examine": lambda *_, **__: Examination((noted,), flipped),
            "find_lungs": lambda scan, **_: LungMask(image_like(self.lungs, scan), "built-in"),
            "synthesise": self._synthesise,
            "predict_logits": lambda _network, slices, **_: slices.lungs * np.float32(2),
            "smooth_along_z": lambda logits, _: logits + 1,
            "without_partial_volume": lambda logits, _: logits * 2,
        }.items():
            monkeypatch.setattr(pipeline, name, self._noting(name, answer))
        for name in ("choose_device", "heatmap", "probability_image", "lesion_mask"):
            monkeypatch.setattr(pipeline, name, self._noting(name, getattr(pipeline, name)))

    def _noting(self, name: str, answer: Any) -> Any:
        def step(*given: Any, **named: Any) -> Any:
            self.given[name] = given, named
            return answer(*given, **named)

        return step

    @staticmethod
    def _synthesise(_generator: Any, scan: sitk.Image, lungs: sitk.Image, **named: Any) -> Synthesis:
        frame = LungFrame.around_lungs(lungs, named["shape"], margin_mm=named["margin_mm"])
        hu, inside = frame.to_network(scan), frame.to_network(lungs, "nearest", fill=0)
        return Synthesis(frame, hu, hu, 0 * hu, inside)

    def run(self, package: ModelPackage, options: Options) -> Run:
        card = replace(package.card, inference=ODD)
        return segment(self.scan, replace(package, card=card), options)


def test_each_setting_of_a_card_is_that_of_its_step(
    a_package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, (False, False, False))
    run = steps.run(a_package, Options(device="cpu"))
    given = steps.given
    _, named = given["synthesise"]
    assert (named["shape"], named["margin_mm"], named["draws"]) == ((16, 32, 48), 7.0, 3)
    assert given["heatmap"][0][3] == 21.0
    (_, slices), named = given["predict_logits"]
    assert named["mirrored"]
    assert named["step_mm"] == 2.0
    assert slices.neighbour == 3
    lungs = image_like(steps.lungs, steps.scan)
    assert slices.frame == LungFrame.around_lungs(
        lungs, (None, 32, 48), margin_mm=7.0, square_pixels=True, taller=True
    )
    logits, _, calibration, _, kind = given["probability_image"][0]
    assert np.array_equal(logits, 2 * (slices.lungs * np.float32(2) + 1)), "smoothed, then partial volume"
    assert (calibration, kind) == (Calibration(0.5, -1.5), "volume")
    assert given["lesion_mask"][0][1:] == (0.3, 0.2)
    assert (run.report["threshold"], run.report["least_lesion_ml"]) == (0.3, 0.2)
    assert run.report["model"]["calibrated_threshold"] == 0.3
    assert (run.report["size"], run.report["spacing_mm"]) == ((40, 40, 12), (2.0, 2.0, 3.0))
    assert [finding["what"] for finding in run.report["findings"]] == ["A note."]


def test_each_option_of_a_user_is_that_of_its_step(
    a_package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, (False, False, False))
    weights = Path("weights.pth")
    options = Options(
        threshold=0.0, lung_model=weights, builtin_lungs=True, plain_lungmask=True, device="cpu"
    )
    run = steps.run(a_package, options)
    assert steps.given["choose_device"][0] == ("cpu",)
    asked = steps.given["find_lungs"][1]
    assert (asked["weights"], asked["builtin"], asked["plain"]) == (weights, True, True)
    assert steps.given["lesion_mask"][0][1] == run.report["threshold"] == 0.0
    assert steps.given["examine"][1] == {"lungs_given": False}


@pytest.mark.parametrize("mask", [None, Path("mask.nrrd")])
def test_each_step_sees_the_patient_upright_and_all_results_lie_on_the_scan_as_it_was_read(
    a_package: ModelPackage, monkeypatch: pytest.MonkeyPatch, mask: Path | None
) -> None:
    steps = Steps(monkeypatch, (True, False, False))
    run = steps.run(a_package, Options(device="cpu", lung_mask=mask))
    upright = (1, 0, 0, 0, 1, 0, 0, 0, -1)
    seen = steps.given["find_lungs"][0][0]
    assert seen.GetDirection() == (upright if mask is None else steps.scan.GetDirection())
    assert steps.given["examine"][1] == {"lungs_given": mask is not None}
    assert steps.given["synthesise"][0][1].GetDirection() == upright
    assert run.synthesis.frame.direction == upright
    assert steps.given["predict_logits"][0][1].frame.direction == upright
    for image in (run.scan, run.lungs.image, *vars(run.heatmap).values(), run.probability, run.lesions):
        assert image.GetDirection() == steps.scan.GetDirection()
    assert np.array_equal(sitk.GetArrayFromImage(run.lungs.image), steps.lungs)


def test_lungs_that_were_found_before_are_not_looked_for_again(
    a_package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, (False, False, False))
    lungs = LungMask(image_like(steps.lungs, steps.scan), "of an earlier run")
    run = segment(steps.scan, a_package, Options(device="cpu"), lungs=lungs)
    assert "find_lungs" not in steps.given
    assert run.report["lung_mask"]["source"] == "of an earlier run"


@pytest.mark.parametrize("exchanged", [False, True])
def test_sides_of_a_mask_of_the_users_own_that_lie_the_wrong_way_are_a_finding(
    a_package: ModelPackage, monkeypatch: pytest.MonkeyPatch, exchanged: bool
) -> None:
    steps = Steps(monkeypatch, (False, False, False))
    labels = np.where(steps.lungs > 0, 3 - steps.lungs, 0).astype(np.uint8) if exchanged else steps.lungs
    lungs = LungMask(image_like(labels, steps.scan), GIVEN)
    run = segment(steps.scan, a_package, Options(device="cpu"), lungs=lungs)
    told = " ".join(finding["what"] for finding in run.report["findings"])
    assert ("does not lie right" in told) == exchanged


def test_the_series_that_was_asked_for_is_the_one_that_is_read(
    a_package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def read(path: Path, series_id: str | None) -> sitk.Image:
        asked.append((path, series_id))
        raise UserError("Enough.", why="", fix="")

    monkeypatch.setattr(pipeline, "read_scan", read)
    options = Options(series_id="1.2.3", model=str(a_package.path))
    with pytest.raises(UserError, match="Enough"):
        pipeline.segment_file(tmp_path, tmp_path / "out", options, lambda *_: None)
    assert asked == [(tmp_path, "1.2.3")]
