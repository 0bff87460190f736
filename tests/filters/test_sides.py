"""One side a track, from the evidence of all its frames and of the hand beside it."""

from typing import Any

import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.filters.sides import CLEAR_LEAD, MAX_LEAD, track_sides

BOX = np.array([10.0, 10, 40, 40])
FAR = np.array([200.0, 10, 230, 40])


def told(
    lead: np.ndarray, frame: np.ndarray, box: np.ndarray, starts: np.ndarray, **how: Any
) -> tuple[list[bool], np.ndarray]:
    found = track_sides(lead, frame, box, starts, **how)
    return found.is_right.tolist(), found.lead


def sides(
    lead: list[float], boxes: list[np.ndarray] | None = None, frames: list[int] | None = None, **how: Any
) -> list[bool]:
    """One video, by default of one hand that stands still."""
    count = len(lead)
    box = np.stack(boxes or [BOX] * count)
    frame = np.array(range(count) if frames is None else frames)
    return told(np.array(lead), frame, box, np.array([0, count]), **how)[0]


def test_a_track_has_one_side_and_its_frames_decide_together() -> None:
    assert sides([0.05, 0.05, -0.02]) == [True] * 3
    assert sides([-0.05, -0.05, 0.02]) == [False] * 3


def test_what_a_track_says_is_the_mean_of_its_frames_each_at_most_the_limit() -> None:
    frame, box = np.arange(3), np.stack([BOX] * 3)
    for sign in (1.0, -1.0):
        is_right, said = told(sign * np.array([0.04, -0.01, np.inf]), frame, box, np.array([0, 3]))
        np.testing.assert_allclose(said, (0.03 + MAX_LEAD) / 3)
        assert is_right == [sign > 0.0] * 3


def test_a_frame_without_doubt_does_not_outvote_the_others() -> None:
    others = [-0.6 * MAX_LEAD] * 2
    assert sides([50.0, *others]) == [False] * 3
    assert sides([np.inf, *others]) == [False] * 3
    assert sides([-np.inf, 0.6 * MAX_LEAD, 0.6 * MAX_LEAD]) == [True] * 3
    # nor does it count for less than it may
    assert sides([50.0, -0.9 * MAX_LEAD]) == [True] * 2


def test_of_two_alike_the_first_is_kept() -> None:
    assert sides([0.0, 0.0]) == [True, True]
    assert sides([0.01, -0.01]) == [True, True]
    assert sides([-1e-9]) == [False]
    assert sides([0.0, 0.0], is_first_right=np.zeros(2, np.bool_)) == [False, False]
    assert sides([0.01], is_first_right=np.zeros(1, np.bool_)) == [True]


def test_two_hands_of_a_frame_are_two_tracks() -> None:
    found = sides([0.05, -0.05, 0.05, -0.05], [BOX, FAR, BOX, FAR], [0, 0, 1, 1])
    assert found == [True, False, True, False]


def pair(one: float, other: float, *, frames: int = 4, **how: Any) -> tuple[list[bool], list[float]]:
    """Two hands that stand still side by side; what was decided for each, and their leads."""
    lead, box = np.tile([one, other], frames), np.tile(np.stack([BOX, FAR]), (frames, 1))
    is_right, said = told(lead, np.repeat(np.arange(frames), 2), box, np.array([0, 2 * frames]), **how)
    assert is_right == is_right[:2] * frames
    return is_right[:2], said[:2].round(6).tolist()


def test_of_two_hands_of_a_frame_the_one_that_tells_more_decides_for_both() -> None:
    assert pair(0.02, 0.01) == ([True, False], [0.02, -0.01])
    assert pair(0.01, 0.02) == ([False, True], [-0.01, 0.02])
    assert pair(-0.02, -0.01) == ([False, True], [0.02, -0.01])
    assert pair(0.02, -0.01) == ([True, False], [0.02, 0.01])
    # what one says in many frames weighs as much as it does in them
    lead = np.array([0.02] * 4 + [0.01] * 4 + [0.01] * 8)
    frame = np.array([*range(4), *range(12)])
    box = np.array([BOX] * 4 + [FAR] * 4 + [FAR] * 8)
    order = np.argsort(frame, kind="stable")
    is_right, _ = told(lead[order], frame[order], box[order], np.array([0, 16]))
    assert np.array(is_right)[np.argsort(order)].tolist() == [False] * 4 + [True] * 12


def test_a_hand_that_is_sure_is_not_overruled_and_neither_is_anyone_for_more_than_one_person() -> None:
    sure = 1.5 * CLEAR_LEAD
    assert pair(sure, 1.2 * CLEAR_LEAD) == ([True, True], [sure, 1.2 * CLEAR_LEAD])
    assert pair(sure, 0.9 * CLEAR_LEAD)[0] == [True, False]
    assert pair(0.02, 0.01, is_one_person=False) == ([True, True], [0.02, 0.01])


def test_of_two_hands_that_say_nothing_nothing_is_concluded() -> None:
    assert pair(0.0, 0.0) == ([True, True], [0.0, 0.0])
    assert pair(0.01, 0.01) == ([True, True], [0.01, 0.01])


def test_a_third_hand_of_a_frame_and_one_that_is_seldom_there_say_nothing() -> None:
    third = np.array([100.0, 100, 130, 130])
    assert sides([0.02, 0.01, 0.01] * 3, [BOX, FAR, third] * 3, [0] * 3 + [1] * 3 + [2] * 3) == [True] * 9
    frames = [0, 1, 1, 2, 3, 4, 4, 5, 6, 7]
    boxes = [BOX, BOX, FAR, BOX, BOX, BOX, FAR, FAR, FAR, FAR]
    assert sides([0.02, 0.02, 0.01, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01, 0.01], boxes, frames) == [True] * 10


def test_boxes_that_overlap_much_may_be_one_hand_found_twice() -> None:
    near = BOX + np.array([8.0, 0, 8, 0])
    lead, box = [0.02, 0.01] * 3, [BOX, near] * 3
    assert sides(lead, box, [0, 0, 1, 1, 2, 2]) == [True] * 6


def test_a_hand_beside_two_that_are_beside_each_other_cannot_be_parted() -> None:
    third = np.array([100.0, 100, 130, 130])
    boxes, frames = [], []
    for frame, shown in enumerate([(BOX, FAR)] * 2 + [(FAR, third)] * 2 + [(BOX, third)] * 2):
        boxes += shown
        frames += [frame] * 2
    assert sides([0.02] * 2 + [0.01] * 10, boxes, frames) == [True] * 12


def test_a_hand_that_was_away_for_long_is_asked_anew() -> None:
    assert sides([0.05, 0.05, -0.02], frames=[0, 1, 30]) == [True, True, False]
    assert sides([0.05, 0.05, -0.02], frames=[0, 1, 5]) == [True] * 3


def test_videos_do_not_mix() -> None:
    lead, box = np.array([0.05, 0.05, -0.02, 0.03, -0.04]), np.stack([BOX] * 5)
    frame, starts = np.array([0, 1, 0, 1, 2]), np.array([0, 2, 5])
    is_right, together = told(lead, frame, box, starts)
    assert is_right == [True, True, False, False, False]
    alone = told(lead[2:], frame[2:], box[2:], np.array([0, 3]))[1]
    np.testing.assert_allclose(together[2:], alone)


def test_no_hand_has_no_side_and_disorder_is_refused() -> None:
    none = track_sides(np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(1, np.int64))
    assert len(none.lead) == len(none.is_right) == 0
    with pytest.raises(ContractError, match="rising in a video"):
        sides([0.1, 0.1], frames=[1, 0])
