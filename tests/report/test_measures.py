from dataclasses import replace

import numpy as np
import pytest

from hoiray.config.what import PaperLimits
from hoiray.filters.rules import FILTERS, Limit, Rules, paper_rules
from hoiray.report.measures import FIRST_LOOK, TITLES, measures_of
from hoiray.schema.label_columns import MEASUREMENT_NAMES


def test_every_measurement_has_words_and_a_unit() -> None:
    assert set(TITLES) == {*MEASUREMENT_NAMES, "confidence"}
    assert {measure.name for measure in measures_of(None, has_confidence=True)} == set(TITLES)
    assert set(FIRST_LOOK) <= set(FILTERS)


def test_angles_are_shown_in_degrees_and_lengths_in_millimetres() -> None:
    rules = paper_rules(PaperLimits(max_spread_3d_m=0.04))
    of = {measure.name: measure for measure in measures_of(rules, has_confidence=False)}
    assert of["max_joint_angle_rad"].limit_text() == "below 90\u00b0"
    assert of["spread_3d_m"].limit_text() == "at most 40 mm"
    assert of["spread_3d_m"].text(float(of["spread_3d_m"].shown(np.float32([0.0123]))[0])) == "12.3 mm"
    assert of["box_iou"].limit_text() == "at least 0.6"
    assert of["box_iou"].text(float("nan")) == "not measured"
    assert of["crop_change"].limit_text() == "no limit"


def test_a_value_at_its_limit_is_shown_on_the_side_on_which_it_was_judged() -> None:
    """The verdict compares in float32; 0.1 in float64 is another number."""
    rules = Rules((Limit("spread_3d_m", 0.1, "max"),))
    measure = measures_of(rules, has_confidence=False)[0]
    assert measure.limit is not None
    assert measure.shown(np.float32([0.1]))[0] <= measure.limit
    assert measure.shown(np.nextafter(np.float32([0.1]), np.float32(1)))[0] > measure.limit


def test_what_has_a_limit_comes_first_and_is_drawn_over_time() -> None:
    measures = measures_of(paper_rules(PaperLimits()), has_confidence=False)
    drawn = [measure.limit is not None for measure in measures]
    assert drawn == sorted(drawn, reverse=True)
    assert [measure.is_drawn for measure in measures] == drawn


def test_without_limits_a_few_are_drawn_all_the_same() -> None:
    assert {measure.name for measure in measures_of(None, has_confidence=False) if measure.is_drawn} == set(FIRST_LOOK)


class Scores:
    min_confidence = 0.8

    def confidence_by_joint_of(self, labels: object) -> None:
        """Joints are not scored."""

    def confidence_of(self, labels: object) -> np.ndarray:
        raise NotImplementedError


@pytest.mark.parametrize("is_judged", [True, False])
def test_confidence_is_a_measurement_with_the_limit_it_is_judged_by(is_judged: bool) -> None:
    rules = replace(Rules(()), confidence=Scores()) if is_judged else Rules(())
    first = measures_of(rules, has_confidence=True)[0]
    assert (first.name, first.is_drawn) == ("confidence", True)
    assert first.reason == ("confidence" if is_judged else None)
    assert first.limit_text() == ("at least 0.8" if is_judged else "no limit")
