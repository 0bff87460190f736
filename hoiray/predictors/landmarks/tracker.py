"""Hands through a video: palms are looked for now and then, and a hand that was found is followed by its points."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.geometry import boxes
from hoiray.hand.joints import SIMPLE_NAMES
from hoiray.predictors.detector import BoxSource, DetectedHands
from hoiray.predictors.landmarks.networks import HandNetworks, Readings
from hoiray.predictors.landmarks.regions import Regions, regions_of_palms, regions_of_points

FloatArray = npt.NDArray[np.floating]
Image = npt.NDArray[np.uint8]

PALM_INTERVAL_FRAMES: Final = 5
"""Palms are looked for in every fifth frame, and in every frame in which no hand is followed."""

BOX_FACTOR: Final = 1.2
"""Box of the hand over the box of its 21 points, which lie inside it."""

MAX_DOUBLE_DISTANCE: Final = 0.3
"""Two hands whose points are closer than this, in sides of their box, are one hand found twice."""

MAX_STEP: Final = 0.6
"""A hand whose points move further than this between two frames, in sides of their box, may be another hand."""

_PALM: Final = [i for i, name in enumerate(SIMPLE_NAMES) if name == "wrist" or name.endswith("_mcp")]
_MIN_PALM_OVERLAP: Final = 0.3
_SURE: Final = 0.02
"""One frame says no more than that a side is 98 % certain."""


@dataclass(frozen=True, eq=False)
class _Track:
    """A hand that is followed.

    Attributes:
        number: in the video, free again when it is lost.
        points_px: (21, 2) where it was seen last.
        upright_px: (2, 2) of the square in which it was seen, see :class:`hoiray.predictors.detector.DetectedHands`.
        right_log_odds: that it is a right hand, by all frames so far.
        source: how it was seen last.
    """

    number: int
    points_px: FloatArray
    upright_px: FloatArray
    right_log_odds: float
    source: BoxSource


class LandmarkTracker:
    """Follows the hands of one video with the landmark networks."""

    def __init__(self, networks: HandNetworks, *, min_presence: float) -> None:
        """Begin without hands.

        Args:
            networks: on their device.
            min_presence: below it a hand is lost.
        """
        self._networks, self._min_presence = networks, min_presence
        self._tracks: list[_Track] = []
        self._next_look = 0

    def step(self, frame_index: int, image: Image) -> DetectedHands:
        """Find the hands of the next frame; see :class:`hoiray.predictors.detector.HandTracker`."""
        tracks = _without_doubles(self._followed(image))
        if not tracks or frame_index >= self._next_look:
            tracks = _without_doubles([*tracks, *self._found(image, tracks)])
            self._next_look = frame_index + PALM_INTERVAL_FRAMES
        height, width = image.shape[:2]
        tight = [boxes.expand(boxes.from_points(track.points_px), BOX_FACTOR) for track in tracks]
        cut = boxes.clip_to_image(np.array(tight).reshape(-1, 4), width, height)
        is_inside = np.nan_to_num(boxes.area(cut)) > 0
        self._tracks = [track for track, inside in zip(tracks, is_inside, strict=True) if inside]
        return DetectedHands(
            cut[is_inside],
            np.array([track.right_log_odds > 0 for track in self._tracks], np.bool_),
            np.array([track.number for track in self._tracks], np.int64),
            tuple(track.source for track in self._tracks),
            np.array([track.upright_px for track in self._tracks], np.float32).reshape(-1, 2, 2),
        )

    def _followed(self, image: Image) -> list[_Track]:
        """Return the hands of the frame before that are still seen, where they are now."""
        if not self._tracks:
            return []
        expected = regions_of_points(np.stack([track.points_px for track in self._tracks]))
        readings, upright_px = self._read(image, expected)
        return [
            _moved(track, readings.points_px[row], upright_px[row], _log_odds(readings.right[row]))
            for row, track in enumerate(self._tracks)
            if readings.presence[row] >= self._min_presence
        ]

    def _found(self, image: Image, known: list[_Track]) -> list[_Track]:
        """Return hands that nobody follows yet."""
        palms = self._networks.find_palms(image)
        is_new = np.array([not _is_known(box, known) for box in palms.boxes_xyxy], np.bool_)
        if not is_new.any():
            return []
        regions = regions_of_palms(palms.boxes_xyxy[is_new], palms.points_px[is_new])
        first = self._networks.read(image[None], np.zeros(len(regions), np.int64), regions)
        first = first.rows(first.presence >= self._min_presence)
        if len(first) == 0:
            return []
        # a second look, for what is taken for a hand once is soon followed for long
        readings, upright_px = self._read(image, regions_of_points(first.points_px))
        free = (number for number in range(len(known) + len(readings)) if all(it.number != number for it in known))
        return [
            _Track(next(free), readings.points_px[row], upright_px[row], _log_odds(readings.right[row]), "detected")
            for row in np.flatnonzero(readings.presence >= self._min_presence)
        ]

    def _read(self, image: Image, expected: Regions) -> tuple[Readings, FloatArray]:
        """Read hands about where they are expected; return their upright squares (N, 2, 2), too."""
        index = np.zeros(len(expected), np.int64)
        readings, squares = self._networks.settle(image[None], index, expected, min_presence=self._min_presence)
        return readings, squares.upright_px


def _moved(track: _Track, points_px: FloatArray, upright_px: FloatArray, log_odds: float) -> _Track:
    """Return a hand where it is now; one that has jumped may be another one, whose side is not known from before."""
    step_px = float(np.linalg.norm(points_px - track.points_px, axis=1).mean())
    if step_px > MAX_STEP * float(np.ptp(track.points_px, axis=0).max()):
        return _Track(track.number, points_px, upright_px, log_odds, "detected")
    total = track.right_log_odds + log_odds
    return replace(track, points_px=points_px, upright_px=upright_px, right_log_odds=total, source="tracked")


def _log_odds(probability: float) -> float:
    kept = min(max(float(probability), _SURE), 1.0 - _SURE)
    return float(np.log(kept / (1.0 - kept)))


def _is_known(palm_xyxy: FloatArray, tracks: list[_Track]) -> bool:
    """Tell whether a palm is that of a hand that is followed."""
    palms = [boxes.from_points(track.points_px[_PALM]) for track in tracks]
    return any(float(np.nan_to_num(boxes.iou(palm, palm_xyxy))) > _MIN_PALM_OVERLAP for palm in palms)


def _without_doubles(tracks: list[_Track]) -> list[_Track]:
    """Leave out hands that have run onto another; the one that has been followed first stays."""
    kept: list[_Track] = []
    for track in tracks:
        side_px = float(np.ptp(track.points_px, axis=0).max())
        distances = [float(np.linalg.norm(track.points_px - other.points_px, axis=1).mean()) for other in kept]
        if all(distance > MAX_DOUBLE_DISTANCE * side_px for distance in distances):
            kept.append(track)
    return kept
