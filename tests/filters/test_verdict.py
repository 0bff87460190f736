from typing import Any

import numpy as np
import pytest

from hoiray.filters.rules import FILTERS, REASON_INDEX, Limit, Rules
from hoiray.filters.tracks import Tracks
from hoiray.filters.unmeasured import NON_FINITE, NOT_ATTEMPTED
from hoiray.filters.verdict import (
    choose_pairs,
    fails,
    judge_confidence,
    judge_guards,
    judge_pairs,
    judge_shape,
    judge_spatial,
    no_reasons,
    passes,
)

SPATIAL = [name for name, judged in FILTERS.items() if judged.family == "spatial"]
PAIR = [name for name, judged in FILTERS.items() if judged.family == "pair"]


def words(reasons: np.ndarray) -> list[list[str]]:
    return [[word for word, index in REASON_INDEX.items() if row[index]] for row in reasons]


def chain(frames: list[int]) -> tuple[Tracks, np.ndarray]:
    count = len(frames)
    return Tracks(np.zeros(count, np.int32), np.arange(count) - 1, np.zeros(count, bool)), np.array(frames)


def beside(value: float) -> np.ndarray:
    """The value in float32, with its nearest neighbours below and above."""
    exact = np.float32(value)
    return np.array([np.nextafter(exact, np.float32(-np.inf)), exact, np.nextafter(exact, np.float32(np.inf))])


@pytest.mark.parametrize("value", [0.6, 0.65, 0.1, 0.01, 0.0, 1.0, np.pi / 2])
@pytest.mark.parametrize(
    ("bound", "expected"),
    [("min", [True, False, False]), ("max", [False, False, True]), ("below", [False, True, True])],
)
def test_a_limit_is_exact_to_the_last_bit(value: float, bound: Any, expected: list[bool]) -> None:
    name = "box_iou" if bound == "min" else "spread_3d_m"
    assert fails(beside(value), Limit(name, value, bound)).tolist() == expected
    assert not fails(np.float32([np.nan]), Limit(name, value, bound)).any()


@pytest.mark.parametrize("name", SPATIAL)
def test_every_spatial_filter_refuses_on_its_bad_side_for_its_own_reason(name: str) -> None:
    judged, reasons = FILTERS[name], no_reasons(4)
    values = np.append(beside(0.5), np.float32(np.nan))
    judge_spatial({name: values}, Rules((Limit(name, 0.5, judged.bound),)), reasons)
    below, above = ([judged.reason], []) if judged.bound == "min" else ([], [judged.reason])
    assert words(reasons) == [below, [], above, ["not_measured"]]


def test_a_row_lists_every_limit_that_it_fails() -> None:
    bounds = {"box_iou": "min", "spread_3d_m": "max", "spread_2d_box_sides": "max"}
    limits = Rules(tuple(Limit(name, 0.5, bound) for name, bound in bounds.items()))  # type: ignore[arg-type]
    values = {"box_iou": 0.1, "spread_3d_m": 0.9, "spread_2d_box_sides": np.nan}
    measured = {name: np.float32([value]) for name, value in values.items()}
    reasons = no_reasons(1)
    judge_spatial(measured, limits, reasons)
    assert words(reasons) == [["box_iou", "spread_3d", "not_measured"]]
    assert passes(reasons).tolist() == [False]
    assert passes(no_reasons(2)).tolist() == [True, True]


def test_a_measurement_without_a_limit_refuses_nothing() -> None:
    reasons = no_reasons(1)
    judge_spatial({}, Rules(()), reasons)
    judge_shape({}, np.zeros(1, np.uint8), np.ones(1, np.int32), Rules(()), reasons)
    tracks, frames = chain([0])
    judge_pairs({}, choose_pairs(tracks, frames, Rules(())), tracks, Rules(()), reasons)
    assert words(reasons) == [[]]


def test_pairs_look_back_and_never_over_a_gap() -> None:
    tracks, frames = chain([0, 1, 3, 4])
    pairs = choose_pairs(tracks, frames, Rules(()))
    assert pairs.neighbour.tolist() == [-1, 0, -1, 2]
    assert pairs.later.tolist() == [-1, 1, -1, 3]
    assert pairs.gap_frames.tolist() == [0, 1, 0, 1]


def test_pairs_may_look_ahead_where_there_is_nothing_behind() -> None:
    tracks, frames = chain([0, 1, 3, 4, 6])
    pairs = choose_pairs(tracks, frames, Rules((), allows_successor=True))
    assert pairs.neighbour.tolist() == [1, 0, 3, 2, -1]
    assert pairs.later.tolist() == [1, 1, 3, 3, -1]


@pytest.mark.parametrize(("max_gap", "neighbours"), [(1, [-1, -1, -1]), (2, [-1, 0, -1]), (3, [-1, 0, 1])])
def test_pairs_reach_as_far_as_the_limit(max_gap: int, neighbours: list[int]) -> None:
    tracks, frames = chain([0, 2, 5])
    assert choose_pairs(tracks, frames, Rules((), max_predecessor_gap_frames=max_gap)).neighbour.tolist() == neighbours


def judged_pairs(
    frames: list[int], rules: Rules, spatial: list[int] | None = None, **values: list[float]
) -> list[list[str]]:
    tracks, numbers = chain(frames)
    reasons = no_reasons(len(frames))
    reasons[spatial or [], REASON_INDEX["box_iou"]] = True
    measured = {name: np.float32(column) for name, column in values.items()}
    judge_pairs(measured, choose_pairs(tracks, numbers, rules), tracks, rules, reasons)
    return [[word for word in row if word != "box_iou"] for row in words(reasons)]


@pytest.mark.parametrize("name", PAIR)
def test_every_filter_on_pairs_refuses_on_its_bad_side_for_its_own_reason(name: str) -> None:
    values = [np.nan, *beside(0.5), np.nan]
    found = judged_pairs([0, 1, 2, 3, 4], Rules((Limit(name, 0.5, "max"),)), **{name: values})
    assert found == [["no_predecessor"], [], [], [FILTERS[name].reason], ["not_measured"]]


@pytest.mark.parametrize("name", PAIR)
def test_a_limit_per_frame_grows_over_a_gap_as_motion_does(name: str) -> None:
    rules = Rules((Limit(name, 0.5, "max"),), max_predecessor_gap_frames=3)
    largest = 0.5 * 3.0 ** FILTERS[name].degree
    for values, wanted in ((beside(largest)[1], []), (beside(largest)[2], [FILTERS[name].reason])):
        assert judged_pairs([0, 3], rules, **{name: [np.nan, values]})[1] == wanted


def test_the_pair_ahead_is_judged_by_the_number_stored_at_its_later_frame() -> None:
    rules = Rules((Limit("motion_pose_axis_angle_l2", 0.5, "max"),), allows_successor=True)
    assert judged_pairs([0, 1], rules, motion_pose_axis_angle_l2=[np.nan, 0.4]) == [[], []]
    assert judged_pairs([0, 1], rules, motion_pose_axis_angle_l2=[np.nan, 0.6]) == [["motion_pose"], ["motion_pose"]]
    assert judged_pairs([0, 9], rules, motion_pose_axis_angle_l2=[np.nan, 0.4]) == [["no_predecessor"]] * 2


def test_a_refused_neighbour_confirms_nothing() -> None:
    limit = (Limit("motion_pose_axis_angle_l2", 0.5, "max"),)
    values = {"motion_pose_axis_angle_l2": [np.nan, 0.0, 0.0]}
    assert judged_pairs([0, 1, 2], Rules(limit), [1], **values) == [["no_predecessor"], [], ["predecessor_refused"]]
    ahead = Rules(limit, allows_successor=True)
    assert judged_pairs([0, 1, 2], ahead, [1], **values) == [["predecessor_refused"], [], ["predecessor_refused"]]
    lenient = Rules(limit, neighbour_must_pass_spatial=False)
    assert judged_pairs([0, 1, 2], lenient, [1], **values) == [["no_predecessor"], [], []]


def test_a_neighbour_that_fails_in_time_only_still_counts() -> None:
    found = judged_pairs(
        [0, 1, 2], Rules((Limit("held_sample_score", 0.5, "max"),)), held_sample_score=[np.nan, 0.9, 0.1]
    )
    assert found == [["no_predecessor"], ["held_sample"], []]


def test_a_duplicate_is_refused_as_such_and_not_for_its_lack_of_motion() -> None:
    tracks = Tracks(np.zeros(2, np.int32), np.array([-1, -1]), np.array([False, True]))
    for limits in ((), (Limit("held_sample_score", 0.5, "max"),)):
        rules, reasons = Rules(limits), no_reasons(2)
        pairs = choose_pairs(tracks, np.array([0, 0]), rules)
        judge_pairs({"held_sample_score": np.float32([np.nan, np.nan])}, pairs, tracks, rules, reasons)
        assert words(reasons)[1] == ["duplicate"]


def test_shape_is_judged_where_there_is_a_set() -> None:
    rules, reasons = Rules((Limit("shape_deviation_sigma", 2.0, "max"),)), no_reasons(6)
    measured = {
        "shape_deviation_sigma": np.float32([2.0, 2.1, np.nan, np.nan, 2.1, 2.1]),
        "shape_sigma": np.float32([1.0, 1.0, np.nan, np.nan, 1e-7, 1.0]),
    }
    unmeasured, size = np.array([0, 0, NOT_ATTEMPTED, NON_FINITE, 0, 0], np.uint8), np.array([6, 6, 0, 6, 6, 5])
    judge_shape(measured, unmeasured, size, rules, reasons)
    assert words(reasons) == [[], ["shape_deviation"], [], ["not_measured"], [], []]


def test_confidence_is_refused_below_its_limit_and_where_it_is_unknown() -> None:
    reasons = no_reasons(4)
    judge_confidence(np.append(beside(0.9), np.float32(np.nan)), 0.9, reasons)
    assert words(reasons) == [["confidence"], [], [], ["not_measured"]]


def test_a_guard_refuses_what_lies_beyond_it_and_nothing_that_was_not_measured() -> None:
    reasons = no_reasons(4)
    held = np.float32([0.9, 0.0, 0.0, np.nan])
    values = {"box_iou": np.append(beside(0.3), np.float32(np.nan)), "held_sample_score": held}
    judge_guards(values, (Limit("box_iou", 0.3, "min"), Limit("held_sample_score", 0.5, "max")), reasons)
    assert words(reasons) == [["box_iou", "held_sample"], [], [], []]


def test_no_rows_are_judged_as_none() -> None:
    tracks, frames = chain([])
    rules = Rules((Limit("motion_pose_axis_angle_l2", 0.5, "max"),), allows_successor=True)
    pairs = choose_pairs(tracks, frames, rules)
    judge_pairs({"motion_pose_axis_angle_l2": np.zeros(0, np.float32)}, pairs, tracks, rules, no_reasons(0))
