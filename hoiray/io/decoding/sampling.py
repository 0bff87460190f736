"""Which frame of a file carries which number, when frames are numbered at a rate of their own.

Something-Else's boxes name frames that were written by ``ffmpeg -i id.webm -r 12 id/%04d.jpg``: 0001.jpg is number 0
here. So the rule is that of ffmpeg's constant output rate, in the version of those years (4.2), restated:

    The output has places 0, 1, 2, ... of 1/rate each; ``next`` is the first that is free. A frame shown at place ``p``
    (a fraction) lasts ``d`` places: what the file says of the frame, rounded, where that is not zero; else rate over
    source rate, at most 1. Its drift is ``p - next``.

    * drift + d < -1.1: the frame is too late and is left out.
    * drift + d > 1.1: it fills ``rint(drift + d)`` places; the first ``rint(drift - 0.6)`` of them, where the drift is
      above 1.1, show the frame before it again.
    * otherwise it fills one place, even if that place is up to 1.1 places ahead of it.

    After the last frame, the median of the last three numbers of repeats says how often it is shown again.

So a source of the same rate keeps its numbers; a faster one loses frames (24 a second at 12: 0, 1, 2, 3, 5, 7, 9, ...:
the first places are filled early and the rest keep that lead); a slower one shows frames twice.

Not followed: H.264 with B-frames inside AVI, whose times ffmpeg makes up as it decodes; here such a file has a constant
rate like every AVI.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.io.decoding.timeline import Timeline, rescale

DRIFT_LIMIT: Final = 1.1
"""Places a frame may be early or late; ffmpeg calls its value provisional, and has kept it."""

REPEAT_MARGIN: Final = 0.6
MAX_EXTRA_BITS: Final = 16
MIDPOINT_NUDGE: Final = 1.0 / (1 << 17)
MAX_RATE_DENOMINATOR: Final = 1_001_000
MAX_REPEATS: Final = 1 << 20
"""Places one frame may fill: a day at 12 a second. A larger hole is a broken time stamp."""


def sampled_sources(timeline: Timeline, sample_rate_hz: float | None) -> NDArray[np.int64]:
    """Return which source frame carries each number.

    Args:
        timeline: the frames of the file.
        sample_rate_hz: the rate at which frames are numbered; None numbers every frame of the file.

    Returns:
        (N,) source frame of number 0, 1, ...; never falling, equal where a frame is shown again.

    Raises:
        ValueError: a time stamp is so far away that a frame would be repeated for a day.
    """
    if sample_rate_hz is None:
        return np.arange(timeline.num_frames, dtype=np.int64)
    rate = Fraction(str(sample_rate_hz)).limit_denominator(MAX_RATE_DENOMINATOR)
    numbered: list[int] = []
    last = timeline.num_frames - 1
    for source, (num_before, num_places) in enumerate(_fills(_places(timeline, rate), _durations(timeline, rate))):
        if num_places > MAX_REPEATS:
            raise ValueError(f"frame {source} would fill {num_places / float(rate):.0f} s")
        numbered += [max(0, source - 1)] * num_before
        numbered += [min(source, last)] * (num_places - num_before)
    return np.array(numbered, dtype=np.int64)


def _fills(places: NDArray[np.float64], durations: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Yield for each frame, and once more for the end, how many places it fills, and how many of them repeat the last.

    Yields:
        (repeats of the frame before, places in all).
    """
    next_place = 0
    history = [0, 0, 0]
    for place, duration in zip(places.tolist(), durations.tolist(), strict=True):
        drift = place - next_place
        extent = drift + duration
        if drift < 0 < extent:
            drift = 0.0
        num_before, num_places = 0, 1
        if extent < -DRIFT_LIMIT:
            num_places = 0
        elif extent > DRIFT_LIMIT:
            num_places = round(float(np.float32(extent)))
            if drift > DRIFT_LIMIT:
                num_before = min(num_places, round(drift - REPEAT_MARGIN))
        history = [num_before, *history[:2]]
        next_place += num_places
        yield num_before, num_places
    repeats = sorted(history)[1]
    yield repeats, repeats


def _durations(timeline: Timeline, rate: Fraction) -> NDArray[np.float64]:
    """(T,) places each frame lasts."""
    said = np.rint((timeline.durations * (float(timeline.time_base) * float(rate))).astype(np.float32))
    otherwise = min(1.0, float(rate / timeline.rate_hz)) if timeline.rate_hz else 1.0
    return np.where(said > 0, said.astype(np.float64), otherwise)


def _places(timeline: Timeline, rate: Fraction) -> NDArray[np.float64]:
    """(T,) where each frame falls among the places, rounded as ffmpeg rounds."""
    extra_bits = max(0, min(MAX_EXTRA_BITS, 29 - (rate.numerator.bit_length() - 1)))
    unit = 1 / rate / (1 << extra_bits)
    places = [rescale(tick, timeline.time_base, unit) / (1 << extra_bits) for tick in timeline.ticks.tolist()]
    return np.array([place + _nudge(place) for place in places], dtype=np.float64)


def _nudge(place: float) -> float:
    """Keep a place off exact midpoints."""
    return 0.0 if place == round(place) else (MIDPOINT_NUDGE if place > 0 else -MIDPOINT_NUDGE)
