# ruff: noqa: PLR0917 - numba compiles positional arguments only
"""Which rows of a video are one hand: tracks through frames with several hands, holes, and hands found twice.

The rule. Frames are visited in order. A hand joins the track whose last box it overlaps most, if all of this holds:

* both are the same side: a left hand's parameters say nothing about a right one's motion or shape;
* the track was seen at most `max_gap_frames` before (a gap keeps the identity, so that shape is judged over it; it
  never makes a pair for motion, which has its own limit);
* their boxes overlap by `min_iou` at least;
* the choice is mutual and clear: no other track of the hand and no other hand of the track comes within `margin`.

Otherwise the hand starts a track. A track that had a candidate and did not get it ends there, lest it wait beside its
own continuation and make every later choice unclear. No choice depends on the order of rows or on ``hand_index``, which
only numbers tracks that begin in the same frame.

A hand that overlaps another of its frame and side by `duplicate_iou` is the same hand found twice. The row with the
lower ``hand_index`` stands for both; the other one is marked, gets the number of its track and no predecessor.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.filters.compiled import compiled, inlined, kernel_inputs

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NONE = -1
"""A row without predecessor."""


@dataclass(frozen=True)
class TrackRule:
    """How boxes become tracks.

    Attributes:
        max_gap_frames: frame numbers a track may be unseen and go on; 12 is a second of Something-Something.
        min_iou: least overlap of a box with its track's last one. A box that moves by half its side along both axes
            overlaps by 0.14, along one axis by 0.33; a hand that passes the limit on motion moves by a ninth of it.
        margin: by how much the best overlap must exceed the second best.
        duplicate_iou: overlap from which two boxes of one frame and side are one hand.
    """

    max_gap_frames: int = 12
    min_iou: float = 0.2
    margin: float = 0.1
    duplicate_iou: float = 0.9

    def __post_init__(self) -> None:
        """Refuse overlaps that would link what does not touch, or one track to two hands.

        Raises:
            ContractError: one is not in (0, 1], or the gap is below 1.
        """
        overlaps = (self.min_iou, self.margin, self.duplicate_iou)
        if not (all(0.0 < overlap <= 1.0 for overlap in overlaps) and self.max_gap_frames >= 1):
            expected, fix = "overlaps in (0, 1] and a gap of 1 or more", "Correct the rule."
            raise ContractError(describe(what="track rule", expected=expected, found=str(self), fix=fix))


@dataclass(frozen=True, eq=False)
class Tracks:
    """The tracks of N rows.

    Attributes:
        track_index: (N,) int32 number of the track in its video, from 0, in the order in which they begin.
        predecessor: (N,) int64 row of the track's frame before, -1 where the track begins and for duplicates.
        is_duplicate: (N,) the hand is in its frame once already.
    """

    track_index: npt.NDArray[np.int32]
    predecessor: IntArray
    is_duplicate: BoolArray

    def gap_frames(self, frame_index: npt.NDArray[np.integer]) -> IntArray:
        """Return (N,) the difference of frame numbers to the predecessor; 0 where there is none."""
        frames = np.asarray(frame_index, dtype=np.int64)
        return np.where(self.predecessor >= 0, frames - frames[self.predecessor], 0)

    def successor(self) -> IntArray:
        """Return (N,) the row whose predecessor a row is; -1 where the track ends."""
        following = np.full(len(self.predecessor), NONE, dtype=np.int64)
        rows = np.flatnonzero(self.predecessor >= 0)
        following[self.predecessor[rows]] = rows
        return following


def track_hands(
    frame_index: npt.NDArray[np.integer],
    is_right: BoolArray,
    bbox_xyxy: FloatArray,
    video_starts: IntArray,
    rule: TrackRule | None = None,
) -> Tracks:
    """Find the tracks of many videos in one pass.

    Args:
        frame_index: (N,) not decreasing within a video; rows of one frame in the order of their ``hand_index``.
        is_right: (N,).
        bbox_xyxy: (N, 4) px. A box without area overlaps nothing: its hand is a track of one frame.
        video_starts: (V + 1,) first row of each video, and N at the end.
        rule: None for the rule's defaults.

    Raises:
        ContractError: rows of a video are not in order.
    """
    rule = rule or TrackRule()
    _require_order(frame_index, video_starts)
    num_rows = len(frame_index)
    track_index = np.empty(num_rows, dtype=np.int32)
    predecessor = np.full(num_rows, NONE, dtype=np.int64)
    is_duplicate = np.zeros(num_rows, dtype=np.bool_)
    limits = (rule.min_iou, rule.margin, rule.duplicate_iou)
    live = np.empty(int(np.diff(video_starts).max(initial=0)), dtype=np.int64)
    frame, side, box, starts = kernel_inputs(frame_index, is_right, bbox_xyxy, video_starts)
    _track_videos(frame, side, box, starts, rule.max_gap_frames, limits, live, track_index, predecessor, is_duplicate)
    return Tracks(track_index, predecessor, is_duplicate)


def _require_order(frame_index: npt.NDArray[np.integer], video_starts: IntArray) -> None:
    is_falling = np.diff(np.asarray(frame_index, dtype=np.int64)) < 0
    is_falling[video_starts[1:-1] - 1] = False  # between two videos
    if is_falling.any():
        found = f"row {int(np.argmax(is_falling)) + 1} before its predecessor"
        fix = "Sort the rows by video, frame and hand."
        raise ContractError(describe(what="frame_index", expected="rising in a video", found=found, fix=fix))


@compiled
def _track_videos(
    frame_index: IntArray,
    is_right: BoolArray,
    bbox_xyxy: FloatArray,
    video_starts: IntArray,
    max_gap_frames: int,
    limits: tuple[float, float, float],
    live: IntArray,
    track_index: npt.NDArray[np.int32],
    predecessor: IntArray,
    is_duplicate: BoolArray,
) -> None:
    """Fill in the last three; `live` is room for the last rows of the tracks that may go on, one a row of a video."""
    for video in range(len(video_starts) - 1):
        first, end = video_starts[video], video_starts[video + 1]
        num_live, num_tracks = 0, 0
        while first < end:
            last = first
            while last < end and frame_index[last] == frame_index[first]:
                last += 1
            num_kept = 0
            for one in range(num_live):
                if frame_index[first] - frame_index[live[one]] <= max_gap_frames:
                    live[num_kept] = live[one]
                    num_kept += 1
            _mark_duplicates(is_right, bbox_xyxy, first, last, limits[2], is_duplicate)
            _link(is_right, bbox_xyxy, live, num_kept, first, last, limits, is_duplicate, predecessor)
            num_live = _drop_contested(is_right, bbox_xyxy, live, num_kept, first, last, limits[0], is_duplicate)
            for row in range(first, last):
                if is_duplicate[row]:
                    track_index[row] = track_index[_original(is_right, bbox_xyxy, first, row, limits[2], is_duplicate)]
                    continue
                if predecessor[row] >= 0:
                    track_index[row] = track_index[predecessor[row]]
                else:
                    track_index[row] = num_tracks
                    num_tracks += 1
                live[num_live] = row
                num_live += 1
            first = last


@inlined
def _iou(bbox_xyxy: FloatArray, first: int, second: int) -> float:
    """Intersection over union of two rows' boxes; 0 where either is absent or has no area."""
    common, first_area, second_area = 1.0, 1.0, 1.0
    for axis in range(2):
        low, high = np.float64(bbox_xyxy[first, axis]), np.float64(bbox_xyxy[first, axis + 2])
        other_low, other_high = np.float64(bbox_xyxy[second, axis]), np.float64(bbox_xyxy[second, axis + 2])
        if not (
            high > low and other_high > other_low and np.isfinite(high - low) and np.isfinite(other_high - other_low)
        ):
            return 0.0
        first_area *= high - low
        second_area *= other_high - other_low
        common *= max(min(high, other_high) - max(low, other_low), 0.0)
    return common / (first_area + second_area - common)


@inlined
def _original(
    is_right: BoolArray, bbox_xyxy: FloatArray, first: int, row: int, duplicate_iou: float, is_duplicate: BoolArray
) -> int:
    """Return the row of the same frame that a row repeats, or -1."""
    for other in range(first, row):
        is_same = is_right[other] == is_right[row] and not is_duplicate[other]
        if is_same and _iou(bbox_xyxy, other, row) >= duplicate_iou:
            return other
    return NONE


@inlined
def _mark_duplicates(
    is_right: BoolArray, bbox_xyxy: FloatArray, first: int, last: int, duplicate_iou: float, is_duplicate: BoolArray
) -> None:
    for row in range(first + 1, last):
        is_duplicate[row] = _original(is_right, bbox_xyxy, first, row, duplicate_iou, is_duplicate) >= 0


@inlined
def _overlap(is_right: BoolArray, bbox_xyxy: FloatArray, track: int, row: int) -> float:
    """Overlap of a hand with the last box of a track; 0 for another side."""
    return _iou(bbox_xyxy, track, row) if is_right[track] == is_right[row] else 0.0


@inlined
def _link(
    is_right: BoolArray,
    bbox_xyxy: FloatArray,
    live: IntArray,
    num_live: int,
    first: int,
    last: int,
    limits: tuple[float, float, float],
    is_duplicate: BoolArray,
    predecessor: IntArray,
) -> None:
    """Link the hands of a frame, rows first to last - 1, to the tracks whose choice is mutual and clear."""
    min_iou, margin = limits[0], limits[1]
    for row in range(first, last):
        for one in range(num_live):
            overlap = 0.0 if is_duplicate[row] else _overlap(is_right, bbox_xyxy, live[one], row)
            if overlap < min_iou:
                continue
            rival = 0.0
            for other in range(num_live):
                if other != one:
                    rival = max(rival, _overlap(is_right, bbox_xyxy, live[other], row))
            for other_row in range(first, last):
                if other_row != row and not is_duplicate[other_row]:
                    rival = max(rival, _overlap(is_right, bbox_xyxy, live[one], other_row))
            if overlap - rival >= margin:
                predecessor[row] = live[one]


@inlined
def _drop_contested(
    is_right: BoolArray,
    bbox_xyxy: FloatArray,
    live: IntArray,
    num_live: int,
    first: int,
    last: int,
    min_iou: float,
    is_duplicate: BoolArray,
) -> int:
    """Keep the tracks that no hand of the frame could have joined, and return their number.

    Linked ones go on from their new row; the others had a candidate, did not get it, and end.
    """
    num_kept = 0
    for one in range(num_live):
        has_candidate = False
        for row in range(first, last):
            if not is_duplicate[row] and _overlap(is_right, bbox_xyxy, live[one], row) >= min_iou:
                has_candidate = True
        if not has_candidate:
            live[num_kept] = live[one]
            num_kept += 1
    return num_kept
