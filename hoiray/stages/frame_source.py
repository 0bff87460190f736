"""Where a shard's frames come from: videos one by one in the order asked, decoded ahead by several processes.

The predictor should never wait for a file to be opened, so while one video is predicted the next ones are decoded, each
by a thread with a child process of its own, up to a few batches ahead. After a crash the shard is done again with
nothing ahead (:class:`OneByOne`), so that the video that is open is the one to blame.
"""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias, runtime_checkable

from hoiray.io.store import open_uri
from hoiray.stages.decode import FrameBatch, VideoDecoder
from hoiray.stages.decode_process import DecodeBudget
from hoiray.stages.wanted import WantedVideo

BATCHES_AHEAD: Final = 2
"""Of one video, beside those in the decoder's own ring."""

POLL_S: Final = 0.2
"""How often a thread that waits looks whether it should end."""

STOP_S: Final = 5.0
"""Time to end; a thread that hangs with its decoder ends when that is closed."""

Frames: TypeAlias = tuple[WantedVideo, Iterator[FrameBatch]]


class FrameSource(Protocol):
    """Anything that decodes."""

    def videos(self, wanted: Sequence[WantedVideo]) -> Generator[Frames, None, None]:
        """Yield each video with its batches, in the order asked for.

        The batches of a video are read, or given up, before the next video is asked for. Reading them raises what is
        wrong with the video: `DecodeError`, or another `InputError` where its place cannot be read.
        """

    def one_by_one(self, wanted: Sequence[WantedVideo]) -> Generator[Frames, None, None]:
        """Yield the same, opening nothing before it is read."""

    def close(self) -> None:
        """End the processes."""


@runtime_checkable
class BringsFrames(Protocol):
    """A predictor of a world without files, as simulations have one: it shows its frames itself."""

    def frame_source(self) -> FrameSource:
        """Return where the frames of its videos come from, instead of any decoder."""


@dataclass(frozen=True)
class DecodeSettings:
    """How videos are decoded.

    Attributes:
        sample_rate_hz: rate at which frames are numbered.
        budget: of one video.
        max_attempts: at a video whose decoding kills its process.
        num_decoders: videos decoded at the same time.
    """

    sample_rate_hz: float | None
    budget: DecodeBudget = field(default_factory=DecodeBudget)
    max_attempts: int = 3
    num_decoders: int = 1


class LocalFrames:
    """Decodes in child processes of this one."""

    def __init__(self, settings: DecodeSettings) -> None:
        """Make the decoders; their processes start with their first video."""
        self._settings = settings
        self._decoders = [
            VideoDecoder(settings.budget, max_attempts=settings.max_attempts) for _ in range(settings.num_decoders)
        ]

    def videos(self, wanted: Sequence[WantedVideo]) -> Generator[Frames, None, None]:
        """See :class:`FrameSource`."""
        ahead = _Ahead(self._decoders, wanted, self._settings.sample_rate_hz)
        try:
            for index, video in enumerate(wanted):
                yield video, ahead.batches(index)
        finally:
            ahead.stop()

    def one_by_one(self, wanted: Sequence[WantedVideo]) -> Generator[Frames, None, None]:
        """See :class:`FrameSource`."""
        for video in wanted:
            with closing(decoded(self._decoders[0], video, self._settings.sample_rate_hz)) as batches:
                yield video, batches

    def close(self) -> None:
        """See :class:`FrameSource`."""
        for decoder in self._decoders:
            decoder.close()


def decoded(
    decoder: VideoDecoder, wanted: WantedVideo, sample_rate_hz: float | None
) -> Generator[FrameBatch, None, None]:
    """Decode the frames a video is wanted for.

    Raises:
        DecodeError, InputError: the video is dead.
    """
    store, key = open_uri(wanted.uri)
    selection = wanted.selection(sample_rate_hz)
    with decoder.open(store, key, video_id=wanted.video_id, etag=wanted.etag, selection=selection) as video:
        yield from video


@dataclass(frozen=True)
class _End:
    """A video is over: well, or with what it raised."""

    error: BaseException | None = None


_Channel: TypeAlias = "queue.Queue[FrameBatch | _End]"


class _Ahead:
    """Threads that decode ahead, one a decoder; each takes the next video that nobody has."""

    def __init__(self, decoders: Sequence[VideoDecoder], wanted: Sequence[WantedVideo], rate_hz: float | None) -> None:
        self._wanted, self._rate_hz = wanted, rate_hz
        self._channels: list[_Channel] = [queue.Queue(BATCHES_AHEAD) for _ in wanted]
        self._given_up = [threading.Event() for _ in wanted]
        self._stopped = threading.Event()
        self._next = 0
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, args=(decoder,), name="decode-ahead", daemon=True)
            # no more than there are videos: the segments of a long one then meet in the first, which knows the file
            for decoder in decoders[: len(wanted)]
        ]
        for thread in self._threads:
            thread.start()

    def batches(self, index: int) -> Iterator[FrameBatch]:
        """Read one video; whoever stops reading lets its decoder go on with another."""
        try:
            while True:
                item = self._channels[index].get()
                if not isinstance(item, _End):
                    yield item
                elif item.error is not None:
                    raise item.error
                else:
                    return
        finally:
            self._given_up[index].set()

    def stop(self) -> None:
        """End the threads; what they decode is thrown away."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(STOP_S)

    def _work(self, decoder: VideoDecoder) -> None:
        while not self._stopped.is_set():
            with self._lock:
                index, self._next = self._next, self._next + 1
            if index >= len(self._wanted):
                return
            end = _End()
            try:
                with closing(decoded(decoder, self._wanted[index], self._rate_hz)) as batches:
                    for batch in batches:
                        if not self._put(index, batch):
                            break
            except Exception as error:  # noqa: BLE001 - raised where the video is read
                end = _End(error)
            self._put(index, end)

    def _put(self, index: int, item: FrameBatch | _End) -> bool:
        """Hand something over; False where nobody wants it any more."""
        while not (self._stopped.is_set() or self._given_up[index].is_set()):
            try:
                self._channels[index].put(item, timeout=POLL_S)
            except queue.Full:
                continue
            return True
        return False
