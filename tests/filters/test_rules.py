import math

import pytest

from hoiray.config.what import PaperLimits
from hoiray.errors import ConfigError
from hoiray.filters.rules import FILTERS, REASON_INDEX, Limit, Rules, paper_rules
from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.schema.vocabularies import REJECT_REASONS

EVERYTHING_OFF = dict.fromkeys(
    (name for name in PaperLimits.model_fields if name.startswith(("min_", "max_")) and "gap" not in name), None
)


def found(limits: PaperLimits) -> dict[str, float]:
    return {limit.measurement: limit.value for limit in paper_rules(limits).limits}


def test_the_papers_numbers_are_the_papers() -> None:
    assert found(PaperLimits()) == {
        "box_iou": 0.6,
        "reprojection_frobenius_box_sides": 0.65,
        "min_bone_length_ratio": 0.1,
        "max_joint_angle_rad": math.pi / 2,
        "motion_2d_frobenius_box_sides": 0.5,
        "motion_pose_geodesic_mean_square": 0.01,
        "shape_deviation_sigma": 2.0,
    }
    rules = paper_rules(PaperLimits())
    assert (rules.max_predecessor_gap_frames, rules.allows_successor, rules.neighbour_must_pass_spatial) == (
        1,
        False,
        True,
    )
    assert {limit.measurement: limit.bound for limit in rules.limits if limit.bound != "max"} == {
        "box_iou": "min",
        "min_bone_length_ratio": "min",
        "max_joint_angle_rad": "below",
    }


def test_every_limit_of_a_run_file_reaches_its_own_measurement() -> None:
    values = dict.fromkeys(EVERYTHING_OFF, 0.25)
    for name in EVERYTHING_OFF:
        one = found(PaperLimits(**(EVERYTHING_OFF | {name: values[name]})))
        assert len(one) == 1, name
        assert next(iter(one.values())) == (pytest.approx(math.radians(0.25)) if name.endswith("_deg") else 0.25)
    assert len(found(PaperLimits(**values))) == len(values)
    assert found(PaperLimits(**EVERYTHING_OFF)) == {}


@pytest.mark.parametrize(
    ("field", "measurement"),
    [
        ("reprojection_reading", "reprojection_{}_box_sides"),
        ("motion_2d_reading", "motion_2d_{}_box_sides"),
        ("motion_pose_reading", "motion_pose_{}"),
    ],
)
def test_every_reading_has_its_measurement(field: str, measurement: str) -> None:
    for reading in PaperLimits.model_fields[field].annotation.__args__:  # type: ignore[union-attr]
        assert measurement.format(reading) in found(PaperLimits(**{field: reading}))


def test_the_rules_on_pairs_are_passed_on() -> None:
    limits = PaperLimits(
        max_predecessor_gap_frames=3, predecessor_rule="backward_or_forward", predecessor_must_pass_spatial=False
    )
    rules = paper_rules(limits)
    assert (rules.max_predecessor_gap_frames, rules.allows_successor, rules.neighbour_must_pass_spatial) == (
        3,
        True,
        False,
    )


def test_every_filter_judges_a_stored_measurement_for_a_known_reason() -> None:
    assert set(FILTERS) == set(MEASUREMENT_NAMES) - {"crop_change", "shape_sigma"}
    structural = {"no_predecessor", "predecessor_refused", "duplicate", "hand_size", "confidence", "not_measured"}
    assert {judged.reason for judged in FILTERS.values()} | structural == set(REJECT_REASONS)
    assert list(REASON_INDEX) == list(REJECT_REASONS)


def test_only_squares_of_motion_grow_with_the_square_of_a_gap() -> None:
    degrees = {name: judged.degree for name, judged in FILTERS.items() if judged.degree}
    assert {name for name, degree in degrees.items() if degree == 2} == {
        name for name in FILTERS if name.endswith("mean_square")
    }
    assert set(degrees) == {name for name in FILTERS if name.startswith("motion")}


def test_what_is_no_column_is_limited_by_guards_only() -> None:
    limit = Limit("palm_length_m", 0.1, "max")
    assert Rules((limit,), limits_are_guards=True).limits == (limit,)
    with pytest.raises(ConfigError, match="found palm_length_m"):
        Rules((limit,))


def test_what_can_be_too_little_and_too_much_is_limited_on_both_sides_once() -> None:
    both = (Limit("palm_length_m", 0.06, "min"), Limit("palm_length_m", 0.1, "max"))
    assert Rules(both, limits_are_guards=True).limits == both
    assert [limit.name for limit in both] == ["palm_length_m at least", "palm_length_m at most"]
    assert Limit("box_iou", 0.2, "min").name == "box_iou"
    for again in (Limit("palm_length_m", 0.07, "min"), Limit("palm_length_m", 0.09, "below")):
        with pytest.raises(ConfigError, match="palm_length_m more than once"):
            Rules((*both, again), limits_are_guards=True)


def test_what_cannot_be_judged_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="limit on 'crop_change'"):
        Limit("crop_change", 0.1, "max")
    for name, bound in (("box_iou", "max"), ("spread_3d_m", "min")):
        with pytest.raises(ConfigError, match=f"limit on '{name}'"):
            Limit(name, 0.1, bound)  # type: ignore[arg-type]
    for value in (math.nan, math.inf):
        with pytest.raises(ConfigError, match="a finite number"):
            Limit("box_iou", value, "min")
    with pytest.raises(ConfigError, match="box_iou more than once"):
        Rules((Limit("box_iou", 0.1, "min"), Limit("box_iou", 0.2, "min")))


def test_limits_are_found_by_family() -> None:
    rules = paper_rules(PaperLimits(max_held_sample_score=0.5))
    assert [limit.measurement for limit in rules.of("shape")] == ["shape_deviation_sigma"]
    assert [limit.filter.reason for limit in rules.of("pair")] == ["motion_2d", "motion_pose", "held_sample"]
    assert len(rules.of("spatial")) == 4
