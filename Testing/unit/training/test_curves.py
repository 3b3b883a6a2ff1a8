"""The page of a training is one file without scripts, whole at any moment, and shows what the log says."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from COVIDSelfSegTrainingLib.training_run.curves import PAGE, SAMPLES, State, write_page
from COVIDSelfSegTrainingLib.training_run.training_log import LOG, TrainingLog, read_log
from PIL import Image

STATE = State("A <title>", [("preset", "tiny")], 0.5, "gan: step 3 of 6", finished=False)


def a_folder(tmp_path: Path) -> Path:
    lines = TrainingLog(tmp_path, tensorboard=False)
    for step, value in ((20, 4.0), (40, 2.0), (60, 1.0)):
        lines.losses("gan", step, {"reconstruction": value, "accuracy": 0.5})
    lines.warning("gan", 60, "It <collapsed>.", "Do this.")
    (tmp_path / SAMPLES).mkdir()
    Image.new("RGB", (8, 4), (255, 0, 0)).save(tmp_path / SAMPLES / "gan-0000060.png")
    return tmp_path


class Strict(HTMLParser):
    """Fails where a tag that must be closed is not."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.seen.append(tag)
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_well_formed_file_without_scripts_or_addresses(tmp_path: Path) -> None:
    write_page(a_folder(tmp_path), STATE)
    text = (tmp_path / PAGE).read_text()
    tags = Strict(text).seen
    assert "script" not in tags
    assert not re.search(r"https?://", text)
    assert tags.count("svg") == 2
    assert tags.count("img") == 1
    assert "A &lt;title&gt;" in text
    assert "It &lt;collapsed&gt;." in text
    assert not list(tmp_path.glob(".*"))


def test_a_curve_falls_where_its_loss_falls(tmp_path: Path) -> None:
    write_page(a_folder(tmp_path), STATE)
    points = re.search(r'points="([^"]+)"', (tmp_path / PAGE).read_text()).group(1)
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert heights == sorted(heights)  # SVG's y points down
    assert heights[0] < 10
    assert heights[-1] > 110


def test_the_page_renews_itself_until_the_training_is_finished(tmp_path: Path) -> None:
    write_page(a_folder(tmp_path), STATE)
    assert 'http-equiv="refresh"' in (tmp_path / PAGE).read_text()
    write_page(tmp_path, replace(STATE, finished=True))
    assert 'http-equiv="refresh"' not in (tmp_path / PAGE).read_text()


def test_a_line_that_was_cut_short_does_not_count_and_later_steps_are_forgotten(tmp_path: Path) -> None:
    a_folder(tmp_path)
    with (tmp_path / LOG).open("a") as file:
        file.write('{"phase": "gan", "iter')
    assert len(read_log(tmp_path / LOG)) == 4
    TrainingLog(tmp_path, tensorboard=False).rewind("gan", 40)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [20, 40]
    TrainingLog(tmp_path, tensorboard=False).rewind("segmenter", 0)
    assert read_log(tmp_path / LOG) == lines, "of another phase"


def test_a_page_that_a_program_keeps_open_stays_as_it_was_and_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_on_windows(self: Path, _target: Path) -> Path:
        raise PermissionError(13, "Access is denied", str(self))

    write_page(a_folder(tmp_path), STATE)
    before = (tmp_path / PAGE).read_text()
    files = sorted(tmp_path.iterdir())
    monkeypatch.setattr(Path, "replace", as_on_windows)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    write_page(tmp_path, replace(STATE, finished=True))
    assert (tmp_path / PAGE).read_text() == before
    assert sorted(tmp_path.iterdir()) == files
