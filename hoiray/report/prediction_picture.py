"""Pictures of what was predicted: mesh, joints, boxes, control points; and where the object's queries looked.

The attention picture is the paper's Figures 6 and 7: boxes of hand (yellow), object (green) and their intersection
(blue) on the network's own crop, and for chosen places of the object the weight each place of the intersection gets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ContractError, describe
from hoiray.geometry.boxes import intersection
from hoiray.render.overlay import Colour, Image, draw_box, draw_joints, draw_text
from hoiray.render.sheet import make_sheet
from hoiray.report.contact_sheet import (
    LEFT_COLOUR,
    OBJECT_COLOUR,
    RIGHT_COLOUR,
    Drawable,
    draw_control_box,
    overlay_meshes,
)

FloatArray = NDArray[np.floating]

HAND_BOX_COLOUR: Final[Colour] = (240, 200, 0)
OBJECT_BOX_COLOUR: Final[Colour] = (0, 170, 70)
INTERSECTION_COLOUR: Final[Colour] = (40, 90, 230)
QUERY_COLOUR: Final[Colour] = (220, 40, 120)

HEAT_OPACITY: Final = 0.65

DEFAULT_QUERIES: Final = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
"""Places of the object's box, in its unit square: the middle and four around it."""


@dataclass(frozen=True, eq=False)
class PictureHand:
    """A hand to draw.

    Attributes:
        joints_2d_px: (21, 2); NaN is not drawn.
        hand_box_xyxy: (4,) as given.
        is_right: side.
        mesh: in camera axes, or None where there is none to draw.
    """

    joints_2d_px: FloatArray
    hand_box_xyxy: FloatArray
    is_right: bool
    mesh: Drawable | None


@dataclass(frozen=True, eq=False)
class PictureObject:
    """An object to draw: its box as given, its control points as seen by the network, its mesh in its solved pose."""

    object_box_xyxy: FloatArray
    control_points_2d_px: FloatArray | None
    mesh: Drawable | None


def hand_colour(*, is_right: bool) -> Colour:
    """The colour of a side."""
    return RIGHT_COLOUR if is_right else LEFT_COLOUR


def draw_prediction(
    image: Image, hands: Sequence[PictureHand], objects: Sequence[PictureObject], K: FloatArray
) -> Image:
    """Draw predictions over a full frame.

    Args:
        image: (H, W, 3) uint8 RGB.
        hands: in any order.
        objects: in any order.
        K: (3, 3) the meshes are seen with.
    """
    known = [*(hand.mesh for hand in hands), *(thing.mesh for thing in objects)]
    meshes = [mesh for mesh in known if mesh is not None]
    drawn = overlay_meshes(image, meshes, K)[0] if meshes else image
    thickness = max(1, round(max(image.shape[:2]) / 480))
    for thing in objects:
        drawn = draw_box(drawn, thing.object_box_xyxy, OBJECT_COLOUR, thickness_px=thickness)
        if thing.control_points_2d_px is not None:
            drawn = _with_control_points(drawn, thing.control_points_2d_px, thickness)
    for hand in hands:
        side = float(np.max(hand.hand_box_xyxy[2:] - hand.hand_box_xyxy[:2]))
        label = "R" if hand.is_right else "L"
        colour = hand_colour(is_right=hand.is_right)
        drawn = draw_box(drawn, hand.hand_box_xyxy, colour, label=label, thickness_px=thickness)
        drawn = draw_joints(drawn, hand.joints_2d_px, radius_px=max(1.5, side / 60), thickness_px=thickness)
    return drawn


def _with_control_points(image: Image, points_px: FloatArray, thickness: int) -> Image:
    canvas = draw_control_box(image, points_px)
    for point in points_px[np.isfinite(points_px).all(axis=1) & (np.abs(points_px) < 1e5).all(axis=1)]:
        place = (round(float(point[0])), round(float(point[1])))
        cv2.circle(canvas, place, thickness + 1, OBJECT_COLOUR, -1, cv2.LINE_AA)
    return canvas


def draw_attention(
    crop: Image,
    hand_box_xyxy: FloatArray,
    object_box_xyxy: FloatArray,
    attention: FloatArray,
    *,
    queries: Sequence[tuple[float, float]] = DEFAULT_QUERIES,
    query_is_object: bool = True,
    cell_px: int = 256,
) -> Image:
    """Draw where chosen queries look.

    Args:
        crop: (S, S, 3) uint8, what the network saw.
        hand_box_xyxy: (4,) px of the crop, as the network was given it.
        object_box_xyxy: (4,) likewise.
        attention: (R * R, R * R) from the cells of the query region to those of the intersection, row by row.
        queries: places in the unit square of the query region's box.
        query_is_object: whose region asks: the object's, or the hand's.
        cell_px: side of each picture.

    Returns:
        A page: the boxes, then one picture a query; a cross marks the query.

    Raises:
        ContractError: the map is not square with square regions, or a query lies outside the unit square.
    """
    num_cells = _side_of(attention)
    common, is_empty = intersection(hand_box_xyxy, object_box_xyxy)
    scale = cell_px / crop.shape[0]
    large = np.asarray(cv2.resize(crop, (cell_px, cell_px), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    hand, thing, meeting = (
        (np.asarray(box, dtype=np.float64) + 0.5) * scale - 0.5 for box in (hand_box_xyxy, object_box_xyxy, common)
    )
    framed = large
    for box, colour in ((hand, HAND_BOX_COLOUR), (thing, OBJECT_BOX_COLOUR), (meeting, INTERSECTION_COLOUR)):
        framed = draw_box(framed, box, colour, thickness_px=2)
    cells: list[Image | None] = [framed]
    asking = thing if query_is_object else hand
    for query in queries:
        if not (0.0 <= query[0] <= 1.0 and 0.0 <= query[1] <= 1.0):
            fix = "Give x,y between 0 and 1: 0.5,0.5 is the middle of the box."
            raise ContractError(
                describe(what="query", expected="a place of the unit square", found=str(query), fix=fix)
            )
        column, row = (min(int(part * num_cells), num_cells - 1) for part in query)
        weights = attention[row * num_cells + column].reshape(num_cells, num_cells)
        looked = framed if bool(is_empty) or not np.isfinite(weights).all() else _heated(framed, weights, meeting)
        place = asking[:2] + np.array([column + 0.5, row + 0.5]) / num_cells * (asking[2:] - asking[:2])
        cells.append(_marked(looked, place))
    note = "the boxes do not meet: nothing is attended to" if bool(is_empty) else "brighter is more weight"
    headers = ["boxes", *(f"query {x:g}, {y:g}" for x, y in queries)]
    subtitle = f"yellow: hand, green: object, blue: intersection, cross: query; {note}"
    return make_sheet([cells], title="Attention", subtitle=subtitle, column_headers=headers)


def _side_of(attention: FloatArray) -> int:
    num_cells = round(float(np.sqrt(len(attention))))
    if attention.shape != (num_cells**2, num_cells**2):
        fix = "Pass one head of one sample."
        found = str(attention.shape)
        raise ContractError(describe(what="attention", expected="(R * R, R * R)", found=found, fix=fix))
    return num_cells


def _heated(image: Image, weights: FloatArray, box: FloatArray) -> Image:
    """Lay a heat map over a box of the image; the largest weight of the map is brightest."""
    left, top = (round(float(value)) for value in np.maximum(box[:2], 0))
    right, bottom = (
        min(round(float(value)) + 1, limit) for value, limit in zip(box[2:], image.shape[1::-1], strict=True)
    )
    if right <= left or bottom <= top:
        return image
    spread = weights / max(float(weights.max()), 1e-12)
    heat = cv2.resize(spread.astype(np.float32), (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    levels = np.rint(np.clip(heat, 0.0, 1.0) * 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    canvas = image.copy()
    part = canvas[top:bottom, left:right]
    part[:] = np.rint(part * (1 - HEAT_OPACITY) + colours * HEAT_OPACITY)
    return canvas


def _marked(image: Image, place: FloatArray) -> Image:
    return draw_text(
        image, "x", (float(place[0]), float(place[1])), 12, colour=QUERY_COLOUR, anchor="centre", bold=True, halo=True
    )
