"""The page carries everything in itself; its curves are where the numbers say; tables are beside it."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from COVIDSelfSegTrainingLib.evaluation.embedding import group_distances, principal_components
from COVIDSelfSegTrainingLib.evaluation.figures import Series, plot
from COVIDSelfSegTrainingLib.evaluation.sheet import Sheet
from PIL import Image
from scipy import stats

SVG = "{http://www.w3.org/2000/svg}"


def test_a_curve_is_drawn_where_its_numbers_say() -> None:
    points = ((0.0, 0.0), (0.5, 1.0), (0.75, float("nan")), (1.0, 0.5))
    svg = plot([Series("a < b", points)], "x", "y", x_range=(0, 1), y_range=(0, 1))
    root = ElementTree.fromstring(svg)  # noqa: S314 (our own)
    frame = root.find(f"{SVG}rect")
    assert frame is not None
    left, top, width, height = (float(frame.attrib[key]) for key in ("x", "y", "width", "height"))
    line = root.find(f"{SVG}polyline")
    assert line is not None
    drawn = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    wanted = [(0, 0), (0.5, 1), (1, 0.5)]
    assert drawn == [pytest.approx((left + x * width, top + (1 - y) * height), abs=0.1) for x, y in wanted]
    texts = list(root.iter(f"{SVG}text"))
    assert "a < b" in [text.text for text in texts]
    ticks = [one for one in texts if one.get("text-anchor") == "middle" and one.text not in {"x", "y"}]
    assert [float(one.text or "") for one in ticks] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    places = [left + float(one.text or "") * width for one in ticks]
    assert [float(one.attrib["x"]) for one in ticks] == pytest.approx(places, abs=0.1)


def test_no_round_value_beyond_the_data_is_written_at_an_axis() -> None:
    svg = plot([Series("s", ((1.3, 0.0), (2.7, 1.0)))], "x", "y", x_range=(1.3, 2.7))
    said = re.findall(r'text-anchor="middle">([-\d.]+)<', svg)
    assert said == ["1.5", "1.75", "2", "2.25", "2.5"]


@pytest.mark.parametrize("values", [[], [float("nan")], [3.0], [1e-9, 2e-9], [-5e6, 7e6]])
def test_any_data_can_be_drawn(values: list[float]) -> None:
    points = tuple((value, value) for value in values)
    ElementTree.fromstring(plot([Series("s", points, is_line=False)], "x", "y", diagonal=True))  # noqa: S314


def test_the_page_stands_alone_and_its_tables_lie_beside_it(tmp_path: Path) -> None:
    sheet = Sheet("Evaluation <1>")
    sheet.section("Lesions <2>, real scans", "Protocol <2>: per scan.")
    sheet.warn("<2> scans are missing.")
    sheet.table("names", [{"<2>": "<2>"}])
    sheet.table(
        "scores", [{"method": "a, b", "Dice": 0.51234567, "n": 3}, {"method": "c", "Dice": float("nan")}]
    )
    sheet.figure(plot([Series("s", ((0, 0), (1, 1)))], "x", "y"), "a curve <2>")
    sheet.picture(Image.new("RGB", (8, 8), (200, 10, 10)), "a picture <2>")
    page = sheet.write(tmp_path / "out").read_text(encoding="utf-8")
    assert "Evaluation &lt;1&gt;</h1>" in page
    assert "<2>" not in page
    assert page.count("&lt;2&gt;") == 9
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "<svg" in page
    assert "data:image/jpeg;base64," in page
    assert "0.512<" in page
    read = list(csv.DictReader(io.StringIO((tmp_path / "out" / "scores.csv").read_text())))
    assert read == [{"method": "a, b", "Dice": "0.51234567", "n": "3"}, {"method": "c", "Dice": "", "n": ""}]
    with pytest.raises(ValueError, match="two tables"):
        sheet.table("scores", [{"a": 1}])


def test_tables_of_an_earlier_page_that_a_new_one_has_not_go_and_files_of_others_stay(tmp_path: Path) -> None:
    """They would be read as figures of the new page: a card takes over every 'slices_*.csv' beside it."""
    (tmp_path / "mine.csv").write_text("of the user")
    for names in (("packages", "slices_a & b"), ("packages", "healthy")):
        sheet = Sheet("A sheet")
        for name in names:
            sheet.table(name, [{"of": names[1]}])
        sheet.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("healthy.csv", "mine.csv", "packages.csv", "sheet.html")
    ]
    assert (tmp_path / "packages.csv").read_text() == "of\nhealthy\n"


def test_principal_components_are_those_of_the_covariance() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6))
    places, shares = principal_components(vectors)
    values, axes = np.linalg.eigh(np.cov(vectors.T))
    order = np.argsort(values)[::-1][:2]
    assert shares == pytest.approx(values[order] / values.sum())
    expected = (vectors - vectors.mean(axis=0)) @ axes[:, order]
    assert np.abs(places) == pytest.approx(np.abs(expected))


def test_a_component_points_where_its_largest_entry_is() -> None:
    """Else a picture could be mirrored from one run to the next."""
    vectors = np.random.default_rng(2).normal(size=(12, 5))
    for given in (vectors, -vectors):
        places, _ = principal_components(given)
        assert (places[np.abs(places).argmax(axis=0), [0, 1]] > 0).all()


def test_vectors_that_do_not_differ_lie_in_one_place_and_one_has_no_second_component() -> None:
    places, shares = principal_components(np.ones((3, 4)))
    assert np.abs(places).max() < 1e-12
    assert shares.tolist() == [0, 0]
    places, shares = principal_components(np.array([[0.0], [2], [4]]))
    assert places.tolist() == [pytest.approx([2, 0]), pytest.approx([0, 0]), pytest.approx([-2, 0])] or (
        places.tolist() == [pytest.approx([-2, 0]), pytest.approx([0, 0]), pytest.approx([2, 0])]
    )
    assert shares.tolist() == pytest.approx([1, 0])


def test_groups_no_further_apart_than_by_chance_have_no_distance() -> None:
    one = np.array([[0.0, 1], [1, 0], [2, 2]])
    [distance] = group_distances({"one": one, "other": one[::-1]})
    assert (distance.value, distance.low) == (0, 0)
    assert distance.high > 0


def test_distances_between_groups_are_those_of_their_means_with_an_interval() -> None:
    rng = np.random.default_rng(1)
    groups = {
        "healthy": rng.normal(0, 0.1, (60, 50)),
        "diseased": rng.normal(0.3, 0.1, (60, 50)),
        "synthesised": rng.normal(0.02, 0.1, (60, 50)),
    }
    distances = {(one.first, one.second): one for one in group_distances(groups)}
    apart, near = distances["healthy", "diseased"], distances["healthy", "synthesised"]
    assert apart.value == pytest.approx(0.3, abs=0.01)
    assert apart.low < 0.3 < apart.high + 0.01
    assert near.high < apart.low


def test_a_distance_is_less_what_chance_gives_and_its_interval_holds_95_of_100() -> None:
    few = {"one": np.array([[0.0, 0], [2, 4], [4, 2]]), "other": np.array([[10.0, 10], [12, 14]])}
    [by_hand] = group_distances(few)
    # Means 9 and 10 apart, that of three scans off by a variance of 4 / 3, that of two by (2 + 8) / 2 / 2.
    assert by_hand.value == pytest.approx(np.sqrt((9**2 + 10**2) / 2 - 4 / 3 - 10 / 4))
    rng = np.random.default_rng(3)
    many = {"one": rng.normal(1, 0.2, (400, 1)), "other": rng.normal(0, 0.2, (100, 1))}
    [distance] = group_distances(many)
    off = stats.norm.interval(0.95, 0, np.sqrt(0.2**2 / 400 + 0.2**2 / 100))[1]
    assert (distance.high - distance.low) / 2 == pytest.approx(off, rel=0.1)


def test_groups_of_few_scans_that_do_not_differ_are_not_told_apart() -> None:
    rng = np.random.default_rng(1)
    told = [
        group_distances({"one": rng.normal(0, 0.1, (6, 400)), "other": rng.normal(0, 0.1, (6, 400))})[0].low
        > 0
        for _ in range(40)
    ]
    assert sum(told) <= 6


def test_what_the_generator_changes_is_told_apart_scan_by_scan() -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(0, 1, (6, 50))
    groups = {"diseased": before, "synthesised": before - 0.1}
    assert group_distances(groups)[0].low == 0  # beside what differs from scan to scan it is little
    pair = group_distances(groups, paired=("diseased", "synthesised"))[0]
    assert (pair.low, pair.value, pair.high) == pytest.approx((0.1, 0.1, 0.1))
