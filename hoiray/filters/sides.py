"""Which hand a track is, where nobody says so: from the evidence of all frames of a track, and of the hand beside it.

A predictor that is told the wrong side of a hand sees its mirror image, and answers less consistently (Liu et al. are
silent about sides; Something-Else's boxes have none). In one frame this is weak evidence. But a hand does not change
its side on its way through a video, so the frames of a track are asked together, and a single frame in which the wrong
hypothesis happens to look better is overruled by its neighbours.

Tracks are found from the boxes alone, by the rule of :mod:`hoiray.filters.tracks` with every hand on one side. What is
found there is stricter than it need be: where two hands of a frame compete for a track, it ends, and its continuation
is decided by itself.

A person has one hand of each side. Where a frame shows just two hands, they are taken for a left and a right one, and
what tells for either tells for both: the tracks that are seen together are decided together. That is a presumption, and
evidence overrules it: a track that by itself tells clearly for its side keeps it, and so do those beside it, as with a
second person. Of frames with three hands or more nothing is concluded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.filters.tracks import track_hands
from hoiray.geometry.boxes import iou

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MAX_LEAD: Final = 0.1
"""What one frame says at most, in the unit of the leads. Without a limit a few frames in which one hypothesis collapses
outvote all others."""

CLEAR_LEAD: Final = 0.03
"""What a track tells for its side from which no hand beside it overrules it: of 1,646 such hands of three synthetic
sets 97.5 % had the side their own frames told for."""

MIN_SHARE_TOGETHER: Final = 0.5
"""Share of the shorter track's frames, with both hands and no third, that makes two tracks those of one person."""

MAX_IOU_TOGETHER: Final = 0.5
"""Boxes of a frame that overlap by more may be one hand that was found twice."""

SIDE_RULE: Final = "by track, and by the hand beside it"
"""Part of the id of predictions whose sides are guessed: another rule makes other rows."""


@dataclass(frozen=True, eq=False)
class TrackSides:
    """What N rows were decided to be.

    Attributes:
        lead: (N,) mean over the row's track of what its frames say for the side that was decided, each at most
            :data:`MAX_LEAD`; negative where the hand beside it overruled them.
        is_right: (N,).
    """

    lead: FloatArray
    is_right: BoolArray


def track_sides(
    lead_right: FloatArray,
    frame_index: npt.NDArray[np.integer],
    bbox_xyxy: FloatArray,
    video_starts: IntArray,
    *,
    is_first_right: BoolArray | None = None,
    is_one_person: bool = True,
) -> TrackSides:
    """Decide the side of each track.

    Args:
        lead_right: (N,) by how much a right hand is the more consistent answer in a frame, negative where a left one
            is; infinite where only one of them is an answer.
        frame_index: (N,) not decreasing within a video.
        bbox_xyxy: (N, 4) px.
        video_starts: (V + 1,) first row of each video, and N at the end.
        is_first_right: (N,) side of a track of which nothing is told; None: right.
        is_one_person: whether tracks that are seen together are decided together.

    Raises:
        ContractError: rows of a video are not in order.
    """
    one_side = np.ones(len(lead_right), dtype=np.bool_)
    tracks = track_hands(frame_index, one_side, bbox_xyxy, video_starts)
    video = np.repeat(np.arange(len(video_starts) - 1), np.diff(video_starts))
    _, first, track = np.unique(np.stack([video, tracks.track_index]), axis=1, return_index=True, return_inverse=True)
    track = track.ravel()
    said = np.clip(np.nan_to_num(lead_right, nan=0.0, posinf=MAX_LEAD, neginf=-MAX_LEAD), -MAX_LEAD, MAX_LEAD)
    total, count = (np.bincount(track, weights=weights) for weights in (said, None))
    mean = total / count
    silent_right = one_side if is_first_right is None else is_first_right
    is_right = np.where(mean == 0.0, silent_right[first], mean > 0.0)
    for signs in _persons(_pairs(video, frame_index, track, bbox_xyxy)) if is_one_person else ():
        members = np.array(list(signs))
        sign = np.array([signs[member] for member in members])
        evidence = float((sign * total[members]).sum())
        together = np.where(evidence >= 0.0, sign, -sign) > 0
        overruled = is_right[members] != together
        if evidence != 0.0 and not (np.abs(mean[members[overruled]]) >= CLEAR_LEAD).any():
            is_right[members] = together
    told = np.where(is_right, mean, -mean)
    return TrackSides(np.asarray(told[track]), np.asarray(is_right[track]))


def _pairs(video: IntArray, frame_index: npt.NDArray[np.integer], track: IntArray, boxes: FloatArray) -> IntArray:
    """(P, 2) tracks that are seen together."""
    # a hand that was found twice counts once
    hands, row = np.unique(np.stack([video, frame_index.astype(np.int64), track]), axis=1, return_index=True)
    _, start, size = np.unique(hands[:2], axis=1, return_index=True, return_counts=True)
    at = start[size == 2]
    one, other = row[at], row[at + 1]
    apart = iou(boxes[one], boxes[other]) <= MAX_IOU_TOGETHER
    both = np.sort(np.stack([track[one[apart]], track[other[apart]]]), axis=0)
    pairs, frames = np.unique(both, axis=1, return_counts=True)
    length = np.bincount(hands[2]) if hands.size else np.zeros(0, dtype=np.int64)
    return np.asarray(pairs.T[frames >= MIN_SHARE_TOGETHER * length[pairs].min(axis=0)])


def _persons(pairs: IntArray) -> list[Mapping[int, int]]:
    """Part tracks that are linked by pairs into two sides, 1 and -1; those that cannot be parted are left out."""
    beside: dict[int, list[int]] = {}
    for one, other in pairs.tolist():
        beside.setdefault(one, []).append(other)
        beside.setdefault(other, []).append(one)
    persons, seen = list[Mapping[int, int]](), set[int]()
    for begin in beside:
        if begin in seen:
            continue
        signs, waiting, is_parted = {begin: 1}, [begin], True
        while waiting:
            track = waiting.pop()
            for other in beside[track]:
                if other not in signs:
                    signs[other] = -signs[track]
                    waiting.append(other)
                is_parted &= signs[other] != signs[track]
        seen |= signs.keys()
        if is_parted:
            persons.append(signs)
    return persons
