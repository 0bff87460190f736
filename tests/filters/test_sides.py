"""One side a track, from the evidence of all its frames."""

import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.filters.sides import MAX_LEAD, track_leads

BOX = np.array([10.0, 10, 40, 40])
FAR = np.array([200.0, 10, 230, 40])


def sides(lead: list[float], boxes: list[np.ndarray] | None = None, frames: list[int] | None = None) -> list[bool]:
    """One video, by default of one hand that stands still."""
    count = len(lead)
    box = np.stack(boxes or [BOX] * count)
    frame = np.array(range(count) if frames is None else frames)
    return (track_leads(np.array(lead), frame, box, np.array([0, count])) >= 0.0).tolist()


def test_a_track_has_one_side_and_its_frames_decide_together() -> None:
    assert sides([0.05, 0.05, -0.02]) == [True] * 3
    assert sides([-0.05, -0.05, 0.02]) == [False] * 3


def test_what_a_track_says_is_the_mean_of_its_frames_each_at_most_the_limit() -> None:
    frame, box = np.arange(3), np.stack([BOX] * 3)
    said = track_leads(np.array([0.04, -0.01, np.inf]), frame, box, np.array([0, 3]))
    np.testing.assert_allclose(said, (0.03 + MAX_LEAD) / 3)


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


def test_two_hands_of_a_frame_are_two_tracks() -> None:
    found = sides([0.05, -0.05, 0.05, -0.05], [BOX, FAR, BOX, FAR], [0, 0, 1, 1])
    assert found == [True, False, True, False]


def test_a_hand_that_was_away_for_long_is_asked_anew() -> None:
    assert sides([0.05, 0.05, -0.02], frames=[0, 1, 30]) == [True, True, False]
    assert sides([0.05, 0.05, -0.02], frames=[0, 1, 5]) == [True] * 3


def test_videos_do_not_mix() -> None:
    lead, box = np.array([0.05, 0.05, -0.02, 0.03, -0.04]), np.stack([BOX] * 5)
    frame, starts = np.array([0, 1, 0, 1, 2]), np.array([0, 2, 5])
    together = track_leads(lead, frame, box, starts)
    assert (together >= 0.0).tolist() == [True, True, False, False, False]
    alone = track_leads(lead[2:], frame[2:], box[2:], np.array([0, 3]))
    np.testing.assert_allclose(together[2:], alone)


def test_no_hand_has_no_side_and_disorder_is_refused() -> None:
    assert not len(track_leads(np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(1, np.int64)))
    with pytest.raises(ContractError, match="rising in a video"):
        sides([0.1, 0.1], frames=[1, 0])
