import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from hoiray.report.graphics import Bar, Histogram, Measured, bars, histogram, intervals, ticks
from hoiray.report.sections import Interval


def parsed(markup: str) -> ET.Element:
    return ET.fromstring(f"<all>{markup}</all>")


def test_parts_of_a_bar_lie_behind_each_other_and_are_as_long_as_their_shares() -> None:
    drawn = parsed(bars([Bar("a", [(0.25, "good"), (0.5, "bad")], "75 %")]))
    rects = [(it.get("class"), it.get("x"), it.get("width")) for it in drawn.iter("rect")]
    assert rects == [("good", "0%", "25%"), ("bad", "25%", "50%")]


def test_nothing_is_drawn_for_none_and_something_for_one_in_a_million() -> None:
    drawn = parsed(bars([Bar("a", [(0.0, "good"), (1e-6, "bad")], "")]))
    assert [(it.get("class"), it.get("width")) for it in drawn.iter("rect")] == [("bad", "0.3%")]


def test_labels_are_escaped() -> None:
    drawn = bars([Bar("<b>", [], "</div>")]) + intervals(
        [Measured("<i>", [(Interval(1.0), "good", "<u>")])], unit="<s>"
    )
    assert parsed(drawn).find(".//b") is None
    assert "&lt;b&gt;" in drawn
    assert "<u>" not in drawn


def test_heights_of_a_histogram_are_in_the_ratio_of_the_counts_and_add_up() -> None:
    edges = np.array([0.0, 1.0, 2.0])
    drawn = parsed(histogram(Histogram(edges, np.array([2, 1]), np.array([2, 0]), "a histogram", 1.5, "limit 1.5 mm")))
    heights = {
        (it.get("class"), float(it.get("x") or 0) > 150): float(it.get("height") or 0) for it in drawn.iter("rect")
    }
    assert heights["good", False] == pytest.approx(heights["bad", False])
    assert heights["good", True] == pytest.approx(heights["good", False] / 2)
    assert ("bad", True) not in heights


def test_a_limit_stands_at_its_value() -> None:
    drawn = parsed(histogram(Histogram(np.array([0.0, 2.0]), np.array([1]), np.array([0]), "", 1.0, "limit 1")))
    (line,) = (it for it in drawn.iter("line") if it.get("class") == "limit")
    assert (float(line.get("x1") or 0), line.get("x2")) == (pytest.approx(160.0), line.get("x1"))
    assert "limit 1" in [it.text for it in drawn.iter("text")]


def test_intervals_share_one_axis() -> None:
    rows = [
        Measured("a", [(Interval(1.0, 0.0, 2.0), "mute", "teacher"), (Interval(math.nan), "accent", "student")]),
        Measured("b", [(Interval(3.0, 2.0, 4.0), "mute", "teacher")]),
    ]
    drawn = parsed(intervals(rows, unit="mm"))
    first, second = (float((it.get("cx") or "").rstrip("%")) for it in drawn.iter("circle"))
    ends = [tuple(float((it.get(key) or "").rstrip("%")) for key in ("x1", "x2")) for it in drawn.iter("line")]
    assert first < second
    assert ends[0][1] == pytest.approx(ends[1][0], abs=0.01)
    assert "teacher 1.0 [0.0, 2.0] mm" in "".join(drawn.itertext())


def test_without_a_number_there_is_no_graphic() -> None:
    assert "svg" not in intervals([Measured("a", [(Interval(math.nan), "good", "")])], unit="mm")


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.7, 0.2), (1e-5, 3e-5), (0.0, 1e6), (90.0, 90.5)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    assert all(low - 1e-9 * abs(high) <= tick <= high * (1 + 1e-9) + 1e-12 for tick in found)
    assert all(float(f"{tick:.3g}") == pytest.approx(tick, abs=1e-12) for tick in found)
