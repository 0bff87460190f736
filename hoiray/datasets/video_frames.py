"""Frames of a video file: decord, with PyAV where decord is missing, fails, or is known to be wrong.

decord is wrong where an edit list cuts the start off (`ffmpeg -ss ... -c copy`): it reports the frames before the cut
with negative times and repeats the last one to fill up. So PyAV demuxes every file first, which costs little, and what
it finds decides.
"""

import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import InputError, describe
from hoiray.io.store import Store

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import InputContainer

Decoder = Literal["auto", "decord", "pyav"]

MAX_MISSING_FRAMES: Final = 1.5
"""Frames a file may end before the duration in its header says: containers round, and the last frame's own duration is
counted or not."""

_FIX: Final = "The file is truncated or damaged: copy it again."


@dataclass(frozen=True, eq=False)
class VideoFacts:
    """What a video file holds.

    Attributes:
        width, height: px, as decoded.
        times_s: (T,) time of each frame in the order of display, from the first one.
        has_hidden_start: an edit list or a negative time stamp hides part of the stream.
    """

    width: int
    height: int
    times_s: NDArray[np.float64]
    has_hidden_start: bool

    @property
    def num_frames(self) -> int:
        """Frames in the file."""
        return len(self.times_s)

    @property
    def frames_per_second(self) -> float:
        """Mean rate; NaN for a single frame."""
        return float((len(self.times_s) - 1) / self.times_s[-1]) if len(self.times_s) > 1 else float("nan")

    def index_at(self, time_s: float) -> int:
        """Index of the frame nearest to a time."""
        return int(np.argmin(np.abs(self.times_s - time_s)))


def video_facts(store: Store, key: str) -> VideoFacts:
    """Read the packets of a video without decoding them.

    Raises:
        InputError: the file is missing, no video, without frames, or ends before its header says.
    """
    import av

    name = store.url(key)
    try:
        with av.open(_source(store, key)) as container:
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.pts is not None]
            # packets an edit list hides are demuxed but never shown
            shown = [packet for packet in packets if not packet.is_discard]
            times = np.array(sorted(float(packet.pts * packet.time_base) for packet in shown))
            width, height = int(stream.codec_context.width), int(stream.codec_context.height)
            end_s = _end_in_header(container, stream)
            has_hidden_start = len(shown) < len(packets)
    except (av.FFmpegError, IndexError, ValueError) as error:
        found = f"one that cannot be read ({type(error).__name__}: {error})"
        raise InputError(describe(what=name, expected="a video file", found=found, fix=_FIX)) from error
    if len(times) == 0:
        raise InputError(describe(what=name, expected="a video file", found="no frames", fix=_FIX))
    _check_end(times, end_s, name)
    return VideoFacts(width, height, times - times[0], has_hidden_start or bool(times[0] < 0.0))


def read_frames(
    store: Store, key: str, indices: Sequence[int] | None = None, *, decoder: Decoder = "auto"
) -> NDArray[np.uint8]:
    """Decode frames of a video.

    Args:
        store: where it lies.
        key: its name.
        indices: which frames, 0-based, in any order; None for all.
        decoder: `auto` takes decord where it is right, PyAV otherwise.

    Returns:
        (T, H, W, 3) uint8 RGB.

    Raises:
        InputError: the file is missing or damaged, or has no frame of that index.
    """
    facts = video_facts(store, key)
    wanted = list(range(facts.num_frames)) if indices is None else list(indices)
    outside = [index for index in wanted if not 0 <= index < facts.num_frames]
    if outside:
        expected, found = f"a frame of index {outside[0]}", f"{facts.num_frames} frames"
        fix = "Frame numbers of annotations count from 1 and name frames of this very file."
        raise InputError(describe(what=store.url(key), expected=expected, found=found, fix=fix))
    if not wanted:
        return np.empty((0, facts.height, facts.width, 3), dtype=np.uint8)
    if decoder == "auto":
        has_decord = importlib.util.find_spec("decord") is not None
        decoder = "decord" if has_decord and not facts.has_hidden_start else "pyav"
        frames = _with_decord(store, key, wanted, facts) if decoder == "decord" else None
        return _with_pyav(store, key, wanted, facts) if frames is None else frames
    frames = _with_decord(store, key, wanted, facts) if decoder == "decord" else _with_pyav(store, key, wanted, facts)
    if frames is None:
        found = "one decord cannot decode"
        raise InputError(describe(what=store.url(key), expected="a video", found=found, fix="Try decoder='auto'."))
    return frames


def _source(store: Store, key: str) -> str | io.BytesIO:
    path = store.local_path(key)
    if path is None:
        return io.BytesIO(store.read(key))
    if not path.is_file():
        raise InputError(describe(what=store.url(key), expected="a file", found="nothing there", fix="Restore it."))
    return str(path)


def _end_in_header(container: "InputContainer", stream: "VideoStream") -> float | None:
    """Return when the video ends by its header, seconds; None where only a sound track may last that long."""
    import av

    if stream.duration is not None:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if container.duration is None or len(container.streams) > 1:
        return None
    return float((container.start_time or 0) + container.duration) / float(av.time_base)


def _check_end(times: NDArray[np.float64], end_s: float | None, name: str) -> None:
    if end_s is None or len(times) < 2:
        return
    steps_s = np.diff(times)
    step_s = float(np.median(steps_s))
    if step_s <= 0.0 or steps_s.max() > MAX_MISSING_FRAMES * step_s:
        return  # a variable rate: a long last frame cannot be told from missing ones
    missing = (end_s - float(times[-1])) / step_s - 1.0
    if missing > MAX_MISSING_FRAMES:
        expected, found = f"frames up to {end_s:.2f} s as its header says", f"about {missing:.0f} frames less"
        raise InputError(describe(what=name, expected=expected, found=found, fix=_FIX))


def _with_decord(store: Store, key: str, wanted: list[int], facts: VideoFacts) -> NDArray[np.uint8] | None:
    """Return the frames, or None where decord fails or disagrees on what the file holds."""
    import decord

    try:
        reader = decord.VideoReader(_source(store, key), num_threads=1)
        if len(reader) != facts.num_frames:
            return None
        return np.asarray(reader.get_batch(wanted).asnumpy(), dtype=np.uint8)
    except (RuntimeError, decord.DECORDError):
        return None


def _with_pyav(store: Store, key: str, wanted: list[int], facts: VideoFacts) -> NDArray[np.uint8]:
    import av
    from av.video.reformatter import VideoReformatter

    last, needed, decoded = max(wanted), set(wanted), dict[int, NDArray[Any]]()
    reformatter = VideoReformatter()
    name = store.url(key)
    try:
        with av.open(_source(store, key)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index in needed:
                    if frame.rotation:
                        found = f"one turned by {frame.rotation} degrees that only PyAV can decode"
                        fix = "Re-encode it upright (ffmpeg does so by default)."
                        raise InputError(describe(what=name, expected="an upright video", found=found, fix=fix))
                    decoded[index] = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
                if index >= last:
                    break
    except (av.FFmpegError, IndexError) as error:
        found = f"one that cannot be decoded ({type(error).__name__}: {error})"
        raise InputError(describe(what=name, expected="a video", found=found, fix=_FIX)) from error
    if len(decoded) < len(needed):
        found = f"a decoder that stops after {len(decoded)} of {len(needed)}"
        raise InputError(describe(what=name, expected=f"{facts.num_frames} frames", found=found, fix=_FIX))
    return np.stack([decoded[index] for index in wanted])
