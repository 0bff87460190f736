"""The whole record of one label as a picture: its frame, its hand close up, where views disagree, a bar a limit."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hoiray.filters.rules import Rules
from hoiray.geometry.crops import apply_affine
from hoiray.hand.model import HandModel
from hoiray.render.overlay import Colour, Image, draw_joints, draw_text, joint_colours, text_width
from hoiray.report.label_frame import draw_label_frame
from hoiray.report.label_picture import BAD, GOOD, WORDS, close_up_affine, cut_close_up, draw_close_up
from hoiray.report.measures import DEGREES, Measure, measures_of

PANEL_PX: Final = 460
"""Height of the pictures, and side of the square ones."""

MAX_FRAME_PX: Final = 818
MARGIN_PX: Final = 28
GAP_PX: Final = 16
LINE_PX: Final = 30
TITLE_PX: Final = 17.0
TEXT_PX: Final = 10.0
SMALL_PX: Final = 9.0

BAR_AT_PX: Final = 320
BAR_PX: Final = 240
LIMIT_AT: Final = 0.6
"""Place of a limit in its bar: what passes and what fails both have room."""

INK: Final[Colour] = (32, 34, 38)
SOFT: Final[Colour] = (98, 102, 110)
TRACK: Final[Colour] = (232, 234, 237)
PAPER: Final[Colour] = (255, 255, 255)
SPREAD_OPACITY: Final = 0.45

_ASCII: Final = {DEGREES: " deg", "\u03c3": "sigma", "\u2212": "-", "\u00b2": "^2"}


def draw_record(
    row: Mapping[str, Any], image: Image, model: HandModel | None, rules: Rules, *, lineage: Sequence[str] = ()
) -> Image:
    """Draw all that is known of a label.

    Args:
        row: the label as a dictionary, with the columns of the table ``labels``.
        image: (H, W, 3) uint8 RGB, its full frame.
        model: the hand its parameters are of, flat at zero; None draws joints only.
        rules: the limits it was judged by.
        lineage: lines to write below.

    Returns:
        (H, W, 3) uint8 page.
    """
    panels = [
        _titled(_frame_panel(row, image, model), "the frame"),
        _titled(draw_close_up(row, image, model, cell_px=PANEL_PX, with_joints=False), "the hand, mesh as predicted"),
        _titled(draw_spread(row, image, cell_px=PANEL_PX), _spread_title(row)),
    ]
    top = np.concatenate([part for panel in panels for part in (panel, _blank(panel.shape[0], GAP_PX))][:-1], axis=1)
    width = top.shape[1]
    parts = [_heading(row, width), top, _bars(row, rules, width), _lines(lineage, width, SMALL_PX, SOFT)]
    page = np.concatenate([part for one in parts for part in (one, _blank(GAP_PX, width))][:-1])
    around = (MARGIN_PX, MARGIN_PX)
    return np.asarray(np.pad(page, (around, around, (0, 0)), constant_values=255), dtype=np.uint8)


def draw_spread(row: Mapping[str, Any], image: Image, *, cell_px: int = PANEL_PX) -> Image:
    """Draw around each joint, close up, the circle that the views' joints scatter in (root mean square)."""
    A = close_up_affine(row, cell_px)
    close: Image = np.rint(0.55 * cut_close_up(image, A, cell_px) + 0.45 * 255).astype(np.uint8)
    if row["joints_2d"] is None:
        return close
    joints = apply_affine(A, np.array(row["joints_2d"], dtype=np.float64).reshape(-1, 2))
    if row["spread_joints_2d_px"] is not None:
        scale = float(np.hypot(A[0, 0], A[1, 0]))
        radii = np.maximum(scale * np.array(row["spread_joints_2d_px"]), 1.5)
        close = _with_circles(close, joints, radii)
    return draw_joints(close, joints, radius_px=2.5, thickness_px=1)


def _with_circles(close: Image, joints: NDArray[np.floating], radii: NDArray[np.floating]) -> Image:
    covered = close.copy()
    for joint, radius, colour in zip(joints, radii, joint_colours(), strict=True):
        if np.isfinite(joint).all() and abs(joint).max() < 1e4:
            centre = (round(float(joint[0])), round(float(joint[1])))
            cv2.circle(covered, centre, round(float(radius)), colour, -1, cv2.LINE_AA)
            cv2.circle(covered, centre, round(float(radius)), PAPER, 1, cv2.LINE_AA)
    mixed = np.rint(SPREAD_OPACITY * covered + (1.0 - SPREAD_OPACITY) * close)
    return np.asarray(mixed, dtype=np.uint8)


def _spread_title(row: Mapping[str, Any]) -> str:
    if row["spread_joints_2d_px"] is None:
        return "one view only: nothing to disagree with"
    return f"where {row['num_members']} views put each joint (r.m.s. circle)"


def _heading(row: Mapping[str, Any], width: int) -> Image:
    side = "right" if row["is_right"] else "left"
    is_good = bool(row["accepted"])
    colour = GOOD if is_good else BAD
    sure = row["confidence"]
    verdict = ("ACCEPTED" if is_good else "REFUSED") + ("" if sure is None else f", confidence {sure:.2f}")
    reasons = [f"- {WORDS[name]}" for name in row["reasons"]]
    if row["failure"] is not None:
        reasons.append(f"- no prediction: {row['failure']}")
    canvas = _blank(2 * LINE_PX + 24 * len(reasons) + 8, width)
    canvas[:6] = colour
    canvas = draw_text(canvas, verdict, (0, 32), TITLE_PX, colour=colour, bold=True)
    where = f"{row['video_id']}, frame {row['frame_index']}, {side} hand {row['hand_index']}"
    left = text_width(verdict, TITLE_PX, bold=True) + 2 * GAP_PX
    canvas = draw_text(canvas, _ascii(where), (left, 33), 0.75 * TITLE_PX, colour=INK)
    for number, line in enumerate(reasons):
        canvas = draw_text(canvas, _ascii(line), (2, 66 + 24 * number), 1.1 * TEXT_PX, colour=colour)
    return canvas


def _bars(row: Mapping[str, Any], rules: Rules, width: int) -> Image:
    """Draw a line for each measurement: judged ones with a bar, the others with their number."""
    measures = measures_of(rules, has_confidence=row["confidence"] is not None)
    judged = [one for one in measures if one.limit is not None]
    others = [one for one in measures if one.limit is None]
    half = round(0.55 * width)
    num_rows = max(len(judged), len(others))
    canvas = _blank(LINE_PX * (num_rows + 1), width)
    canvas = draw_text(canvas, "measured against its limit", (0, 12), TEXT_PX, colour=INK, bold=True)
    canvas = draw_text(canvas, "measured, not judged", (half + GAP_PX, 12), TEXT_PX, colour=INK, bold=True)
    for number, measure in enumerate(judged):
        canvas = _bar_line(canvas, measure, row, float(LINE_PX * (number + 1) + 14))
    for number, measure in enumerate(others):
        y = float(LINE_PX * (number + 1) + 14)
        canvas = draw_text(canvas, _ascii(measure.title), (half + GAP_PX, y), TEXT_PX, colour=SOFT)
        canvas = draw_text(canvas, _value_text(measure, row), (width, y), TEXT_PX, colour=INK, anchor="right")
    return canvas


def _bar_line(canvas: Image, measure: Measure, row: Mapping[str, Any], y: float) -> Image:
    value = _value(measure, row)
    fails = measure.reason in row["reasons"] and not math.isnan(value)
    colour = BAD if fails else GOOD
    canvas = draw_text(canvas, _ascii(measure.title), (0, y), TEXT_PX, colour=INK)
    left, right = BAR_AT_PX, BAR_AT_PX + BAR_PX
    top, bottom = round(y) - 8, round(y) + 8
    canvas[top:bottom, left:right] = TRACK
    at = bar_share(value, measure)
    canvas[top:bottom, left : left + round(BAR_PX * at)] = colour
    limit_at = left + round(BAR_PX * LIMIT_AT)
    canvas[top - 4 : bottom + 4, limit_at - 1 : limit_at + 1] = INK
    said = f"{_number_text(measure, value)}  ({_ascii(measure.limit_text())})"
    return draw_text(canvas, said, (right + 12, y), TEXT_PX, colour=colour if fails else INK, bold=fails)


def bar_share(value: float, measure: Measure) -> float:
    """Return how full a bar is, 0 to 1: the limit lies at :data:`LIMIT_AT`, whatever its unit; nothing for NaN."""
    if math.isnan(value) or measure.limit is None:
        return 0.0
    if measure.limit == 0.0:
        return 0.0 if value <= 0.0 else 1.0
    return float(np.clip(LIMIT_AT * value / measure.limit, 0.0, 1.0))


def _value(measure: Measure, row: Mapping[str, Any]) -> float:
    stored = row[measure.name]
    return float("nan") if stored is None else float(measure.shown(np.array(stored, dtype=np.float32)))


def _value_text(measure: Measure, row: Mapping[str, Any]) -> str:
    return _ascii(measure.text(_value(measure, row)))


def _number_text(measure: Measure, value: float) -> str:
    """Write a value without its unit, which stands behind its limit."""
    return "not measured" if math.isnan(value) else f"{value:.{measure.decimals}f}"


def _lines(lines: Sequence[str], width: int, size_px: float, colour: Colour) -> Image:
    canvas = _blank(max(1, round(2.2 * size_px * len(lines))), width)
    for number, line in enumerate(lines):
        canvas = draw_text(canvas, _ascii(line), (0, 2.2 * size_px * number + size_px), size_px, colour=colour)
    return canvas


def _frame_panel(row: Mapping[str, Any], image: Image, model: HandModel | None) -> Image:
    """Draw the frame at the height of the panels, or lower where it is very wide; drawn after it is scaled: sharp."""
    height, width = image.shape[:2]
    scale = min(PANEL_PX / height, MAX_FRAME_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    shown = np.asarray(cv2.resize(image, size, interpolation=way), np.uint8)
    drawn = draw_label_frame(shown, [scaled_row(row, scale)], model, with_words=False)
    return np.pad(drawn, ((0, PANEL_PX - drawn.shape[0]), (0, 0), (0, 0)), constant_values=255)


def scaled_row(row: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Return a label for its frame enlarged; pixel centres are at integers."""
    changed: dict[str, Any] = {}
    for name in ("bbox_xyxy", "joints_2d", "camera_shift_px"):
        if row[name] is not None:
            changed[name] = ((np.array(row[name], dtype=np.float64) + 0.5) * scale - 0.5).tolist()
    if row["camera_scale_px_per_m"] is not None:
        changed["camera_scale_px_per_m"] = row["camera_scale_px_per_m"] * scale
    return {**row, **changed}


def _titled(panel: Image, title: str) -> Image:
    strip = _blank(26, panel.shape[1])
    return np.concatenate([draw_text(strip, title, (0, 10), TEXT_PX, colour=SOFT), panel])


def _blank(height: int, width: int) -> Image:
    return np.full((height, width, 3), 255, dtype=np.uint8)


def _ascii(text: str) -> str:
    """Write with the letters there are: OpenCV has ASCII only."""
    for sign, letters in _ASCII.items():
        text = text.replace(sign, letters)
    return text.encode("ascii", "replace").decode()
