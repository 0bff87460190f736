"""The graphics of a report: bars, histograms and intervals as inline SVG that a style sheet colours.

Nothing here is a picture: colours are classes, so that light and dark pages share one drawing, and whatever must be
readable on a telephone is text beside the drawing and not in it. Lengths of bars are in percent of the width at hand.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from hoiray.report.sections import HasInterval

Counts = npt.NDArray[np.int64]

WIDTH_PX: Final = 320
HEIGHT_PX: Final = 150
_BASE_PX: Final = 122
_TOP_PX: Final = 20
_SIDE_PX: Final = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of bars.

    Attributes:
        label: what it is.
        parts: of the bar from the left: share of the whole, 0 to 1, and its class (`good`, `bad`, `bad2`, `mute`).
        text: the numbers, as they are read.
    """

    label: str
    parts: Sequence[tuple[float, str]]
    text: str


def bars(rows: Sequence[Bar]) -> Markup:
    """Draw rows of bars, each with its label and its numbers as text."""
    drawn = []
    for row in rows:
        left, pieces = 0.0, []
        for share, kind in row.parts:
            width = 100.0 * min(max(share, 0.0), 1.0)
            if width > 0.0:
                # a bar of something is never nothing
                pieces.append(
                    Markup('<rect class="{}" x="{}%" y="0" width="{}%" height="100%"/>').format(
                        kind, _short(left), _short(max(width, 0.3))
                    )
                )
            left += width
        drawn.append(
            Markup(
                '<div class="bar-row"><span class="bar-label">{}</span>'
                '<svg class="bar" aria-hidden="true">{}</svg><span class="bar-text">{}</span></div>'
            ).format(row.label, Markup("").join(pieces), row.text)
        )
    return Markup('<div class="bars">{}</div>').format(Markup("").join(drawn))


@dataclass(frozen=True, eq=False, slots=True)
class Histogram:
    """Counts to draw.

    Attributes:
        edges: (B + 1,) of the bins, growing, in the unit shown.
        good, bad: (B,) counts, drawn on top of each other.
        limit: drawn as a line; None for none.
        limit_text: beside that line.
        described_as: what is said to those who cannot see it.
    """

    edges: npt.NDArray[np.float64]
    good: Counts
    bad: Counts
    described_as: str
    limit: float | None = None
    limit_text: str = ""


def histogram(drawn: Histogram) -> Markup:
    """Draw a histogram of accepted and refused ones, with a limit; the last bins hold what lies beyond."""
    low, high = float(drawn.edges[0]), float(drawn.edges[-1])
    peak = max(1, int((drawn.good + drawn.bad).max(initial=0)))

    def place(value: float) -> float:
        return _SIDE_PX + (WIDTH_PX - 2 * _SIDE_PX) * (value - low) / (high - low)

    shapes = []
    for index, (good, bad) in enumerate(zip(drawn.good.tolist(), drawn.bad.tolist(), strict=True)):
        left, right = place(float(drawn.edges[index])), place(float(drawn.edges[index + 1]))
        bottom = float(_BASE_PX)
        for count, kind in ((good, "good"), (bad, "bad")):
            height = (_BASE_PX - _TOP_PX) * count / peak
            if count:
                shapes.append(_rect(kind, left + 0.4, bottom - height, right - left - 0.8, height))
            bottom -= height
    shapes.append(_line("axis", _SIDE_PX, _BASE_PX, WIDTH_PX - _SIDE_PX, _BASE_PX))
    for tick in ticks(low, high):
        shapes.append(_line("axis", place(tick), _BASE_PX, place(tick), _BASE_PX + 4))
        shapes.append(_text("tick", place(tick), _BASE_PX + 17, _tick_text(tick), _anchor(place(tick))))
    if drawn.limit is not None and low <= drawn.limit <= high:
        x = place(drawn.limit)
        shapes.append(_line("limit", x, 12, x, _BASE_PX))
        side = "start" if x < WIDTH_PX / 2 else "end"
        shapes.append(_text("limit-text", x + (4 if side == "start" else -4), 12, drawn.limit_text, side))
    return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH_PX, HEIGHT_PX, drawn.described_as, Markup("").join(shapes)
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """A row of a graphic of intervals.

    Attributes:
        label: what was measured.
        statistics: each with its class (`accent`, `good`, `bad`, `mute`) and whose it is.
    """

    label: str
    statistics: Sequence[tuple[HasInterval, str, str]]


def intervals(rows: Sequence[Measured], *, unit: str, decimals: int = 1) -> Markup:
    """Draw statistics with their intervals on one common axis, a row each: what is to be compared lies side by side.

    Args:
        rows: what is drawn; a statistic that is NaN is left out.
        unit: of all of them.
        decimals: of the numbers beside the drawing.
    """
    ends = [end for row in rows for one, _, _ in row.statistics for end in (one.value, one.low, one.high)]
    known = [end for end in ends if math.isfinite(end)]
    if not known:
        return nothing()
    margin = 0.06 * (max(known) - min(known)) or 0.5
    low, high = min(known) - margin, max(known) + margin

    def percent(value: float) -> str:
        return f"{_short(100.0 * (value - low) / (high - low))}%"

    drawn = [_interval_row(row, percent, unit, decimals) for row in rows]
    marks = Markup("").join(
        Markup('<text class="tick" x="{}" y="12" text-anchor="middle">{}</text>').format(
            percent(tick), _tick_text(tick)
        )
        for tick in ticks(low, high)
    )
    axis = Markup(
        '<div class="bar-row"><span class="bar-label muted">{}</span><svg class="whiskers axis-row" aria-hidden="true">'
        '{}</svg><span class="bar-text"></span></div>'
    ).format(unit, marks)
    return Markup('<div class="bars">{}{}</div>').format(Markup("").join(drawn), axis)


def _interval_row(row: Measured, percent: Callable[[float], str], unit: str, decimals: int) -> Markup:
    shapes, words = [], []
    step = 16
    for index, (one, kind, whose) in enumerate(row.statistics):
        if not math.isfinite(one.value):
            continue
        y = 11 + step * index
        text = f"{whose} {one.value:.{decimals}f}"
        if math.isfinite(one.low) and math.isfinite(one.high):
            shapes.append(
                Markup('<line class="whisker {}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                    kind, percent(one.low), percent(one.high), y, y
                )
            )
            text += f" [{one.low:.{decimals}f}, {one.high:.{decimals}f}]"
        shapes.append(Markup('<circle class="dot {}" cx="{}" cy="{}" r="5"/>').format(kind, percent(one.value), y))
        words.append(Markup('<span class="whose {}">{}</span>').format(kind, f"{text} {unit}".strip()))
    return Markup(
        '<div class="bar-row"><span class="bar-label">{}</span>'
        '<svg class="whiskers rows-{}" aria-hidden="true">{}</svg><span class="bar-text">{}</span></div>'
    ).format(row.label, min(len(row.statistics), 4), Markup("").join(shapes), Markup("").join(words))


def nothing() -> Markup:
    """Stand where there is nothing to draw."""
    return Markup('<p class="muted">Nothing was measured.</p>')


def ticks(low: float, high: float, *, num_wanted: int = 5) -> list[float]:
    """Return round numbers between two ends: multiples of 1, 2 or 5 times a power of ten, about as many as wanted."""
    span = (high - low) / max(1, num_wanted)
    if not (math.isfinite(span) and span > 0.0):
        return [low]
    power = 10.0 ** math.floor(math.log10(span))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= span * (1.0 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [0.0 if number == 0 else number * step for number in range(first, last + 1)]


def _tick_text(value: float) -> str:
    return f"{value:.4g}".replace("-", "\u2212")


def _anchor(x: float) -> str:
    if x < _SIDE_PX + 12:
        return "start"
    return "end" if x > WIDTH_PX - _SIDE_PX - 12 else "middle"


def _short(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _rect(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    numbers = [_short(value) for value in (x, y, max(width, 0.4), height)]
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(kind, *numbers)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    numbers = [_short(value) for value in (x1, y1, x2, y2)]
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, *numbers)


def _text(kind: str, x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        kind, _short(x), _short(y), anchor, escape(words)
    )
