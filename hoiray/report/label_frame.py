"""A whole frame with all its labels drawn over it: meshes in the colour of their verdict, joints, boxes, and words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hoiray.geometry import boxes
from hoiray.geometry.arrays import FloatArray
from hoiray.hand.model import HandModel
from hoiray.render.overlay import Colour, Image, draw_box, draw_joints, draw_text, text_width
from hoiray.report.contact_sheet import overlay_meshes
from hoiray.report.label_picture import BAD, FAR_M, GOOD, MARGIN, WORDS, label_mesh

WHITE: Final = (255, 255, 255)
TEXT_PX: Final = 12.0
"""In a frame 720 px high; it grows with the frame."""

_DRAWN_HEIGHT_PX: Final = 720.0


def draw_label_frame(
    image: Image, rows: Sequence[Mapping[str, Any]], model: HandModel | None, *, with_words: bool = True
) -> Image:
    """Draw the labels of a frame.

    Args:
        image: (H, W, 3) uint8 RGB; not changed.
        rows: its labels as dictionaries, with the columns of the table `labels`.
        model: the hand their parameters are of, flat at zero; None draws joints only.
        with_words: write the verdict above each box.
    """
    drawn = np.array(image, dtype=np.uint8)
    if model is not None:
        for row in rows:
            _draw_mesh(drawn, row, model)
    zoom = image.shape[0] / _DRAWN_HEIGHT_PX
    thickness = max(1, round(1.5 * zoom))
    for row in rows:
        if row["joints_2d"] is not None:
            joints = np.array(row["joints_2d"], dtype=np.float64).reshape(-1, 2)
            drawn = draw_joints(drawn, joints, radius_px=max(1.5, 3.0 * zoom), thickness_px=thickness)
        drawn = draw_box(drawn, np.array(row["bbox_xyxy"], dtype=np.float64), WHITE, thickness_px=thickness)
    bars: list[FloatArray] = []
    for row in rows if with_words else ():
        box, size = np.array(row["bbox_xyxy"], dtype=np.float64), max(9.0, TEXT_PX * zoom)
        colour = GOOD if row["accepted"] else BAD
        drawn = _with_caption(drawn, caption_of_label(row), box, size, colour=colour, bars=bars)
    return drawn


def _with_caption(
    drawn: Image, text: str, box_xyxy: FloatArray, size_px: float, *, colour: Colour, bars: list[FloatArray]
) -> Image:
    """Write white words on a bar of the verdict's colour above a box; below it, where another bar is there already.

    It is moved so far that it stays in the frame.

    Args:
        drawn: not changed.
        text: the words.
        box_xyxy: of the hand.
        size_px: of a capital.
        colour: of the bar.
        bars: (4,) of the frame so far; the new one is added.
    """
    height, width = drawn.shape[:2]
    pad = round(0.5 * size_px)
    bar_wh = np.array([text_width(text, size_px, bold=True) + 2 * pad, round(size_px) + 2 * pad])
    room = np.maximum([width - bar_wh[0], height - bar_wh[1]], 0)
    corners = [np.clip([box_xyxy[0], y], 0, room).round() for y in (box_xyxy[1] - bar_wh[1], box_xyxy[3])]
    places = [np.concatenate([corner, corner + bar_wh]) for corner in corners]
    free = (place for place in places if not any(np.nan_to_num(boxes.iou(place, bar)) > 0 for bar in bars))
    chosen = next(free, places[0])
    bars.append(chosen)
    x0, y0, x1, y1 = chosen.astype(int).tolist()
    barred = drawn.copy()
    barred[y0:y1, x0:x1] = colour
    return draw_text(barred, text, (x0 + pad, (y0 + y1) / 2), size_px, colour=WHITE, bold=True)


def caption_of_label(row: Mapping[str, Any]) -> str:
    """Return side, number of the track, and the verdict with its first reason."""
    side = "right" if row["is_right"] else "left"
    if row["accepted"]:
        verdict = "accepted"
    elif row["failure"] is not None:
        verdict = f"no answer: {row['failure']}"
    else:
        first, more = row["reasons"][0], len(row["reasons"]) - 1
        verdict = WORDS.get(first, first) + (f" +{more}" if more else "")
    return f"{side} {row['track_index']}: {verdict}"


def _draw_mesh(drawn: Image, row: Mapping[str, Any], model: HandModel) -> None:
    """Draw a mesh into the part of the frame around its hand; only that part is rendered."""
    mesh = label_mesh(row, model)
    if mesh is None:
        return
    around = boxes.expand(np.array(row["bbox_xyxy"], dtype=np.float64), MARGIN)
    part = boxes.clip_to_image(around, drawn.shape[1], drawn.shape[0])
    if not np.isfinite(part).all():
        return
    x0, y0, x1, y1 = _pixels(part)
    scale, shift = row["camera_scale_px_per_m"], row["camera_shift_px"]
    K = np.array([[scale * FAR_M, 0.0, shift[0] - x0], [0.0, scale * FAR_M, shift[1] - y0], [0.0, 0.0, 1.0]])
    drawn[y0:y1, x0:x1] = overlay_meshes(np.ascontiguousarray(drawn[y0:y1, x0:x1]), [mesh], K)[0]


def _pixels(part_xyxy: NDArray[np.floating]) -> tuple[int, int, int, int]:
    """Return the first pixels of a part of an image, and the ones behind its last; at least one each way."""
    x0, y0 = (int(np.ceil(value)) for value in part_xyxy[:2])
    x1, y1 = (int(np.floor(value)) + 1 for value in part_xyxy[2:])
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)
