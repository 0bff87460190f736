"""When the frames of a file are shown."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

MICROSECONDS = 1_000_000


@dataclass(frozen=True, eq=False)
class Timeline:
    """The frames a file shows, in the order they are shown. Frame `i` of this list is *source frame* `i` everywhere.

    Attributes:
        pts: (T,) int64 growing presentation times in units of `time_base`.
        durations: (T,) int64 how long the file says each frame is shown, same unit; 0 where it does not say.
        time_base: seconds of one unit.
        start_us: the file's start in microseconds: the first time of any of its streams.
        is_key: (T,) whether decoding can begin at the frame.
        rate_hz: the frame rate the file claims or libavformat guesses; None where there is no hint.
        is_decoded: the list was made by decoding every frame, because the packets could not be trusted.
    """

    pts: NDArray[np.int64]
    durations: NDArray[np.int64]
    time_base: Fraction
    start_us: int
    is_key: NDArray[np.bool_]
    rate_hz: Fraction | None
    is_decoded: bool = False

    @property
    def num_frames(self) -> int:
        """Frames that are shown."""
        return len(self.pts)

    @property
    def ticks(self) -> NDArray[np.int64]:
        """(T,) `pts` counted from the file's start, as ffmpeg counts them."""
        return self.pts - rescale(self.start_us, Fraction(1, MICROSECONDS), self.time_base)

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(T,) seconds from the file's start."""
        return np.asarray(self.ticks * float(self.time_base), dtype=np.float64)

    @property
    def is_variable_rate(self) -> bool:
        """Whether frames are shown for different times, beyond what rounding to `time_base` explains."""
        steps = np.diff(self.pts)
        return bool(len(steps) and steps.max() - steps.min() > max(1, round(0.01 * float(np.median(steps)))))

    def key_before(self, source_index: int) -> int:
        """Return the last source frame, up to this one, at which decoding can begin; 0 where none is known."""
        keys = np.flatnonzero(self.is_key[: source_index + 1])
        return int(keys[-1]) if len(keys) else 0


def rescale(value: int, unit: Fraction, to_unit: Fraction) -> int:
    """Convert a time between units, rounding halves away from zero, as libavutil's `av_rescale_q` does."""
    exact = value * unit / to_unit
    magnitude = int(abs(exact) + Fraction(1, 2))
    return magnitude if exact >= 0 else -magnitude
