"""Turned squares that show a hand upright, its wrist below its fingers, as the landmark network wants it.

How a square follows from a palm or from the points of the frame before is part of the published networks: they were
trained on squares made so (MediaPipe's graphs `palm_detection_detection_to_roi` and `hand_landmark_landmarks_to_roi`).
"""

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.datasets.augment import Views
from hoiray.geometry import boxes
from hoiray.geometry.crops import crop_affine
from hoiray.hand.joints import SIMPLE_NAMES

FloatArray = npt.NDArray[np.floating]

BOX_FACTOR: Final = 1.4
"""Side of a square over the longer side of a tight box: what the network's own squares have in the mean."""

TRIED_TURNS_RAD: Final = (0.0, np.pi / 2, np.pi, -np.pi / 2)
"""A box does not tell where the fingers point."""

MAX_OFF_CENTRE, MAX_OFF_SIZE, MAX_OFF_TURN_RAD = 0.08, 0.15, np.radians(15.0)
"""Two squares are as good as one: centres so near in sides, sides so near in parts, turns so near."""

MAX_VIEW_TURN_RAD: Final = np.pi / 6
"""The network reads upright hands: a view of an ensemble is turned no further than its training turned them."""

_PALM_SHIFT, _PALM_FACTOR = -0.5, 2.6
_POINTS_SHIFT, _POINTS_FACTOR = -0.1, 2.0
"""Along the hand, in sides of the box of palm or points; and the square's side over that box's."""

_INNER: Final = [
    index
    for index, name in enumerate(SIMPLE_NAMES)
    if name.endswith(("wrist", "mcp", "cmc", "pip")) or name in ("thumb_ip",)
]
"""Points the square is laid around: those that move little when fingers bend."""

_WRIST, _INDEX, _MIDDLE, _RING = (SIMPLE_NAMES.index(name) for name in ("wrist", "index_mcp", "middle_mcp", "ring_mcp"))
PALM_WRIST, PALM_MIDDLE = 0, 2
"""Of the palm detector's seven points."""


@dataclass(frozen=True, eq=False)
class Regions:
    """N turned squares.

    Attributes:
        centers_px: (N, 2) of the frame.
        sides_px: (N,).
        turns_rad: (N,) how far the hand is turned from upright, clockwise on the screen.
    """

    centers_px: FloatArray
    sides_px: FloatArray
    turns_rad: FloatArray

    def __len__(self) -> int:
        """Squares."""
        return len(self.sides_px)

    def rows(self, chosen: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "Regions":
        """Return some of them."""
        return Regions(self.centers_px[chosen], self.sides_px[chosen], self.turns_rad[chosen])

    def replaced(self, rows: npt.NDArray[np.integer], others: "Regions") -> "Regions":
        """Return these, with other squares in some rows."""
        changed = Regions(self.centers_px.copy(), self.sides_px.copy(), self.turns_rad.copy())
        for field in fields(self):
            getattr(changed, field.name)[rows] = getattr(others, field.name)
        return changed

    @property
    def upright_px(self) -> npt.NDArray[np.float32]:
        """The squares as two points each (N, 2, 2): centre and middle of the upper edge, px, as they are stored."""
        up = _rotated(np.stack([np.zeros_like(self.sides_px), -self.sides_px / 2], axis=-1), self.turns_rad)
        return np.stack([self.centers_px, self.centers_px + up], axis=1).astype(np.float32)

    def is_near(self, other: "Regions") -> npt.NDArray[np.bool_]:
        """Tell which squares (N,) show a hand as well as those of the other."""
        off = np.linalg.norm(self.centers_px - other.centers_px, axis=-1) / other.sides_px
        turn = turned_apart(self.turns_rad, other.turns_rad)
        is_sized = np.abs(np.log(self.sides_px / other.sides_px)) <= np.log1p(MAX_OFF_SIZE)
        return np.asarray((off <= MAX_OFF_CENTRE) & is_sized & (turn <= MAX_OFF_TURN_RAD))

    def turned(self, by_rad: float) -> "Regions":
        """Return the same squares, turned further."""
        return replace(self, turns_rad=self.turns_rad + by_rad)

    def views(self, views: Views | None) -> Views | None:
        """Return views whose turns bring the hands upright, and then vary as asked for, within the network's reach."""
        if views is None:
            return None
        extra = np.clip(views.rotations_rad, -MAX_VIEW_TURN_RAD, MAX_VIEW_TURN_RAD)
        return replace(views, rotations_rad=extra - self.turns_rad)

    def affines(self, size_px: int) -> FloatArray:
        """Return (N, 3, 3), px of the frame to px of the crop."""
        return crop_affine(self.centers_px, self.sides_px, -self.turns_rad, out_size_px=size_px)


def regions_of_boxes(boxes_xyxy: npt.ArrayLike) -> Regions:
    """Return upright squares around tight boxes (N, 4)."""
    centers, sizes = boxes.to_center_size(np.asarray(boxes_xyxy, np.float64))
    sides = BOX_FACTOR * sizes.max(axis=-1)
    return Regions(np.asarray(centers, np.float64), sides, np.zeros(len(sides)))


def regions_of_upright(upright_px: FloatArray) -> Regions:
    """Return squares from their centres and the middles of their upper edges (N, 2, 2), px of the frame."""
    upright = np.asarray(upright_px, np.float64)
    up = upright[:, 1] - upright[:, 0]
    return Regions(upright[:, 0], 2.0 * np.linalg.norm(up, axis=-1), _turns(up))


def regions_of_palms(boxes_xyxy: FloatArray, points_px: FloatArray) -> Regions:
    """Return squares around palms: boxes (N, 4) and seven points (N, 7, 2), px of the frame."""
    centers, sizes = boxes.to_center_size(boxes_xyxy)
    turns = _turns(points_px[:, PALM_MIDDLE] - points_px[:, PALM_WRIST])
    sides = sizes.max(axis=-1)
    return Regions(_shifted(centers, turns, _PALM_SHIFT * sides), _PALM_FACTOR * sides, turns)


def regions_of_points(points_px: FloatArray) -> Regions:
    """Return squares around hands whose 21 points (N, 21, 2) are known, px of the frame."""
    towards = 0.25 * (points_px[:, _INDEX] + points_px[:, _RING]) + 0.5 * points_px[:, _MIDDLE]
    turns = _turns(towards - points_px[:, _WRIST])
    upright = _rotated(points_px[:, _INNER], -turns[:, None])
    low, high = upright.min(axis=1), upright.max(axis=1)
    sides = (high - low).max(axis=-1)
    centers = _rotated((low + high) / 2, turns)
    return Regions(_shifted(centers, turns, _POINTS_SHIFT * sides), _POINTS_FACTOR * sides, turns)


def turned_apart(turns_rad: FloatArray, others_rad: FloatArray | float) -> FloatArray:
    """Return by how much turns (N,) differ from others, 0 to pi."""
    return np.asarray(np.abs(np.angle(np.exp(1j * (turns_rad - others_rad)))))


def _turns(upwards_px: FloatArray) -> FloatArray:
    """Return how far directions (N, 2) are turned from up, clockwise on the screen."""
    return np.asarray(np.arctan2(upwards_px[:, 0], -upwards_px[:, 1]))


def _rotated(points: FloatArray, angles: FloatArray) -> FloatArray:
    """Turn (..., 2) clockwise on the screen."""
    cos, sin = np.cos(angles), np.sin(angles)
    x, y = points[..., 0], points[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def _shifted(centers: FloatArray, turns: FloatArray, down: FloatArray) -> FloatArray:
    """Move centres down along the hand."""
    return np.asarray(centers + _rotated(np.stack([np.zeros_like(down), down], axis=-1), turns))
