"""Draw what was measured on top of an image: joints, boxes, outlines, wires, words.

Every function returns a new (H, W, 3) uint8 image and leaves the one it was given alone. Positions are pixels with
centres at integers and are drawn to a sixteenth of a pixel. What is not known (NaN) is not drawn.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.hand.joints import BONES, FINGER_JOINTS, NUM_JOINTS

Image: TypeAlias = npt.NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]
FloatArray: TypeAlias = npt.NDArray[np.floating]
Anchor: TypeAlias = Literal["left", "centre", "right"]

# Okabe and Ito, "Color Universal Design" (2008): told apart with every kind of colour vision.
FINGER_COLOURS: Final[Mapping[str, Colour]] = MappingProxyType(
    {
        "thumb": (213, 94, 0),
        "index": (230, 159, 0),
        "middle": (0, 158, 115),
        "ring": (0, 114, 178),
        "pinky": (204, 121, 167),
    }
)
WRIST_COLOUR: Final[Colour] = (60, 60, 60)
INK: Final[Colour] = (38, 40, 44)
PAPER: Final[Colour] = (255, 255, 255)

_SHIFT_BITS: Final = 4
# Letters are drawn this many times as large and averaged down: OpenCV's own smoothing leaves stems of uneven weight.
_TEXT_OVERSAMPLING: Final = 4
# What lies farther from the image than this is cut before OpenCV, whose coordinates are 32-bit sixteenths of a pixel.
_FAR_PX: Final = 1e6


def draw_joints(
    image: Image, joints_2d_px: FloatArray, *, radius_px: float = 3.0, thickness_px: int = 2, halo: bool = True
) -> Image:
    """Draw the skeleton in a colour per finger.

    Args:
        image: (H, W, 3) uint8 RGB.
        joints_2d_px: (21, 2) simple order; a joint with a NaN, and its bones, are left out.
        radius_px: of a joint; tips are a little larger.
        thickness_px: of a bone.
        halo: a white rim that keeps dark colours readable on a dark image.

    Raises:
        ContractError: not 21 joints.
    """
    joints = np.asarray(joints_2d_px, np.float64)
    if joints.shape != (NUM_JOINTS, 2):
        fix = "Give the joints in the simple order."
        raise ContractError(describe(what="joints_2d_px", expected="(21, 2)", found=str(joints.shape), fix=fix))
    canvas = _copied(image)
    known = _is_drawable(joints)
    colours = joint_colours()
    rims: tuple[bool, ...] = (True, False) if halo else (False,)
    for is_rim in rims:
        for parent, child in BONES:
            if known[parent] and known[child]:
                ends = _fixed(joints[parent]), _fixed(joints[child])
                width = thickness_px + 2 if is_rim else thickness_px
                cv2.line(canvas, *ends, PAPER if is_rim else colours[child], width, cv2.LINE_AA, _SHIFT_BITS)
        for joint in np.flatnonzero(known):
            radius = radius_px * (1.25 if joint % 4 == 0 else 1.0) + (1.0 if is_rim else 0.0)
            colour = PAPER if is_rim else colours[joint]
            cv2.circle(canvas, _fixed(joints[joint]), _fixed_length(radius), colour, -1, cv2.LINE_AA, _SHIFT_BITS)
    return canvas


def joint_colours() -> tuple[Colour, ...]:
    """Return the colour of each of the 21 joints, simple order."""
    colours = [WRIST_COLOUR] * NUM_JOINTS
    for finger, joints in FINGER_JOINTS.items():
        for joint in joints:
            colours[joint] = FINGER_COLOURS[finger]
    return tuple(colours)


def draw_box(
    image: Image, bbox_xyxy: FloatArray, colour: Colour, *, label: str = "", thickness_px: int = 2, text_px: int = 12
) -> Image:
    """Draw a box in absolute pixels, with a label above its first corner; a box with a NaN is not drawn."""
    canvas = _copied(image)
    box = np.asarray(bbox_xyxy, np.float64)
    if not np.isfinite(box).all():
        return canvas
    box = np.clip(box, -_FAR_PX, _FAR_PX)
    cv2.rectangle(canvas, _fixed(box[:2]), _fixed(box[2:]), colour, thickness_px, cv2.LINE_AA, _SHIFT_BITS)
    if not label:
        return canvas
    left, top = float(box[0]), max(float(box[1]) - text_px * 0.6, text_px * 0.7)
    return draw_text(canvas, label, (left, top), text_px, colour=colour, halo=True)


def draw_outline(image: Image, mask: npt.NDArray[np.bool_], colour: Colour, *, thickness_px: int = 2) -> Image:
    """Draw the outline of a mask of the image's size."""
    canvas = _copied(image)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, colour, thickness_px, cv2.LINE_AA)
    return canvas


def blend(image: Image, drawn: Image, coverage: FloatArray, *, opacity: float = 1.0) -> Image:
    """Lay one image over another.

    Args:
        image: (H, W, 3) uint8 below.
        drawn: (H, W, 3) uint8 above, for instance a rendering.
        coverage: (H, W) in [0, 1], how much of each pixel ``drawn`` covers.
        opacity: of the upper image as a whole.
    """
    share = (np.asarray(coverage, np.float32) * opacity)[..., None]
    return np.asarray(np.rint(image * (1 - share) + drawn * share), np.uint8)


def draw_wireframe(
    image: Image, vertices_2d_px: FloatArray, faces: npt.NDArray[np.integer], colour: Colour, *, opacity: float = 0.5
) -> Image:
    """Draw every edge of a mesh once.

    Args:
        image: (H, W, 3) uint8.
        vertices_2d_px: (V, 2) projected vertices; edges with a NaN end (behind the camera) are left out.
        faces: (F, 3); pass the seen ones only (``np.unique(fragments.triangle_id)``) for a wireframe without far side.
        colour: of the lines.
        opacity: of the lines.
    """
    points = np.asarray(vertices_2d_px, np.float64)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges = np.unique(edges, axis=0)
    known = _is_drawable(points)
    edges = edges[known[edges].all(axis=1)]
    canvas = _copied(image)
    segments = np.round(points[edges] * 2**_SHIFT_BITS).astype(np.int32)
    cv2.polylines(canvas, list(segments), False, colour, 1, cv2.LINE_AA, _SHIFT_BITS)
    return blend(image, canvas, np.ones(image.shape[:2]), opacity=opacity)


def draw_text(
    image: Image,
    text: str,
    position_px: Sequence[float],
    size_px: float,
    *,
    colour: Colour = INK,
    anchor: Anchor = "left",
    bold: bool = False,
    halo: bool = False,
) -> Image:
    """Write one line of ASCII.

    Args:
        image: (H, W, 3) uint8.
        text: what to write.
        position_px: (x, y) of the anchor; y is the middle of a capital letter.
        size_px: height of a capital letter.
        colour: of the letters.
        anchor: which end of the text ``position_px`` is.
        bold: twice the stroke.
        halo: a white rim.
    """
    canvas = _copied(image)
    if not text:
        return canvas
    mask, baseline_px = _text_mask(text, size_px, bold=bold, rim_px=0.0)
    shift = {"left": 0.0, "centre": 0.5, "right": 1.0}[anchor]
    x = round(position_px[0] - shift * (mask.shape[1] - 2 * _TEXT_MARGIN_PX)) - _TEXT_MARGIN_PX
    y = round(position_px[1] + size_px / 2) - baseline_px
    if halo:
        rim, _ = _text_mask(text, size_px, bold=bold, rim_px=1.5)
        _paint(canvas, rim, x, y, PAPER)
    _paint(canvas, mask, x, y, colour)
    return canvas


def text_width(text: str, size_px: float, *, bold: bool = False) -> int:
    """Return how many pixels wide `draw_text` writes."""
    return int(_text_mask(text, size_px, bold=bold, rim_px=0.0)[0].shape[1]) - 2 * _TEXT_MARGIN_PX if text else 0


_TEXT_MARGIN_PX: Final = 3


def _text_mask(text: str, size_px: float, *, bold: bool, rim_px: float) -> tuple[FloatArray, int]:
    """Return the ink of a line of text in [0, 1], and the row of its baseline."""
    font, over = cv2.FONT_HERSHEY_SIMPLEX, _TEXT_OVERSAMPLING
    scale = cv2.getFontScaleFromHeight(font, round(size_px * over), 1)
    stroke = max(1, round(size_px * over * (0.17 if bold else 0.1)))
    (width, height), below = cv2.getTextSize(text, font, scale, stroke)
    columns, rows = -(-width // over) + 2 * _TEXT_MARGIN_PX, -(-(height + below) // over) + 2 * _TEXT_MARGIN_PX
    baseline_px = -(-height // over) + _TEXT_MARGIN_PX
    large = np.zeros((rows * over, columns * over), np.uint8)
    origin = (_TEXT_MARGIN_PX * over, baseline_px * over)
    cv2.putText(large, text, origin, font, scale, 255, stroke + round(2 * rim_px * over), cv2.LINE_AA)
    mean = large.reshape(rows, over, columns, over).mean(axis=(1, 3))
    return np.asarray(mean / 255.0), baseline_px


def _paint(canvas: Image, mask: FloatArray, x: int, y: int, colour: Colour) -> None:
    """Paint through a mask whose first pixel lies at (x, y); what falls outside the canvas is cut."""
    height, width = canvas.shape[:2]
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + mask.shape[0], height), min(x + mask.shape[1], width)
    if top >= bottom or left >= right:
        return
    share = mask[top - y : bottom - y, left - x : right - x, None]
    region = canvas[top:bottom, left:right]
    region[:] = np.rint(region * (1 - share) + np.array(colour) * share)


def _copied(image: Image) -> Image:
    """Return a writable copy, or say that the image is none."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} of shape {image.shape}"
        raise ContractError(
            describe(what="image", expected="uint8 (H, W, 3)", found=found, fix="Convert it to RGB bytes first.")
        )
    return np.ascontiguousarray(image).copy()


def _is_drawable(points_px: FloatArray) -> npt.NDArray[np.bool_]:
    """Return (N,) True where a point is known and near enough to the image for OpenCV's numbers."""
    return np.asarray((np.abs(points_px) < _FAR_PX).all(axis=1), np.bool_)


def _fixed(point_px: FloatArray) -> tuple[int, int]:
    x, y = np.round(np.asarray(point_px) * 2**_SHIFT_BITS).astype(int)
    return int(x), int(y)


def _fixed_length(length_px: float) -> int:
    return round(length_px * 2**_SHIFT_BITS)
