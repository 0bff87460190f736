from collections.abc import Sequence
from typing import Any

import filter_oracles as oracle
import numpy as np
import pytest
from filter_scenes import videos

from hoiray.errors import ContractError
from hoiray.filters.tracks import TrackRule, Tracks, track_hands

Row = tuple[int, bool, Sequence[float]]


def box_at(x: float, side: float = 100.0) -> list[float]:
    return [x, 0.0, x + side, side]


def tracks_of(rows: list[Row], rule: TrackRule | None = None, *, starts: list[int] | None = None) -> Tracks:
    frames, sides, boxes = zip(*rows, strict=True)
    where = np.array(starts or [0, len(rows)])
    return track_hands(np.array(frames), np.array(sides), np.array(boxes, dtype=float), where, rule)


def test_a_hand_that_stays_is_one_track() -> None:
    tracks = tracks_of([(frame, True, box_at(3.0 * frame)) for frame in range(5)])
    assert tracks.track_index.tolist() == [0] * 5
    assert tracks.predecessor.tolist() == [-1, 0, 1, 2, 3]
    assert tracks.successor().tolist() == [1, 2, 3, 4, -1]


def test_two_hands_keep_their_tracks_however_they_are_numbered() -> None:
    left, right = box_at(0.0), box_at(300.0)
    tracks = tracks_of([(0, True, left), (0, True, right), (1, True, right), (1, True, left)])
    assert tracks.track_index.tolist() == [0, 1, 1, 0]
    assert tracks.predecessor.tolist() == [-1, -1, 1, 0]


def test_the_other_side_in_the_same_box_is_another_hand() -> None:
    tracks = tracks_of([(0, True, box_at(0)), (0, False, box_at(0)), (1, False, box_at(0)), (1, True, box_at(0))])
    assert tracks.track_index.tolist() == [0, 1, 1, 0]
    assert not tracks.is_duplicate.any()


@pytest.mark.parametrize(("gap", "goes_on"), [(1, True), (11, True), (12, True), (13, False)])
def test_a_gap_up_to_the_limit_keeps_the_identity(gap: int, goes_on: bool) -> None:
    tracks = tracks_of([(4, True, box_at(0)), (4 + gap, True, box_at(5))])
    assert tracks.track_index.tolist() == ([0, 0] if goes_on else [0, 1])
    assert tracks.gap_frames(np.array([4, 4 + gap])).tolist() == [0, gap if goes_on else 0]


def test_a_hand_that_is_unseen_while_another_stays_comes_back_to_its_track() -> None:
    near, far = box_at(0), box_at(300)
    tracks = tracks_of([(0, True, near), (0, True, far), (1, True, far), (2, True, near), (2, True, far)])
    assert tracks.track_index.tolist() == [0, 1, 1, 0, 1]
    assert tracks.predecessor.tolist() == [-1, -1, 1, 0, 2]


@pytest.mark.parametrize(("min_iou", "goes_on"), [(0.5, True), (0.51, False)])
def test_the_least_overlap_is_enough(min_iou: float, goes_on: bool) -> None:
    rule = TrackRule(min_iou=min_iou)
    tracks = tracks_of([(0, True, [0, 0, 8, 8]), (1, True, [0, 0, 8, 4])], rule)  # they overlap by exactly a half
    assert tracks.track_index.tolist() == ([0, 0] if goes_on else [0, 1])


@pytest.mark.parametrize(("min_iou", "waits"), [(0.5, False), (0.51, True)])
def test_a_track_that_lost_its_candidate_to_another_does_not_wait(min_iou: float, waits: bool) -> None:
    whole, half = [0, 0, 8, 8], [0, 0, 8, 4]  # the hand at `whole` takes its own track; the other could have had it
    rows: list[Row] = [(0, True, whole), (0, True, half), (1, True, whole), (2, True, half)]
    tracks = tracks_of(rows, TrackRule(min_iou=min_iou))
    assert tracks.track_index.tolist() == [0, 1, 0, 1 if waits else 0]


def test_two_hands_that_claim_one_track_start_anew() -> None:
    rows: list[Row] = [(0, True, box_at(0)), (1, True, box_at(-30)), (1, True, box_at(30)), (2, True, box_at(-60))]
    tracks = tracks_of(rows)
    assert tracks.track_index.tolist() == [0, 1, 2, 1]
    assert tracks.predecessor.tolist() == [-1, -1, -1, 1]


def test_a_hand_between_two_tracks_starts_anew_and_ends_both() -> None:
    rows: list[Row] = [(0, True, box_at(-30)), (0, True, box_at(30)), (1, True, box_at(0)), (2, True, box_at(0))]
    tracks = tracks_of(rows)
    assert tracks.track_index.tolist() == [0, 1, 2, 2]  # the ended tracks make no later choice unclear


def test_a_clear_choice_wins_over_a_distant_rival() -> None:
    rows: list[Row] = [(0, True, box_at(0)), (1, True, box_at(5)), (1, True, box_at(60))]
    assert tracks_of(rows).track_index.tolist() == [0, 0, 1]
    rows = [(0, True, box_at(0)), (0, True, box_at(60)), (1, True, box_at(5))]
    assert tracks_of(rows).track_index.tolist() == [0, 1, 0]


@pytest.mark.parametrize(("margin", "is_clear"), [(0.5, True), (0.51, False)])
def test_a_choice_is_clear_from_the_margin_on(margin: float, is_clear: bool) -> None:
    # the same box again (1), and one of half its height inside it (1 / 2): they differ by exactly a half
    whole, half = [0, 0, 8, 8], [0, 0, 8, 4]
    rule = TrackRule(margin=margin)
    assert tracks_of([(0, True, whole), (1, True, whole), (1, True, half)], rule).track_index.tolist() == (
        [0, 0, 1] if is_clear else [0, 1, 2]
    )
    assert tracks_of([(0, True, whole), (0, True, half), (1, True, whole)], rule).track_index.tolist() == (
        [0, 1, 0] if is_clear else [0, 1, 2]
    )


@pytest.mark.parametrize(("duplicate_iou", "is_same"), [(0.5, True), (0.51, False)])
def test_a_hand_found_twice_is_marked_and_not_linked(duplicate_iou: float, is_same: bool) -> None:
    rows: list[Row] = [(0, True, [0, 0, 8, 8]), (0, True, [0, 0, 8, 4]), (1, True, [0, 0, 8, 8])]
    tracks = tracks_of(rows, TrackRule(duplicate_iou=duplicate_iou))
    assert tracks.is_duplicate.tolist() == [False, is_same, False]
    assert tracks.track_index.tolist() == ([0, 0, 0] if is_same else [0, 1, 0])
    assert tracks.predecessor.tolist() == [-1, -1, 0]


def test_three_rows_of_one_box_leave_one_hand() -> None:
    tracks = tracks_of([(0, True, box_at(0)), *[(1, True, box_at(d)) for d in (0, 1, 2)], (2, True, box_at(1))])
    assert tracks.is_duplicate.tolist() == [False, False, True, True, False]
    assert tracks.track_index.tolist() == [0] * 5
    assert tracks.predecessor.tolist() == [-1, 0, -1, -1, 1]


@pytest.mark.parametrize("box", [[0, 0, 0, 5], [5, 0, 0, 5], [0, 5, 5, 5], [np.nan, 0, 1, 1], [0, 0, np.inf, 1]])
def test_a_box_without_area_joins_nothing(box: list[float]) -> None:
    tracks = tracks_of([(0, True, box), (0, True, box), (1, True, box), (2, True, box_at(0))])
    assert tracks.track_index.tolist() == [0, 1, 2, 3]
    assert not tracks.is_duplicate.any()


def test_no_track_crosses_from_one_video_into_the_next() -> None:
    rows: list[Row] = [(0, True, box_at(0)), (1, True, box_at(0)), (1, True, box_at(0)), (2, True, box_at(0))]
    tracks = tracks_of(rows, starts=[0, 2, 4])
    assert tracks.track_index.tolist() == [0, 0, 0, 0]
    assert tracks.predecessor.tolist() == [-1, 0, -1, 2]


def test_touching_boxes_do_not_overlap() -> None:
    tracks = tracks_of([(0, True, box_at(0)), (1, True, box_at(100))])
    assert tracks.track_index.tolist() == [0, 1]


def test_many_hands_in_a_frame_are_told_apart() -> None:
    rows: list[Row] = [(frame, True, box_at(150.0 * hand)) for frame in range(3) for hand in range(40)]
    assert tracks_of(rows).track_index.tolist() == list(range(40)) * 3


def test_tracks_are_those_of_the_plain_rule() -> None:
    num_links = num_copies = 0
    for seed in range(6):
        arrays: dict[str, Any] = videos(np.random.default_rng(seed), 6)
        names, first = np.unique(arrays["video_id"].astype(str), return_index=True)
        starts = np.append(first, len(arrays["video_id"]))
        found = track_hands(arrays["frame_index"], arrays["is_right"], arrays["bbox_xyxy"], starts)
        for video in range(len(names)):
            rows = slice(starts[video], starts[video + 1])
            keys = ("frame_index", "is_right", "bbox_xyxy")
            plain = [
                dict(zip(keys, row, strict=True)) for row in zip(*(arrays[key][rows] for key in keys), strict=True)
            ]
            wanted = oracle.tracks(plain)
            assert found.track_index[rows].tolist() == [one.track for one in wanted]
            assert found.is_duplicate[rows].tolist() == [one.is_duplicate for one in wanted]
            before = [-1 if one.before is None else one.before + starts[video] for one in wanted]
            assert found.predecessor[rows].tolist() == before
        num_links += int((found.predecessor >= 0).sum())
        num_copies += int(found.is_duplicate.sum())
    assert num_links > 300
    assert num_copies > 5


def test_crowded_boxes_are_linked_by_the_plain_rule() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        frames = np.sort(rng.integers(0, 6, size=14))
        boxes = np.stack([box_at(x) for x in rng.uniform(0, 250, size=14)])
        sides = rng.random(14) < 0.8
        found = track_hands(frames, sides, boxes, np.array([0, 14]))
        wanted = oracle.tracks(
            [{"frame_index": f, "is_right": s, "bbox_xyxy": b} for f, s, b in zip(frames, sides, boxes, strict=True)]
        )
        assert found.track_index.tolist() == [one.track for one in wanted]
        assert found.predecessor.tolist() == [-1 if one.before is None else one.before for one in wanted]
        assert found.is_duplicate.tolist() == [one.is_duplicate for one in wanted]


def test_rows_out_of_order_are_refused() -> None:
    with pytest.raises(ContractError, match="row 1 before its predecessor"):
        tracks_of([(1, True, box_at(0)), (0, True, box_at(0))])
    tracks_of([(1, True, box_at(0)), (0, True, box_at(0))], starts=[0, 1, 2])  # two videos


def test_no_rows_have_no_tracks() -> None:
    empty = track_hands(np.zeros(0, dtype=int), np.zeros(0, dtype=bool), np.zeros((0, 4)), np.zeros(1, dtype=np.int64))
    assert len(empty.track_index) == len(empty.successor()) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"margin": 0.0},
        {"min_iou": 0.0},
        {"duplicate_iou": 0.0},
        {"min_iou": 1.01},
        {"margin": -0.1},
        {"max_gap_frames": 0},
    ],
)
def test_a_rule_that_links_what_does_not_touch_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="track rule"):
        TrackRule(**change)
    assert TrackRule(min_iou=1.0, margin=1.0, duplicate_iou=1.0, max_gap_frames=1)
