from collections.abc import Iterator

import numpy as np
import pytest

from hoiray.predictors.detector import DetectedHands
from hoiray.predictors.detector_tracks import FrameHands, IouTracker

IMAGE = np.zeros((100, 200, 3), np.uint8)
Box = tuple[float, float, float, float]


def _followed(frames: list[list[Box]], right: float = 0.9, numbers: list[int] | None = None) -> list[DetectedHands]:
    """What a tracker says of frames whose boxes are given."""
    answers: Iterator[list[Box]] = iter(frames)

    def detect(_image: np.ndarray) -> FrameHands:
        found = np.array(next(answers), np.float64).reshape(-1, 4)
        return FrameHands(found, np.full(len(found), right))

    tracker = IouTracker(detect)
    return [tracker.step(number, IMAGE) for number in numbers or range(len(frames))]


def test_hands_keep_their_numbers_in_whatever_order_they_are_found() -> None:
    first, second = (10.0, 10.0, 40.0, 40.0), (100.0, 10.0, 140.0, 50.0)
    moved = (16.0, 12.0, 46.0, 42.0)
    told = _followed([[first, second], [second, moved]])
    assert told[0].hand_index.tolist() == [0, 1]
    assert told[1].hand_index.tolist() == [1, 0]
    assert told[0].sources == ("detected", "detected")
    assert told[1].sources == ("tracked", "tracked")


def test_the_best_overlap_wins() -> None:
    before = (10.0, 10.0, 50.0, 50.0)
    near, nearer = (24.0, 10.0, 64.0, 50.0), (12.0, 10.0, 52.0, 50.0)
    told = _followed([[before], [near, nearer]])
    assert told[1].hand_index.tolist() == [1, 0]


def test_a_hand_that_is_missed_for_a_moment_is_the_same_and_a_late_one_is_another() -> None:
    box = (10.0, 10.0, 40.0, 40.0)
    other = (120.0, 10.0, 150.0, 40.0)
    told = _followed([[box], [other], [box]], numbers=[0, 1, 3])
    assert told[2].hand_index.tolist() == [0]
    assert told[2].sources == ("detected",)  # it was not there in the frame before
    late = _followed([[box], [other], [other, box]], numbers=[0, 4, 8])
    assert late[2].hand_index.tolist() == [1, 0]  # the number of one that is lost is free again


def test_a_side_is_that_of_all_frames_together() -> None:
    box = (10.0, 10.0, 40.0, 40.0)
    rights = iter([0.9, 0.2, 0.2, 0.2])
    tracker = IouTracker(lambda _image: FrameHands(np.array([box]), np.array([next(rights)])))
    assert [bool(tracker.step(number, IMAGE).is_right[0]) for number in range(4)] == [True, True, False, False]


@pytest.mark.parametrize("box", [(300.0, 10.0, 340.0, 40.0), (10.0, 10.0, 10.0, 40.0)])
def test_a_box_outside_or_without_area_is_no_hand(box: Box) -> None:
    assert len(_followed([[box]])[0]) == 0


def test_a_box_is_cut_to_the_image_and_an_empty_frame_has_none() -> None:
    told = _followed([[(150.0, 50.0, 260.0, 140.0)], []])
    assert told[0].boxes_xyxy.tolist() == [[150.0, 50.0, 199.5, 99.5]]
    assert len(told[1]) == 0
