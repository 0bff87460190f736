"""Following hands by the overlap of their boxes, for detectors that see one frame at a time.

A detector that knows nothing of video (YOLO, Faster R-CNN, ...) becomes a tracker
(:class:`hoiray.predictors.detector.HandTracker`) by being wrapped: `IouTracker(detect)`. A plug-in then offers it as
`new_tracker`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.geometry import boxes
from hoiray.predictors.detector import BoxSource, DetectedHands

FloatArray = npt.NDArray[np.floating]

MIN_IOU: Final = 0.2
"""Hands move by half their box from one frame to the next at ten frames a second."""

MAX_GAP_FRAMES: Final = 5
"""A hand that is not seen for longer is another one when it comes back."""


@dataclass(frozen=True, eq=False)
class FrameHands:
    """What a detector says of one frame.

    Attributes:
        boxes_xyxy: (N, 4) px.
        right: (N,) 0 to 1: is it a right hand? 0.5 where it does not know.
    """

    boxes_xyxy: FloatArray
    right: FloatArray


Detect = Callable[[npt.NDArray[np.uint8]], FrameHands]


@dataclass(frozen=True, eq=False)
class _Track:
    number: int
    box_xyxy: FloatArray
    last_frame: int
    right_sum: float
    source: BoxSource


class IouTracker:
    """Keeps a hand's number while its boxes overlap, best pairs first; its side is the mean of all frames."""

    def __init__(self, detect: Detect, *, min_iou: float = MIN_IOU, max_gap_frames: int = MAX_GAP_FRAMES) -> None:
        """Begin a video.

        Args:
            detect: finds the hands of a frame.
            min_iou: overlap from which two boxes may be of one hand.
            max_gap_frames: frame numbers for which a hand may be out of sight.
        """
        self._detect, self._min_iou, self._max_gap = detect, min_iou, max_gap_frames
        self._tracks: list[_Track] = []

    def step(self, frame_index: int, image: npt.NDArray[np.uint8]) -> DetectedHands:
        """Find the hands of the next frame; see :class:`hoiray.predictors.detector.HandTracker`."""
        found = self._detect(image)
        cut = boxes.clip_to_image(
            np.asarray(found.boxes_xyxy, np.float64).reshape(-1, 4), image.shape[1], image.shape[0]
        )
        is_box = np.nan_to_num(boxes.area(cut)) > 0
        cut, right = cut[is_box], np.asarray(found.right, np.float64)[is_box]
        known = [track for track in self._tracks if frame_index - track.last_frame <= self._max_gap]
        pairs = _paired(np.array([track.box_xyxy for track in known]).reshape(-1, 4), cut, self._min_iou)
        seen = [self._seen(known, pairs.get(row), cut[row], right[row] - 0.5, frame_index) for row in range(len(cut))]
        seen = _numbered(seen, {track.number for track in known})
        numbers = {track.number for track in seen}
        self._tracks = [*(track for track in known if track.number not in numbers), *seen]
        return DetectedHands(
            cut,
            np.array([track.right_sum >= 0 for track in seen], np.bool_),
            np.array([track.number for track in seen], np.int64),
            tuple(track.source for track in seen),
        )

    def _seen(self, known: list[_Track], index: int | None, box: FloatArray, right: float, frame_index: int) -> _Track:
        """Return a hand where it is now; one that nobody knows has no number yet."""
        if index is None:
            return _Track(-1, box, frame_index, right, "detected")
        before = known[index]
        source: BoxSource = "tracked" if before.last_frame == frame_index - 1 else "detected"
        return replace(before, box_xyxy=box, last_frame=frame_index, right_sum=before.right_sum + right, source=source)


def _paired(known_xyxy: FloatArray, found_xyxy: FloatArray, min_iou: float) -> dict[int, int]:
    """Pair found boxes (keys) with known ones, by falling overlap, each once."""
    overlap = np.nan_to_num(boxes.iou_matrix(known_xyxy, found_xyxy))
    pairs: dict[int, int] = {}
    for place in np.argsort(-overlap, axis=None, kind="stable"):
        index, row = (int(value) for value in np.unravel_index(place, overlap.shape))
        if overlap[index, row] < min_iou:
            break
        if row not in pairs and index not in pairs.values():
            pairs[row] = index
    return pairs


def _numbered(seen: list[_Track], taken: set[int]) -> list[_Track]:
    """Give hands without a number the smallest that is free."""
    free = (number for number in range(len(taken) + len(seen) + 1) if number not in taken)
    return [replace(track, number=next(free)) if track.number < 0 else track for track in seen]
