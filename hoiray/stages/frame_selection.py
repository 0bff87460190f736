"""Which frames of a video are wanted, by their numbers at the sampled rate, and how a decoder's output gets them."""

import itertools
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import describe
from hoiray.io.decoding.failures import DecodeError, FrameNotThereError, UnsupportedVideoError
from hoiray.io.decoding.reader import SourceFrame
from hoiray.io.decoding.sampling import sampled_sources
from hoiray.io.decoding.timeline import Timeline

FIX: Final = "Numbers count from 0 at the sampled rate: check that the boxes are of this very file, and the rate."


@dataclass(frozen=True)
class FrameSelection:
    """Frames of a video.

    Attributes:
        sample_rate_hz: the rate at which frames are numbered; None numbers every frame of the file.
        frame_indices: the numbers wanted, growing; None: all of the segment.
        first_frame_index: first number of the segment.
        num_frames: numbers in the segment; None: up to the end of the video.
    """

    sample_rate_hz: float | None = None
    frame_indices: tuple[int, ...] | None = None
    first_frame_index: int = 0
    num_frames: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that do not grow from 0: a caller's mistake, not the video's."""
        numbers = self.frame_indices or ()
        grows = all(earlier < later for earlier, later in itertools.pairwise(numbers))
        if not grows or min(numbers, default=0) < 0:
            raise ValueError(f"frame_indices must grow from 0 on: {numbers[:8]}")


class NumberedFrame(NamedTuple):
    """A decoded frame with its number."""

    frame_index: int
    source_index: int
    time_s: float
    image: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class NumberedSelection:
    """The wanted numbers of one video, and the source frame of each.

    Attributes:
        frame_index: (N,) numbers, growing.
        source_index: (N,) source frames, never falling; equal where a frame is shown again.
        num_numbers: numbers the whole video has.
        is_listed: the numbers were asked for one by one, so each must be there.
    """

    frame_index: NDArray[np.int64]
    source_index: NDArray[np.int64]
    num_numbers: int
    is_listed: bool

    @property
    def sources(self) -> list[int]:
        """The source frames to decode, each once."""
        return [int(index) for index in np.unique(self.source_index)]

    def after(self, num_done: int) -> "NumberedSelection":
        """Leave out the first wanted numbers."""
        return NumberedSelection(
            self.frame_index[num_done:], self.source_index[num_done:], self.num_numbers, self.is_listed
        )

    def numbered(self, frames: Iterable[SourceFrame], name: str) -> Generator[NumberedFrame, None, None]:
        """Give decoded frames their numbers.

        Args:
            frames: of :attr:`sources`, in that order; they may end early where the video does.
            name: the video, for the message.

        Raises:
            DecodeError: as the decoder, told at which number; `FrameNotThereError` where a listed number is behind the
                end.
        """
        position = 0
        try:
            for frame in frames:
                while position < len(self.source_index) and self.source_index[position] == frame.source_index:
                    yield NumberedFrame(int(self.frame_index[position]), *frame)
                    position += 1
        except DecodeError as error:
            if error.frame_index is None and position < len(self.frame_index):
                error.frame_index = int(self.frame_index[position])
            raise
        if position < len(self.frame_index) and self.is_listed:
            number = int(self.frame_index[position])
            raise not_there(name, number, f"a video that ends after number {number - 1}")


def select_numbers(timeline: Timeline, selection: FrameSelection, name: str) -> NumberedSelection:
    """Find the source frames of the wanted numbers.

    Raises:
        FrameNotThereError: a listed number is behind the end.
        UnsupportedVideoError: a time stamp would have one frame repeated for a day.
    """
    try:
        sources = _sources(timeline, selection.sample_rate_hz)
    except ValueError as error:
        expected, fix = "time stamps without holes", "Re-encode it: ffmpeg -i IN -fps_mode cfr OUT.mp4"
        message = describe(what=name, expected=expected, found=f"one where {error}", fix=fix)
        raise UnsupportedVideoError(message) from error
    first, count = selection.first_frame_index, selection.num_frames
    end = len(sources) if count is None else min(len(sources), first + count)
    if selection.frame_indices is None:
        numbers = np.arange(min(first, end), end, dtype=np.int64)
    else:
        numbers = np.array(selection.frame_indices, dtype=np.int64)
        numbers = numbers[(numbers >= first) & (numbers < (first + count if count is not None else np.inf))]
        behind = numbers[numbers >= len(sources)]
        if len(behind):
            raise not_there(name, int(behind[0]), f"{len(sources)} numbers")
    return NumberedSelection(numbers, sources[numbers], len(sources), selection.frame_indices is not None)


_NUMBERED: Final[WeakKeyDictionary[Timeline, dict[float | None, NDArray[np.int64]]]] = WeakKeyDictionary()


def _sources(timeline: Timeline, sample_rate_hz: float | None) -> NDArray[np.int64]:
    """Number the frames of a file; as long as its timeline is kept, its next segment finds them numbered."""
    known = _NUMBERED.setdefault(timeline, {})
    if sample_rate_hz not in known:
        known[sample_rate_hz] = sampled_sources(timeline, sample_rate_hz)
    return known[sample_rate_hz]


def not_there(name: str, number: int, found: str) -> FrameNotThereError:
    """Return the error of a frame that annotations name and the video lacks."""
    message = describe(what=name, expected=f"a frame of number {number}", found=found, fix=FIX)
    return FrameNotThereError(message, frame_index=number)
